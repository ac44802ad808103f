"""Take the precision out of a spatial loss, in the form the solver wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_DENSE_SPOTS = 5000


def shared_precision(
    spatial_loss: Any, n_spots: int, n_types: int
) -> tuple[sparse.csr_array, NDArray[np.float64] | None]:
    """Precision that all types share, and the confidence in each.

    Parameters
    ----------
    spatial_loss
        A `SpatialLoss`; or anything with ``inv_cov``, a sparse or dense tensor or array of n x n
        or 1 x n x n. It may have ``confidences``, one or K numbers.
    n_spots, n_types
        n and K.

    Returns
    -------
    precision : scipy.sparse.csr_array
        n x n, float64.
    confidences : numpy.ndarray or None
        K, or None when all are one.

    Raises
    ------
    InputError
        If the precision belongs to another number of spots or differs between types, the loss
        is not a quadratic form, or a moving average is too large to be inverted.
    """
    precision = _of_loss(spatial_loss)
    if precision.shape != (n_spots, n_spots):
        raise InputError(
            f"The precision of the spatial loss has the shape {precision.shape} "
            f"for {n_spots} spots and {n_types} types",
            where="spatial loss",
            remedy="Build one spatial loss from the spots of y, shared by all types",
        )
    given = getattr(spatial_loss, "confidences", None)
    if given is None:
        return precision, None
    confidences = _array(given).ravel()
    if confidences.size == 1:
        confidences = np.repeat(confidences, n_types)
    return precision, None if (confidences == 1).all() else confidences


def _of_loss(spatial_loss: Any) -> sparse.csr_array:
    name = type(spatial_loss).__name__
    if "Contrastive" in name or not hasattr(spatial_loss, "inv_cov"):
        raise InputError(
            f"{name} is not a quadratic form with one precision",
            where="spatial loss",
            remedy="Give a SpatialLoss",
        )
    given = getattr(spatial_loss, "precisions", None)
    if given is None:
        return _as_csr(spatial_loss.inv_cov)
    if len(given) != 1:
        raise _one_each((len(given), *given[0].shape))
    is_sparse: bool = sparse.issparse(given[0])
    if is_sparse:
        return _as_csr(given[0])  # float64, where the tensor is float32
    if given[0].shape[0] > MOST_DENSE_SPOTS:
        raise InputError(
            f"The precision of a moving average is dense, and there are {given[0].shape[0]} spots",
            where="spatial loss",
            remedy=f"Choose car, sar, icar or isar above {MOST_DENSE_SPOTS} spots",
        )
    precision = _as_csr(spatial_loss.inv_cov)
    return sparse.csr_array((precision + precision.T) / 2)


def _as_csr(matrix: Any) -> sparse.csr_array:
    is_sparse: bool = sparse.issparse(matrix)
    if is_sparse:
        return sparse.csr_array(matrix, dtype=np.float64)
    if getattr(matrix, "is_sparse", False) or "sparse" in str(getattr(matrix, "layout", "")):
        entries = matrix.detach().cpu().to_sparse_coo().coalesce()
        index = entries.indices().numpy()
        if index.shape[0] == 3 and matrix.shape[0] == 1:
            index = index[1:]
        if index.shape[0] == 2:
            return sparse.csr_array(
                (entries.values().numpy().astype(np.float64), (index[0], index[1])),
                shape=tuple(matrix.shape[-2:]),
            )
        raise _one_each(tuple(matrix.shape))
    dense = _array(matrix)
    if dense.ndim == 3 and dense.shape[0] == 1:
        dense = dense[0]
    if dense.ndim != 2:
        raise _one_each(dense.shape)
    return sparse.csr_array(dense)


def _array(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _one_each(shape: tuple[int, ...]) -> InputError:
    return InputError(
        f"The spatial loss has a precision for every type (shape {shape})",
        where="spatial loss",
        remedy="Use one spatial weight matrix for all types; confidences may differ",
    )
