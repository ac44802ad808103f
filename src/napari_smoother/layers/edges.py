"""The neighbour graph over the tissue: every edge, and in a second colour those that are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors

from napari_smoother.figures.colours import map_numbers
from napari_smoother.figures.panels import NumberKey
from napari_smoother.layers.coordinates import World, to_rows_and_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.study.results import Graph

EDGES = "graph: edges"
CUT_EDGES = "graph: cut edges"
EDGE_COLORMAP = "cividis"
CUT_COLOUR = (1.0, 0.27, 0.23)
SHARE_OF_LENGTH = 0.09
"""Width of an edge relative to the median length of edges."""


def edge_vectors(graph: Graph, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return start and direction of each edge, m x 2 x 2, in (row, column)."""
    edges = graph.edges if chosen is None else graph.edges[chosen]
    ends: NDArray[np.float64] = to_rows_and_columns(graph.section.positions)[edges]
    ends[:, 1] -= ends[:, 0]
    return ends


def edge_width(graph: Graph) -> float:
    """Return the width to draw edges with, in full-resolution pixels."""
    if not len(graph.edges):
        return 1.0
    directions = edge_vectors(graph)[:, 1]
    return SHARE_OF_LENGTH * float(np.median(np.hypot(directions[:, 0], directions[:, 1]))) or 1.0


def weight_colours(graph: Graph) -> NDArray[np.floating]:
    """Return the colour of each edge by its weight before regions scale it, m x 4."""
    key = weight_key(graph)
    return map_numbers(graph.edge_weights, key.low, key.high, key.colormap)


def weight_key(graph: Graph) -> NumberKey:
    """Return the key to the colours of edges."""
    highest = float(graph.edge_weights.max(initial=0.0)) or 1.0
    return NumberKey("edge weight", 0.0, highest, EDGE_COLORMAP)


def edge_layer(graph: Graph) -> Vectors:
    """Return the layer of every edge, coloured by weight."""
    layer = _vectors(graph, edge_vectors(graph), EDGES, edge_width(graph))
    if len(graph.edges):
        layer.edge_color = weight_colours(graph)
    layer.opacity = 0.75
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
