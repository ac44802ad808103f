"""A round brush: the area that the pointer sweeps over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINENESS = 0.2
"""How far the brush moves before its way gets one more corner, relative to its radius."""


class Stroke:
    """One stroke of a brush.

    Parameters
    ----------
    radius
        In full-resolution pixels.
    start
        Where it begins, (x, y) in full-resolution pixels.
    """

    def __init__(self, radius: float, start: NDArray[np.float64]) -> None:
        self._radius = radius
        self._way = [np.asarray(start, dtype=np.float64)]

    def move(self, place: NDArray[np.float64], *, last: bool = False) -> bool:
        """Go on to a place; whether it is far enough from the one before to make a difference.

        The last place always is, unless it is the same.
        """
        distance = float(np.hypot(*(place - self._way[-1])))
        far = distance > 0 if last else distance >= FINENESS * self._radius
        if far:
            self._way.append(np.asarray(place, dtype=np.float64))
        return far

    @property
    def way(self) -> NDArray[np.float64]:
        """The corners of its way, at least two: m x 2 (x, y) in full-resolution pixels."""
        start = self._way[0]
        return np.array([start, start + 1e-3 * self._radius, *self._way[1:]])

    def area(self) -> shapely.Geometry:
        """Return all that was swept over."""
        way = shapely.Point(self._way[0]) if len(self._way) == 1 else shapely.LineString(self._way)
        # A hundredth of the radius is less than a hand can aim.
        return shapely.simplify(shapely.buffer(way, self._radius), 0.01 * self._radius)
