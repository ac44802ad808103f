"""The neighbour graph over the tissue: every edge, and in a second colour those that are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors

from napari_smoother.errors import InputError
from napari_smoother.figures.colours import EDGE_WEIGHT, map_numbers
from napari_smoother.layers.coordinates import World, to_rows_and_columns
from napari_smoother.layers.plain_text import as_text

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Points
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph import Graph
    from napari_smoother.figures.colours import Colours

EDGES = "graph: edges"
CASING = "graph: edge casing"
CUT_EDGES = "graph: cut edges"
CASING_COLOUR = (0.06, 0.06, 0.09, 0.75)
CUT_CASING_COLOUR = (1.0, 1.0, 1.0, 1.0)
"""Around lines that lie on anything: light lines in dark ones are seen on light and dark tissue.

Cut edges are told from weak ones by their light casing, whatever the eye makes of their red.
"""

CASING_WIDTH = 1.9
CUT_WIDTH = 1.4
"""Relative to the width of an edge."""

EDGE_OPACITY = 0.75
MOST_LINES = 3_000_000
"""More take napari minutes and gigabytes to draw."""

MOST_IN_VIEW = 20_000
"""Edges of a graph that are drawn at a time.

All of a Visium section or of 6,000 cells. More in one view are a mush without meaning, and take
napari longer than a hand waits.
"""

SHARE_OF_LENGTH = 0.12
"""Width of an edge relative to the median length of edges."""


def lines(points: NDArray[np.float64], edges: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return start and direction of each edge, m x 2 x d, between n x d points."""
    ends: NDArray[np.float64] = points[edges]
    ends[:, 1] -= ends[:, 0]
    return ends


def line_width(vectors: NDArray[np.float64]) -> float:
    """Return the width to draw edges with, in the unit they are in."""
    if not len(vectors):
        return 1.0
    return SHARE_OF_LENGTH * float(np.median(np.linalg.norm(vectors[:, 1], axis=1))) or 1.0


def add_lines(viewer: ViewerModel, points: Points, vectors: NDArray[np.float64]) -> None:
    """Add a layer of edges between any points, below them.

    Parameters
    ----------
    viewer
        That the points are in.
    points
        What they connect.
    vectors
        Start and direction of each edge in the world, m x 2 x d.

    Raises
    ------
    InputError
        If there is no edge, or there are too many to draw.
    """
    if not 0 < len(vectors) <= MOST_LINES:
        raise InputError(
            f"There are {len(vectors):,} edges",
            where=f"neighbours of {points.name}",
            remedy=f"Ask for fewer neighbours: up to {MOST_LINES:,} edges are drawn"
            if len(vectors)
            else "Ask for more neighbours, or not only for mutual ones",
        )
    layer = Vectors(
        vectors,
        name=as_text(f"{points.name}: neighbours"),
        edge_width=line_width(vectors),
        edge_color=map_numbers(np.ones(1), 0.0, 1.0, EDGE_WEIGHT),
        vector_style="line",
        opacity=EDGE_OPACITY,
        units=points.units,
    )
    viewer.add_layer(layer)
    viewer.layers.move(len(viewer.layers) - 1, viewer.layers.index(points))
    viewer.layers.selection.active = points


def edge_vectors(graph: Graph, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return start and direction of each edge, m x 2 x 2, in (row, column)."""
    edges = graph.edges if chosen is None else graph.edges[chosen]
    return lines(to_rows_and_columns(graph.section.positions), edges)


def edge_width(graph: Graph) -> float:
    """Return the width to draw edges with, in full-resolution pixels."""
    return SHARE_OF_LENGTH * graph.typical_length or 1.0


def spots_within(
    graph: Graph, low: NDArray[np.floating], high: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Return which spots are in a rectangle, n.

    Parameters
    ----------
    graph
        Of the spots.
    low, high
        Corners as (x, y) in full-resolution pixels.
    """
    x, y = graph.section.positions.T
    inside: NDArray[np.bool_] = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
    return inside


def edges_of(graph: Graph, spots: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which edges have an end among some spots, m."""
    chosen: NDArray[np.bool_] = spots[graph.edges[:, 0]] | spots[graph.edges[:, 1]]
    return chosen


def casing_colours(graph: Graph, chosen: NDArray[np.bool_] | None = None) -> Colours:
    """Return the colour around each edge, m x 4: dark, and the lighter the more of it is cut."""
    every = slice(None) if chosen is None else chosen
    cut = np.where(graph.crossing[every], 1.0 - graph.connectivity, 0.0)
    cut[graph.edge_weights[every] == 0] = 1.0
    dark, light = np.array(CASING_COLOUR), np.array(CUT_CASING_COLOUR)
    return np.asarray(dark + cut[:, None] * (light - dark), dtype=np.float32)


def edge_layer(
    graph: Graph, name: str, width: float, vectors: NDArray[np.float64], colours: Colours
) -> Vectors:
    """Return a layer of lines.

    Parameters
    ----------
    graph
        In whose section they are.
    name
        Of the layer.
    width
        Of a line, in full-resolution pixels.
    vectors, colours
        Start and direction, m x 2 x 2 in (row, column), and colour of each, m x 4.
    """
    world = World.of(graph.section)
    return Vectors(
        vectors,
        ndim=2,
        name=name,
        edge_width=width,
        edge_color=colours,
        vector_style="line",
        opacity=1.0,
        scale=world.scale,
        units=world.units,
    )


def draw(layer: Vectors, vectors: NDArray[np.float64], colours: Colours) -> None:
    """Draw lines in a layer, m x 2 x 2, in colours, m x 4; napari draws only what is new."""
    if layer.data.shape != vectors.shape or not np.array_equal(layer.data, vectors):
        layer.data = vectors
    if len(vectors) and not np.array_equal(layer.edge_color, colours):
        layer.edge_color = colours


def show_connectivity(layer: Vectors, graph: Graph) -> None:
    """Make the edges between regions the more visible the less of them is kept."""
    layer.opacity = 1.0 - graph.connectivity
