"""What makes outlines seen on dark and on light tissue: a wider line under each.

Outlines of locked regions are drawn here too, where no tool reaches them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Shapes

from napari_smoother.layers.coordinates import World
from napari_smoother.layers.kept_shapes import KeptShapes, Line
from napari_smoother.layers.region_shapes import outline_width
from napari_smoother.layers.tissue import SECTION

if TYPE_CHECKING:
    from napari_smoother.analyses.regions import Colour, Regions
    from napari_smoother.section import Section

CASING = "rims of regions"
TIMES_WIDER = 2.2
"""Width of the line below relative to that of the outline."""

DARK, LIGHT = (0.05, 0.05, 0.05, 0.85), (1.0, 1.0, 1.0, 0.85)


class RegionCasing:
    """The lines under the outlines of regions.

    Parameters
    ----------
    section
        Whose regions they are.
    """

    def __init__(self, section: Section) -> None:
        world = World.of(section)
        self.layer = Shapes(
            ndim=2,
            name=CASING,
            scale=world.scale,
            units=world.units,
            opacity=1.0,
            metadata={SECTION: section},
        )
        self.layer.editable = False
        self._width = outline_width(section)
        self._kept = KeptShapes(self.layer, "path")

    def show(self, regions: Regions, stroke: Line | None = None) -> None:
        """Draw the lines of the regions that are visible, and the stroke of a brush."""
        seen = {region.name: region for region in regions.classes if region.visible}
        shapes = [shape for shape in regions.shapes if shape.region in seen]
        lines = [
            Line(ring, contrast_to(seen[shape.region].colour), TIMES_WIDER * self._width)
            for shape in shapes
            for ring in shape.rings
        ]
        lines += [
            Line(ring, (*seen[shape.region].colour, 1.0), self._width)
            for shape in shapes
            if seen[shape.region].locked
            for ring in shape.rings
        ]
        if stroke is not None:
            lines.append(stroke)
        self._kept.show(lines)
        self.layer.editable = False  # napari thinks again whenever data come


def contrast_to(colour: Colour) -> tuple[float, float, float, float]:
    """Return a dark colour for a light one, and a light colour for a dark one."""
    red, green, blue = colour
    return DARK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 else LIGHT
