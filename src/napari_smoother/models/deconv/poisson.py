"""Poisson regression: the likelihood of counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.fit import Fitted, confidence_scale
from napari_smoother.models.deconv.likelihood import Likelihood
from napari_smoother.models.deconv.local_models import LocalModel, refuse_negative
from napari_smoother.models.deconv.spatial_prior import Prior

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.fit import FitReport
    from napari_smoother.models.deconv.inputs import Inputs

EXPECTED_SHARE = 0.02
INSIDE = 0.05


class PoissonRegression(LocalModel):
    r"""Poisson regression with a spatial prior, solved to the optimum.

    Counts :math:`y_{gi}` with the mean :math:`m_{gi} = t_i (x_g b_i + g_i)`:

    .. math::
        \min_{B \ge 0, g \ge 0} \frac{2}{Gn} \sum_{gi} \Bigl(y_{gi} \log \frac{y_{gi}}{m_{gi}}
        - y_{gi} + m_{gi}\Bigr) + \frac{\lambda}{Kn} \sum_k s_k b_k^\top Q b_k

    the mean deviance, which takes the place of the mean square (a Poisson count weighs by one
    over its mean, which is what gene weights approximate). With the depth t taken out, what is
    smooth is what a spot is made of, not how much was sequenced. The problem is convex; Newton's
    steps on the bounded quadratic solver, the objective never rising.

    Parameters
    ----------
    bias
        Whether every spot has a constant g, not negative: transcripts from everywhere.

    Attributes
    ----------
    report : FitReport or None
        Objective, KKT residual, iterations and seconds of the last fit.
    history : tuple of float
        The objective at the start and after every Newton step.
    """

    def __init__(self, bias: bool = False) -> None:
        super().__init__(bias)
        self._given_depth: ArrayLike | None = None
        self.history: tuple[float, ...] = ()

    def deconv(
        self,
        x: Any,
        y: Any,
        spatial_loss: Any = None,
        lambda_spatial_loss: float = 1.0,
        *,
        depth: ArrayLike | None = None,
        **settings: Any,
    ) -> None:
        """Fit the abundances; see `DeconvolutionModel.deconv`.

        Parameters
        ----------
        x, y
            Mean counts of each type, genes x types, on any common scale; raw counts, genes x
            spots.
        spatial_loss, lambda_spatial_loss
            The prior.
        depth
            Relative depth of every spot, n numbers from zero up; None for its total over the mean
            total. A spot of depth 0 says nothing: the prior fills it, or it is zero.
        **settings
            ``bias``, ``gene_weights``, ``start``, ``tolerance`` and ``cancelled``, as elsewhere.

        Raises
        ------
        InputError
            If x or y is negative, depths are unusable, or a spot of depth 0 has counts.
        Cancelled
            If ``cancelled`` returned True.
        """
        self._given_depth = depth
        super().deconv(x, y, spatial_loss, lambda_spatial_loss, **settings)

    def _solve(
        self,
        inputs: Inputs,
        prior: Prior,
        bias: bool,
        start: NDArray[np.float64] | None,
        tolerance: float,
        cancelled: Callable[[], bool] | None,
    ) -> Fitted:
        refuse_negative(inputs, "PoissonRegression")
        scale = confidence_scale(prior.confidences, inputs.n_types)
        likelihood = self._likelihood(inputs.with_signature(inputs.signature * scale), bias, scale)
        begin = self._inside(inputs, bias, start, cancelled)
        values = np.column_stack([begin.abundance / scale, *([begin.intercepts] * bias)])
        if bias and prior.precision is not None:
            each = prior.precision
            each = each if isinstance(each, list) else [each] * inputs.n_types
            prior = replace(prior, precision=[*each, sparse.csr_array(each[0].shape)])
        minimum = self._minimise(likelihood, prior, [values], scale, tolerance, cancelled)
        self.history = tuple(2 * value / likelihood.n_values for value in minimum.history)
        report = self._report(minimum, likelihood, tolerance)
        ambient = _Ambient(likelihood, bias, begin)
        fitted = ambient.fitted(ambient.split(minimum.state[0]), report)
        return replace(fitted, abundance=fitted.abundance * scale)

    def _likelihood(self, inputs: Inputs, bias: bool, scale: NDArray[np.float64]) -> Likelihood:
        depth = self._depth(inputs)
        signature = inputs.signature
        if bias:
            signature = np.column_stack([signature, np.ones(inputs.n_genes)])
        # A gene that no type expresses has the mean zero whatever is found.
        expressed = signature.any(axis=1)
        used = replace(
            inputs, signature=signature, weights=np.where(expressed, inputs.weights, 0.0)
        )
        rate = float(inputs.expression.sum()) / max(depth.sum(), 1e-300) / inputs.n_genes
        floor = INSIDE * rate if rate > 0 else 1.0
        return Likelihood(used, "poisson", False, numbers=(EXPECTED_SHARE, floor), depth=depth)

    def _depth(self, inputs: Inputs) -> NDArray[np.float64]:
        totals = np.asarray(inputs.expression.sum(axis=0), dtype=np.float64).ravel()
        if self._given_depth is None:
            mean = totals.mean() if totals.any() else 1.0
            return totals / mean
        depth = np.asarray(self._given_depth, dtype=np.float64)
        if depth.shape != totals.shape or not (np.isfinite(depth) & (depth >= 0)).all():
            raise InputError(
                f"The depths have the shape {depth.shape}, or are negative or not finite",
                where="depth",
                remedy=f"Give {totals.size} numbers from zero up",
            )
        if (totals[depth == 0] > 0).any():
            raise InputError(
                "A spot of depth 0 has counts",
                where="depth",
                remedy="Give every spot with counts a depth above 0",
            )
        return depth

    def _inside(
        self,
        inputs: Inputs,
        bias: bool,
        start: NDArray[np.float64] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Fitted:
        """Return a start in which everything is above zero, so that the likelihood is finite."""
        depth = self._depth(inputs)
        begin = self._begin(inputs, Prior(), False, start, cancelled)
        values = begin.abundance
        if start is None:
            each = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
            values = values * each[:, None]
            mean = values.mean(axis=0)
            values = np.where(depth[:, None] > 0, values, mean)
        size = float(values.mean()) if values.any() else 1.0
        values = values + INSIDE * size
        rate = float((values @ inputs.signature.T).mean()) if bias else 0.0
        return replace(
            begin, abundance=values, intercepts=np.full(len(values), INSIDE * rate * bias)
        )

    def _data_loss(self, inputs: Inputs, bias: bool, fitted: Fitted) -> _Ambient:
        likelihood = self._likelihood(inputs, bias, np.ones(inputs.n_types))
        return _Ambient(likelihood, bias, self._inside(inputs, bias, fitted.abundance, None))


class _Ambient:
    """The data's part with constants apart, which the likelihood has as one more type."""

    def __init__(self, likelihood: Likelihood, bias: bool, begin: Fitted) -> None:
        self.likelihood, self.bias, self.begin = likelihood, bias, begin

    def split(self, values: NDArray[np.float64]) -> State:
        """Take types and constants apart."""
        return [values[:, :-1].copy(), values[:, -1].copy()] if self.bias else [values]

    def state(self, fitted: Fitted) -> State:
        """Return a start above zero, near what was fitted."""
        return [self.begin.abundance, *([self.begin.intercepts] * self.bias)]

    def bounds(self, nonneg: bool) -> list[bool]:
        """Nothing may be negative."""
        return [True] * (1 + self.bias)

    def evaluate(self, state: State) -> tuple[float, State]:
        """Return the mean deviance and its gradients."""
        value, (gradient,) = self.likelihood.evaluate([np.column_stack(state)])
        return value, self.split(gradient)

    def fitted(self, state: State, report: FitReport) -> Fitted:
        """Return the answer."""
        constants = state[1] if self.bias else np.zeros(len(state[0]))
        return Fitted(state[0], constants, report)
