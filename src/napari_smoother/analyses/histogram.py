"""How often numbers are, along an axis that may be logarithmic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BINS = 80


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis.

    Parameters
    ----------
    decimals
        Of the numbers that are taken from it.
    """

    decimals: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether equal steps along it are equal steps of whole numbers."""
        return self.decimals == 0

    def forward(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the places of numbers along the axis."""
        return np.asarray(values, dtype=np.float64)

    def back(self, place: float) -> float:
        """Return the number at a place, rounded as the axis has it."""
        return round(float(place), self.decimals)

    def ticks(self, highest: float) -> tuple[float, ...]:
        """Return numbers to mark from 0 to the highest, round ones."""
        if highest <= 0:
            return (0.0,)
        size = 10.0 ** np.floor(np.log10(highest))
        step = next(size * part for part in (0.2, 0.5, 1.0, 2.0) if highest <= 5 * size * part)
        return tuple(map(float, np.arange(0, highest * (1 + 1e-9), step)))


@dataclass(frozen=True, slots=True)
class LogAxis(Axis):
    """A logarithmic axis of numbers from 0, which has a place at its left end.

    Places are ``log10(1 + number)``.
    """

    @property
    def is_whole(self) -> bool:
        """Whether equal steps along it are equal steps of whole numbers."""
        return False

    def forward(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the places of numbers along the axis."""
        return np.asarray(np.log10(1 + np.asarray(values, dtype=np.float64)))

    def back(self, place: float) -> float:
        """Return the number at a place, with three significant digits and no more decimals."""
        number = 10.0**place - 1
        return round(float(f"{number:.3g}"), self.decimals)

    def ticks(self, highest: float) -> tuple[float, ...]:
        """Return 0 and once, twice and five times the powers of ten, up to the highest."""
        last = int(np.floor(np.log10(max(highest, 1.0))))
        marks = (part * 10.0**power for power in range(last + 1) for part in (1, 2, 5))
        return (0.0, *(mark for mark in marks if mark <= highest))


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many numbers lie in each of many bins, equally wide along an axis.

    Bins of whole numbers on a linear axis hold as many of them each.

    Parameters
    ----------
    axis
        Along which.
    low, high
        Places of its ends.
    numbers
        How many are in each bin.
    """

    axis: Axis
    low: float
    high: float
    numbers: NDArray[np.intp]

    @classmethod
    def of(cls, values: NDArray[Any], axis: Axis) -> Histogram:
        """Return the histogram of numbers; those that are not finite are left out.

        Parameters
        ----------
        values
            At least 0.
        axis
            It begins where the smallest number is, and ends with the largest.
        """
        places = axis.forward(values)
        places = places[np.isfinite(places)]
        low, high = (float(places.min()), float(places.max())) if len(places) else (0.0, 1.0)
        bins = BINS
        if axis.is_whole:
            width = int(np.ceil((high - low + 1) / BINS))
            bins = int(np.ceil((high - low + 1) / width))
            low, high = low - 0.5, low - 0.5 + bins * width
        elif low == high:
            low, high = max(low - 0.5, 0.0), high + 0.5
        numbers, _ = np.histogram(places, bins=bins, range=(low, high))
        return cls(axis, low, high, numbers)
