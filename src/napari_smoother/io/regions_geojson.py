"""Polygons as GeoJSON, the way QuPath reads and writes annotations."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely import geometry
from shapely.errors import ShapelyError

from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

UNNAMED = "Unclassified"
"""What QuPath's annotations without a class and without a name are called."""

EXPORT_AGAIN = (
    "Export the annotations as GeoJSON again, areas only "
    "(in QuPath: File > Export objects as GeoJSON)"
)


@dataclass(frozen=True, slots=True, eq=False)
class NamedPolygon:
    """An area of the tissue and the class it belongs to.

    Parameters
    ----------
    name
        Of the class; several polygons may share it.
    colour
        Red, green, blue, 0 to 255; None when the file gives none.
    geometry
        Valid, not empty, possibly with holes, as (x, y) in full-resolution pixels.
    """

    name: str
    colour: tuple[int, int, int] | None
    geometry: shapely.Polygon


def read_regions_geojson(path: str | Path) -> tuple[NamedPolygon, ...]:
    """Read polygons.

    Parameters
    ----------
    path
        A FeatureCollection, a list of features, a single feature, or a bare Polygon or
        MultiPolygon, in full-resolution pixels.

    Returns
    -------
    tuple of NamedPolygon
        In the order of the file; a MultiPolygon becomes one polygon a part. Names and colours
        are ``properties.classification`` (``name``, ``color``), else ``properties.name`` and
        ``properties.color``. Outlines that cross themselves are split where they do. Heights
        (third coordinates) are dropped.

    Raises
    ------
    InputError
        If the file is not GeoJSON, or a feature is no area; the feature is numbered from 1.
    """
    path = Path(os.path.abspath(Path(path).expanduser()))
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as fault:
        raise InputError(
            "There is no such file", where=str(path), remedy="Choose another file"
        ) from fault
    except (OSError, ValueError) as fault:
        raise InputError(
            f"The file is not GeoJSON: {fault}", where=str(path), remedy=EXPORT_AGAIN
        ) from fault
    polygons: list[NamedPolygon] = []
    for number, feature in enumerate(_features(content, path), start=1):
        where = f"{path}, feature {number}"
        name, colour = _class_of(feature, where)
        polygons += [
            NamedPolygon(name, colour, part) for part in _parts(feature.get("geometry"), where)
        ]
    if not polygons:
        raise InputError("The file holds no polygon", where=str(path), remedy=EXPORT_AGAIN)
    return tuple(polygons)


def write_regions_geojson(polygons: Iterable[NamedPolygon], path: str | Path) -> None:
    """Write polygons as a FeatureCollection, whole or not at all.

    Coordinates are written to the last digit, so reading gives back the same numbers.

    Parameters
    ----------
    polygons
        In full-resolution pixels.
    path
        Where to; an existing file is replaced.

    Raises
    ------
    InputError
        If the folder does not exist.
    """
    content = {
        "type": "FeatureCollection",
        "features": [_feature_of(polygon) for polygon in polygons],
    }
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1), encoding="utf-8"
        )


def _feature_of(polygon: NamedPolygon) -> dict[str, Any]:
    classification: dict[str, Any] = {"name": polygon.name}
    if polygon.colour is not None:
        classification["color"] = [int(part) for part in polygon.colour]
    return {
        "type": "Feature",
        "geometry": geometry.mapping(polygon.geometry),
        "properties": {"objectType": "annotation", "classification": classification},
    }


def _features(content: Any, path: Path) -> list[dict[str, Any]]:
    features: Any = None
    if isinstance(content, list):
        features = content
    elif isinstance(content, dict) and content.get("type") == "FeatureCollection":
        features = content.get("features")
    elif isinstance(content, dict) and content.get("type") == "Feature":
        features = [content]
    elif isinstance(content, dict) and content.get("type") in ("Polygon", "MultiPolygon"):
        features = [{"geometry": content, "properties": None}]
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise InputError(
            "The file holds no GeoJSON features", where=str(path), remedy=EXPORT_AGAIN
        )
    return features


def _class_of(feature: dict[str, Any], where: str) -> tuple[str, tuple[int, int, int] | None]:
    """Name and colour of the class, wherever QuPath's versions put them."""
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    classification = properties.get("classification")
    if isinstance(classification, str):
        classification = {"name": classification}
    classification = classification if isinstance(classification, dict) else {}
    names = classification.get("names")
    derived = ": ".join(map(str, names)) if isinstance(names, list) else None
    name = classification.get("name") or derived or properties.get("name") or UNNAMED
    for holder in (classification, properties):
        if "color" in holder:
            return str(name), _colour(holder["color"], where)
        if isinstance(
            holder.get("colorRGB"), int
        ):  # QuPath 0.2: packed as alpha, red, green, blue
            packed = holder["colorRGB"]
            return str(name), ((packed >> 16) & 255, (packed >> 8) & 255, packed & 255)
    return str(name), None


def _colour(value: Any, where: str) -> tuple[int, int, int] | None:
    if value is None:
        return None
    if (
        isinstance(value, list)
        and len(value) in (3, 4)
        and all(isinstance(part, int) and 0 <= part <= 255 for part in value)
    ):
        return (value[0], value[1], value[2])
    raise InputError(
        f"The colour {value!r} is not [red, green, blue] from 0 to 255",
        where=f"{where}, color",
        remedy="Mend or remove the colour",
    )


def _parts(shape: Any, where: str) -> list[shapely.Polygon]:
    """Take a geometry apart into valid polygons."""
    kind = shape.get("type") if isinstance(shape, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(
            f"A {kind} is not an area" if kind else "The feature has no geometry",
            where=where,
            remedy="Only polygons can be regions; " + EXPORT_AGAIN[0].lower() + EXPORT_AGAIN[1:],
        )
    try:
        found = shapely.force_2d(geometry.shape(shape))
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as fault:
        raise InputError(
            f"The {kind} is not well formed: {fault}", where=where, remedy=EXPORT_AGAIN
        ) from fault
    if not np.isfinite(shapely.get_coordinates(found)).all():
        raise InputError(
            f"The {kind} has corners without finite coordinates",
            where=where,
            remedy=EXPORT_AGAIN,
        )
    if not found.is_valid:
        found = shapely.make_valid(found, method="structure", keep_collapsed=False)
    parts = [
        part
        for part in shapely.get_parts(found)
        if isinstance(part, shapely.Polygon) and part.area > 0
    ]
    if not parts:
        raise InputError(
            f"The {kind} encloses no area",
            where=where,
            remedy="Remove it, or draw it again",
        )
    return parts
