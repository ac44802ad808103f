"""What a user can set of the graph of neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require
from napari_smoother.weights.scaling import EUCLIDEAN_BANDWIDTH

NeighbourRule = Literal["nearest", "radius", "delaunay"]
Metric = Literal["cosine", "euclidean"]
HistologyFeatures = Literal["mean", "components", "pixels"]


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
        that gives a spot about six neighbours, which is the larger of one and a half times the
        median distance to the nearest spot and the median distance to the sixth nearest; any
        length in a triangulation.
    by_expression
        Scale each edge by the similarity of expression of its ends.
    expression_table
        Table of obsm in which expression is compared, as it is: any embedding of the spots, or
        their composition. Empty: principal components of log expression.
    expression_components
        Principal components in which log expression is compared.
    expression_metric
        "cosine": the cosine of the angle between both spots, 0 where it is negative.
        "euclidean": exp(-d² / 2b²) of their distance d, values being divided by the largest.
    expression_width
        The b of "euclidean", as a share of the largest value: smaller cuts more.
    by_histology
        Scale each edge by the similarity of the tissue image at its ends.
    histology_features
        What of the image is compared in a square window at each spot: its mean colour ("mean"),
        principal components of its pixels ("components"), or every pixel ("pixels").
    histology_components
        Principal components of the pixels.
    histology_window
        Side of the window, in micrometres, or in full-resolution pixels where the section's scale
        is unknown. None: the diameter of a spot.
    histology_metric
        As for expression.
    histology_width
        As for expression.
    boundary_connectivity
        What an edge between two regions keeps of its weight: 0 cuts it, 1 leaves it.
    """

    rule: NeighbourRule = "nearest"
    neighbours: int = 6
    mutual: bool = True
    radius: float | None = None
    by_expression: bool = False
    expression_table: str = ""
    expression_components: int = 10
    expression_metric: Metric = "cosine"
    expression_width: float = EUCLIDEAN_BANDWIDTH
    by_histology: bool = False
    histology_features: HistologyFeatures = "mean"
    histology_components: int = 10
    histology_window: float | None = None
    histology_metric: Metric = "euclidean"
    histology_width: float = EUCLIDEAN_BANDWIDTH
    boundary_connectivity: float = 0.0

    def __post_init__(self) -> None:
        for field, kind in (
            ("rule", NeighbourRule),
            ("expression_metric", Metric),
            ("histology_metric", Metric),
            ("histology_features", HistologyFeatures),
        ):
            value, choices = getattr(self, field), get_args(kind)
            require(
                value in choices,
                f"Unknown {field.replace('_', ' ')} {value!r}",
                f"graph {field}",
                f"Choose one of {', '.join(choices)}",
            )
        for field in ("expression_components", "histology_components"):
            number = getattr(self, field)
            require(
                number >= 1,
                f"Spots cannot be compared in {number} components",
                f"graph {field}",
                "Set at least 1",
            )
        for field in ("expression_width", "histology_width"):
            width = getattr(self, field)
            require(
                math.isfinite(width) and width > 0,
                f"The width {width} of a kernel is not positive",
                f"graph {field}",
                "Set a share above 0 of the largest value",
            )
        require(
            self.neighbours >= 1,
            f"A spot cannot have {self.neighbours} neighbours",
            "graph neighbours",
            "Set at least 1",
        )
        for field, length in (
            ("radius", self.radius),
            ("histology_window", self.histology_window),
        ):
            require(
                length is None or (math.isfinite(length) and length > 0),
                f"The {field.replace('_', ' ')} {length} is not a distance",
                f"graph {field}",
                "Set a number above 0",
            )
        require(
            0.0 <= self.boundary_connectivity <= 1.0,
            f"Boundary connectivity {self.boundary_connectivity} is outside the valid range",
            "graph boundary_connectivity",
            "Set a number from 0 (cut) to 1 (leave)",
        )
