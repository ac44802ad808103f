"""Rows of a sparse symmetric matrix: its symmetry, its diagonal apart, another order of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray


def largest_asymmetry(matrix: sparse.csr_array) -> float:
    """Return the largest ``|q_ij - q_ji|`` of a square matrix, an entry that is absent being 0."""
    return float(abs(matrix - matrix.T).max())


def without_diagonal(
    matrix: sparse.csr_array,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[Any]]:
    """Return pointers, columns and values of the rows of a sparse matrix, its diagonal left out.

    What stands on the diagonal makes no difference between neighbours, to which it is applied.
    """
    pointers, neighbours = matrix.indptr, matrix.indices
    kept = neighbours != np.repeat(np.arange(pointers.size - 1), np.diff(pointers))
    before = np.zeros(kept.size + 1, np.int32)
    np.cumsum(kept, out=before[1:])
    return before[pointers], neighbours[kept].astype(np.int32, copy=False), matrix.data[kept]


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
    shape = (order.size, order.size)
    rows = sparse.csr_array((entries, neighbours, pointers), shape=shape)[order]
    both = sparse.csr_array((rows.data, place[rows.indices], rows.indptr), shape=shape)
    both.sort_indices()
    return both.indptr, both.indices, both.data
