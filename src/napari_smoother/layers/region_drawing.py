"""Regions drawn by hand: the layer they are drawn in, and what is drawn told to the study."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_smoother.analyses.regions import RegionClass
from napari_smoother.errors import InputError
from napari_smoother.figures.colours import categorical_palette
from napari_smoother.layers import region_shapes
from napari_smoother.layers.coordinates import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Shapes
    from napari.utils.events import Event

    from napari_smoother.analyses.regions import Colour, Regions
    from napari_smoother.layers.shelf import Shelf
    from napari_smoother.study.study import Study


class RegionDrawing:
    """The outlines of a study's regions in a layer of shapes, both ways.

    Parameters
    ----------
    shelf
        Where the layer is.
    study
        Whose regions they are.

    Attributes
    ----------
    region : str or None
        The region that the next outline will belong to.
    edited
        Emitted before the study is told of an edit by hand.
    drawn
        Emitted with the name of a region and the number of spots in the outline just drawn.
    """

    edited = Signal()
    drawn = Signal(str, int)

    def __init__(self, shelf: Shelf, study: Study) -> None:
        self._shelf = shelf
        self._study = study
        self._follows_layer = True
        self.region: str | None = None
        study.regions_changed.connect(self._show)

    def layer(self) -> Shapes:
        """Return the layer that regions are drawn in, made on first use.

        Raises
        ------
        InputError
            If no section is open.
        """
        layer = self._shelf.layer(region_shapes.REGIONS)
        if layer is None:
            section = self._study.section
            if section is None:
                raise InputError(
                    "No section is open", where="regions", remedy="Open a section first"
                )
            layer = region_shapes.regions_layer(section)
            self._shelf.add(region_shapes.REGIONS, layer, select=True)
            layer.events.data.connect(self._on_edited)
            self._fill(layer, self._study.regions)
        return layer

    def draw_into(self, name: str) -> None:
        """Make the next shapes that are drawn outlines of a region."""
        regions = self._study.regions
        colour = regions.classes[regions.code(name)].colour
        self.region = name
        region_shapes.draw_into(self.layer(), name, colour)

    def start(self, mode: str) -> None:
        """Select the layer and one of napari's tools for shapes."""
        viewer = self._shelf.viewer
        if viewer is None or self._study.section is None:
            return
        layer = self.layer()
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.mode = mode

    @contextmanager
    def _not_following(self) -> Iterator[None]:
        self._follows_layer = False
        try:
            yield
        finally:
            self._follows_layer = True

    def _on_edited(self, event: Event) -> None:
        if not self._follows_layer or str(event.action) not in ("added", "changed", "removed"):
            return
        layer: Shapes = event.source
        section = self._study.section
        if section is None or layer is not self._shelf.layer(region_shapes.REGIONS):
            return
        shapes, _ = region_shapes.outlines(layer, World.of(section))
        regions = self._study.regions
        known = {region.name for region in regions.classes}
        for shape in shapes:
            if shape.region not in known:
                regions = regions.with_class(RegionClass(shape.region, next_colour(regions)))
                known.add(shape.region)
        self.edited.emit()
        with self._not_following():
            self._study.regions = regions.with_shapes(shapes)
        if str(event.action) == "added" and shapes:
            inside = int(shapes[-1].contains(section.positions).sum())
            self.drawn.emit(shapes[-1].region, inside)

    def _show(self, regions: Regions) -> None:
        layer = self._shelf.layer(region_shapes.REGIONS)
        if not self._follows_layer:
            return
        if layer is not None:
            self._fill(layer, regions)
        elif regions.shapes:
            self.layer()

    def _fill(self, layer: Shapes, regions: Regions) -> None:
        with self._not_following():
            region_shapes.show_regions(layer, regions)
        for region in regions.classes:
            if region.name == self.region:
                region_shapes.draw_into(layer, region.name, region.colour)


def next_colour(regions: Regions) -> Colour:
    """Return a colour that no region has yet."""
    taken = {region.colour for region in regions.classes}
    palette = categorical_palette(2 * len(taken) + 2)
    free = ((float(red), float(green), float(blue)) for red, green, blue, _ in palette)
    return next(colour for colour in free if colour not in taken)


def next_name(regions: Regions) -> str:
    """Return a name that no region has yet."""
    known = {region.name for region in regions.classes}
    return next(
        name for number in range(1, len(known) + 2) if (name := f"Region {number}") not in known
    )
