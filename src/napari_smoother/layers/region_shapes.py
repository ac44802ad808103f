"""Outlines drawn with napari's shape tools, as outlines of regions, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Shapes

from napari_smoother.analyses.regions import RegionShape
from napari_smoother.io.regions_geojson import UNNAMED, NamedPolygon
from napari_smoother.layers.coordinates import (
    World,
    data_to_full_resolution,
    to_rows_and_columns,
    to_xy,
)
from napari_smoother.layers.tissue import SECTION, section_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_smoother.analyses.regions import Colour, Regions
    from napari_smoother.section import Section

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
        metadata={SECTION: section},
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


def outlines(layer: Shapes, world: World | None) -> tuple[tuple[RegionShape, ...], int]:
    """Return the outlines in a layer, and how many shapes are none (lines and paths).

    Parameters
    ----------
    layer
        Its feature ``region`` names the class of each shape, which is a number, from 1, where
        there is no such feature.
    world
        Of the section; None for the pixels they are drawn in.
    """
    found = []
    names = [str(number) for number in range(1, len(layer.data) + 1)]
    if REGION_FEATURE in layer.features:
        names = list(layer.features[REGION_FEATURE].astype(str))
    for data, kind, region in zip(layer.data, layer.shape_type, names, strict=True):
        if str(kind) not in AREAS:
            continue
        corners = ellipse_outline(data) if str(kind) == "ellipse" else np.asarray(data)
        if world is not None:
            corners = data_to_full_resolution(layer, world, corners)
        vertices = to_xy(corners.astype(np.float64))
        found.append(RegionShape(region, vertices))
    return tuple(found), len(layer.data) - len(found)


def polygons(shapes: Iterable[RegionShape], colours: Mapping[str, Colour]) -> list[NamedPolygon]:
    """Return outlines as the polygons of a file, one for each part of an outline.

    Parameters
    ----------
    shapes
        Outlines.
    colours
        Of the regions they are of.
    """
    return [
        NamedPolygon(shape.region, _to_bytes(colours[shape.region]), part)
        for shape in shapes
        for part in shape.area().geoms
    ]


def polygons_of(layer: Shapes) -> tuple[list[NamedPolygon], int]:
    """Return what is drawn in any layer as polygons, and how many shapes are none.

    Those of a section are in full-resolution pixels, others in the pixels they are drawn in. A
    region has the colour of the edge of its first outline.

    Parameters
    ----------
    layer
        Two-dimensional; the feature ``region`` names the class of each shape, if it is there.
    """
    if REGION_FEATURE not in layer.features:
        layer.features = layer.features.assign(**{REGION_FEATURE: UNNAMED})
    section = section_of(layer)
    shapes, n_others = outlines(layer, None if section is None else World.of(section))
    areas = np.isin([str(kind) for kind in layer.shape_type], list(AREAS))
    colours: dict[str, Colour] = {}
    for shape, (red, green, blue, _) in zip(shapes, layer.edge_color[areas], strict=True):
        colours.setdefault(shape.region, (float(red), float(green), float(blue)))
    return polygons(shapes, colours), n_others


def _to_bytes(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (round(255 * channel) for channel in colour)
    return red, green, blue


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
