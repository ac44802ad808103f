"""From positions and counts to composition, each step run only when its inputs changed.

positions -> neighbours -> similar weights -> scaled weights -> precision -> prior -> result
counts and reference -> prepared data ------------------------> result
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

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
    import numpy as np
    from numpy.typing import NDArray

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.graph_settings import GraphSettings, NeighbourRule
    from napari_smoother.section import Section


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
