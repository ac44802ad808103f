"""Outlines drawn with napari's shape tools, as outlines of regions, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Shapes

from napari_smoother.analyses.regions import RegionShape
from napari_smoother.io.regions_geojson import UNNAMED, NamedPolygon
from napari_smoother.layers.coordinates import (
    World,
    data_to_full_resolution,
    to_xy,
)
from napari_smoother.layers.tissue import SECTION, section_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_smoother.analyses.regions import Colour
    from napari_smoother.section import Section

REGIONS = "regions"
REGION_FEATURE = "region"
OUTLINE_FEATURE = "outline number"
"""Which outline of its regions a shape is of, from 0; -1 for one that was just drawn."""

PART_FEATURE = "outline part"
"""0 for the outline itself, 1, 2, ... for the holes in it."""

AREAS = frozenset({"polygon", "rectangle", "ellipse"})
ELLIPSE_CORNERS = 96


def regions_layer(section: Section) -> Shapes:
    """Return an empty layer to draw regions in."""
    world = World.of(section)
    layer = Shapes(
        ndim=2,
        name=REGIONS,
        features=features_of([]),
        edge_width=outline_width(section),
        scale=world.scale,
        units=world.units,
        opacity=1.0,
        metadata={SECTION: section},
    )
    layer.current_edge_width = outline_width(section)
    return layer


def features_of(rows: Sequence[tuple[str, int, int]]) -> pd.DataFrame:
    """Return the features of shapes: region, number of the outline, and part of it."""
    names, places, parts = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame(
        {
            REGION_FEATURE: pd.Series(names, dtype=object),
            OUTLINE_FEATURE: np.array(places, dtype=np.int64),
            PART_FEATURE: np.array(parts, dtype=np.int64),
        }
    )


def outline_width(section: Section) -> float:
    """Return a width for outlines that is visible on the whole section, in pixels."""
    return max(1.0, 0.006 * float(np.ptp(section.positions, axis=0).max(initial=0.0)))


def draw_into(layer: Shapes, region: str, colour: Colour) -> None:
    """Make the next shapes that are drawn outlines of a region."""
    # napari repaints the selected shapes when a current colour is set.
    layer.selected_data = set()
    layer.feature_defaults = features_of([(region, -1, 0)])
    layer.current_edge_color = (*colour, 1.0)
    # A tint over the spots would make their colours other than their key says.
    layer.current_face_color = (*colour, 0.0)


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
    features = layer.features
    numbers = np.arange(len(layer.data))
    names = features.get(REGION_FEATURE, pd.Series(numbers + 1)).astype(str)
    places = features.get(OUTLINE_FEATURE, pd.Series(np.full(len(numbers), -1)))
    parts = features.get(PART_FEATURE, pd.Series(np.zeros(len(numbers), dtype=int)))
    shapes: list[RegionShape] = []
    at: dict[int, int] = {}
    holes: list[tuple[int, NDArray[np.float64]]] = []
    rows = zip(layer.data, layer.shape_type, names, places, parts, strict=True)
    n_areas = 0
    for data, kind, region, place, part in rows:
        if str(kind) not in AREAS:
            continue
        n_areas += 1
        corners = corners_of(layer, world, data, str(kind))
        if part > 0:
            holes.append((place, corners))
            continue
        if place >= 0:
            at.setdefault(place, len(shapes))
        shapes.append(RegionShape(region, corners))
    for place, hole in holes:
        if place in at:
            rim = shapes[at[place]]
            shapes[at[place]] = replace(rim, holes=(*rim.holes, hole))
    return tuple(shapes), len(layer.data) - n_areas


def corners_of(
    layer: Shapes, world: World | None, data: NDArray[np.floating], kind: str
) -> NDArray[np.float64]:
    """Return the corners of a shape in a layer, m x 2 (x, y), to the bit where nothing is moved.

    Parameters
    ----------
    layer
        That it is in.
    world
        Of the section; None for the pixels it is drawn in.
    data
        Of the shape.
    kind
        ``"polygon"``, ``"rectangle"`` or ``"ellipse"``.
    """
    corners = ellipse_outline(data) if kind == "ellipse" else np.asarray(data)
    if world is not None:
        placed = data_to_full_resolution(layer, world, corners)
        # Only a layer that was moved by hand is elsewhere by more than the last digit.
        far = np.abs(placed - corners).max(initial=0) > 1e-9 * np.abs(corners).max(initial=0)
        corners = placed if far else corners
    return to_xy(corners.astype(np.float64))


def polygons(
    shapes: Iterable[RegionShape],
    colours: Mapping[str, Colour],
    locked: Collection[str] = (),
) -> list[NamedPolygon]:
    """Return outlines as the polygons of a file, one for each part of an outline.

    Parameters
    ----------
    shapes
        Outlines.
    colours
        Of the regions they are of.
    locked
        Names of the regions that are locked.
    """
    return [
        NamedPolygon(
            shape.region,
            _to_bytes(colours[shape.region]),
            part,
            shape.identity,
            shape.title,
            shape.region in locked,
        )
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
    colours: dict[str, Colour] = {}
    names = layer.features[REGION_FEATURE].astype(str)
    for region, (red, green, blue, _) in zip(names, layer.edge_color, strict=True):
        colours.setdefault(region, (float(red), float(green), float(blue)))
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
