"""Regions drawn by hand: the layer they are drawn in, and what is drawn told to the study."""

from __future__ import annotations

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
from napari_smoother.layers.region_effects import WITH_ALT, applied, next_colour
from napari_smoother.layers.region_outlines import RegionOutlines

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
        Emitted when the tools are put away whose layer was selected.
    """

    drawn = Signal(str, int)
    refused = Signal(object)
    tool_changed = Signal(str)
    put_away = Signal()

    def __init__(self, shelf: Shelf, study: Study) -> None:
        self._shelf = shelf
        self._study = study
        self._outlines = RegionOutlines(shelf)
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
        layer = self._outlines.layer
        if layer is None:
            section = self._study.section
            if section is None:
                raise InputError(
                    "No section is open", where="regions", remedy="Open a section first"
                )
            layer = self._outlines.make(section)
            layer.events.data.connect(self._on_edited)
            layer.events.set_data.connect(self._on_rest)
            layer.events.mode.connect(self._on_mode)
            layer.selected_data.events.items_changed.connect(self._on_selected)
            layer.mouse_drag_callbacks.append(self._follow)
            layer.mouse_double_click_callbacks.insert(0, self._note_alt)
            self._brushes = False
            self._outlines.fill(self._study.regions, self.region)
        return layer

    # Tools

    @property
    def tool(self) -> str:
        """The tool that is at hand."""
        layer = self._outlines.layer
        if layer is None:
            return NO_TOOL
        return BRUSH if self._brushes else str(layer.mode)

    def draw_into(self, name: str) -> None:
        """Make the next shapes that are drawn outlines of a region."""
        regions = self._study.regions
        colour = regions.classes[regions.code(name)].colour
        self.region = name
        with self._outlines.not_following():
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
        layer, viewer = self._outlines.layer, self._shelf.viewer
        if layer is not None:
            layer.mode = NO_TOOL
            layer.mouse_pan = True
            layer.cursor = "standard"
            with self._outlines.not_following():
                layer.selected_data = set()
        self._brushes = False
        self.tool_changed.emit(NO_TOOL)
        if viewer is not None and viewer.layers.selection.active is layer is not None:
            self.put_away.emit()

    def resize_brush(self, diameter: float) -> None:
        """Paint with a brush of another diameter, in units of the world."""
        self.brush = diameter
        layer = self._outlines.layer
        if layer is not None and self._brushes:
            layer.cursor_size = diameter

    # What the hand does

    def _on_mode(self, event: Event) -> None:
        layer: Shapes = event.source
        if self._brushes and str(layer.mode) != NO_TOOL:
            self._brushes = False
        # napari puts its own behind it, and what it moves is to be read after it has.
        layer.mouse_drag_callbacks.remove(self._follow)
        layer.mouse_drag_callbacks.append(self._follow)
        if self._outlines.follows:
            self.tool_changed.emit(self.tool)

    def _on_selected(self, *_: object) -> None:
        """Select the holes of an outline with it, so that it is moved whole."""
        layer = self._outlines.layer
        if layer is None or not self._outlines.follows:
            return
        missed = self._outlines.holes_of(set(layer.selected_data)) - set(layer.selected_data)
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
            try:
                yield
                while event.type == "mouse_move":
                    self._read(layer)
                    yield
                self._read(layer)
            finally:
                self._before = None
                self._study.end_step()
            self._outlines.settle(self._study.regions, self.region)

    def _paint(self, layer: Shapes, event: Event) -> Iterator[None]:
        section, regions = self._study.section, self._study.regions
        if section is None or self.region is None:
            return
        diameter = self.brush / World.of(section).pixel
        stroke = Stroke(diameter / 2, self._place(layer, event))
        colour = (*regions.classes[regions.code(self.region)].colour, STROKE_OPACITY)
        self._study.begin_step()
        self._is_painting = True  # outlines are drawn once it is over: napari is slow at that
        try:
            done = self._apply(regions, stroke.area())
            while done and event.type != "mouse_release":
                self._show_casing(regions, Line(stroke.way, colour, diameter, closed=False))
                yield
                while event.type == "mouse_move" and not stroke.move(self._place(layer, event)):
                    yield
                stroke.move(self._place(layer, event), last=True)
                self._apply(regions, stroke.area())
        finally:
            self._is_painting = self._with_alt = False
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
        if not self._outlines.follows or str(event.action) not in ("added", "changed", "removed"):
            return
        layer: Shapes = event.source
        if layer is self._outlines.layer:
            self._read(layer)

    def _read(self, layer: Shapes) -> None:
        """Tell the study of the outlines in the layer."""
        study = self._study
        before = self._before or study.regions
        kept, new = self._outlines.read(before)
        regions = region_edits.reshaped(before, kept, study.spots)
        told: list[tuple[str, int]] = []
        for shape in new:
            try:
                regions = self._with_drawn(regions, shape)
                if self._present_effect == "add":
                    told.append((shape.region, len(study.spots.outline(shape))))
            except InputError as error:
                self.refused.emit(error)
        with self._outlines.not_following():
            study.regions = regions
        if new:
            self._with_alt = False
            with self._outlines.not_following():
                layer.selected_data = set()  # whose handles would hide the line
        if self._before is None:
            self._outlines.settle(study.regions, self.region)
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

    def _on_rest(self, event: Event) -> None:
        """Mend what the layer shows once napari has finished a shape."""
        if self._before is None:
            self._outlines.mend(self._study.regions, self.region)

    def _show(self, regions: Regions) -> None:
        outlines = self._outlines
        if self._is_painting or (outlines.layer is None and not regions.shapes):
            return
        if outlines.layer is None:
            self.layer()
        elif outlines.follows:
            self._before = None
            outlines.end_drawing()
            outlines.fill(regions, self.region)
        self._show_casing(regions)

    def _show_casing(self, regions: Regions, stroke: Line | None = None) -> None:
        section = self._study.section
        if section is not None:
            self._outlines.show_casing(regions, section, stroke)
