"""Spots brought out of the map that is on screen, whatever it shows."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_smoother.layers import tissue
from napari_smoother.layers.coordinates import World, to_rows_and_columns

if TYPE_CHECKING:
    from napari.layers import Points
    from numpy.typing import NDArray

    from napari_smoother.layers.scene import Scene

SELECTED = "selected spots"
POINTED = "spot pointed at"
FAINT = 0.15
"""Opacity of the map, relative to its own, while spots of it are brought out."""

RING = 3.0
"""Diameter of the ring around a spot, relative to the spot."""

RING_COLOUR = "#f0b429"


class SpotHighlight:
    """A selection of spots, which keep their colours while the rest of the map fades.

    Parameters
    ----------
    scene
        Whose map it is.

    Attributes
    ----------
    changed
        Emitted with the selection, n booleans, or None.
    spots : ndarray or None
        The selection.
    """

    changed = Signal(object)

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._faded: weakref.ref[Points] | None = None
        self._opacity = 1.0
        self.spots: NDArray[np.bool_] | None = None
        scene.key_changed.connect(self._paint)
        scene.study.section_changed.connect(self.clear)
        scene.study.recipe_changed.connect(self._resize)

    def select(self, spots: NDArray[np.bool_] | None) -> None:
        """Bring spots out, n booleans; None, or none of them, for the whole map."""
        self.spots = None if spots is None or not spots.any() else spots
        self._paint()
        self.changed.emit(self.spots)

    def clear(self) -> None:
        """Show the whole map again."""
        if self.spots is not None:
            self.select(None)

    def point_at(self, spot: int) -> None:
        """Put a ring around a spot; -1 for none."""
        section, shelf = self._scene.study.section, self._scene.shelf
        if section is None or spot < 0:
            shelf.hide(POINTED)
            return
        place = to_rows_and_columns(section.positions[[spot]])
        layer = shelf.layer(POINTED)
        if layer is None:
            layer = tissue.point_layer(
                section.positions[[spot]], World.of(section), self._scene.spot_diameter, POINTED
            )
            layer.symbol = "ring"
            layer.face_color = RING_COLOUR
            shelf.add(POINTED, layer)
        layer.data = place
        layer.size = RING * self._scene.spot_diameter
        if not layer.visible:
            layer.visible = True

    def _paint(self) -> None:
        scene, spots = self._scene, self.spots
        section, top = scene.study.section, scene.map_on_top
        if spots is None or section is None or top is None or len(spots) != section.n_spots:
            self._unfade()
            scene.shelf.hide(SELECTED)
            return
        begins = self._faded is None
        self._fade(top)
        colours = np.asarray(scene.colours, dtype=np.float32)[spots]
        layer = scene.shelf.layer(SELECTED)
        if layer is None:
            layer = tissue.point_layer(
                section.positions[spots], World.of(section), scene.spot_diameter, SELECTED
            )
            above = scene.shelf.name_of(top) or ""
            scene.shelf.put(SELECTED, layer, below="", above=above)
        with layer.events.face_color.blocker():
            layer.data = to_rows_and_columns(section.positions[spots])
            layer.size = scene.spot_diameter
            layer.face_color = colours
        if begins:  # later a hand may have hidden it
            layer.visible = True
        layer.refresh()

    def _resize(self) -> None:
        """Draw the spots as large as those of the map."""
        layer = self._scene.shelf.layer(SELECTED)
        if layer is not None and len(layer.size) and layer.size[0] != self._scene.spot_diameter:
            layer.size = self._scene.spot_diameter

    def _fade(self, top: Points) -> None:
        faded = None if self._faded is None else self._faded()
        if faded is top:
            return
        self._unfade()
        self._faded, self._opacity = weakref.ref(top), top.opacity
        top.opacity = FAINT * self._opacity

    def _unfade(self) -> None:
        faded = None if self._faded is None else self._faded()
        self._faded = None
        if faded is not None:
            faded.opacity = self._opacity
