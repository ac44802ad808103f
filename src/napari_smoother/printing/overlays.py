"""Edges, outlines and parts of a section, as a figure draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.figures.colours import map_numbers
from napari_smoother.figures.drawing import in_view, spot_diameter
from napari_smoother.figures.panels import EdgeOverlay, NumberKey, RegionOutline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.figure_settings import Part
    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.regions import Regions
    from napari_smoother.figures.drawing import Extent
    from napari_smoother.printing.contents import Source

EDGE_COLORMAP = "cividis"
CUT_COLOUR = (1.0, 0.27, 0.23)
EDGE_WIDTH = 0.4
"""In points."""


def weight_colours(graph: Graph) -> NDArray[np.floating]:
    """Return the colour of each edge by its weight before regions scale it, m x 4."""
    key = weight_key(graph)
    return map_numbers(graph.edge_weights, key.low, key.high, key.colormap)


def weight_key(graph: Graph) -> NumberKey:
    """Return the key to the colours of edges."""
    highest = float(graph.edge_weights.max(initial=0.0)) or 1.0
    return NumberKey("edge weight", 0.0, highest, EDGE_COLORMAP)


def edge_overlay(graph: Graph | None) -> EdgeOverlay | None:
    """Return the edges of the graph, those that are cut in their colour."""
    if graph is None or not len(graph.edges):
        return None
    colours: NDArray[np.floating] = np.array(weight_colours(graph), dtype=np.float64)
    if graph.connectivity < 1:
        colours[graph.crossing] = (*CUT_COLOUR, 1.0)
    segments = graph.section.positions[graph.edges]
    return EdgeOverlay(segments, colours, width=EDGE_WIDTH, key=weight_key(graph))


def region_outlines(regions: Regions) -> tuple[RegionOutline, ...]:
    """Return the outlines that were drawn."""
    colours = {region.name: region.colour for region in regions.classes}
    return tuple(
        RegionOutline(shape.region, shape.vertices, (*colours[shape.region], 1.0))
        for shape in regions.shapes
        if len(shape.vertices) >= 3
    )


def part_extent(source: Source, part: Part) -> Extent:
    """Return left, right, top and bottom of a part, in full-resolution pixels.

    Around a region there is a margin of a spot.

    Raises
    ------
    InputError
        If the section has no such region, or no spot there.
    """
    section = source.section
    if part.region:
        names = [region.name for region in source.recipe.regions.classes]
        inside = (
            source.labels == names.index(part.region)
            if part.region in names
            else np.zeros(section.n_spots, bool)
        )
        if not inside.any():
            raise InputError(
                f'{section.name} has no spot in a region "{part.region}"',
                where="figure",
                remedy="Choose a region that has spots, or a rectangle",
            )
        points = section.positions[inside]
        margin = 1.5 * spot_diameter(section)
        (left, top), (right, bottom) = points.min(axis=0) - margin, points.max(axis=0) + margin
        return float(left), float(right), float(top), float(bottom)
    assert part.box is not None
    left, top, right, bottom = part.box
    if not in_view(section, (left, right, top, bottom)).any():
        raise InputError(
            f"{section.name} has no spot in the rectangle",
            where="figure",
            remedy="Choose the rectangle anew for this section",
        )
    return left, right, top, bottom
