"""Compiled loops that turn lists of neighbours into sparse matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


def locality_order(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order in which spots near each other follow one another.

    A search tree answers several times faster when consecutive queries touch the same leaves.
    Only speed depends on this order, no result does.

    Parameters
    ----------
    positions
        n x 2 or 3. Only the first two axes are looked at.

    Returns
    -------
    order
        A permutation of ``range(n)``: cells of about eight spots, row by row, back and forth.
    """
    lowest = positions[:, :2].min(axis=0)
    extent = positions[:, :2].max(axis=0) - lowest
    longest = float(extent.max())
    if longest == 0.0:
        return np.arange(len(positions))
    # A section is wider than a line: the short side counts for at least a hundredth.
    area = longest * max(float(extent.min()), longest / 100)
    # No more cells than spots either way, so that the counters below stay small.
    cell = max(np.sqrt(8.0 * area / len(positions)), longest / len(positions))
    n_cells = (extent / cell).astype(np.int64) + 1
    return _counting_sort(positions, lowest, cell, n_cells)  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _counting_sort(positions, lowest, cell, n_cells):  # type: ignore[no-untyped-def]
    n = positions.shape[0]
    key = np.empty(n, np.int64)
    start = np.zeros(n_cells[0] * n_cells[1] + 1, np.int64)
    for i in range(n):
        column = min(int((positions[i, 0] - lowest[0]) / cell), n_cells[0] - 1)
        row = min(int((positions[i, 1] - lowest[1]) / cell), n_cells[1] - 1)
        if column % 2 == 1:
            row = n_cells[1] - 1 - row
        key[i] = column * n_cells[1] + row
        start[key[i] + 1] += 1
    for c in range(start.size - 1):
        start[c + 1] += start[c]
    order = np.empty(n, np.int64)
    for i in range(n):
        order[start[key[i]]] = i
        start[key[i]] += 1
    return order


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


@njit(nogil=True, cache=True)
def join_mutual(start, neighbour, distance, order):  # type: ignore[no-untyped-def]
    """Symmetric matrix of the pairs that list each other.

    Lists are numbered along `order`; the matrix is in the original numbering, its columns
    sorted in every row.
    """
    n = order.size
    returned = np.empty(neighbour.size, np.bool_)
    rank = np.empty(n, np.int64)
    indptr = np.zeros(n + 1, np.int32)
    for i in range(n):
        rank[order[i]] = i
        degree = 0
        for e in range(start[i], start[i + 1]):
            j = neighbour[e]
            found = False
            for f in range(start[j], start[j + 1]):
                found |= neighbour[f] == i
            returned[e] = found
            degree += found
        indptr[order[i] + 1] = degree
    for row in range(n):
        indptr[row + 1] += indptr[row]
    indices = np.empty(indptr[n], np.int32)
    data = np.empty(indptr[n], np.float64)
    for row in range(n):
        first = indptr[row]
        end = first
        for e in range(start[rank[row]], start[rank[row] + 1]):
            if returned[e]:
                _insert(first, end, order[neighbour[e]], distance[e], indices, data)
                end += 1
    return indptr, indices, data


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
