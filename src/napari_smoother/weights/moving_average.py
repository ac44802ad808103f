"""The moving-average process, whose precision is dense: products by sparse solves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import splu

from napari_smoother.errors import InputError
from napari_smoother.weights.precision import check_rho, check_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
