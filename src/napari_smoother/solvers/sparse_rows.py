"""Rows of a sparse symmetric matrix: whether it is symmetric, and its diagonal apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

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
    others, values = np.empty(neighbours.size, np.int32), np.empty_like(entries)
    count = _leave_out_diagonal(pointers, neighbours, entries, fewer, others, values)
    return fewer, others[:count].copy(), values[:count].copy()


@numba.njit(nogil=True, cache=True)
def _leave_out_diagonal(pointers, neighbours, entries, fewer, others, values):  # type: ignore[no-untyped-def]
    count = 0
    for row in range(pointers.size - 1):
        for place in range(pointers[row], pointers[row + 1]):
            if neighbours[place] != row:
                others[count] = neighbours[place]
                values[count] = entries[place]
                count += 1
        fewer[row + 1] = count
    return count


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
