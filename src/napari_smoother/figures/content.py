"""What every picture of a figure shows, whichever the panel: image, edges, spots, outlines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.figures import drawing
from napari_smoother.figures.layout import points_per_pixel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from napari_smoother.figures.drawing import Extent
    from napari_smoother.figures.panels import EdgeOverlay, Panel, RegionOutline
    from napari_smoother.section import Section, SectionImage

VECTOR_SPOTS = 20_000
"""Most spots, and most edges, that vector files hold as shapes."""


@dataclass(frozen=True, slots=True)
class Content:
    """What every picture of a figure has, beside the colours of its spots.

    Parameters
    ----------
    section
        The spots.
    diameter
        Of a spot, in full-resolution pixels.
    image, image_opacity
        Behind them.
    edges, outlines
        Under and over them.
    paper
        Red, green, blue of the page.
    spots_as_picture, edges_as_picture
        Whether vector files hold pixels in place of shapes.
    """

    section: Section
    diameter: float
    image: SectionImage | None
    image_opacity: float
    edges: EdgeOverlay | None
    outlines: tuple[RegionOutline, ...]
    paper: tuple[float, float, float]
    spots_as_picture: bool = False
    edges_as_picture: bool = False

    def rasterised_past(
        self, most: int, panels: Sequence[Panel], views: Sequence[Extent]
    ) -> Content:
        """Return the same, with pictures of what would be more than so many shapes."""
        spots = count_spots(self.section, panels, views, self.diameter)
        lines = 0 if self.edges is None else len(self.edges.segments) * len(panels) * len(views)
        return replace(self, spots_as_picture=spots > most, edges_as_picture=lines > most)

    def draw(self, axes: Axes, panel: Panel, view: Extent, width: float, name: str) -> None:
        """Draw one picture, ``width`` millimetres wide."""
        section = self.section
        if self.image is not None:
            drawing.draw_image(axes, self.image, view, self.image_opacity, f"image-{name}")
        axes.set_xlim(view[0], view[1])
        axes.set_ylim(view[3], view[2])
        if self.edges is not None:
            drawing.draw_edges(
                axes, self.edges, view, f"edges-{name}", as_picture=self.edges_as_picture
            )
        drawn = drawing.in_view(section, view, self.diameter)
        if panel.visible is not None:
            drawn &= panel.visible
        drawing.draw_spots(
            axes,
            section,
            panel,
            drawn,
            f"spots-{name}",
            diameter=self.diameter,
            page=self.paper,
            points_per_pixel=points_per_pixel(width, view),
            as_picture=self.spots_as_picture,
        )
        drawing.draw_outlines(axes, self.outlines, 1.0, f"outline-{name}")


def count_spots(
    section: Section,
    panels: Sequence[Panel],
    views: Sequence[Extent],
    diameter: float | None = None,
) -> int:
    """Return how many circles a figure of panels, each in several extents, draws."""
    seen = [drawing.in_view(section, view, diameter) for view in views]
    return sum(
        int(np.sum(each if panel.visible is None else each & panel.visible))
        for panel in panels
        for each in seen
    )
