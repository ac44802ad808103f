"""Rows of a matrix a few thousand at a time, whatever holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROWS_PER_CHUNK = 8192


def rows_of(matrix: sparse.csr_matrix, start: int, stop: int) -> sparse.csr_matrix:
    """Return some rows of a matrix in the memory of the matrix itself.

    Parameters
    ----------
    matrix
        CSR, whose own slices copy what they hold.
    start, stop
        The first row, and the one after the last.

    Returns
    -------
    scipy.sparse.csr_matrix
        Only to be read.
    """
    stop = min(stop, matrix.shape[0])
    here = slice(matrix.indptr[start], matrix.indptr[stop])
    part: sparse.csr_matrix = sparse.csr_matrix(
        (stop - start, matrix.shape[1]), dtype=matrix.dtype
    )
    # Given to the constructor, part of a much larger array would be copied.
    part.data, part.indices = matrix.data[here], matrix.indices[here]
    part.indptr = matrix.indptr[start : stop + 1] - matrix.indptr[start]
    return part


def csr_chunks(matrix: Any, rows: int = ROWS_PER_CHUNK) -> Iterator[sparse.csr_matrix]:
    """Read a matrix a few thousand rows at a time, each piece as float64 CSR.

    Parameters
    ----------
    matrix
        Sparse, dense or backed by a file.
    rows
        How many rows a piece has at most.

    Yields
    ------
    scipy.sparse.csr_matrix
        A copy the caller may change.
    """
    matrix = readable_by_rows(matrix)
    for start in range(0, matrix.shape[0], rows):
        yield float_rows(matrix, start, start + rows)


def readable_by_rows(matrix: Any) -> Any:
    """Bring a matrix that is stored by columns to rows; return any other as it is."""
    if getattr(matrix, "format", "csr") != "csr" or sparse.issparse(matrix):
        in_memory: Any = matrix if sparse.issparse(matrix) else matrix.to_memory()
        if in_memory.dtype == np.float16:  # which scipy does not convert
            in_memory = in_memory.astype(np.float32)
        return in_memory.tocsr()
    return matrix


def float_rows(matrix: Any, start: int, stop: int) -> sparse.csr_matrix:
    """Return a copy of some rows, float64 CSR; the matrix has to be readable by rows."""
    in_memory: bool = sparse.issparse(matrix)
    if in_memory:
        return sparse.csr_matrix(rows_of(matrix, start, stop), dtype=np.float64, copy=True)
    part = matrix[start:stop]
    is_sparse: bool = sparse.issparse(part)
    if not is_sparse:
        dense: NDArray[np.float64] = np.asarray(part, dtype=np.float64)
        part = dense
    return sparse.csr_matrix(part, dtype=np.float64, copy=is_sparse)


class SomeColumns:
    """Some columns of a matrix, taken out when rows are read.

    Parameters
    ----------
    matrix
        Sparse, dense or backed by a file.
    columns
        Which, in their order.
    """

    def __init__(self, matrix: Any, columns: NDArray[np.intp]) -> None:
        self.matrix = readable_by_rows(matrix)
        self.columns = columns
        self.dtype = np.dtype(self.matrix.dtype)
        self.shape = (int(self.matrix.shape[0]), len(columns))

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        start, stop, _ = rows.indices(self.shape[0])
        taken: sparse.csr_matrix = float_rows(self.matrix, start, stop)[:, self.columns]
        return taken
