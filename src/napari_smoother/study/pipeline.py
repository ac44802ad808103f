"""From positions and counts to composition, each step run only when its inputs changed.

positions -> neighbours -> similar weights -> scaled weights -> precision -> prior -> result
counts and reference -> prepared data ------------------------> result
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_smoother.analyses.deconvolution_settings import INTRINSIC
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.preparation import PreparedDeconvolution
from napari_smoother.study import stages
from napari_smoother.study.fitting import Fitting, can_deviate, iterate
from napari_smoother.study.results import Composition, Graph
from napari_smoother.weights.moving_average import MovingAverage
from napari_smoother.weights.neighbours import (
    Neighbourhood,
    nearest_neighbours,
    neighbours_within,
)
from napari_smoother.weights.precision import rho_range
from napari_smoother.weights.summary import graph_summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
    from napari_smoother.analyses.graph_settings import GraphSettings, NeighbourRule
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.models.uncertainty import PosteriorDeviation
    from napari_smoother.section import Section
    from napari_smoother.study.fitting import Fit


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
        self.made = Stage(Graph)
        self.linked = Stage(stages.without_edges_of)
        self.rho_range = Stage(rho_range)
        self.precision = Stage(stages.precision_within)
        self.fitting = Fitting()

    def graph(
        self,
        section: Section,
        labels: NDArray[np.integer],
        chosen: GraphSettings,
        context: Context,
    ) -> Graph:
        """Return the graph of a section."""
        with self._running:
            neighbourhood = self.neighbours(
                section, chosen.rule, chosen.neighbours, chosen.mutual, chosen.radius
            )
            context.look_up()
            similar = self.similar(
                neighbourhood,
                self.expression(section, neighbourhood, chosen.expression_components)
                if chosen.by_expression
                else None,
                self.histology(section, neighbourhood) if chosen.by_histology else None,
            )
            factors = self.factors(neighbourhood, labels, chosen.boundary_connectivity)
            weights = self.weights(similar, factors)
            edges, edge_weights = self.edges(similar)
            return self.made(
                section,
                neighbourhood,
                weights,
                self.summary(weights),
                edges,
                edge_weights,
                self.crossing(edges, labels),
                chosen.boundary_connectivity,
            )

    def composition(
        self,
        section: Section,
        reference: Reference,
        graph: Graph,
        chosen: DeconvolutionSettings,
        *,
        start: Composition | None,
        context: Context,
    ) -> Composition:
        """Return the composition of a section, from a start or from the canonical one."""
        cell_totals = reference.totals_for(chosen.shares)
        fitting = self.fitting
        fitting.cancelled = context.cancelled
        try:
            data = fitting.prepare(section, reference, chosen)
            if data.empty.all():
                raise InputError(
                    "No spot has a count in the genes shared with the reference",
                    where=section.name,
                    remedy="Check that section and reference belong together",
                )
            if chosen.process not in INTRINSIC:
                stages.check_rho(
                    chosen.process, chosen.rho, self.rho_range(graph.weights, chosen.process)
                )
            empty = data.empty if data.empty.any() else None
            linked = self.linked(graph.weights, empty)
            precision = self.precision(linked, chosen.process, chosen.rho)

            def composition(fit: Fit, settled: bool) -> Composition:
                return Composition(section, chosen, data, fit, cell_totals, settled)

            tell = context.tell
            if tell is not None:
                steps = itertools.count()
                fitting.report = lambda values, residual: tell(
                    composition(iterate(values, residual, next(steps)), settled=False)
                )
            begin = None if start is None else start.abundance
            fit = fitting.fit(data, precision, chosen, begin)
            found = composition(fit, settled=start is None).derived()
            if chosen.deviation and start is None and can_deviate(chosen):
                assert isinstance(data, PreparedDeconvolution)
                assert not isinstance(precision, MovingAverage)
                deviation = fitting.deviation_of(data, precision, chosen, fit, cell_totals)
                found = replace(found, deviation=deviation)
        finally:
            fitting.cancelled = fitting.report = None
        return found

    def restored(
        self,
        section: Section,
        reference: Reference,
        chosen: DeconvolutionSettings,
        fit: Fit,
        deviation: PosteriorDeviation | None,
        context: Context,
    ) -> Composition:
        """Return a composition that was fitted before."""
        self.fitting.cancelled = context.cancelled
        try:
            data = self.fitting.prepare(section, reference, chosen)
        finally:
            self.fitting.cancelled = None
        cell_totals = reference.totals_for(chosen.shares)
        found = Composition(section, chosen, data, fit, cell_totals, True, deviation)
        return found.derived()

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
