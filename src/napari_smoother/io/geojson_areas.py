"""The areas in a geometry of GeoJSON, whatever somebody has written there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely.errors import ShapelyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FARTHEST = 1e9
"""No picture has more pixels along a side."""

KINDS = frozenset(
    {
        "Point",
        "MultiPoint",
        "LineString",
        "MultiLineString",
        "Polygon",
        "MultiPolygon",
        "GeometryCollection",
    }
)


def areas_of(feature: Any) -> tuple[list[shapely.Polygon], list[str]]:
    """Take the geometry of a feature apart: its valid areas, and what is none, in words."""
    areas: list[shapely.Polygon] = []
    others: list[str] = []
    waiting: list[Any] = [feature.get("geometry", feature) if isinstance(feature, dict) else None]
    while waiting:
        shape = waiting.pop()
        shape = shape if isinstance(shape, dict) else {}
        kind = shape.get("type")
        if kind == "GeometryCollection" and isinstance(shape.get("geometries"), list):
            waiting += reversed(shape["geometries"])
        elif kind == "Polygon":
            _take_polygon(shape.get("coordinates"), areas, others)
        elif kind == "MultiPolygon" and isinstance(shape.get("coordinates"), list):
            for part in shape["coordinates"]:
                _take_polygon(part, areas, others)
        elif kind is None:
            others.append("without a geometry")
        else:
            others.append(kind if is_kind(kind) else "of an unknown kind")
    return areas, others


def _take_polygon(rings: Any, areas: list[shapely.Polygon], others: list[str]) -> None:
    """Add the valid parts of one polygon to the areas, or what is wrong with it to the others."""
    try:
        rim, *holes = [_ring(ring) for ring in rings]
        # A hole of fewer than three corners takes nothing away.
        holes = [hole for hole in holes if len(np.unique(hole, axis=0)) > 2]
        found: Any = shapely.Polygon(rim, holes)
        if not found.is_valid:
            found = shapely.make_valid(found, method="structure", keep_collapsed=False)
    except (ShapelyError, ValueError, TypeError, KeyError, OverflowError):
        others.append("Polygon that is not well formed")
        return
    parts = [
        part
        for part in shapely.get_parts(found)
        if isinstance(part, shapely.Polygon) and part.area > 0
    ]
    areas += parts
    if not parts:
        others.append("Polygon that encloses nothing")


def _ring(ring: Any) -> NDArray[np.float64]:
    """Corners of a ring as (x, y); a ValueError or TypeError where they are no numbers."""
    corners = np.asarray([corner[:2] for corner in ring])
    if corners.dtype.kind not in "iuf" or corners.ndim != 2 or corners.shape[1] != 2:
        raise ValueError("not pairs of numbers")
    places = corners.astype(np.float64)
    if not (np.abs(places) <= FARTHEST).all():  # NaN is not either
        raise ValueError("not places in a picture")
    return places


def is_kind(kind: Any) -> bool:
    """Whether GeoJSON has such a geometry."""
    return isinstance(kind, str) and kind in KINDS
