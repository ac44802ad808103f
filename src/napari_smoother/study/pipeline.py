"""From positions and counts to composition, each step run only when its inputs changed.

positions -> neighbours -> similar weights -> scaled weights -> precision -> prior -> result
counts and reference -> prepared data ------------------------> result
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.preparation import (
    DataScale,
    GeneWeights,
    PreparedDeconvolution,
    lambda_to_weight,
    prepare_deconvolution,
)
from napari_smoother.models.uncertainty import PosteriorDeviation, posterior_deviation
from napari_smoother.solvers.bounded_quadratic import (
    DataTerm,
    PriorTerm,
    Solution,
    solve_bounded_quadratic,
)
from napari_smoother.study import stages
from napari_smoother.study.results import Composition, Graph
from napari_smoother.study.stage import Stage
from napari_smoother.weights.neighbours import (
    Neighbourhood,
    nearest_neighbours,
    neighbours_within,
)
from napari_smoother.weights.precision import precision as precision_of
from napari_smoother.weights.summary import graph_summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section
    from napari_smoother.study.settings import NeighbourRule, Settings

TOLERANCE = 1e-5
"""Projected gradient relative to the linear term at which a result is called the optimum."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Everything one run of the pipeline needs, taken from a study at one moment.

    Parameters
    ----------
    generation
        Grows with every change of the study.
    section
        The open section.
    settings
        Its settings.
    labels
        n int codes of the region of each spot, -1 for none.
    reference
        Cell types to look for; None to stop at the graph.
    start
        Abundance to start from, n x K; None for the canonical start, which makes the result
        independent of what was solved before.
    deviation
        Whether to find the posterior deviation too; only from the canonical start.
    """

    generation: int
    section: Section
    settings: Settings
    labels: NDArray[np.integer]
    reference: Reference | None = None
    start: NDArray[np.floating] | None = None
    deviation: bool = False

    def without_composition(self) -> Request:
        """Return the same request, stopping at the graph."""
        return replace(self, reference=None, start=None)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a run of the pipeline found.

    Parameters
    ----------
    request
        What was asked for.
    graph
        The neighbour graph.
    composition
        The composition; None when no reference was given.
    finished
        False for the iterate of a solve that still goes on.
    """

    request: Request
    graph: Graph
    composition: Composition | None
    finished: bool = True


class Pipeline:
    """The memoised stages of one study.

    A pipeline runs one request at a time; a second caller waits for the first.
    """

    def __init__(self) -> None:
        self._running = threading.Lock()
        self._cancelled: Callable[[], bool] | None = None
        self._report: Callable[[NDArray[np.floating], float], None] | None = None
        self.spacing = Stage(stages.spacing)
        self.neighbours = Stage(self._neighbours)
        self.expression = Stage(stages.expression_factors)
        self.histology = Stage(stages.histology_factors)
        self.similar = Stage(stages.similar_weights)
        self.edges = Stage(stages.edges)
        self.factors = Stage(stages.region_factors)
        self.weights = Stage(stages.scaled)
        self.summary = Stage(graph_summary)
        self.crossing = Stage(stages.crossing)
        self.graph = Stage(Graph)
        self.linked = Stage(stages.without_edges_of)
        self.precision = Stage(precision_of)
        self.prior = Stage(PriorTerm.prepare)
        self.prepared = Stage(self._prepare)
        self.data = Stage(stages.data_term)
        self.settled = Stage(self._solve_from_canonical_start)
        self.deviation = Stage(self._deviation)

    def run(
        self,
        request: Request,
        *,
        cancelled: Callable[[], bool] | None = None,
        report: Callable[[Outcome], None] | None = None,
    ) -> Outcome:
        """Bring graph and composition up to date with a request.

        Parameters
        ----------
        request
            What to compute.
        cancelled
            Asked between and within the steps; returning True stops the work.
        report
            Told about the outcome so far of a long solve: its composition has a residual but
            is not converged. The report must not change it.

        Raises
        ------
        Cancelled
            If `cancelled` returned True.
        InputError
            If data or settings cannot be used.
        """
        with self._running:
            self._cancelled = cancelled
            try:
                graph = self._graph(request)
                composition = self._composition(request, graph, report)
            finally:
                self._cancelled = self._report = None
        return Outcome(request, graph, composition)

    def _graph(self, request: Request) -> Graph:
        section, settings = request.section, request.settings
        chosen = settings.graph
        neighbourhood = self.neighbours(
            section, chosen.rule, chosen.neighbours, chosen.mutual, chosen.radius
        )
        similar = self.similar(
            neighbourhood,
            self.expression(section, neighbourhood, chosen.expression_components)
            if chosen.by_expression
            else None,
            self.histology(section, neighbourhood) if chosen.by_histology else None,
        )
        factors = self.factors(neighbourhood, request.labels, settings.boundary_connectivity)
        weights = self.weights(similar, factors)
        edges, edge_weights = self.edges(similar)
        return self.graph(
            section,
            neighbourhood,
            weights,
            self.summary(weights),
            edges,
            edge_weights,
            self.crossing(edges, request.labels),
            settings.boundary_connectivity,
        )

    def _composition(
        self,
        request: Request,
        graph: Graph,
        report: Callable[[Outcome], None] | None,
    ) -> Composition | None:
        if request.reference is None:
            return None
        chosen = request.settings.deconvolution
        prepared = self.prepared(
            request.section,
            request.reference,
            chosen.scale,
            chosen.gene_weights,
            chosen.intercept,
        )
        data = self.data(prepared)
        if prepared.empty.all():
            raise InputError(
                "No spot has a count in the genes shared with the reference",
                where=request.section.name,
                remedy="Check that section and reference belong together",
            )
        empty = prepared.empty if prepared.empty.any() else None
        linked = self.linked(graph.weights, empty)
        precision = self.precision(linked, chosen.process, chosen.rho)
        prior = self.prior(precision)
        weight = lambda_to_weight(
            chosen.lambda_spatial_loss, prepared.n_genes, len(prepared.types)
        )

        def composition(
            abundance: NDArray[np.floating],
            residual: float,
            seconds: float,
            converged: bool,
        ) -> Composition:
            return Composition(
                section=request.section,
                types=prepared.types,
                abundance=abundance,
                settings=request.settings,
                residual=residual,
                seconds=seconds,
                converged=converged,
                settled=converged and request.start is None,
                prepared=prepared,
            ).derived()

        if report is not None:
            self._report = lambda values, residual: report(
                Outcome(request, graph, composition(values, residual, 0.0, False), finished=False)
            )
        if request.start is None:
            solution = self.settled(data, prior, weight)
        else:
            solution = self._solve(data, prior, weight, request.start)
        found = composition(
            solution.values, solution.residual, solution.seconds, solution.converged
        )
        if request.deviation and request.start is None:
            found = replace(found, deviation=self.deviation(prepared, precision, weight, solution))
        return found

    def radius(self, section: Section, radius: float | None) -> float:
        """Return the radius of a graph in full-resolution pixels.

        Parameters
        ----------
        section
            Its scale turns micrometres into pixels.
        radius
            In micrometres, or in pixels where the scale is unknown; None for one and a half
            times the typical spacing.
        """
        if radius is None:
            return 1.5 * self.spacing(section).distance
        return radius / (section.micrometres_per_pixel or 1.0)

    def _neighbours(
        self,
        section: Section,
        rule: NeighbourRule,
        neighbours: int,
        mutual: bool,
        radius: float | None,
    ) -> Neighbourhood:
        positions = section.positions
        if rule == "nearest":
            tolerance = self.spacing(section).tie_tolerance
            return nearest_neighbours(
                positions, neighbours, mutual=mutual, tie_tolerance=tolerance
            )
        return neighbours_within(positions, self.radius(section, radius))

    def _prepare(
        self,
        section: Section,
        reference: Reference,
        scale: DataScale,
        gene_weights: GeneWeights,
        intercept: bool,
    ) -> PreparedDeconvolution:
        return prepare_deconvolution(
            section.adata.X,
            section.adata.var,
            reference,
            scale=scale,
            gene_weights=gene_weights,
            intercept=intercept,
            cancelled=self._cancelled,
        )

    def _solve_from_canonical_start(
        self, data: DataTerm, prior: PriorTerm, weight: float
    ) -> Solution:
        return self._solve(data, prior, weight, None)

    def _deviation(
        self,
        prepared: PreparedDeconvolution,
        precision: csr_array,
        weight: float,
        solution: Solution,
    ) -> PosteriorDeviation:
        used = np.flatnonzero(~prepared.empty)
        return posterior_deviation(
            prepared,
            precision[used][:, used],
            weight,
            solution.values,
            cancelled=self._cancelled,
        )

    def _solve(
        self,
        data: DataTerm,
        prior: PriorTerm,
        weight: float,
        start: NDArray[np.floating] | None,
    ) -> Solution:
        return solve_bounded_quadratic(
            data,
            prior,
            weight,
            start=start,
            tolerance=TOLERANCE,
            cancelled=self._cancelled,
            report=self._report,
        )
