"""Say which region each point of a layer is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari.layers
import napari.viewer
from magicgui import magic_factory

from napari_smoother.layers import point_features
from napari_smoother.widgets.commands.form import Result, in_thread, show, told
from napari_smoother.widgets.notices import tell_warning

if TYPE_CHECKING:
    from collections.abc import Callable


@magic_factory(call_button="Assign regions")
def regions_of_points(
    viewer: napari.viewer.Viewer,
    points: napari.layers.Points,
    shapes: napari.layers.Shapes,
) -> None:
    """Add the name of the region that each point is in as a feature.

    Parameters
    ----------
    viewer
        That both layers are in.
    points
        Any layer of points in two dimensions.
    shapes
        Polygons, rectangles and ellipses. Their names are their feature "region", or numbers
        from 1 where there is none. A point on an outline belongs to it, and where two overlap
        to the later one.
    """
    with told():
        outlines, n_others = point_features.outlines_of(shapes)
        positions = point_features.positions_of(points)
        if n_others:
            tell_warning(
                f"{n_others} of {len(shapes.data)} shapes in {shapes.name} are left out: lines "
                "and paths enclose no area."
            )

        def work(cancelled: Callable[[], bool]) -> Result:
            return Result({"region": point_features.regions_of(positions, outlines)})

        in_thread(viewer, points, work, show, f"regions of {points.name}")
