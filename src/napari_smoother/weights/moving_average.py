"""The moving-average process, whose precision is dense: products by sparse solves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import splu

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.weights.precision import check_rho, check_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_DENSE_SPOTS = 5000
"""Up to so many spots the precision of a moving average may be formed: n^2 numbers."""

BLOCK = 256


class MovingAverage:
    """Precision of a moving-average process, never formed.

    The covariance is (I + rho W)(I + rho W') and sparse; its inverse is not. A product with the
    precision is two triangular solves with the sparse factors of I + rho W.

    Parameters
    ----------
    weights
        n x n, non-negative, zero diagonal.
    rho
        Autocorrelation. The precision exists unless -1 / rho is an eigenvalue of W.
    standardise
        Scale to unit marginal variance.

    Raises
    ------
    InputError
        If I + rho W is singular, or weights are negative.
    """

    def __init__(self, weights: csr_array, rho: float, *, standardise: bool = False) -> None:
        check_weights(weights)
        check_rho(weights, "sma", rho)
        n = int(weights.shape[0])
        self.shape = (n, n)
        self.weights, self.rho = weights, float(rho)
        self._effect = csr_array(eye_array(n, format="csr") + float(rho) * weights)
        #: Marginal variances before standardising: n float64.
        self.variances = np.asarray(self._effect.power(2).sum(axis=1)).ravel()
        self._scale = np.sqrt(self.variances) if standardise else np.ones(n)
        singular = InputError(
            f"With rho = {rho:g} the covariance has no inverse",
            where="process sma",
            remedy="Choose another rho; any with |rho| times the largest row sum below 1 will do",
        )
        try:
            self._factor: Any = splu(self._effect.tocsc(), permc_spec="MMD_AT_PLUS_A")
        except RuntimeError as error:
            raise singular from error
        pivots = np.abs(self._factor.U.diagonal())
        if pivots.min() <= 1e-12 * pivots.max():
            raise singular

    def covariance(self) -> csr_array:
        """Sparse covariance matrix (I + rho W)(I + rho W'), standardised when asked to."""
        scaled = self._effect.multiply(1 / self._scale[:, None]).tocsr()
        matrix = csr_array(scaled @ scaled.T)
        matrix.sort_indices()
        return matrix

    def product(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Multiply the precision with n values, or n x d."""
        scale = self._scale if values.ndim == 1 else self._scale[:, None]
        inner = self._factor.solve(np.asarray(values, np.float64) * scale)
        return np.asarray(self._factor.solve(inner, "T") * scale)

    def shifted_inverse(
        self, shift: float, weight: float
    ) -> Callable[[NDArray[np.floating]], NDArray[np.float64]]:
        """Return what solves ``(shift I + weight Q) z = r`` for n values.

        With the covariance S it is ``S (shift S + weight I)^-1``, which is sparse.
        """
        covariance = self.covariance()
        system = (shift * covariance + weight * eye_array(self.shape[0])).tocsc()
        factor: Any = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0)
        return lambda right: covariance @ factor.solve(np.asarray(right, np.float64))

    def trace(self) -> float:
        """Sum of the diagonal, by n solves in blocks of 256."""
        n = self.shape[0]
        total = 0.0
        for first in range(0, n, 256):
            columns = np.arange(first, min(first + 256, n))
            unit = np.zeros((n, len(columns)))
            unit[columns, np.arange(len(columns))] = self._scale[columns]
            total += float((self._factor.solve(unit) ** 2).sum())
        return total


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
        Asked at every block of columns.

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
    MovingAverage(weights, rho)  # refuses what has no inverse
    inverse = np.eye(n) + rho * weights.toarray()
    # Gauss-Jordan, a block of pivots at a time, so that it can be cancelled. Within the valid
    # range of rho the matrix is positive definite, and pivots need no exchange.
    for first in range(0, n, BLOCK):
        _ask(cancelled)
        here = slice(first, first + BLOCK)
        pivot = np.linalg.inv(inverse[here, here])
        column = inverse[:, here].copy()
        column[here] = 0
        row = pivot @ inverse[here]
        row[:, here] = pivot
        inverse[:, here] = 0
        inverse -= column @ row
        inverse[here] = row
    precision = np.empty((n, n))
    for first in range(0, n, BLOCK):
        _ask(cancelled)
        precision[first : first + BLOCK] = inverse[:, first : first + BLOCK].T @ inverse
    _ask(cancelled)
    return csr_array((precision + precision.T) / 2)


def _ask(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled
