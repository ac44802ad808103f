"""Arrays, tensors and tables, as people have them, to numpy and back to torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array, issparse

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def is_sparse(values: Any) -> bool:
    """Whether it is a scipy sparse matrix or array."""
    return bool(issparse(values))


def as_array(values: Any) -> NDArray[Any]:
    """Dense numpy array of an array, tensor or DataFrame; nothing is copied if possible."""
    if isinstance(values, torch.Tensor):
        return np.asarray(values.detach().cpu().numpy())
    if is_sparse(values):
        return np.asarray(values.toarray())
    return np.asarray(values)


def as_features(values: Any) -> Any:
    """Transpose of a features x spots table: spots x features, sparse where it was sparse."""
    return csr_array(values.T) if is_sparse(values) else as_array(values).T


def as_csr(matrix: Any) -> csr_array:
    """Float64 compressed rows, sorted, int32 indices, duplicates summed, stored zeros kept."""
    if isinstance(matrix, torch.Tensor) and matrix.layout != torch.strided:
        entries = _coordinates(matrix.detach().cpu())
        row, column = entries.indices().numpy()
        shape: Any = tuple(entries.shape)
        compressed: Any = coo_array((entries.values().numpy(), (row, column)), shape=shape).tocsr()
    elif is_sparse(matrix):
        compressed = csr_array(matrix, copy=True)
    else:
        dense = as_array(matrix)
        if dense.ndim != 2:
            raise InputError(
                f"The matrix has the shape {dense.shape}",
                where="weight matrix",
                remedy="Give spots x spots",
            )
        compressed = csr_array(dense)
    compressed.sum_duplicates()
    data = np.asarray(compressed.data, np.float64)
    indices, indptr = compressed.indices.astype(np.int32), compressed.indptr.astype(np.int32)
    return csr_array((data, indices, indptr), shape=compressed.shape)


def sampled(matrix: csr_array, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
    """Values of a sparse matrix at pairs of row and column, 0 where nothing is stored."""
    # Versions of scipy differ in whether they answer with an array or a sparse one.
    picked: Any = matrix[rows.ravel(), columns.ravel()]
    dense = picked.toarray() if is_sparse(picked) else picked
    return np.asarray(dense, np.float64).reshape(rows.shape)


def sparse_tensor(matrix: csr_array, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Coalesced sparse tensor in coordinate layout, stored zeros kept."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    indices = torch.from_numpy(np.stack([rows, matrix.indices.astype(np.int64)]))
    values = torch.from_numpy(np.ascontiguousarray(matrix.data)).to(dtype)
    shape = (int(matrix.shape[0]), int(matrix.shape[1]))
    return torch.sparse_coo_tensor(
        indices, values, shape, is_coalesced=True, check_invariants=False
    )


def _coordinates(matrix: torch.Tensor) -> torch.Tensor:
    if matrix.layout != torch.sparse_coo:
        matrix = matrix.to_sparse(sparse_dim=2)
    return matrix.coalesce()
