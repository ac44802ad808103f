"""Outlines drawn with napari's shape tools, as outlines of regions, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Shapes

from napari_smoother.layers.coordinates import (
    World,
    data_to_full_resolution,
    to_rows_and_columns,
    to_xy,
)
from napari_smoother.study.regions import RegionShape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_smoother.section import Section
    from napari_smoother.study.regions import Colour, Regions

REGIONS = "regions"
REGION_FEATURE = "region"
AREAS = frozenset({"polygon", "rectangle", "ellipse"})
FACE_OPACITY = 0.0
"""A tint over the spots would make their colours other than their key says."""

ELLIPSE_CORNERS = 96


def regions_layer(section: Section) -> Shapes:
    """Return an empty layer to draw regions in."""
    world = World.of(section)
    return Shapes(
        ndim=2,
        name=REGIONS,
        features=pd.DataFrame({REGION_FEATURE: pd.Series(dtype=str)}),
        edge_width=outline_width(section),
        scale=world.scale,
        units=world.units,
        opacity=1.0,
    )


def outline_width(section: Section) -> float:
    """Return a width for outlines that is visible on the whole section, in pixels."""
    return max(1.0, 0.004 * float(np.ptp(section.positions, axis=0).max(initial=0.0)))


def draw_into(layer: Shapes, region: str, colour: Colour) -> None:
    """Make the next shapes that are drawn outlines of a region."""
    # napari repaints the selected shapes when a current colour is set.
    layer.selected_data = set()
    layer.feature_defaults = pd.DataFrame({REGION_FEATURE: [region]})
    layer.current_edge_color = (*colour, 1.0)
    layer.current_face_color = (*colour, FACE_OPACITY)


def outlines(layer: Shapes, world: World) -> tuple[tuple[RegionShape, ...], int]:
    """Return the outlines in a layer, and how many shapes are none (lines and paths).

    Parameters
    ----------
    layer
        Its feature ``region`` names the class of each shape.
    world
        Of the section.
    """
    found = []
    names = layer.features[REGION_FEATURE].astype(str)
    for data, kind, region in zip(layer.data, layer.shape_type, names, strict=True):
        if str(kind) not in AREAS:
            continue
        corners = ellipse_outline(data) if str(kind) == "ellipse" else np.asarray(data)
        vertices = to_xy(data_to_full_resolution(layer, world, corners))
        found.append(RegionShape(region, vertices))
    return tuple(found), len(layer.data) - len(found)


def ellipse_outline(corners: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the outline of an ellipse given by the corners of the rectangle around it.

    Parameters
    ----------
    corners
        4 x 2, in turn.
    """
    centre = corners.mean(axis=0)
    first, second = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    angles = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)
    return np.asarray(centre + np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second)


def show_regions(layer: Shapes, regions: Regions) -> None:
    """Make a layer show exactly these regions."""
    layer.selected_data = set()
    layer.data = []
    colours = {region.name: region.colour for region in regions.classes}
    _add(layer, regions.shapes, colours)


def _add(layer: Shapes, shapes: Sequence[RegionShape], colours: dict[str, Colour]) -> None:
    if not shapes:
        return
    layer.add_polygons(
        [to_rows_and_columns(shape.vertices) for shape in shapes],
        edge_color=[(*colours[shape.region], 1.0) for shape in shapes],
        face_color=[(*colours[shape.region], FACE_OPACITY) for shape in shapes],
    )
    layer.features = pd.DataFrame({REGION_FEATURE: [shape.region for shape in shapes]})
