"""Which spots of a section lie within areas, quickly again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class Outline(Protocol):
    """What encloses an area, and never changes."""

    def area(self) -> shapely.MultiPolygon:
        """Return the area inside."""


class SpotsWithin:
    """The spots of one section, sorted by place; those within outlines are remembered.

    Parameters
    ----------
    positions
        n x 2, (x, y) in full-resolution pixels.
    """

    def __init__(self, positions: NDArray[np.float64]) -> None:
        self.positions = positions
        self._sorted: tuple[NDArray[np.intp], NDArray[np.float64]] | None = None
        self._areas: dict[int, tuple[Outline, shapely.MultiPolygon]] = {}
        self._known: dict[int, tuple[Outline, NDArray[np.intp]]] = {}

    def __len__(self) -> int:
        return len(self.positions)

    def area(self, area: shapely.Geometry) -> NDArray[np.intp]:
        """Return the spots within an area or on its rim, in no order."""
        if shapely.is_empty(area):
            return np.empty(0, dtype=np.intp)
        if self._sorted is None:
            order = np.argsort(self.positions[:, 0], kind="stable")
            self._sorted = order, self.positions[order, 0]
        order, across = self._sorted
        left, low, right, high = shapely.bounds(area)
        first, last = np.searchsorted(across, left), np.searchsorted(across, right, side="right")
        near = order[first:last]
        down = self.positions[near, 1]
        near = near[(down >= low) & (down <= high)]
        shapely.prepare(area)
        inside = shapely.intersects_xy(area, self.positions[near, 0], self.positions[near, 1])
        found: NDArray[np.intp] = near[inside]
        return found

    def outline(self, outline: Outline) -> NDArray[np.intp]:
        """Return the spots within an outline or on it, remembered by the outline itself."""
        known = self._known.get(id(outline))
        if known is not None and known[0] is outline:
            return known[1]
        inside = self.area(self.area_of(outline))
        self._known[id(outline)] = outline, inside
        return inside

    def area_of(self, outline: Outline) -> shapely.MultiPolygon:
        """Return the area of an outline, remembered by the outline itself."""
        known = self._areas.get(id(outline))
        if known is None or known[0] is not outline:
            known = self._areas[id(outline)] = outline, outline.area()
        return known[1]

    def forget_all_but(self, outlines: Iterable[Outline]) -> None:
        """Forget what lies within other outlines than these."""
        kept = {id(outline) for outline in outlines}
        self._known = {key: known for key, known in self._known.items() if key in kept}
        self._areas = {key: known for key, known in self._areas.items() if key in kept}
