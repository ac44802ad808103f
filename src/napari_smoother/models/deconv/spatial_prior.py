"""Take the precision out of a spatial loss, in the form the solver wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_DENSE_SPOTS = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """A quadratic prior, or none.

    Parameters
    ----------
    precision
        Q, n x n sparse; a list of K of them; None for no prior.
    lambda_
        Its strength.
    confidences
        K, or None when all are one.
    """

    precision: Any = None
    lambda_: float = 0.0
    confidences: NDArray[np.float64] | None = None


def is_quadratic(spatial_loss: Any) -> bool:
    """Whether a spatial loss is a quadratic form of the precision it shows.

    False for what has no ``inv_cov``, and for subclasses of `SpatialLoss` that calculate
    something else (`ContrastiveSpatialLoss`, or a user's own).

    Raises
    ------
    InputError
        If it is neither that nor anything that can be called.
    """
    ancestry = type(spatial_loss).__mro__
    # By name, so that arrays do not wait for torch to be imported.
    maker = next((base.__name__ for base in ancestry if "forward" in vars(base)), None)
    # Looked up, not taken: a loss may build its tensor only when asked.
    if "inv_cov" in dir(spatial_loss) and maker in (None, "SpatialLoss"):
        return True
    if not callable(spatial_loss):
        raise InputError(
            f"{type(spatial_loss).__name__} has no precision and cannot be called",
            where="spatial loss",
            remedy="Give a SpatialLoss, or a torch module of a tensor of types x spots",
        )
    return False


def read_prior(spatial_loss: Any, lambda_: float, n_spots: int, n_types: int) -> Prior:
    """Take precision and confidences of a quadratic spatial loss; see `prior_of`."""
    precision, confidences = prior_of(spatial_loss, n_spots, n_types)
    return Prior(precision, lambda_, confidences)


def prior_of(
    spatial_loss: Any, n_spots: int, n_types: int
) -> tuple[sparse.csr_array | list[sparse.csr_array], NDArray[np.float64] | None]:
    """Precision of a spatial loss, and its confidence in each type.

    Parameters
    ----------
    spatial_loss
        A `SpatialLoss`; or anything with ``inv_cov``, a sparse or dense tensor or array of n x n,
        1 x n x n or K x n x n. It may have ``confidences``, one or K numbers.
    n_spots, n_types
        n and K.

    Returns
    -------
    precision : scipy.sparse.csr_array or list
        n x n, float64: one for all types, or a list of K where they differ.
    confidences : numpy.ndarray or None
        K, or None when all are one.

    Raises
    ------
    InputError
        If the precision belongs to other spots or another number of types, the loss is not a
        quadratic form, or a moving average is too large to be inverted.
    """
    precisions = _of_loss(spatial_loss)
    for precision in precisions:
        if precision.shape != (n_spots, n_spots):
            raise InputError(
                f"The precision of the spatial loss has the shape {precision.shape} "
                f"for {n_spots} spots",
                where="spatial loss",
                remedy="Build the spatial loss from the spots of y",
            )
    if len(precisions) not in (1, n_types):
        raise InputError(
            f"The spatial loss has {len(precisions)} precisions for {n_types} types",
            where="spatial loss",
            remedy="Use one spatial weight matrix for all types, or one for each",
        )
    shared = all(_same(precisions[0], other) for other in precisions[1:])
    given = getattr(spatial_loss, "confidences", None)
    confidences = None if given is None else _array(given).ravel()
    if confidences is not None and confidences.size == 1:
        confidences = np.repeat(confidences, n_types)
    if confidences is not None and (confidences == 1).all():
        confidences = None
    return precisions[0] if shared else precisions, confidences


def _of_loss(spatial_loss: Any) -> list[sparse.csr_array]:
    if not is_quadratic(spatial_loss):
        raise InputError(
            f"{type(spatial_loss).__name__} is not a quadratic form of a precision",
            where="spatial loss",
            remedy="Give a SpatialLoss",
        )
    given = getattr(spatial_loss, "precisions", None)
    if given is None:
        return _split(spatial_loss.inv_cov)
    are_sparse = [sparse.issparse(precision) for precision in given]
    if all(are_sparse):
        return [_csr(precision) for precision in given]  # float64, where the tensor is float32
    if given[0].shape[0] > MOST_DENSE_SPOTS:
        raise InputError(
            f"The precision of a moving average is dense, and there are {given[0].shape[0]} spots",
            where="spatial loss",
            remedy=f"Choose car, sar, icar or isar above {MOST_DENSE_SPOTS} spots",
        )
    rounded = _split(spatial_loss.inv_cov)
    return [_csr((precision + precision.T) / 2) for precision in rounded]


def _split(matrix: Any) -> list[sparse.csr_array]:
    is_sparse: bool = sparse.issparse(matrix)
    if is_sparse:
        return [_csr(matrix)]
    if "sparse" in str(getattr(matrix, "layout", "")):
        # Entries given twice are added up by scipy, in a fraction of the time.
        entries = matrix.detach().cpu().to_sparse_coo()
        index, values = entries._indices().numpy(), entries._values().numpy().astype(np.float64)
        if index.shape[0] == 2:
            index = np.vstack([np.zeros_like(index[:1]), index])
        shape = tuple(matrix.shape[-2:])
        count = int(matrix.shape[0]) if len(matrix.shape) == 3 else 1
        blocks = [index[0] == block for block in range(count)]
        return [
            _csr(sparse.coo_array((values[mine], (index[1][mine], index[2][mine])), shape=shape))
            for mine in blocks
        ]
    dense = _array(matrix)
    return [_csr(block) for block in (dense if dense.ndim == 3 else dense[None])]


def _csr(matrix: Any) -> sparse.csr_array:
    result = sparse.csr_array(matrix, dtype=np.float64)
    result.sum_duplicates()
    return result


def _same(one: sparse.csr_array, other: sparse.csr_array) -> bool:
    return (
        np.array_equal(one.indptr, other.indptr)
        and np.array_equal(one.indices, other.indices)
        and np.array_equal(one.data, other.data)
    )


def _array(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
