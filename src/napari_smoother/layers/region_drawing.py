"""Regions drawn by hand: the layer they are drawn in, and what is drawn told to the study."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_smoother.analyses import region_edits
from napari_smoother.analyses.regions import RegionClass
from napari_smoother.errors import InputError
from napari_smoother.layers import region_shapes
from napari_smoother.layers.coordinates import World, data_to_full_resolution, to_xy
from napari_smoother.layers.kept_shapes import Line
from napari_smoother.layers.region_brush import Stroke
from napari_smoother.layers.region_casing import CASING, RegionCasing
from napari_smoother.layers.region_effects import WITH_ALT, applied, next_colour
from napari_smoother.layers.region_rings import RegionRings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import shapely
    from napari.layers import Shapes
    from napari.utils.events import Event
    from numpy.typing import NDArray

    from napari_smoother.analyses.regions import Regions, RegionShape
    from napari_smoother.layers.region_effects import Effect
    from napari_smoother.layers.shelf import Shelf
    from napari_smoother.study.study import Study

NO_TOOL = "pan_zoom"
"""napari's name for moving the picture."""

BRUSH = "brush"
"""Our only tool that napari does not have."""

STROKE_OPACITY = 0.35
"""Of the way of a brush while it paints."""

MOVING = frozenset({"select", "direct"})
"""Tools that move outlines as long as the button is held."""


class RegionDrawing:
    """The outlines of a study's regions in a layer of shapes, both ways.

    Parameters
    ----------
    shelf
        Where the layers are.
    study
        Whose regions they are.

    Attributes
    ----------
    region : str or None
        The region that the next outline will belong to.
    effect
        What becomes of an area that is drawn; another with Alt held.
    brush
        Diameter of the brush, in units of the world.
    drawn
        Emitted with the name of a region and the number of spots in the outline just drawn.
    refused
        Emitted with the `InputError` where an edit cannot be made.
    tool_changed
        Emitted with the tool that is at hand: one of napari's for shapes, `BRUSH` or `NO_TOOL`.
    put_away
        Emitted when the tools are put away.
    """

    drawn = Signal(str, int)
    refused = Signal(object)
    tool_changed = Signal(str)
    put_away = Signal()

    def __init__(self, shelf: Shelf, study: Study) -> None:
        self._shelf = shelf
        self._study = study
        self._follows_layer = True
        self._rings: RegionRings | None = None
        self._casing: RegionCasing | None = None
        self._is_outdated = False
        self._before: Regions | None = None  # as the hand that is moving them found them
        self._with_alt = False
        self._is_painting = False
        self._brushes = False
        self.region: str | None = None
        self.effect: Effect = "add"
        self.brush = 100.0
        study.regions_changed.connect(self._show)

    # The layers

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
            self._rings = RegionRings(layer, World.of(section))
            self._shelf.add(region_shapes.REGIONS, layer)
            layer.events.data.connect(self._on_edited)
            layer.events.set_data.connect(self._on_rest)
            layer.events.mode.connect(self._on_mode)
            layer.selected_data.events.items_changed.connect(self._on_selected)
            layer.mouse_drag_callbacks.append(self._follow)
            layer.mouse_double_click_callbacks.insert(0, self._note_alt)
            self._brushes = False
            self._fill(self._study.regions)
        return layer

    def _show_casing(self, regions: Regions, stroke: Line | None = None) -> None:
        """Draw what lies under the outlines, which nobody but us touches."""
        section = self._study.section
        if section is None:
            return
        layer = self._shelf.layer(CASING)
        if self._casing is None or layer is None or layer is not self._casing.layer:
            self._casing = RegionCasing(section)
            self._shelf.put(CASING, self._casing.layer, below=region_shapes.REGIONS)
        self._casing.show(regions, stroke)

    # Tools

    @property
    def tool(self) -> str:
        """The tool that is at hand."""
        layer = self._shelf.layer(region_shapes.REGIONS)
        if layer is None:
            return NO_TOOL
        return BRUSH if self._brushes else str(layer.mode)

    def draw_into(self, name: str) -> None:
        """Make the next shapes that are drawn outlines of a region."""
        regions = self._study.regions
        colour = regions.classes[regions.code(name)].colour
        self.region = name
        with self._not_following():
            region_shapes.draw_into(self.layer(), name, colour)

    def start(self, tool: str) -> None:
        """Select the layer and a tool: one of napari's for shapes, or `BRUSH`."""
        viewer = self._shelf.viewer
        if viewer is None or self._study.section is None:
            return
        layer = self.layer()
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.mode = NO_TOOL if tool == BRUSH else tool
        self._brushes = tool == BRUSH
        if self._brushes:
            layer.mouse_pan = False
            layer.cursor = "circle"
            self.resize_brush(self.brush)
        self.tool_changed.emit(self.tool)

    def stop(self) -> None:
        """Put the tools away."""
        layer = self._shelf.layer(region_shapes.REGIONS)
        if layer is not None:
            layer.mode = NO_TOOL
            layer.mouse_pan = True
            layer.cursor = "standard"
            with self._not_following():
                layer.selected_data = set()
        self._brushes = False
        self.tool_changed.emit(NO_TOOL)
        self.put_away.emit()

    def resize_brush(self, diameter: float) -> None:
        """Paint with a brush of another diameter, in units of the world."""
        self.brush = diameter
        layer = self._shelf.layer(region_shapes.REGIONS)
        if layer is not None and self._brushes:
            layer.cursor_size = diameter

    # What the hand does

    @contextmanager
    def _not_following(self) -> Iterator[None]:
        before, self._follows_layer = self._follows_layer, False
        try:
            yield
        finally:
            self._follows_layer = before

    def _on_mode(self, event: Event) -> None:
        layer: Shapes = event.source
        if self._brushes and str(layer.mode) != NO_TOOL:
            self._brushes = False
        # napari puts its own behind it, and what it moves is to be read after it has.
        layer.mouse_drag_callbacks.remove(self._follow)
        layer.mouse_drag_callbacks.append(self._follow)
        if self._follows_layer:
            self.tool_changed.emit(self.tool)

    def _on_selected(self, *_: object) -> None:
        """Select the holes of an outline with it, so that it is moved whole."""
        layer = self._shelf.layer(region_shapes.REGIONS)
        if layer is None or self._rings is None or not self._follows_layer:
            return
        missed = self._rings.holes_of(set(layer.selected_data)) - set(layer.selected_data)
        if missed:
            layer.selected_data = set(layer.selected_data) | missed

    @property
    def _present_effect(self) -> Effect:
        return WITH_ALT[self.effect] if self._with_alt else self.effect

    def _note_alt(self, layer: Shapes, event: Event) -> None:
        self._with_alt = "Alt" in event.modifiers

    def _follow(self, layer: Shapes, event: Event) -> Iterator[None]:
        """Follow the hand as long as it holds the button."""
        self._note_alt(layer, event)
        if self._brushes:
            yield from self._paint(layer, event)
        elif str(layer.mode) in MOVING:
            self._study.begin_step()
            self._before = self._study.regions
            yield
            while event.type == "mouse_move":
                self._read(layer)
                yield
            self._read(layer)
            self._before = None
            self._study.end_step()
            if self._rings is not None:
                self._settle(layer, self._rings)

    def _paint(self, layer: Shapes, event: Event) -> Iterator[None]:
        section, regions = self._study.section, self._study.regions
        if section is None or self.region is None:
            return
        diameter = self.brush / World.of(section).pixel
        stroke = Stroke(diameter / 2, self._place(layer, event))
        colour = (*regions.classes[regions.code(self.region)].colour, STROKE_OPACITY)
        self._study.begin_step()
        self._is_painting = True  # outlines are drawn once it is over: napari is slow at that
        done = self._apply(regions, stroke.area())
        while done and event.type != "mouse_release":
            self._show_casing(regions, Line(stroke.way, colour, diameter, closed=False))
            yield
            while event.type == "mouse_move" and not stroke.move(self._place(layer, event)):
                yield
            stroke.move(self._place(layer, event), last=True)
            self._apply(regions, stroke.area())
        self._is_painting = False
        self._study.end_step()
        self._show(self._study.regions)

    def _place(self, layer: Shapes, event: Event) -> NDArray[np.float64]:
        section = self._study.section
        assert section is not None
        data = np.asarray(layer.world_to_data(event.position))[None]
        (place,) = to_xy(data_to_full_resolution(layer, World.of(section), data))
        return np.asarray(place)

    def _apply(self, regions: Regions, area: shapely.Geometry) -> bool:
        """Paint an area over the regions as they were; whether that could be done."""
        study, name = self._study, self.region
        assert name is not None
        try:
            study.regions = applied(regions, name, area, self._present_effect, study.spots)
        except InputError as error:
            self.refused.emit(error)
            return False
        return True

    def _on_edited(self, event: Event) -> None:
        if not self._follows_layer or str(event.action) not in ("added", "changed", "removed"):
            return
        layer: Shapes = event.source
        if layer is self._shelf.layer(region_shapes.REGIONS):
            self._read(layer)

    def _read(self, layer: Shapes) -> None:
        """Tell the study of the outlines in the layer."""
        study, rings = self._study, self._rings
        before = self._before or study.regions
        if rings is None:
            return
        kept, new = rings.read(before)
        regions = region_edits.reshaped(before, kept, study.spots)
        told: list[tuple[str, int]] = []
        for shape in new:
            try:
                regions = self._with_drawn(regions, shape)
                if self._present_effect == "add":
                    told.append((shape.region, len(study.spots.outline(shape))))
            except InputError as error:
                self.refused.emit(error)
        with self._not_following():
            study.regions = regions
        if new:
            with self._not_following():
                layer.selected_data = set()  # whose handles would hide the line
        if self._before is None:
            self._settle(layer, rings)
        for each in told:
            self.drawn.emit(*each)

    def _with_drawn(self, regions: Regions, shape: RegionShape) -> Regions:
        """Return the regions with an outline just drawn, or what it is to do."""
        spots, effect = self._study.spots, self._present_effect
        if shape.region not in regions.names:
            regions = regions.with_class(RegionClass(shape.region, next_colour(regions)))
        if effect == "add":
            return region_edits.drawn(regions, shape, spots)
        return applied(regions, shape.region, shape.area(), effect, spots)

    # What is shown

    def _settle(self, layer: Shapes, rings: RegionRings) -> None:
        """Let the layer show what the study has made of what was read."""
        self._is_outdated = rings.misses(self._study.regions)
        if not self._is_outdated:
            with self._not_following():
                rings.number(self._study.regions)
        elif not str(layer.mode).startswith("add_"):
            self._mend()

    def _on_rest(self, event: Event) -> None:
        """Mend what the layer shows once napari has finished a shape.

        It cannot bear that shapes are taken away before.
        """
        if self._follows_layer and self._rings is not None and self._rings.is_read:
            self._mend()

    def _mend(self) -> None:
        """Show the regions where the layer shows others."""
        if self._is_outdated:
            self._is_outdated = False
            self._fill(self._study.regions)

    def _show(self, regions: Regions) -> None:
        layer = self._shelf.layer(region_shapes.REGIONS)
        if self._is_painting or (layer is None and not regions.shapes):
            return
        if layer is None:
            self.layer()
        elif self._follows_layer:
            self._before = None
            self._end_drawing(layer)
            self._fill(regions)
        self._show_casing(regions)

    def _end_drawing(self, layer: Shapes) -> None:
        """Let go of a shape that is half drawn: what it is drawn over has changed."""
        tool = str(layer.mode)
        if tool.startswith("add_"):
            with self._not_following():
                layer.mode = NO_TOOL
                layer.mode = tool

    def _fill(self, regions: Regions) -> None:
        layer, rings = self._shelf.layer(region_shapes.REGIONS), self._rings
        if layer is None or rings is None:
            return
        with self._not_following():
            rings.show(regions)
            for region in regions.classes:
                if region.name == self.region:
                    region_shapes.draw_into(layer, region.name, region.colour)
