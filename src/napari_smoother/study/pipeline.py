"""From positions and counts to composition, each step run only when its inputs changed.

positions -> neighbours -> similar weights -> scaled weights -> precision -> prior -> result
counts and reference -> prepared data ------------------------> result
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_smoother.analyses import deconvolution
from napari_smoother.analyses.context import Context
from napari_smoother.analyses.deconvolution_steps import DeconvolutionSteps
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.analyses.stage import Stage
from napari_smoother.study import stages
from napari_smoother.study.results import Graph
from napari_smoother.weights.neighbours import (
    Neighbourhood,
    nearest_neighbours,
    neighbours_within,
)
from napari_smoother.weights.summary import graph_summary

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.graph_settings import NeighbourRule
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Everything one run of the pipeline needs, taken from a study at one moment.

    Parameters
    ----------
    generation
        Grows with every change of the study.
    section
        The open section.
    recipe
        What is set.
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
    recipe: Recipe
    labels: NDArray[np.integer]
    reference: Reference | None = None
    start: NDArray[np.floating] | None = None
    deviation: bool = False

    def is_same_as(self, other: Request) -> bool:
        """Whether another request asks for the same, from the same start."""
        return (
            self.generation == other.generation
            and self.start is other.start
            and (self.reference is None) == (other.reference is None)
        )

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
        self.deconvolution = DeconvolutionSteps()
        self.rho_range = self.deconvolution.graph.rho_range

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
            graph = self._graph(request)
            composition = self._composition(request, graph, cancelled, report)
        return Outcome(request, graph, composition)

    def _graph(self, request: Request) -> Graph:
        section, chosen = request.section, request.recipe.graph
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
        factors = self.factors(neighbourhood, request.labels, chosen.boundary_connectivity)
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
            chosen.boundary_connectivity,
        )

    def _composition(
        self,
        request: Request,
        graph: Graph,
        cancelled: Callable[[], bool] | None,
        report: Callable[[Outcome], None] | None,
    ) -> Composition | None:
        if request.reference is None:
            return None

        def tell(found: Composition) -> None:
            assert report is not None
            report(Outcome(request, graph, found, finished=False))

        # Whether to find the deviation is not yet a setting of a study.
        chosen = request.recipe.deconvolution
        found = deconvolution.compute(
            SectionCounts.of(request.section),
            request.reference,
            graph.weights,
            replace(chosen, deviation=request.deviation),
            Context(cancelled, None if report is None else tell),
            self.deconvolution,
            request.start,
        )
        return found if found.settings == chosen else replace(found, settings=chosen).derived()

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
