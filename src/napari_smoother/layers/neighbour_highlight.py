"""The neighbours of the spot under the pointer, with the weight of each link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points
from psygnal import Signal

from napari_smoother.analyses.graph_neighbours import neighbours_of, spot_at
from napari_smoother.figures.colours import map_numbers
from napari_smoother.layers import edges
from napari_smoother.layers.coordinates import World, to_rows_and_columns, to_xy
from napari_smoother.layers.region_shapes import REGIONS
from napari_smoother.layers.tissue import protect
from napari_smoother.printing import overlays

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.graph_neighbours import NeighboursOfSpot
    from napari_smoother.layers.shelf import Shelf
    from napari_smoother.study.study import Study

LINKS = "graph: neighbours of the spot pointed at"
WEIGHTS = "graph: their weights"
LINK_WIDTH = 2.2
"""Relative to the width of an edge."""

LABEL_SIZE = 9
ROOM_FOR_LABEL = 64.0
"""Points; and pixels of the canvas that an edge has to be long for its weight to be written."""


class NeighbourHighlight:
    """Draws the links of the spot under the pointer while it is active.

    Parameters
    ----------
    shelf
        Where the layers are.
    study
        Whose graph it is about.

    Attributes
    ----------
    found
        What is drawn, or None.
    pointed
        Emitted with it when another spot is pointed at, or none any more.
    """

    pointed = Signal(object)

    def __init__(self, shelf: Shelf, study: Study) -> None:
        self._shelf = shelf
        self._study = study
        self._is_active = False
        self.found: NeighboursOfSpot | None = None
        study.graph_changed.connect(self._on_graph)

    @property
    def is_active(self) -> bool:
        """Whether it follows the pointer."""
        return self._is_active

    @is_active.setter
    def is_active(self, active: bool) -> None:
        viewer = self._shelf.viewer
        if active == self._is_active or viewer is None:
            return
        self._is_active = active
        if active:
            viewer.mouse_move_callbacks.append(self._on_move)
        else:
            viewer.mouse_move_callbacks.remove(self._on_move)
            self.point_at(None)

    def point_at(self, spot: int | None) -> None:
        """Draw the links of a spot, or none."""
        graph = self._study.graph
        found = None if spot is None or graph is None else neighbours_of(graph, spot)
        if found is None and self.found is None:
            return
        self.found = found
        if found is not None and graph is not None:
            self._draw(graph, found)
        for name in (LINKS, WEIGHTS):
            layer = self._shelf.layer(name)
            if layer is not None and layer.visible != (found is not None):
                layer.visible = found is not None
        self.pointed.emit(found)

    def _on_graph(self, graph: Graph | None) -> None:
        """Draw the links of the same spot in another graph of the same section."""
        spot = self.found.spot if self.found is not None else None
        known = graph is not None and spot is not None and spot < graph.section.n_spots
        self.point_at(spot if known else None)

    def _on_move(self, viewer: Any, event: Any) -> None:
        graph = self._study.graph
        if graph is None:
            return
        world = World.of(graph.section)
        place = to_xy(np.asarray(event.position[-2:], dtype=np.float64)) / world.pixel
        # The drawn spot, or half the way to the next where spots are small.
        within = max((graph.section.spot_diameter or 0.0) / 2, graph.typical_length / 2, 1.0)
        spot = spot_at(graph, place, within)
        if spot != (self.found.spot if self.found is not None else None):
            self.point_at(spot)

    def _draw(self, graph: Graph, found: NeighboursOfSpot) -> None:
        ends = np.column_stack([np.full(len(found.spots), found.spot), found.spots])
        places = to_rows_and_columns(graph.section.positions[ends])
        vectors = np.stack([places[:, 0], places[:, 1] - places[:, 0]], axis=1)
        key = overlays.weight_key(graph)
        colours = map_numbers(found.weights, key.low, key.high, key.colormap)
        colours[found.weights == 0] = (*overlays.CUT_COLOUR, 1.0)
        layer = self._shelf.layer(LINKS)
        if layer is None:
            width = LINK_WIDTH * edges.edge_width(graph)
            layer = edges.edge_layer(graph, LINKS, width, vectors, colours)
            self._shelf.put(LINKS, layer, below=REGIONS)
        else:
            edges.draw(layer, vectors, colours)
        self._label(graph, found, places.mean(axis=1))

    def _label(self, graph: Graph, found: NeighboursOfSpot, middles: Any) -> None:
        layer = self._shelf.layer(WEIGHTS)
        if layer is None:
            layer = self._label_layer(graph)
            self._shelf.put(WEIGHTS, layer, below=REGIONS)
        viewer = self._shelf.viewer
        assert viewer is not None
        pixel = World.of(graph.section).pixel
        has_room = graph.typical_length * pixel * viewer.scene.camera.zoom >= ROOM_FOR_LABEL
        texts = [f"{weight:.2g}" if has_room else "" for weight in found.weights]
        layer.data = middles
        layer.features = {"weight": texts}
        layer.size = 0.3 * graph.typical_length if has_room else 0.0
        layer.text.refresh(layer.features)
        layer.refresh()

    def _label_layer(self, graph: Graph) -> Layer:
        world = World.of(graph.section)
        layer = Points(
            np.empty((0, 2)),
            ndim=2,
            name=WEIGHTS,
            features={"weight": np.empty(0, dtype=object)},
            text={"string": "{weight}", "color": "white", "size": LABEL_SIZE, "anchor": "center"},
            face_color=np.array([edges.CASING_COLOUR]),
            border_width=0,
            scale=world.scale,
            units=world.units,
        )
        protect(layer)
        return layer
