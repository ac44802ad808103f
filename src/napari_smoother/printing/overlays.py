"""Edges, outlines and parts of a section, as a figure draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.figures.colours import EDGE_WEIGHT, map_numbers
from napari_smoother.figures.drawing import in_view, spot_diameter
from napari_smoother.figures.panels import EdgeOverlay, NumberKey, RegionOutline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.figure_settings import Part
    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.regions import Regions
    from napari_smoother.figures.colours import Colours
    from napari_smoother.figures.drawing import Extent
    from napari_smoother.printing.contents import Source

CUT_COLOUR = (1.0, 0.27, 0.23)
EDGE_WIDTH = 0.4
"""In points."""


def weight_colours(graph: Graph, chosen: NDArray[np.bool_] | None = None) -> Colours:
    """Return the colour of each edge by its weight before regions scale it, m x 4.

    An edge of weight 0 has the colour of a cut one.
    """
    key = weight_key(graph)
    weights = graph.edge_weights if chosen is None else graph.edge_weights[chosen]
    colours = map_numbers(weights, key.low, key.high, key.colormap)
    colours[weights == 0] = (*CUT_COLOUR, 1.0)
    return colours


def weight_key(graph: Graph) -> NumberKey:
    """Return the key to the colours of edges."""
    highest = float(graph.edge_weights.max(initial=0.0)) or 1.0
    return NumberKey("edge weight", 0.0, highest, EDGE_WEIGHT)


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
    """Return the outlines that were drawn, and the holes in them, of visible regions."""
    colours = {region.name: region.colour for region in regions.classes if region.visible}
    return tuple(
        RegionOutline(shape.region, ring, (*colours[shape.region], 1.0))
        for shape in regions.shapes
        if shape.region in colours
        for ring in shape.rings
        if len(ring) >= 3
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
