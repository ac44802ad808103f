"""From counts and graph to abundances, each step run only when its inputs changed.

Least squares needs the genes summed once, and is then solved at the speed of a slider. The
other models pass over the genes in every step.

counts, reference -> data ------------> fit -> deviation
weights -> linked -> precision -> prior -^
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_smoother.analyses.composition import Fit
from napari_smoother.analyses.prior import PriorSteps
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

    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
    from napari_smoother.analyses.section_counts import SectionCounts
    from napari_smoother.models.deconv.catalogue import SectionScale
    from napari_smoother.models.deconv.composition import Shares
    from napari_smoother.models.deconv.preparation import GeneWeights
    from napari_smoother.models.deconv.reference import Reference

    Data = PreparedDeconvolution | SectionExpression
    Precision: TypeAlias = "csr_array | MovingAverage"

TOLERANCE = 1e-5
"""Projected gradient relative to the linear term at which a result is called the optimum."""


@dataclass(frozen=True, slots=True)
class FitSettings(ComparedByValue):
    """What of the settings decides the fit beside data and precision."""

    model: ModelName
    tube_loss: TubeLoss
    nonneg: bool
    intercept: bool
    lambda_: float
    tolerance: float


def can_deviate(settings: DeconvolutionSettings) -> bool:
    """Whether the posterior deviation is defined: least squares, under a sparse precision."""
    return facts_of(settings.model).least_squares and settings.process != "sma"


class DeconvolutionSteps:
    """The steps from counts and graph to abundances.

    A `Context` whose ``tell`` is set hears of the iterates of a solve, each a `Fit`.

    Attributes
    ----------
    running
        Held by whoever runs the steps: one at a time.
    graph
        The steps to the precision.
    prepared, expressed, data, prior, dense, used, settled, deviation
        The steps.
    """

    def __init__(self) -> None:
        self.running = threading.Lock()
        self.graph = PriorSteps()
        self.prepared = Stage(_prepare)
        self.expressed = Stage(_express)
        self.data = Stage(_data_term)
        self.prior = Stage(PriorTerm.prepare)
        self.dense = Stage(_dense)
        self.used = Stage(_between_used)
        self.settled = Stage(self._solve_from_canonical_start)
        self.deviation = Stage(_deviation)

    def prepare(
        self,
        counts: SectionCounts,
        reference: Reference,
        settings: DeconvolutionSettings,
        gene_weights: ArrayLike | None,
        context: Context,
    ) -> Data:
        """Return section and reference as the model takes them."""
        weights = settings.gene_weights if gene_weights is None else gene_weights
        if facts_of(settings.model).least_squares:
            return self.prepared(
                counts, reference, settings.scale, weights, settings.intercept, context
            )
        return self.expressed(counts, reference, settings.model, settings.scale, weights, context)

    def precision_of(
        self, weights: csr_array, data: Data, settings: DeconvolutionSettings
    ) -> Precision:
        """Return the precision over all spots; those without a count have no edge."""
        return self.graph.prior(weights, data.empty, settings.process, settings.rho)

    def fit(
        self,
        data: Data,
        precision: Precision,
        settings: DeconvolutionSettings,
        start: NDArray[np.floating] | None,
        tolerance: float,
        context: Context,
    ) -> Fit:
        """Find the optimum, from a start or from the canonical one."""
        chosen = FitSettings(
            settings.model,
            settings.tube_loss,
            settings.nonneg,
            settings.intercept,
            settings.lambda_,
            tolerance,
        )
        if start is None:
            return self.settled(data, precision, chosen, context)
        return self._solve(data, precision, chosen, start, context)

    def deviation_of(
        self,
        data: Data,
        precision: Precision,
        fit: Fit,
        reference: Reference,
        settings: DeconvolutionSettings,
        context: Context,
    ) -> PosteriorDeviation:
        """Return how far the abundances may be off; see `can_deviate`."""
        assert isinstance(data, PreparedDeconvolution)
        assert not isinstance(precision, MovingAverage)
        used = self.used(precision, data.empty)
        return self.deviation(
            data, used, settings.lambda_, fit, reference, settings.shares, context
        )

    def _solve_from_canonical_start(
        self, data: Data, precision: Precision, chosen: FitSettings, context: Context
    ) -> Fit:
        return self._solve(data, precision, chosen, None, context)

    def _solve(
        self,
        data: Data,
        precision: Precision,
        chosen: FitSettings,
        start: NDArray[np.floating] | None,
        context: Context,
    ) -> Fit:
        if isinstance(data, PreparedDeconvolution):
            return self._solve_least_squares(data, precision, chosen, start, context)
        return self._solve_by_passes(data, precision, chosen, start, context)

    def _solve_least_squares(
        self,
        data: PreparedDeconvolution,
        precision: Precision,
        chosen: FitSettings,
        start: NDArray[np.floating] | None,
        context: Context,
    ) -> Fit:
        term = self.data(data)
        weight = lambda_to_weight(chosen.lambda_, data.n_genes, data.n_types)
        how: dict[str, Any] = {
            "start": start,
            "tolerance": chosen.tolerance,
            "bounded": chosen.model == "nnls",
            "cancelled": context.cancelled,
            "report": _told(context, chosen.tolerance),
        }
        if isinstance(precision, MovingAverage):
            solution = solve_with_implicit_prior(term, precision, weight, **how)
        else:
            solution = solve_bounded_quadratic(term, self.prior(precision), weight, **how)
        n_values = data.n_genes * int((~data.empty).sum())
        report = FitReport(
            objective=float((2 * solution.objective + data.data_norm) / n_values),
            kkt_residual=float(solution.residual),
            iterations=int(solution.steps),
            seconds=float(solution.seconds),
            converged=bool(solution.converged),
            tolerance=chosen.tolerance,
            method=solution.method,
        )
        return Fit(solution.values, report)

    def _solve_by_passes(
        self,
        data: SectionExpression,
        precision: Precision,
        chosen: FitSettings,
        start: NDArray[np.floating] | None,
        context: Context,
    ) -> Fit:
        began = time.perf_counter()
        if isinstance(precision, MovingAverage):
            precision = self.dense(precision, context)
        with one_blas_thread():
            found = fit_section(
                data,
                self.used(precision, data.empty),
                chosen.lambda_,
                intercept=chosen.intercept,
                tube_loss=chosen.tube_loss,
                nonneg=chosen.nonneg,
                start=start,
                tolerance=chosen.tolerance,
                cancelled=context.cancelled,
                report=_told(context, chosen.tolerance),
            )
        misfit = unexplained_share(
            data, found.abundance, found.intercepts, cancelled=context.cancelled
        )
        report = replace(found.report, seconds=time.perf_counter() - began)
        return Fit(found.abundance, report, misfit)


def _prepare(
    counts: SectionCounts,
    reference: Reference,
    scale: SectionScale,
    gene_weights: GeneWeights | ArrayLike,
    intercept: bool,
    context: Context,
) -> PreparedDeconvolution:
    # Products of matrices round differently on one thread and on two, and other work may
    # take BLAS its threads at any time.
    with one_blas_thread():
        return prepare_deconvolution(
            counts.values,
            counts.genes,
            reference,
            scale=data_scale(scale),
            gene_weights=gene_weights,
            intercept=intercept,
            cancelled=context.cancelled,
        )


def _express(
    counts: SectionCounts,
    reference: Reference,
    model: ModelName,
    scale: SectionScale,
    gene_weights: GeneWeights | ArrayLike,
    context: Context,
) -> SectionExpression:
    if scale == "raw":
        check_counted(model, counts.origin)
    with one_blas_thread():
        return express_section(
            counts.values,
            counts.genes,
            reference,
            model=model,
            scale=scale,
            gene_weights=gene_weights,
            cancelled=context.cancelled,
        )


def _dense(precision: MovingAverage, context: Context) -> csr_array:
    return dense_precision(precision.weights, precision.rho, cancelled=context.cancelled)


def _data_term(prepared: PreparedDeconvolution) -> DataTerm:
    return DataTerm.prepare(prepared.gram, prepared.linear)


def _between_used(precision: csr_array, empty: NDArray[np.bool_]) -> csr_array:
    """Leave out the spots that take no part; no edge leads to them."""
    if not empty.any():
        return precision
    used = np.flatnonzero(~empty)
    return precision[used][:, used]


def _deviation(
    data: PreparedDeconvolution,
    precision: csr_array,
    lambda_: float,
    fit: Fit,
    reference: Reference,
    shares: Shares,
    context: Context,
) -> PosteriorDeviation:
    with one_blas_thread():
        return posterior_deviation(
            data,
            precision,
            lambda_to_weight(lambda_, data.n_genes, data.n_types),
            fit.abundance,
            cell_totals=reference.totals_for(shares),
            cancelled=context.cancelled,
        )


def _told(
    context: Context, tolerance: float
) -> Callable[[NDArray[np.floating], float], None] | None:
    """Return what hears of the iterates of a solve: it makes each a `Fit` and tells of it."""
    tell, steps = context.tell, itertools.count()
    if tell is None:
        return None

    def heard(abundance: NDArray[np.floating], residual: float) -> None:
        report = FitReport(
            objective=float("nan"),
            kkt_residual=residual,
            iterations=next(steps),
            seconds=0.0,
            converged=False,
            tolerance=tolerance,
            method="",
        )
        tell(Fit(abundance, report))

    return heard
