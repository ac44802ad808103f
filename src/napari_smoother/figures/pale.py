"""Edges around what would not be seen on the page: pale colours on white, dark ones on black."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LEAST_CONTRAST = 1.6
"""Between a colour and the page; 1 is none, 21 that of black on white (WCAG 2)."""

TOWARDS_INK = 0.45
"""Share of ink in the edge of a colour."""

EDGE_POINTS = 0.35
EDGE_SHARE = 0.12
"""Of the diameter of a spot that its edge takes at most."""


def luminance(colours: ArrayLike) -> NDArray[np.float64]:
    """Return the relative luminance of sRGB colours (n x 3 or more), 0 to 1."""
    channels = np.asarray(colours, dtype=np.float64)[..., :3]
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ np.array([0.2126, 0.7152, 0.0722]))


def edge_colours(colours: ArrayLike, page: ArrayLike) -> NDArray[np.float64]:
    """Return the edge of each colour that can hardly be seen on a page.

    Parameters
    ----------
    colours
        n x 4, from 0 to 1.
    page
        Red, green, blue of the page.

    Returns
    -------
    numpy.ndarray
        n x 4: the colour, mixed with the ink; transparent where no edge is needed.
    """
    seen = np.atleast_2d(np.asarray(colours, dtype=np.float64))
    background = float(luminance(page))
    lit = luminance(seen)
    brighter, darker = np.maximum(lit, background), np.minimum(lit, background)
    pale = (brighter + 0.05) / (darker + 0.05) < LEAST_CONTRAST
    ink = 0.0 if background > 0.18 else 1.0
    edges = np.zeros_like(seen)
    edges[pale, :3] = (1 - TOWARDS_INK) * seen[pale, :3] + TOWARDS_INK * ink
    edges[pale, 3] = seen[pale, 3]
    return edges


def edge_width(diameter: float) -> float:
    """Return the width of the edge of a spot whose diameter is given, both in points."""
    return min(EDGE_POINTS, EDGE_SHARE * diameter)
