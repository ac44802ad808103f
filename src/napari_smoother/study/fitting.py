"""From counts and precision to abundances, by whichever model is set.

Least squares needs the genes summed once, and is then solved at the speed of a slider. The
other models pass over the genes in every step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.stage import ComparedByValue, Stage
from napari_smoother.models.deconv.catalogue import (
    ModelName,
    TubeLoss,
    check_counted,
    data_scale,
    facts_of,
)
from napari_smoother.models.deconv.fit import FitReport
from napari_smoother.models.deconv.preparation import (
    PreparedDeconvolution,
    lambda_to_weight,
    prepare_deconvolution,
)
from napari_smoother.models.deconv.section_expression import (
    SectionExpression,
    express_section,
    unexplained_share,
)
from napari_smoother.models.deconv.section_fit import fit_section
from napari_smoother.models.uncertainty import PosteriorDeviation, posterior_deviation
from napari_smoother.solvers.bounded_quadratic import (
    DataTerm,
    PriorTerm,
    solve_bounded_quadratic,
)
from napari_smoother.solvers.implicit_prior import solve_with_implicit_prior
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.weights.moving_average import MovingAverage, dense_precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
    from napari_smoother.models.deconv.catalogue import SectionScale
    from napari_smoother.models.deconv.preparation import GeneWeights
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section

    Data = PreparedDeconvolution | SectionExpression
    Report = Callable[[NDArray[np.floating], float], None]

TOLERANCE = 1e-5
"""Projected gradient relative to the linear term at which a result is called the optimum."""


@dataclass(frozen=True, slots=True)
class Options(ComparedByValue):
    """What of the settings decides the fit beside data and precision."""

    model: ModelName
    tube_loss: TubeLoss
    nonneg: bool
    intercept: bool
    lambda_: float


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a model found in a section.

    Parameters
    ----------
    abundance
        n x K.
    report
        What is known about it.
    misfit
        n: share of every spot that is left unexplained, where that took a pass over the genes;
        None for least squares, which has it at hand, and for iterates.
    """

    abundance: NDArray[np.floating]
    report: FitReport
    misfit: NDArray[np.float64] | None = None


def can_deviate(settings: DeconvolutionSettings) -> bool:
    """Whether the posterior deviation is defined: least squares, under a sparse precision."""
    return facts_of(settings.model).least_squares and settings.process != "sma"


class Fitting:
    """The memoised stages of the fit.

    Attributes
    ----------
    cancelled, report
        Asked and told while a stage runs; set by whoever runs it.
    """

    def __init__(self) -> None:
        self.cancelled: Callable[[], bool] | None = None
        self.report: Report | None = None
        self.prepared = Stage(self._prepare)
        self.expressed = Stage(self._express)
        self.data = Stage(_data_term)
        self.prior = Stage(PriorTerm.prepare)
        self.dense = Stage(self._dense)
        self.used = Stage(_between_used)
        self.settled = Stage(self._solve_from_canonical_start)
        self.deviation = Stage(self._deviation)

    def prepare(
        self, section: Section, reference: Reference, settings: DeconvolutionSettings
    ) -> Data:
        """Return section and reference as the model takes them."""
        if facts_of(settings.model).least_squares:
            return self.prepared(
                section, reference, settings.scale, settings.gene_weights, settings.intercept
            )
        return self.expressed(
            section, reference, settings.model, settings.scale, settings.gene_weights
        )

    def fit(
        self,
        data: Data,
        precision: csr_array | MovingAverage,
        settings: DeconvolutionSettings,
        start: NDArray[np.floating] | None,
    ) -> Fit:
        """Find the optimum, from a start or from the canonical one."""
        options = Options(
            settings.model,
            settings.tube_loss,
            settings.nonneg,
            settings.intercept,
            settings.lambda_,
        )
        if start is None:
            return self.settled(data, precision, options)
        return self._solve(data, precision, options, start)

    def deviation_of(
        self,
        data: PreparedDeconvolution,
        precision: csr_array,
        settings: DeconvolutionSettings,
        fit: Fit,
        cell_totals: NDArray[np.float64] | None,
    ) -> PosteriorDeviation:
        """Return how far the abundances may be off; see `can_deviate`."""
        weight = lambda_to_weight(settings.lambda_, data.n_genes, data.n_types)
        return self.deviation(data, precision, weight, fit, cell_totals)

    def _prepare(
        self,
        section: Section,
        reference: Reference,
        scale: SectionScale,
        gene_weights: GeneWeights,
        intercept: bool,
    ) -> PreparedDeconvolution:
        # Products of matrices round differently on one thread and on two, and other work may
        # take BLAS its threads at any time.
        with one_blas_thread():
            return prepare_deconvolution(
                section.adata.X,
                section.adata.var,
                reference,
                scale=data_scale(scale),
                gene_weights=gene_weights,
                intercept=intercept,
                cancelled=self.cancelled,
            )

    def _express(
        self,
        section: Section,
        reference: Reference,
        model: ModelName,
        scale: SectionScale,
        gene_weights: GeneWeights,
    ) -> SectionExpression:
        if scale == "raw":
            check_counted(model, section.origin)
        return express_section(
            section.adata.X,
            section.adata.var,
            reference,
            model=model,
            scale=scale,
            gene_weights=gene_weights,
            cancelled=self.cancelled,
        )

    def _dense(self, precision: MovingAverage) -> csr_array:
        return dense_precision(precision.weights, precision.rho, cancelled=self.cancelled)

    def _solve_from_canonical_start(
        self, data: Data, precision: csr_array | MovingAverage, options: Options
    ) -> Fit:
        return self._solve(data, precision, options, None)

    def _solve(
        self,
        data: Data,
        precision: csr_array | MovingAverage,
        options: Options,
        start: NDArray[np.floating] | None,
    ) -> Fit:
        if isinstance(data, PreparedDeconvolution):
            return self._solve_least_squares(data, precision, options, start)
        return self._solve_by_passes(data, precision, options, start)

    def _solve_least_squares(
        self,
        data: PreparedDeconvolution,
        precision: csr_array | MovingAverage,
        options: Options,
        start: NDArray[np.floating] | None,
    ) -> Fit:
        term = self.data(data)
        weight = lambda_to_weight(options.lambda_, data.n_genes, data.n_types)
        how: dict[str, Any] = {
            "start": start,
            "tolerance": TOLERANCE,
            "bounded": options.model == "nnls",
            "cancelled": self.cancelled,
            "report": self.report,
        }
        if isinstance(precision, MovingAverage):
            solution = solve_with_implicit_prior(term, precision, weight, **how)
        else:
            solution = solve_bounded_quadratic(term, self.prior(precision), weight, **how)
        n_values = data.n_genes * max(int((~data.empty).sum()), 1)
        report = FitReport(
            objective=(2 * solution.objective + data.data_norm) / n_values,
            kkt_residual=solution.residual,
            iterations=solution.steps,
            seconds=solution.seconds,
            converged=solution.converged,
            tolerance=TOLERANCE,
            method=solution.method,
        )
        return Fit(solution.values, report)

    def _solve_by_passes(
        self,
        data: SectionExpression,
        precision: csr_array | MovingAverage,
        options: Options,
        start: NDArray[np.floating] | None,
    ) -> Fit:
        began = time.perf_counter()
        if isinstance(precision, MovingAverage):
            precision = self.dense(precision)
        with one_blas_thread():
            found = fit_section(
                data,
                self.used(precision, data.empty),
                options.lambda_,
                intercept=options.intercept,
                tube_loss=options.tube_loss,
                nonneg=options.nonneg,
                start=start,
                tolerance=TOLERANCE,
                cancelled=self.cancelled,
                report=self.report,
            )
        misfit = unexplained_share(
            data, found.abundance, found.intercepts, cancelled=self.cancelled
        )
        report = replace(found.report, seconds=time.perf_counter() - began)
        return Fit(found.abundance, report, misfit)

    def _deviation(
        self,
        data: PreparedDeconvolution,
        precision: csr_array,
        weight: float,
        fit: Fit,
        cell_totals: NDArray[np.float64] | None,
    ) -> PosteriorDeviation:
        return posterior_deviation(
            data,
            self.used(precision, data.empty),
            weight,
            fit.abundance,
            cell_totals=cell_totals,
            cancelled=self.cancelled,
        )


def iterate(abundance: NDArray[np.floating], residual: float, step: int) -> Fit:
    """Return what is known of a solve that still goes on."""
    report = FitReport(
        objective=float("nan"),
        kkt_residual=residual,
        iterations=step,
        seconds=0.0,
        converged=False,
        tolerance=TOLERANCE,
        method="",
    )
    return Fit(abundance, report)


def _data_term(prepared: PreparedDeconvolution) -> DataTerm:
    return DataTerm.prepare(prepared.gram, prepared.linear)


def _between_used(precision: csr_array, empty: NDArray[np.bool_]) -> csr_array:
    """Leave out the spots that take no part; no edge leads to them."""
    if not empty.any():
        return precision
    used = np.flatnonzero(~empty)
    return precision[used][:, used]
