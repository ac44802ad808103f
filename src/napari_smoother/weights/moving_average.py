"""The moving-average process, whose precision is dense: products by sparse solves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, eye_array

from napari_smoother.errors import InputError
from napari_smoother.solvers.selected_inverse import inverse_diagonals
from napari_smoother.solvers.sparse_factor import Factorisation, SparseFactor
from napari_smoother.weights.precision import check_rho, check_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_DENSE_SPOTS = 5000
"""Up to so many spots the precision of a moving average may be formed: n^2 numbers."""


class MovingAverage:
    """Precision of a moving-average process, never formed.

    The covariance is (I + rho W)(I + rho W') and sparse; its inverse is not. A product with the
    precision is a solve with the sparse factor of the covariance.

    Parameters
    ----------
    weights
        n x n, non-negative, zero diagonal.
    rho
        Autocorrelation. The precision exists unless -1 / rho is an eigenvalue of W.
    standardise
        Scale to unit marginal variance.
    cancelled
        Asked every few milliseconds while the covariance is factored.

    Attributes
    ----------
    variances : numpy.ndarray
        Marginal variances before standardising: n float64.
    pattern : SparseFactor
        Where the factor of the covariance lies.
    factorisation : Factorisation
        Of the covariance, standardised when asked to.

    Raises
    ------
    InputError
        If I + rho W is singular, or weights are negative.
    Cancelled
        If ``cancelled`` returned True.
    """

    def __init__(
        self,
        weights: csr_array,
        rho: float,
        *,
        standardise: bool = False,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        check_weights(weights)
        check_rho(weights, "sma", rho)
        n = int(weights.shape[0])
        self.shape = (n, n)
        self.weights, self.rho = weights, float(rho)
        effect = csr_array(eye_array(n, format="csr") + float(rho) * weights)
        self.variances = np.asarray(effect.power(2).sum(axis=1)).ravel()
        if standardise:
            effect = csr_array(effect.multiply(1 / np.sqrt(self.variances)[:, None]))
        self._covariance = csr_array(effect @ effect.T)
        self._covariance.sort_indices()
        self.pattern = SparseFactor.prepare(self._covariance, cancelled=cancelled)
        self.factorisation = self._factorise(0.0, 1.0, cancelled)

    def covariance(self) -> csr_array:
        """Sparse covariance matrix (I + rho W)(I + rho W'), standardised when asked to."""
        return self._covariance.copy()

    def product(
        self, values: NDArray[np.floating], *, cancelled: Callable[[], bool] | None = None
    ) -> NDArray[np.float64]:
        """Multiply the precision with n values, or n x d."""
        return _solve(self.factorisation, values, cancelled)

    def diagonal(self) -> NDArray[np.float64]:
        """Diagonal of the precision, n."""
        return inverse_diagonals(self.pattern, [0.0])[:, 0]

    def trace(self) -> float:
        """Sum of the diagonal."""
        return float(self.diagonal().sum())

    def _factorise(
        self, shift: float, factor: float, cancelled: Callable[[], bool] | None
    ) -> Factorisation:
        found = self.pattern.factorise(shift, factor, cancelled=cancelled)
        if found is None:
            raise InputError(
                f"With rho = {self.rho:g} the covariance has no inverse",
                where="process sma",
                remedy="Choose another rho; any with |rho| times the largest row sum below 1 will "
                "do",
            )
        return found


def _solve(
    factorisation: Factorisation,
    values: NDArray[np.floating],
    cancelled: Callable[[], bool] | None,
) -> NDArray[np.float64]:
    right = np.asarray(values, np.float64)
    columns = right.reshape(len(right), -1)
    return factorisation.solve(columns, cancelled=cancelled)[0].reshape(right.shape)


def dense_precision(
    weights: csr_array, rho: float, *, cancelled: Callable[[], bool] | None = None
) -> csr_array:
    """Precision of a moving average with all its entries, for what cannot do with products.

    Parameters
    ----------
    weights
        n x n, non-negative, zero diagonal.
    rho
        Autocorrelation, within `rho_range`.
    cancelled
        Asked every few milliseconds.

    Returns
    -------
    precision
        n x n float64, symmetric, without stored zeros.

    Raises
    ------
    InputError
        If there are too many spots, or the covariance has no inverse.
    Cancelled
        If ``cancelled`` returned True.
    """
    n = int(weights.shape[0])
    if n > MOST_DENSE_SPOTS:
        raise InputError(
            f"The precision of a moving average is dense, and there are {n:,} spots",
            where="process sma",
            remedy=f"Choose car, sar, icar or isar above {MOST_DENSE_SPOTS:,} spots, "
            "or least squares",
        )
    average = MovingAverage(weights, rho, cancelled=cancelled)
    precision = average.product(np.eye(n), cancelled=cancelled)
    return csr_array((precision + precision.T) / 2)
