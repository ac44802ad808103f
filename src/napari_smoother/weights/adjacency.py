"""Compiled loops that turn lists of neighbours into sparse matrices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

THREADS = 2


@njit(nogil=True, cache=True)
def list_lengths(distance, neighbour, k, relative, absolute):  # type: ignore[no-untyped-def]
    """How many of the nearest are taken, by the rule of `nearest_neighbours`.

    `distance` and `neighbour` are n x (k + 2), nearest first, the spot itself among them or
    not, and infinite where there are no more spots. Returns -1 for a spot whose nearest group
    of equals reaches the end of the table, so that its size is not known yet.
    """
    n, width = distance.shape
    taken = np.empty(n, np.int64)
    ranked = np.empty(width)
    for i in range(n):
        m = 0
        for c in range(width):
            if neighbour[i, c] != i and distance[i, c] < np.inf:
                ranked[m] = distance[i, c]
                m += 1
        if m <= k:
            taken[i] = m
            continue
        bound = ranked[k] * (1 - relative) - absolute
        count = k
        while count > 0 and ranked[count - 1] >= bound:
            count -= 1
        taken[i] = count if count > 0 else -1
    return taken


@njit(nogil=True, cache=True)
def fill_lists(distance, neighbour, taken, start, out_distance, out_neighbour):  # type: ignore[no-untyped-def]
    """Copy the first `taken` others of each row of a table into lists without gaps."""
    for i in range(distance.shape[0]):
        m = start[i]
        for c in range(distance.shape[1]):
            if m - start[i] == taken[i]:
                break
            if neighbour[i, c] != i:
                out_distance[m] = distance[i, c]
                out_neighbour[m] = neighbour[i, c]
                m += 1


def join_mutual(
    start: NDArray[np.int64],
    neighbour: NDArray[np.int64],
    distance: NDArray[np.float64],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Symmetric matrix of the pairs that list each other.

    Lists are numbered along `order`; the matrix is in the original numbering, its columns
    sorted in every row. The answer is that of one thread, whatever their number.
    """
    n = order.size
    returned = np.empty(neighbour.size, np.bool_)
    degree = np.empty(n, np.int32)
    in_parts(n, lambda a, b: _mark_returned(start, neighbour, order, a, b, returned, degree))
    indptr = np.zeros(n + 1, np.int32)
    np.cumsum(degree, out=indptr[1:])
    indices = np.empty(indptr[n], np.int32)
    data = np.empty(indptr[n], np.float64)
    in_parts(
        n,
        lambda a, b: _fill_rows(
            start, neighbour, distance, order, returned, a, b, indptr, indices, data
        ),
    )
    return indptr, indices, data


def in_parts(n: int, work: Callable[[int, int], None]) -> None:
    """Do compiled work on the parts of ``range(n)`` in `THREADS` threads."""
    if n < 20_000:
        work(0, n)
        return
    ends = [int(end) for end in np.linspace(0, n, 4 * THREADS + 1)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, ends[:-1], ends[1:]))


@njit(nogil=True, cache=True)
def _mark_returned(start, neighbour, order, begin, end, returned, degree):  # type: ignore[no-untyped-def]
    for i in range(begin, end):
        count = 0
        for e in range(start[i], start[i + 1]):
            j = neighbour[e]
            found = False
            for f in range(start[j], start[j + 1]):
                found |= neighbour[f] == i
            returned[e] = found
            count += found
        degree[order[i]] = count


@njit(nogil=True, cache=True)
def _fill_rows(  # type: ignore[no-untyped-def]
    start, neighbour, distance, order, returned, begin, end, indptr, indices, data
):
    # Lists are read one after another; rows are written wherever they are.
    for i in range(begin, end):
        first = indptr[order[i]]
        filled = first
        for e in range(start[i], start[i + 1]):
            if returned[e]:
                _insert(first, filled, order[neighbour[e]], distance[e], indices, data)
                filled += 1


@njit(nogil=True, cache=True)
def either_lists(start, neighbour):  # type: ignore[no-untyped-def]
    """Which entries to keep so that each pair listed by either spot is named once."""
    kept = np.empty(neighbour.size, np.bool_)
    for i in range(start.size - 1):
        for e in range(start[i], start[i + 1]):
            j = neighbour[e]
            kept[e] = True
            if j < i:
                for f in range(start[j], start[j + 1]):
                    if neighbour[f] == i:
                        kept[e] = False
    return kept


@njit(nogil=True, cache=True)
def join_pairs(first, second, distance, n):  # type: ignore[no-untyped-def]
    """Symmetric matrix of pairs that are each named once, columns sorted in every row."""
    degree = np.zeros(n + 1, np.int64)
    for e in range(first.size):
        degree[first[e] + 1] += 1
        degree[second[e] + 1] += 1
    indptr = np.cumsum(degree)
    end = indptr[:-1].copy()
    indices = np.empty(indptr[-1], np.int32)
    data = np.empty(indptr[-1], np.float64)
    for e in range(first.size):
        for row, column in ((first[e], second[e]), (second[e], first[e])):
            _insert(indptr[row], end[row], column, distance[e], indices, data)
            end[row] += 1
    return indptr.astype(np.int32), indices, data


@njit(nogil=True, cache=True)
def _insert(first, end, column, value, indices, data):  # type: ignore[no-untyped-def]
    """Put an entry where it belongs in the sorted part ``first:end`` of its row."""
    place = end
    while place > first and indices[place - 1] > column:
        indices[place] = indices[place - 1]
        data[place] = data[place - 1]
        place -= 1
    indices[place] = column
    data[place] = value
