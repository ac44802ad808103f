"""The two layers of the outlines of regions: those a hand can move, and what lies under them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_smoother.layers import region_shapes
from napari_smoother.layers.coordinates import World
from napari_smoother.layers.region_casing import CASING, RegionCasing
from napari_smoother.layers.region_rings import RegionRings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Shapes

    from napari_smoother.analyses.regions import Regions, RegionShape
    from napari_smoother.layers.kept_shapes import Line
    from napari_smoother.layers.shelf import Shelf
    from napari_smoother.section import Section


class RegionOutlines:
    """Shows the outlines of regions, and reads those that a hand has changed.

    Parameters
    ----------
    shelf
        Where the layers are.

    Attributes
    ----------
    follows
        Whether changes of the layer are those of a hand.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.follows = True
        self._shelf = shelf
        self._rings: RegionRings | None = None
        self._casing: RegionCasing | None = None
        self._is_outdated = False

    @property
    def layer(self) -> Shapes | None:
        """The layer that regions are drawn in, if it is there."""
        layer: Shapes | None = self._shelf.layer(region_shapes.REGIONS)
        return layer

    def make(self, section: Section) -> Shapes:
        """Return a new layer to draw the regions of a section in; it shows none yet."""
        layer = region_shapes.regions_layer(section)
        self._rings = RegionRings(layer, World.of(section))
        self._is_outdated = False
        self._shelf.add(region_shapes.REGIONS, layer)
        return layer

    @contextmanager
    def not_following(self) -> Iterator[None]:
        """Change the layer without a hand."""
        before, self.follows = self.follows, False
        try:
            yield
        finally:
            self.follows = before

    def fill(self, regions: Regions, region: str | None) -> None:
        """Make the layer show these regions; what is drawn next is an outline of one of them."""
        layer, rings = self.layer, self._rings
        if layer is None or rings is None:
            return
        self._is_outdated = False
        with self.not_following():
            rings.show(regions)
            for each in regions.classes:
                if each.name == region:
                    region_shapes.draw_into(layer, each.name, each.colour)

    def show_casing(self, regions: Regions, section: Section, stroke: Line | None = None) -> None:
        """Draw what lies under the outlines, and the stroke of a brush, which no tool reaches."""
        layer = self._shelf.layer(CASING)
        if self._casing is None or layer is None or layer is not self._casing.layer:
            self._casing = RegionCasing(section)
            self._shelf.put(CASING, self._casing.layer, below=region_shapes.REGIONS)
        self._casing.show(regions, stroke)

    def read(self, regions: Regions) -> tuple[tuple[RegionShape, ...], tuple[RegionShape, ...]]:
        """Return outlines as they are in the layer, and those that are new; see `RegionRings`."""
        return (regions.shapes, ()) if self._rings is None else self._rings.read(regions)

    def settle(self, regions: Regions, region: str | None) -> None:
        """Let the layer show what was made of what was read, once napari lets it.

        napari cannot bear that shapes are taken away while it finishes one.
        """
        layer, rings = self.layer, self._rings
        if layer is None or rings is None:
            return
        self._is_outdated = rings.misses(regions)
        if not self._is_outdated:
            with self.not_following():
                rings.number(regions)
        elif not str(layer.mode).startswith("add_"):
            self.fill(regions, region)

    def mend(self, regions: Regions, region: str | None) -> None:
        """Show the regions where the layer shows others, and all in it has been read."""
        if self._is_outdated and self.follows and self._rings is not None and self._rings.is_read:
            self.fill(regions, region)

    def end_drawing(self) -> None:
        """Let go of a shape that is half drawn: what it is drawn over has changed."""
        layer = self.layer
        tool = "" if layer is None else str(layer.mode)
        if layer is not None and tool.startswith("add_"):
            with self.not_following():
                layer.mode = "pan_zoom"
                layer.mode = tool

    def holes_of(self, rows: set[int]) -> set[int]:
        """Return which shapes are the holes of outlines that are among some shapes."""
        return set() if self._rings is None else self._rings.holes_of(rows)
