"""Many points as pixels: which of them is seen at each pixel of a frame.

Drawing, recolouring and pointing all look the answer up in one picture, so that their time hardly
grows with the number of points (see ``benchmarks/embedding_canvas.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 0.04
"""Around all points, relative to what they span."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of a plane that a picture shows.

    Parameters
    ----------
    left, top
        Coordinates of the upper left corner; the second coordinate grows upwards.
    across, up
        Units of the plane in a pixel.
    width, height
        Pixels.
    """

    left: float
    top: float
    across: float
    up: float
    width: int
    height: int

    @classmethod
    def around(cls, points: NDArray[np.floating], width: int, height: int) -> Frame:
        """Return the frame that shows all points, with a margin."""
        low, high = np.zeros(2), np.ones(2)
        if len(points):
            low, high = points.min(axis=0), points.max(axis=0)
        span = np.where(high > low, high - low, 1.0) * (1 + 2 * MARGIN)
        left, bottom = (low + high - span) / 2
        size = max(width, 1), max(height, 1)
        return cls(
            float(left),
            float(bottom + span[1]),
            float(span[0] / size[0]),
            float(span[1] / size[1]),
            *size,
        )

    def to_pixels(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return (column, row) of points, m x 2."""
        return np.stack(
            [(points[:, 0] - self.left) / self.across, (self.top - points[:, 1]) / self.up], axis=1
        )

    def to_plane(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the coordinates of (column, row), m x 2."""
        return np.stack(
            [self.left + pixels[:, 0] * self.across, self.top - pixels[:, 1] * self.up], axis=1
        )

    def moved(self, columns: float, rows: float) -> Frame:
        """Return the frame in which everything stands so many pixels further right and down."""
        return replace(self, left=self.left - columns * self.across, top=self.top + rows * self.up)

    def zoomed(self, factor: float, column: float, row: float) -> Frame:
        """Return a frame in which everything is larger, and one pixel stays where it is."""
        across, up = self.across / factor, self.up / factor
        return replace(
            self,
            left=self.left + column * (self.across - across),
            top=self.top - row * (self.up - up),
            across=across,
            up=up,
        )

    def resized(self, width: int, height: int) -> Frame:
        """Return a frame of the same part in another number of pixels."""
        width, height = max(width, 1), max(height, 1)
        return replace(
            self,
            across=self.across * self.width / width,
            up=self.up * self.height / height,
            width=width,
            height=height,
        )


class PointRaster:
    """Points that are drawn as discs, in an order that favours none.

    Parameters
    ----------
    points
        n x 2, finite. Which of two that lie on each other is seen does not depend on their order,
        which often is that of their classes.
    """

    def __init__(self, points: NDArray[np.floating]) -> None:
        self.points = np.asarray(points, dtype=np.float64)
        self._order = np.random.default_rng(0).permutation(len(points)).astype(np.int32)
        self._across = np.ascontiguousarray(self.points[self._order, 0])
        self._up = np.ascontiguousarray(self.points[self._order, 1])

    def on_top(
        self, frame: Frame, diameter: float, first: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int32]:
        """Return the point that is seen at each pixel.

        Parameters
        ----------
        frame
            What is shown.
        diameter
            Of the discs, in pixels.
        first
            n booleans: points that lie above all others; None for none.

        Returns
        -------
        ndarray
            height x width; -1 where there is no point.
        """
        reach = int(diameter / 2)
        width, height = frame.width + 2 * reach, frame.height + 2 * reach
        columns = np.floor((self._across - frame.left) / frame.across) + reach
        rows = np.floor((frame.top - self._up) / frame.up) + reach
        inside = np.flatnonzero(
            (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        ).astype(np.int32)
        places = rows[inside].astype(np.int32) * width + columns[inside].astype(np.int32)
        heights = inside
        if first is not None:
            above = first[self._order[inside]]
            stacked = np.concatenate([np.flatnonzero(~above), np.flatnonzero(above)])
            places = places[stacked]
            heights = (inside + len(self._order) * above.astype(np.int32))[stacked]
        centres = np.full((height, width), -1, dtype=np.int32)
        # Of several in one place the last one stays, which is the highest.
        centres.reshape(-1)[places] = heights
        seen = np.full((frame.height, frame.width), -1, dtype=np.int32)
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                if down**2 + right**2 <= (diameter / 2) ** 2:
                    part = centres[
                        reach + down : reach + down + frame.height,
                        reach + right : reach + right + frame.width,
                    ]
                    np.maximum(seen, part, out=seen)
        if first is not None and len(self._order):
            seen = np.where(seen < 0, seen, seen % len(self._order))
        return np.append(self._order, np.int32(-1))[seen]


def packed(colours: NDArray[np.floating], opacity: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Return colours as the pixels of a picture of Qt, multiplied by their opacity.

    Parameters
    ----------
    colours
        n x 3 or more, red, green, blue from 0 to 1.
    opacity
        n, from 0 to 1.

    Returns
    -------
    ndarray
        n + 1: the last is transparent, for pixels without a point.
    """
    channels = np.zeros((len(colours) + 1, 4), dtype=np.float32)
    channels[:-1, :3] = colours[:, :3] * opacity[:, None]
    channels[:-1, 3] = opacity
    red, green, blue, alpha = np.rint(255 * channels).astype(np.uint32).T
    pixels: NDArray[np.uint32] = (alpha << 24) | (red << 16) | (green << 8) | blue
    return pixels
