"""What a user can set of the graph of neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require

NeighbourRule = Literal["nearest", "radius", "delaunay"]


@dataclass(frozen=True, slots=True)
class GraphSettings(ComparedByValue):
    """Which spots are neighbours, and how closely they are linked.

    Parameters
    ----------
    rule
        How neighbours are found. ``"nearest"``: the k nearest spots; ``"radius"``: every spot
        within a distance; ``"delaunay"``: those that share an edge of the Delaunay triangulation.
    neighbours
        k of the nearest rule.
    mutual
        Keep only pairs in which each is among the other's k nearest.
    radius
        Distance of the radius rule, in micrometres, or in full-resolution pixels where the
        section's scale is unknown; of a triangulation the length of the longest edge. None: one
        and a half times the median distance to the nearest spot; any length in a triangulation.
    by_expression
        Scale each edge by the similarity of expression of its ends.
    expression_components
        Principal components in which expression is compared.
    by_histology
        Scale each edge by the similarity of the tissue image at its ends.
    boundary_connectivity
        What an edge between two regions keeps of its weight: 0 cuts it, 1 leaves it.
    """

    rule: NeighbourRule = "nearest"
    neighbours: int = 6
    mutual: bool = True
    radius: float | None = None
    by_expression: bool = False
    expression_components: int = 10
    by_histology: bool = False
    boundary_connectivity: float = 0.0

    def __post_init__(self) -> None:
        require(
            self.expression_components >= 1,
            f"Expression cannot be compared in {self.expression_components} components",
            "graph expression_components",
            "Set at least 1",
        )
        require(
            self.rule in get_args(NeighbourRule),
            f"Unknown rule of neighbours {self.rule!r}",
            "graph rule",
            f"Choose one of {', '.join(get_args(NeighbourRule))}",
        )
        require(
            self.neighbours >= 1,
            f"A spot cannot have {self.neighbours} neighbours",
            "graph neighbours",
            "Set at least 1",
        )
        require(
            self.radius is None or (math.isfinite(self.radius) and self.radius > 0),
            f"The radius {self.radius} is not a distance",
            "graph radius",
            "Set a number above 0",
        )
        require(
            0.0 <= self.boundary_connectivity <= 1.0,
            f"Boundary connectivity {self.boundary_connectivity} is outside the valid range",
            "graph boundary_connectivity",
            "Set a number from 0 (cut) to 1 (leave)",
        )
