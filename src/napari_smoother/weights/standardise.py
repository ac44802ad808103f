"""Marginal variances of a Gaussian Markov field, and precisions scaled to unit variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from napari_smoother.errors import InputError
from napari_smoother.solvers.selected_inverse import inverse_diagonal
from napari_smoother.solvers.sparse_factor import TooLarge

if TYPE_CHECKING:
    from numpy.typing import NDArray


def standardised(matrix: csr_array, *, singular: bool) -> csr_array:
    """Scale rows and columns of a precision so that its marginal variances are 1.

    Parameters
    ----------
    matrix
        n x n precision.
    singular
        Whether it has no inverse; it then gets a unit diagonal instead.

    Returns
    -------
    precision
        The same pattern.
    """
    variance = 1 / matrix.diagonal() if singular else marginal_variances(matrix)
    scale = np.sqrt(variance)
    data = matrix.data * np.repeat(scale, np.diff(matrix.indptr)) * scale[matrix.indices]
    return csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def marginal_variances(matrix: csr_array) -> NDArray[np.float64]:
    """Diagonal of the inverse of a sparse positive definite matrix.

    Parameters
    ----------
    matrix
        n x n, symmetric, positive definite.

    Returns
    -------
    variances
        n float64, exact to rounding.

    Raises
    ------
    InputError
        If the matrix is singular or indefinite.
    """
    try:
        return inverse_diagonal(matrix)
    except TooLarge:
        raise
    except InputError as error:
        raise InputError(
            "The precision has no inverse, so its spots have no variances",
            where="marginal variances",
            remedy="Choose a rho inside the valid range",
        ) from error
