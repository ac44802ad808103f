"""Rows of a sparse symmetric matrix: its symmetry, its diagonal apart, another order of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import BLOCK_ROWS, block_count, share_out

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse


def largest_asymmetry(matrix: sparse.csr_array) -> float:
    """Return the largest ``|q_ij - q_ji|`` of a square matrix, an entry that is absent being 0.

    Rows must be sorted and without entries given twice.
    """
    found: float = _largest_asymmetry(matrix.indptr, matrix.indices, matrix.data)
    return found


def without_diagonal(
    matrix: sparse.csr_array,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[Any]]:
    """Return pointers, columns and values of the rows of a sparse matrix, its diagonal left out.

    What stands on the diagonal makes no difference between neighbours, to which it is applied.
    """
    pointers, neighbours, entries = matrix.indptr, matrix.indices, matrix.data
    fewer = np.zeros(pointers.size, np.int32)
    count = _count_others(pointers, neighbours, fewer)
    others, values = np.empty(count, np.int32), np.empty(count, entries.dtype)
    _leave_out_diagonal(pointers, neighbours, entries, others, values)
    return fewer, others, values


def reordered_rows(
    pointers: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    entries: NDArray[Any],
    order: NDArray[np.int32],
    place: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[Any]]:
    """Return sparse rows with rows and columns in another order, columns ascending.

    Parameters
    ----------
    pointers, neighbours, entries
        The rows.
    order, place
        Old row of every new one, and new row of every old one.
    """
    counts = np.zeros(pointers.size, np.int32)
    np.cumsum(np.diff(pointers)[order], out=counts[1:])
    others, values = np.empty_like(neighbours), np.empty_like(entries)
    arguments = (pointers, neighbours, entries, order, place, counts, others, values)
    share_out(_reorder, block_count(order.size), neighbours.size, arguments)
    return counts, others, values


LONG = 48
"""Rows of more entries are not sorted by insertion."""


@numba.njit(nogil=True, cache=True)
def _reorder(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, order, place, counts, others, values, first, last
):
    for row in range(first * BLOCK_ROWS, min(last * BLOCK_ROWS, order.size)):
        old, begin = order[row], counts[row]
        count = pointers[old + 1] - pointers[old]
        for step in range(count):
            spot = pointers[old] + step
            other, value = place[neighbours[spot]], entries[spot]
            to = begin + step
            while count <= LONG and to > begin and others[to - 1] > other:
                others[to], values[to] = others[to - 1], values[to - 1]
                to -= 1
            others[to], values[to] = other, value
        if count > LONG:
            sorted_ = np.argsort(others[begin : begin + count])
            others[begin : begin + count] = others[begin : begin + count][sorted_]
            values[begin : begin + count] = values[begin : begin + count][sorted_]


@numba.njit(nogil=True, cache=True)
def _count_others(pointers, neighbours, fewer):  # type: ignore[no-untyped-def]
    count = 0
    for row in range(pointers.size - 1):
        for spot in range(pointers[row], pointers[row + 1]):
            count += neighbours[spot] != row
        fewer[row + 1] = count
    return count


@numba.njit(nogil=True, cache=True)
def _leave_out_diagonal(pointers, neighbours, entries, others, values):  # type: ignore[no-untyped-def]
    count = 0
    for row in range(pointers.size - 1):
        for spot in range(pointers[row], pointers[row + 1]):
            if neighbours[spot] != row:
                others[count] = neighbours[spot]
                values[count] = entries[spot]
                count += 1


@numba.njit(nogil=True, cache=True)
def _largest_asymmetry(pointers, neighbours, entries):  # type: ignore[no-untyped-def]
    """Walk the rows in order: entries of a column then come in the order of that row."""
    n = pointers.size - 1
    largest = 0.0
    # Up to where each row has been met by the rows before, as a column.
    met = pointers[:-1].copy()
    for row in range(n):
        for place in range(pointers[row], pointers[row + 1]):
            other = neighbours[place]
            # What is passed over has no counterpart.
            while met[other] < pointers[other + 1] and neighbours[met[other]] < row:
                largest = max(largest, abs(entries[met[other]]))
                met[other] += 1
            if met[other] < pointers[other + 1] and neighbours[met[other]] == row:
                largest = max(largest, abs(entries[place] - entries[met[other]]))
                met[other] += 1
            else:
                largest = max(largest, abs(entries[place]))
    for row in range(n):
        for place in range(met[row], pointers[row + 1]):
            largest = max(largest, abs(entries[place]))
    return largest
