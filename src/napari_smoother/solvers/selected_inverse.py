"""Diagonal of the inverse of a sparse positive definite matrix, exactly and without the inverse.

One fill-reducing order and one symbolic factor serve all matrices ``shift I + factor Q``. Each is
factored as L D L', and the diagonal of the inverse follows from the recursion of Takahashi, Fagan
and Chen (1973) on the entries of L.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother import _core
from napari_smoother.errors import InputError
from napari_smoother.solvers.sparse_factor import SparseFactor
from napari_smoother.solvers.watching import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array


def inverse_diagonals(
    factored: SparseFactor,
    shifts: ArrayLike,
    factor: float = 1.0,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float64]:
    """Diagonals of the inverses of ``shift I + factor Q``, for several shifts.

    Parameters
    ----------
    factored
        Pattern of the factor of Q.
    shifts
        m numbers.
    factor
        Of Q.
    cancelled
        Asked every few milliseconds, from the calling thread.

    Returns
    -------
    numpy.ndarray
        n x m, float64, exact to rounding.

    Raises
    ------
    InputError
        If one of the matrices is singular or indefinite.
    Cancelled
        If ``cancelled`` returned True.
    """
    wanted = np.ascontiguousarray(np.asarray(shifts, dtype=np.float64).ravel())
    asked = watch(cancelled, what="the search for variances")
    try:
        found = _core.inverse_diagonals(factored.pattern, wanted, float(factor), asked)
    except _core.Refused as error:
        raise InputError(
            "A matrix is singular or indefinite, so its inverse has no diagonal",
            where="exact variances",
            remedy="Choose a rho inside the valid range, or a larger lambda",
        ) from error
    return found.reshape(factored.pattern.size, wanted.size)


def inverse_diagonal(matrix: csr_array) -> NDArray[np.float64]:
    """Diagonal of the inverse of one sparse positive definite matrix.

    Parameters
    ----------
    matrix
        n x n, symmetric.

    Returns
    -------
    numpy.ndarray
        n, float64, exact to rounding.

    Raises
    ------
    InputError
        If it is singular or indefinite.
    """
    return inverse_diagonals(SparseFactor.prepare(matrix), [0.0])[:, 0]
