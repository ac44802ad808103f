"""Say which region each point of a layer is in."""

from __future__ import annotations

from functools import partial

import napari.layers
import napari.viewer
from magicgui import magic_factory

from napari_smoother.layers import point_features
from napari_smoother.widgets.commands.form import add_result, in_thread, told
from napari_smoother.widgets.notices import tell_warning


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
        n_points = len(points.data)
        outlines, n_others = point_features.outlines_of(shapes)
        work = partial(point_features.regions_of, point_features.positions_of(points), outlines)
        if n_others:
            tell_warning(
                f"{n_others} of {len(shapes.data)} shapes in {shapes.name} are left out: lines "
                "and paths enclose no area."
            )
        in_thread(
            viewer,
            points,
            lambda cancelled: work(),
            lambda names: add_result(viewer, points, n_points, {"region": names}),
            f"regions of {points.name}",
        )
