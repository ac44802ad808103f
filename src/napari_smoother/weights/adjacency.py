"""Compiled loops that turn lists of neighbours into sparse matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from napari_smoother.weights.threads import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.weights.nearest import NearestLists

SHORT_ROW = 32
"""Entries up to which insertion sorts a row fastest."""


def join_mutual(
    lists: NearestLists, order: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Symmetric matrix of the pairs that list each other.

    Lists are numbered along `order`; the matrix is in the original numbering, its columns
    sorted in every row. The answer is that of one thread, whatever their number.
    """
    n = order.size
    first, count = lists.first, lists.count
    returned = np.empty(lists.neighbour.size, np.bool_)
    degree = np.empty(n, np.int32)
    in_parts(
        n,
        lambda a, b: _mark_returned(first, count, lists.neighbour, order, a, b, returned, degree),
    )
    indptr = np.zeros(n + 1, np.int32)
    np.cumsum(degree, out=indptr[1:])
    indices = np.empty(indptr[n], np.int32)
    data = np.empty(indptr[n], np.float64)
    in_parts(
        n,
        lambda a, b: _fill_rows(
            first, count, lists.neighbour, lists.distance, order, returned, a, b,
            indptr, indices, data,
        ),
    )  # fmt: skip
    return indptr, indices, data


def join_either(
    lists: NearestLists, order: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Symmetric matrix of the pairs of which at least one lists the other, as `join_mutual`."""
    lister, kept = _named_once(lists.first, lists.count, lists.neighbour)
    indptr, indices, data = join_pairs(
        order[lister], order[lists.neighbour[kept]], lists.distance[kept], len(order)
    )
    return indptr, indices, data


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
            indices[end[row]] = column
            data[end[row]] = distance[e]
            end[row] += 1
    for row in range(n):
        sort_row(indptr[row], indptr[row + 1], indices, data)
    return indptr.astype(np.int32), indices, data


@njit(nogil=True, cache=True)
def sort_row(begin, end, indices, data):  # type: ignore[no-untyped-def]
    """Sort the entries ``begin:end`` of a matrix by column."""
    if end - begin > SHORT_ROW:
        by_column = np.argsort(indices[begin:end])
        indices[begin:end] = indices[begin:end][by_column]
        data[begin:end] = data[begin:end][by_column]
        return
    for e in range(begin + 1, end):
        column, value = indices[e], data[e]
        place = e
        while place > begin and indices[place - 1] > column:
            indices[place], data[place] = indices[place - 1], data[place - 1]
            place -= 1
        indices[place], data[place] = column, value


@njit(nogil=True, cache=True)
def _mark_returned(first, count, neighbour, order, begin, end, returned, degree):  # type: ignore[no-untyped-def]
    for i in range(begin, end):
        mutual = 0
        for e in range(first[i], first[i] + count[i]):
            j = neighbour[e]
            found = False
            for f in range(first[j], first[j] + count[j]):
                found |= neighbour[f] == i
            returned[e] = found
            mutual += found
        degree[order[i]] = mutual


@njit(nogil=True, cache=True)
def _fill_rows(  # type: ignore[no-untyped-def]
    first, count, neighbour, distance, order, returned, begin, end, indptr, indices, data
):
    # Lists are read one after another; rows are written wherever they are.
    for i in range(begin, end):
        at = indptr[order[i]]
        for e in range(first[i], first[i] + count[i]):
            if returned[e]:
                indices[at] = order[neighbour[e]]
                data[at] = distance[e]
                at += 1
        sort_row(indptr[order[i]], at, indices, data)


@njit(nogil=True, cache=True)
def _named_once(first, count, neighbour):  # type: ignore[no-untyped-def]
    """Listers and entries of all pairs, each pair once though both may list it."""
    listers = np.empty(neighbour.size, np.int32)
    entries = np.empty(neighbour.size, np.int64)
    m = 0
    for i in range(first.size):
        for e in range(first[i], first[i] + count[i]):
            j = neighbour[e]
            again = False
            if j < i:
                for f in range(first[j], first[j] + count[j]):
                    again |= neighbour[f] == i
            if not again:
                listers[m], entries[m] = i, e
                m += 1
    return listers[:m], entries[:m]
