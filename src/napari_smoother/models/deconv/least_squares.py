"""Models whose data term is one Gram matrix for all spots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_smoother import _core
from napari_smoother.models.deconv.estimator import DeconvolutionModel
from napari_smoother.models.deconv.fit import Fitted, fit_abundance
from napari_smoother.models.deconv.preparation import reduce_genes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.fit import FitReport
    from napari_smoother.models.deconv.inputs import Inputs
    from napari_smoother.models.deconv.spatial_prior import Prior

FACTOR_UNIT = 12
"""The core wants the number of factors padded to a multiple of this."""


class LeastSquares(DeconvolutionModel):
    """Least squares, with the constants of spots eliminated beforehand."""

    def _solve(
        self,
        inputs: Inputs,
        prior: Prior,
        bias: bool,
        start: NDArray[np.float64] | None,
        tolerance: float,
        cancelled: Callable[[], bool] | None,
    ) -> Fitted:
        reduced = ReducedGenes(inputs, bias)
        return fit_reduced(reduced, inputs, prior, self.nonneg, start, tolerance, cancelled)

    def _data_loss(self, inputs: Inputs, bias: bool, fitted: Fitted) -> ReducedGenes:
        return ReducedGenes(inputs, bias)


def fit_reduced(
    reduced: ReducedGenes,
    inputs: Inputs,
    prior: Prior,
    nonneg: bool,
    start: NDArray[np.float64] | None,
    tolerance: float,
    cancelled: Callable[[], bool] | None,
) -> Fitted:
    """Find abundances and constants of least squares under a quadratic prior."""
    abundance, report = fit_abundance(
        reduced.gram,
        reduced.linear,
        reduced.data_norm,
        inputs.n_genes,
        precision=prior.precision,
        lambda_=prior.lambda_,
        confidences=prior.confidences,
        start=start,
        tolerance=tolerance,
        bounded=nonneg,
        cancelled=cancelled,
    )
    return Fitted(abundance, reduced.intercepts(abundance), report)


class ReducedGenes:
    """The mean squared error as a function of the abundances alone.

    Parameters
    ----------
    inputs
        Signature, expression and weights.
    bias
        Whether every spot has a free constant; it is at its best for any abundances.
    """

    def __init__(self, inputs: Inputs, bias: bool) -> None:
        self.bias = bias
        self.n_values = inputs.n_genes * inputs.n_spots
        is_sparse: bool = sparse.issparse(inputs.expression)
        self.signature_sum = inputs.weights @ inputs.signature
        self.weight_sum = float(inputs.weights.sum())
        if is_sparse:
            by_spot = inputs.expression.T.tocsr()
            self.gram, self.linear, spot_norm = reduce_genes(
                by_spot, inputs.signature, inputs.weights, intercept=bias
            )
            self.data_norm = float(spot_norm.sum())
            self.spot_sum = np.asarray(by_spot @ inputs.weights)
        else:
            self._reduce_dense(inputs)

    def _reduce_dense(self, inputs: Inputs) -> None:
        """One pass over genes x spots as they lie in memory."""
        signature, weights = inputs.signature, inputs.weights
        if self.bias:
            signature = signature - self.signature_sum / self.weight_sum
        weighted = weights[:, None] * signature
        # One more column: the weighted sum over genes comes with the same product.
        factors = np.column_stack([weighted, weights]).astype(inputs.expression.dtype)
        count = factors.shape[1]
        padded = np.pad(factors, ((0, 0), (0, -count % FACTOR_UNIT)))
        products = np.empty((inputs.n_spots, count))
        expression = inputs.expression
        by_spot = not expression.flags.c_contiguous and expression.flags.f_contiguous
        given = expression.T if by_spot else np.ascontiguousarray(expression)
        norm = _core.reduce_expression(given, by_spot, padded, count, weights, products, None)
        gram = weighted.T @ signature
        self.gram = (gram + gram.T) / 2
        self.linear = np.ascontiguousarray(products[:, :-1])
        self.spot_sum = np.ascontiguousarray(products[:, -1])
        if self.bias:
            norm -= float(self.spot_sum @ self.spot_sum) / self.weight_sum
        self.data_norm = max(norm, 0.0)

    def intercepts(self, abundance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the best constant of every spot; zeros without a bias."""
        if not self.bias:
            return np.zeros(len(abundance))
        left: NDArray[np.float64] = self.spot_sum - abundance @ self.signature_sum
        return left / self.weight_sum

    # What `descend` needs; the constants are functions of the abundances.

    def state(self, fitted: Fitted) -> State:  # noqa: D102
        return [fitted.abundance]

    def bounds(self, nonneg: bool) -> list[bool]:  # noqa: D102
        return [nonneg]

    def evaluate(self, state: State) -> tuple[float, State]:  # noqa: D102
        moved = state[0] @ self.gram
        value = float(np.vdot(state[0], moved - 2 * self.linear)) + self.data_norm
        return value / self.n_values, [2 * (moved - self.linear) / self.n_values]

    def fitted(self, state: State, report: FitReport) -> Fitted:  # noqa: D102
        return Fitted(state[0], self.intercepts(state[0]), report)
