"""Polygons as GeoJSON, the way QuPath reads and writes annotations."""

from __future__ import annotations

import json
import os
import warnings
from collections import defaultdict
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from PIL import ImageColor
from shapely import geometry

from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError
from napari_smoother.io.geojson_areas import areas_of, is_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


Colour = tuple[int, int, int]

UNNAMED = "Unclassified"
"""What QuPath's annotations without a class and without a name are called."""

COLOURS = ("color", "colorRGB")
"""What QuPath's versions call a colour."""

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
        Of the class, letter by letter as in the file; several polygons may share it.
    colour
        Red, green, blue, 0 to 255; None when the file gives none.
    geometry
        Valid, not empty, possibly with holes, as (x, y) in full-resolution pixels.
    identity
        The id of its feature; "" where it has none. Parts of a feature share it.
    title
        The name of the annotation itself, where it has one beside that of its class.
    locked
        Whether QuPath lets nobody move it.
    """

    name: str
    colour: Colour | None
    geometry: shapely.Polygon
    identity: str = ""
    title: str = ""
    locked: bool = False


def read_regions_geojson(path: str | Path, *, scale: float = 1.0) -> tuple[NamedPolygon, ...]:
    """Read polygons.

    Parameters
    ----------
    path
        A FeatureCollection, a list of features, a single feature, or a bare geometry.
    scale
        Pixels of the file per full-resolution pixel. For outlines drawn on a picture of Space
        Ranger it is the factor of that picture, such as ``tissue_hires_scalef``.

    Returns
    -------
    tuple of NamedPolygon
        In the order of the file, in full-resolution pixels; a MultiPolygon becomes one polygon a
        part, and so does every area in a GeometryCollection. Names and colours are
        ``properties.classification`` (``name``, ``color``), else ``properties.name`` and
        ``properties.color``; identities are ``id`` of the features, and those are locked whose
        ``properties.isLocked`` is true. Outlines that cross themselves are split where they do.
        Heights (third coordinates) are dropped.

    Raises
    ------
    InputError
        If the file is not GeoJSON, or holds no area at all.

    Warns
    -----
    UserWarning
        Once, when something is left out: what is no area, is not well formed or encloses nothing,
        and colours that cannot be read, each with the numbers of its features, from 1.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(
            f"The scale is {scale}",
            where="scale of the outlines",
            remedy="Give pixels of the file per full-resolution pixel: tissue_hires_scalef, say",
        )
    path = Path(os.path.abspath(Path(path).expanduser()))
    features = _features(_content(path), path)
    polygons: list[NamedPolygon] = []
    left_out: defaultdict[str, list[int]] = defaultdict(list)
    faded: list[int] = []
    for number, feature in enumerate(features, start=1):
        holders = _holders(feature)
        colour = _colour(holders)
        if colour is None and any(
            holder.get(key) is not None for holder in holders for key in COLOURS
        ):
            faded.append(number)
        areas, others = areas_of(feature)
        polygons += [
            NamedPolygon(
                _name(holders), colour, _scaled(area, scale), _identity(feature), *_own(holders)
            )
            for area in areas
        ]
        for other in others:
            left_out[other].append(number)
    told = ", ".join(f"{len(where)} {what} {_at(where)}" for what, where in left_out.items())
    if not polygons:
        raise InputError(
            f"The file holds no area: {told}" if told else "The file holds no area",
            where=str(path),
            remedy=EXPORT_AGAIN,
        )
    remarks = [f"left out what is no area: {told}"] if told else []
    if faded:
        remarks.append(f"chose other colours for those that cannot be read {_at(faded)}")
    if remarks:
        warnings.warn(f"{path}: {'; '.join(remarks)}.", UserWarning, stacklevel=2)
    return tuple(polygons)


def write_regions_geojson(polygons: Iterable[NamedPolygon], path: str | Path) -> None:
    """Write polygons as a FeatureCollection, whole or not at all.

    Coordinates are written to the last digit, so reading gives back the same numbers.

    Parameters
    ----------
    polygons
        In full-resolution pixels. Those of one identity that follow each other are written as
        one feature.
    path
        Where to; an existing file is replaced.

    Raises
    ------
    InputError
        If the folder does not exist, or the file cannot be written.
    """
    content = {
        "type": "FeatureCollection",
        "features": [
            _feature_of(list(parts)) for _, parts in groupby(polygons, key=_feature_key(count()))
        ],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False, indent=1), encoding="ascii")


def _feature_key(numbers: Iterator[int]) -> Callable[[NamedPolygon], tuple[object, ...]]:
    """Return what parts of a feature have in common; a polygon without identity is one itself."""
    return lambda polygon: (
        polygon.identity or next(numbers),
        polygon.name,
        polygon.title,
        polygon.locked,
    )


def _feature_of(parts: list[NamedPolygon]) -> dict[str, Any]:
    first = parts[0]
    classification: dict[str, Any] = {"name": first.name}
    if first.colour is not None:
        classification["color"] = [int(part) for part in first.colour]
    properties: dict[str, Any] = {"objectType": "annotation", "classification": classification}
    if first.title:
        properties["name"] = first.title
    if first.locked:
        properties["isLocked"] = True
    areas = [part.geometry for part in parts]
    area = areas[0] if len(areas) == 1 else shapely.MultiPolygon(areas)
    feature: dict[str, Any] = {"type": "Feature"}
    if first.identity:
        feature["id"] = first.identity
    return feature | {"geometry": geometry.mapping(area), "properties": properties}


def _content(path: Path) -> Any:
    if not path.is_file():
        raise InputError("There is no such file", where=str(path), remedy="Choose another file")
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as fault:
        raise InputError(
            f"The file is not GeoJSON: {fault}", where=str(path), remedy=EXPORT_AGAIN
        ) from fault


def _features(content: Any, path: Path) -> list[Any]:
    features: Any = None
    kind = content.get("type") if isinstance(content, dict) else None
    if isinstance(content, list):
        features = content
    elif kind == "FeatureCollection":
        features = content.get("features")
    elif kind == "Feature" or is_kind(kind):
        features = [content]
    if not isinstance(features, list):
        raise InputError(
            "The file holds no GeoJSON features", where=str(path), remedy=EXPORT_AGAIN
        )
    return features


def _holders(feature: Any) -> tuple[dict[str, Any], ...]:
    """Where QuPath's versions put name and colour: in the classification, or beside it."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(properties, dict):
        return ()
    classification = properties.get("classification")
    if isinstance(classification, str):
        classification = {"name": classification}
    return (classification, properties) if isinstance(classification, dict) else (properties,)


def _identity(feature: Any) -> str:
    return _text(feature.get("id")) if isinstance(feature, dict) else ""


def _own(holders: tuple[dict[str, Any], ...]) -> tuple[str, bool]:
    """Return the annotation's own name, where its class has one too, and whether it is locked."""
    if not holders:
        return "", False
    properties = holders[-1]
    title = "" if len(holders) == 1 or not _name(holders[:1], "") else _name(holders[1:], "")
    return title, properties.get("isLocked") is True


def _name(holders: Iterable[dict[str, Any]], otherwise: str = UNNAMED) -> str:
    """Return the first name that holds more than blanks, as it stands there."""
    for holder in holders:
        for value in (holder.get("name"), holder.get("names")):
            words = [_text(part) for part in (value if isinstance(value, list) else [value])]
            text = ": ".join(word for word in words if word.strip())
            if text:
                return text
    return otherwise


def _text(value: Any) -> str:
    """Return text or a number as text that every file can hold; nothing of anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    # Half of a pair of UTF-16, which JSON can spell, is no letter.
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _colour(holders: Iterable[dict[str, Any]]) -> Colour | None:
    for holder in holders:
        for key in COLOURS:
            found = _rgb(holder.get(key))
            if found is not None:
                return found
    return None


def _rgb(value: Any) -> Colour | None:
    """Red, green and blue of a list, a number (alpha, red, green, blue packed) or text."""
    if isinstance(value, str):
        try:
            value = list(ImageColor.getrgb(value.strip()))
        except ValueError:
            return None
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**31) <= value < 2**32:
            return None
        return (value >> 16) & 255, (value >> 8) & 255, value & 255
    if not isinstance(value, list) or len(value) not in (3, 4):
        return None
    if not all(type(part) in (int, float) and 0 <= part <= 255 for part in value):
        return None
    # 0.2 of a channel is a share of it, as in most plotting libraries.
    shares = any(part % 1 for part in value[:3]) and max(value[:3]) <= 1
    red, green, blue = (round(255 * part if shares else part) for part in value[:3])
    return red, green, blue


def _scaled(area: shapely.Polygon, scale: float) -> shapely.Polygon:
    return area if scale == 1 else shapely.transform(area, lambda corners: corners / scale)


def _at(numbers: list[int]) -> str:
    """Features by their numbers, the first few of many."""
    distinct = list(dict.fromkeys(numbers))
    shown = ", ".join(map(str, distinct[:3])) + (", …" if len(distinct) > 3 else "")
    return f"(feature{'s' if len(distinct) > 1 else ''} {shown})"
