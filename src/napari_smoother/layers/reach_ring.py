"""Rings on the map as far from a spot as its prior reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.layers import edges
from napari_smoother.layers.coordinates import to_rows_and_columns
from napari_smoother.layers.region_shapes import REGIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph_neighbours import NeighboursOfSpot
    from napari_smoother.analyses.prior_reach import PriorReach
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.layers.neighbour_highlight import NeighbourHighlight
    from napari_smoother.layers.shelf import Shelf
    from napari_smoother.study.study import Study

RINGS = "graph: reach of the prior"
DASHES = 72
"""Of a ring, dark and light in turn: seen on anything."""

SHARE_OF_RADIUS = 0.02
"""Width of a ring relative to the radius of the outer one."""

DARK, LIGHT = (0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0)


class ReachRing:
    """Rings where the correlation of the prior falls to 0.5 and to 0.1.

    They lie around the spot that is pointed at, or else the one in the middle of the section.

    Parameters
    ----------
    shelf
        Where the layer is.
    study
        Whose section it is about.
    highlight
        That tells which spot is pointed at.
    """

    def __init__(self, shelf: Shelf, study: Study, highlight: NeighbourHighlight) -> None:
        self._shelf = shelf
        self._study = study
        self._reach: PriorReach | None = None
        self._spot: int | None = None
        self._is_drawn = False  # whether or not a hand has hidden the layer since
        highlight.pointed.connect(self._move)
        study.recipe_changed.connect(self._on_recipe)
        study.section_changed.connect(self._on_section)

    def show(self, reach: PriorReach | None) -> None:
        """Draw the rings of a prior where the recipe wants them; None takes them away."""
        self._reach = reach
        self._draw()

    def _on_recipe(self, recipe: Recipe) -> None:
        if recipe.shown.reach != self._is_drawn:
            self._draw()

    def _on_section(self, section: object) -> None:
        self._reach = self._spot = None
        self._is_drawn = False

    def _move(self, found: NeighboursOfSpot | None) -> None:
        if found is not None:
            self._spot = found.spot
            self._draw()

    def _draw(self) -> None:
        graph, reach = self._study.graph, self._reach
        if graph is None or reach is None or not self._study.recipe.shown.reach:
            self._shelf.hide(RINGS)
            self._is_drawn = False
            return
        positions = graph.section.positions
        spot = self._spot
        if spot is None or spot >= len(positions):
            spot = int(graph.places.query(np.median(positions, axis=0))[1])
        pixel = graph.section.micrometres_per_pixel or 1.0
        radii = [far / pixel for far in (reach.half, reach.tenth) if np.isfinite(far)]
        vectors = np.concatenate([np.empty((0, 2, 2)), *(ring(far) for far in radii)])
        vectors[:, 0] += to_rows_and_columns(positions[spot])
        colours = np.tile(np.array([DARK, LIGHT], np.float32), (len(vectors) // 2, 1))
        width = max(edges.edge_width(graph), SHARE_OF_RADIUS * max(radii, default=0.0))
        layer = self._shelf.layer(RINGS)
        if layer is None:
            layer = edges.edge_layer(graph, RINGS, width, vectors, colours)
            self._shelf.put(RINGS, layer, below=REGIONS)
            self._is_drawn = True
            return
        if layer.edge_width != width:
            layer.edge_width = width
        edges.draw(layer, vectors, colours)
        if not self._is_drawn:
            layer.visible = self._is_drawn = True


def ring(radius: float) -> NDArray[np.float64]:
    """Return start and direction of the dashes of a ring around the origin, m x 2 x 2."""
    angles = np.linspace(0.0, 2 * np.pi, DASHES + 1)
    corners = radius * np.column_stack([np.sin(angles), np.cos(angles)])
    return np.stack([corners[:-1], np.diff(corners, axis=0)], axis=1)
