"""Draw the neighbour graph of any layer of points."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import napari.layers
import napari.viewer
import numpy as np
from magicgui import magic_factory

from napari_smoother.layers import point_features
from napari_smoother.layers.edges import add_lines, lines
from napari_smoother.weights.lattice import nearest_on_section
from napari_smoother.weights.summary import edge_list
from napari_smoother.widgets.commands.form import in_thread, told

if TYPE_CHECKING:
    from numpy.typing import NDArray


@magic_factory(call_button="Connect", neighbours={"min": 1, "max": 100})
def connect_neighbours(
    viewer: napari.viewer.Viewer,
    points: napari.layers.Points,
    neighbours: int = 6,
    mutual: bool = True,
) -> None:
    """Add a layer with a line between neighbouring points.

    Parameters
    ----------
    viewer
        That the points are in.
    points
        Any layer of points in two or three dimensions.
    neighbours
        How many nearest points are its neighbours; on a lattice the ring around a spot.
    mutual
        Connect only points each of which is among the nearest of the other.
    """
    with told():
        between = partial(_between, point_features.positions_of(points), neighbours, mutual)
        in_thread(
            viewer, points, lambda cancelled: between(), add_lines, f"neighbours of {points.name}"
        )


def _between(positions: NDArray[np.float64], neighbours: int, mutual: bool) -> NDArray[np.float64]:
    """Return start and direction of a line between neighbours, m x 2 x d."""
    graph = nearest_on_section(positions, neighbours, mutual=mutual)
    first, second, _ = edge_list(graph.weights)
    return lines(positions, np.column_stack([first, second]))
