"""What models with a Gram matrix for every spot have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.estimator import DeconvolutionModel
from napari_smoother.models.deconv.fit import FitReport, Fitted, confidence_scale
from napari_smoother.models.deconv.least_squares import ReducedGenes, fit_reduced
from napari_smoother.models.deconv.preparation import lambda_to_weight
from napari_smoother.solvers.quadratic_terms import PriorTerm

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import DataLoss, State
    from napari_smoother.models.deconv.inputs import Inputs
    from napari_smoother.models.deconv.likelihood import Likelihood, Minimum
    from napari_smoother.models.deconv.spatial_prior import Prior


class LocalModel(DeconvolutionModel):
    """Deconvolution by Newton steps from the least-squares answer.

    A confidence s_k multiplies the prior of one type; with ``B_k = Z_k / sqrt(s_k)`` it moves into
    the signature.
    """

    note = ""

    @abstractmethod
    def _likelihood(self, inputs: Inputs, bias: bool, scale: NDArray[np.float64]) -> Likelihood:
        """Return the data's part; `scale` says by how much the abundances were scaled."""

    def _solve(
        self,
        inputs: Inputs,
        prior: Prior,
        bias: bool,
        start: NDArray[np.float64] | None,
        tolerance: float,
        cancelled: Callable[[], bool] | None,
    ) -> Fitted:
        scale = confidence_scale(prior.confidences, inputs.n_types)
        likelihood = self._likelihood(inputs.with_signature(inputs.signature * scale), bias, scale)
        state = likelihood.state(self._begin(inputs, prior, bias, start, cancelled))
        state[0] = state[0] / scale
        minimum = self._minimise(likelihood, prior, state, scale, tolerance, cancelled)
        fitted = likelihood.fitted(minimum.state, self._report(minimum, likelihood, tolerance))
        return replace(fitted, abundance=fitted.abundance * scale)

    def _begin(
        self,
        inputs: Inputs,
        prior: Prior,
        bias: bool,
        start: NDArray[np.float64] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Fitted:
        """Return the answer of plain least squares, roughly, or what was given.

        Rounded, so that the last bits, which depend on the form of the data, change no step.
        """
        reduced = ReducedGenes(inputs, bias)
        if start is None:
            found = fit_reduced(reduced, inputs, prior, self.nonneg, None, 1e-2, cancelled)
            first = found.abundance
        else:
            first = np.maximum(start, 0) if self.nonneg else start
        first = first.astype(np.float32).astype(np.float64)
        constants = reduced.intercepts(first).astype(np.float32).astype(np.float64)
        return Fitted(first, constants, _nothing_known())

    def _minimise(
        self,
        likelihood: Likelihood,
        prior: Prior,
        state: State,
        scale: NDArray[np.float64],
        tolerance: float,
        cancelled: Callable[[], bool] | None,
        **settings: float,
    ) -> Minimum:
        told = self._watch

        def tell(values: NDArray[np.float64], residual: float) -> None:
            assert told is not None
            told(values[:, : scale.size] * scale, residual)

        term, weight = local_prior(
            prior, likelihood.inputs.n_spots, likelihood.inputs.n_genes, scale.size
        )
        return likelihood.minimise(
            term,
            weight,
            state,
            nonneg=self.nonneg,
            tolerance=tolerance,
            cancelled=cancelled,
            report=None if told is None else tell,
            **settings,
        )

    def _report(
        self, minimum: Minimum, likelihood: Likelihood, tolerance: float, note: str = ""
    ) -> FitReport:
        return FitReport(
            objective=2 * minimum.value / likelihood.n_values,
            kkt_residual=minimum.residual,
            iterations=minimum.inner_steps,
            seconds=minimum.seconds,
            converged=minimum.converged,
            tolerance=tolerance,
            method=f"projected Newton, {minimum.steps} expansions",
            note=note or self.note,
        )

    def _data_loss(self, inputs: Inputs, bias: bool, fitted: Fitted) -> DataLoss:
        return self._likelihood(inputs, bias, np.ones(inputs.n_types))


def local_prior(prior: Prior, n_spots: int, n_genes: int, n_types: int) -> tuple[PriorTerm, float]:
    """Return a prior as the solver wants it, and its weight; one of zeros where there is none."""
    if prior.precision is None:
        return PriorTerm.prepare(sparse.csr_array((n_spots, n_spots))), 0.0
    weight = lambda_to_weight(prior.lambda_, n_genes, n_types)
    return PriorTerm.prepare(prior.precision), weight


def refuse_negative(inputs: Inputs, what: str) -> None:
    """Raise InputError where a model of counts is given negative values."""
    for name, values in (("x", inputs.signature), ("y", inputs.expression)):
        if values.size and values.min() < 0:
            raise InputError(
                f"{name} has negative values",
                where=what,
                remedy="Give counts, or expression on a scale from zero up",
            )


def _nothing_known() -> FitReport:
    return FitReport(np.nan, np.inf, 0, 0.0, False, np.inf, "given")
