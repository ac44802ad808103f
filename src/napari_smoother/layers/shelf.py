"""The layers one study has in a viewer, any of which the user may take away."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class Shelf:
    """Layers by the name they were made under, whatever they are called by now.

    Viewer and layers are held weakly: a closed viewer is not kept alive, and a layer that was
    deleted by hand is gone.

    Parameters
    ----------
    viewer
        Where the layers are.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self._layers: dict[str, weakref.ref[Layer]] = {}
        self._taking: Layer | None = None

    @property
    def viewer(self) -> ViewerModel | None:
        """The viewer, if it is still there."""
        return self._viewer()

    def layer(self, name: str) -> Layer | None:
        """Return a layer, if it is still there."""
        viewer = self.viewer
        layer = self._layers[name]() if name in self._layers else None
        return layer if viewer is not None and layer in viewer.layers else None

    def name_of(self, layer: Layer) -> str | None:
        """Return the name a layer was made under, unless it is taken away from here."""
        if layer is self._taking:
            return None
        return next((name for name, known in self._layers.items() if known() is layer), None)

    def add(self, name: str, layer: Layer, *, select: bool = False) -> Layer:
        """Add a layer on top; the selection stays unless it is to be selected."""
        viewer = self.viewer
        if viewer is not None:
            selected = set(viewer.layers.selection)
            viewer.add_layer(layer)
            self._layers[name] = weakref.ref(layer)
            if selected and not select:
                viewer.layers.selection = selected & set(viewer.layers)
        return layer

    def adopt(self, name: str, layer: Layer) -> None:
        """Take over a layer that is in the viewer already."""
        self._layers[name] = weakref.ref(layer)

    def put(self, name: str, layer: Layer, *, below: str, above: str = "") -> None:
        """Put a layer where the one of its name was, else above or below another."""
        viewer = self.viewer
        if viewer is None:
            return
        old, under, over = self.layer(name), self.layer(above), self.layer(below)
        place = len(viewer.layers)
        if old is not None:
            layer.visible = old.visible
            place = viewer.layers.index(old)
            self.remove(name)
        elif under is not None:
            place = viewer.layers.index(under) + 1
        elif over is not None:
            place = viewer.layers.index(over)
        self.add(name, layer)
        viewer.layers.move(viewer.layers.index(layer), place)

    def remove(self, *names: str) -> None:
        """Take layers away, those that are still there."""
        for name in names:
            layer = self.layer(name)
            if self.viewer is not None and layer is not None:
                self._taking = layer
                self.viewer.layers.remove(layer)
                self._taking = None
            self._layers.pop(name, None)

    def hide(self, *names: str) -> None:
        """Hide layers, those that are still there.

        For what comes and goes under the hand: napari collects garbage with every layer that is
        taken away, which is felt.
        """
        for name in names:
            layer = self.layer(name)
            if layer is not None and layer.visible:
                layer.visible = False

    def clear(self) -> None:
        """Take every layer away."""
        self.remove(*list(self._layers))
