"""The neighbour graph over the tissue: every edge, and in a second colour those that are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors

from napari_smoother.errors import InputError
from napari_smoother.figures.colours import map_numbers
from napari_smoother.layers.coordinates import World, to_rows_and_columns
from napari_smoother.layers.plain_text import as_text
from napari_smoother.printing.overlays import (
    CUT_COLOUR,
    EDGE_COLORMAP,
    weight_colours,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Points
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph import Graph

EDGES = "graph: edges"
CUT_EDGES = "graph: cut edges"
EDGE_OPACITY = 0.75
MOST_LINES = 3_000_000
"""More take napari minutes and gigabytes to draw."""

SHARE_OF_LENGTH = 0.09
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
        edge_color=map_numbers(np.ones(1), 0.0, 1.0, EDGE_COLORMAP),
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
    return line_width(edge_vectors(graph))


def edge_layer(graph: Graph) -> Vectors:
    """Return the layer of every edge, coloured by weight."""
    layer = _vectors(graph, edge_vectors(graph), EDGES, edge_width(graph))
    if len(graph.edges):
        layer.edge_color = weight_colours(graph)
    layer.opacity = EDGE_OPACITY
    return layer


def cut_edge_layer(graph: Graph) -> Vectors:
    """Return the layer of the edges between regions, as opaque as they are cut."""
    crossing = edge_vectors(graph, graph.crossing)
    layer = _vectors(graph, crossing, CUT_EDGES, 1.6 * edge_width(graph))
    layer.edge_color = np.array([(*CUT_COLOUR, 1.0)])
    show_connectivity(layer, graph)
    return layer


def show_connectivity(layer: Vectors, graph: Graph) -> None:
    """Make the edges between regions the more visible the less of them is kept."""
    layer.opacity = 1.0 - graph.connectivity


def _vectors(graph: Graph, vectors: NDArray[np.float64], name: str, width: float) -> Vectors:
    world = World.of(graph.section)
    return Vectors(
        vectors,
        ndim=2,
        name=name,
        edge_width=width,
        vector_style="line",
        scale=world.scale,
        units=world.units,
    )
