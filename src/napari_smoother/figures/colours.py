"""From numbers and classes to colours: one logic for the screen and for print."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Colours = NDArray[np.float32]

MISSING: tuple[float, float, float, float] = (0.78, 0.78, 0.78, 1.0)
"""Grey of spots without a value."""

# The first seven are Okabe and Ito's (2008). The others were chosen, four, eight, ten and ten at
# a time, for the largest CIEDE2000 difference of the closest two as seen by normal, deuteranope
# and protanope eyes (Machado et al. 2009), also from white, black and grey.
_PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#880055"),
    *("#552200", "#2222BB", "#446644", "#99EEAA", "#22EEFF", "#7777FF", "#886677", "#BB2200"),
    *("#FF5577", "#555577", "#BB9999", "#553333", "#EEAA77", "#559944", "#BB4455", "#CC11AA"),
    *("#44AABB", "#660088", "#AACCAA", "#DDBBDD", "#883322", "#334455", "#FF77DD", "#0055EE"),
    *("#008888", "#CCEE88", "#9977CC", "#FF5544", "#EEDDCC", "#776633", "#66BBAA", "#AA7766"),
)


EDGE_WEIGHT = "edge weight"
"""Colour map of edges, from amber (nearly cut) through pale grey to blue (full weight).

Okabe and Ito's orange and sky blue, which every eye tells apart. None of it is dark or white, so
that weak and strong edges alike stand out against black, against paper and against tissue.
"""

_OWN = {EDGE_WEIGHT: ("#E69F00", "#D8D2C4", "#56B4E9")}


def percentile_limits(
    values: ArrayLike, low: float = 1.0, high: float = 99.0
) -> tuple[float, float]:
    """Limits of a colour scale that ignore a few outliers.

    Parameters
    ----------
    values
        Any shape; values that are not finite are left out.
    low, high
        Percentiles.

    Returns
    -------
    tuple of float
        Lower and upper limit, the lower always below the upper. Where both percentiles
        coincide, as for a gene seen in few spots, the limits are the extremes; a constant
        ``c`` gives ``(c, c + 1)``, and no finite value at all gives ``(0, 1)``.

    Raises
    ------
    InputError
        If the percentiles do not rise within 0 to 100.
    """
    if not 0 <= low < high <= 100:
        raise InputError(
            f"Percentiles {low:g} and {high:g} do not span a range",
            where="contrast",
            remedy="Choose a lower percentile below the upper one, both from 0 to 100",
        )
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size == 0:
        return 0.0, 1.0
    bottom, top = (float(limit) for limit in np.percentile(numbers, [low, high]))
    if bottom == top:
        bottom, top = float(numbers.min()), float(numbers.max())
    return (bottom, top) if bottom < top else (bottom, bottom + 1.0)


@lru_cache(maxsize=64)
def lookup_table(colormap: str) -> Colours:
    """Read-only table of 257 colours: 256 of a colormap, then that of no value.

    Parameters
    ----------
    colormap
        One of matplotlib's, or `EDGE_WEIGHT`.

    Raises
    ------
    InputError
        If there is no colormap of this name.
    """
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    own = _OWN.get(colormap)
    if own is None and colormap not in colormaps:
        raise InputError(
            f"There is no colormap {colormap!r}",
            where="colormap",
            remedy="Choose one of matplotlib's, for example viridis, magma or coolwarm",
        )
    table = np.empty((257, 4), np.float32)
    chosen = colormaps[colormap] if own is None else LinearSegmentedColormap.from_list("", own)
    table[:256] = chosen(np.linspace(0, 1, 256))
    table[256] = MISSING
    table.setflags(write=False)
    return table


def map_numbers(values: ArrayLike, low: float, high: float, colormap: str) -> Colours:
    """Colour numbers; those beyond the limits take the colour of the end, NaN takes grey.

    Parameters
    ----------
    values
        One per spot.
    low, high
        Values at the two ends of the colormap.
    colormap
        Name of a matplotlib colormap.

    Returns
    -------
    numpy.ndarray
        Spots x 4, float32, from 0 to 1.
    """
    numbers = np.asarray(values)
    if numbers.dtype != np.float32:
        numbers = numbers.astype(np.float64)
    span = high - low if high > low else 1.0
    # Subtracting first keeps small differences between large float32 numbers.
    steps = (numbers - numbers.dtype.type(low)) * numbers.dtype.type(256 / span)
    missing = np.isnan(steps)
    np.clip(steps, 0, 255, out=steps)
    if missing.any():
        steps[missing] = 256
    coloured: Colours = np.take(lookup_table(colormap), steps.astype(np.intp), axis=0)
    return coloured


def categorical_palette(n: int) -> Colours:
    """Colours for ``n`` classes, told apart by most eyes up to forty.

    Parameters
    ----------
    n
        Number of classes. The first colours do not depend on it; beyond forty they
        repeat in darker shades.

    Returns
    -------
    numpy.ndarray
        n x 4, float32, opaque.
    """
    rgb = [[int(code[k : k + 2], 16) / 255 for k in (1, 3, 5)] for code in _PALETTE]
    turn, place = np.divmod(np.arange(n), len(rgb))
    colours = np.ones((n, 4), np.float32)
    colours[:, :3] = np.array(rgb)[place] * (0.62**turn)[:, None]
    return colours


def map_classes(codes: ArrayLike, palette: ArrayLike) -> Colours:
    """Colour classes; the code -1 takes grey.

    Parameters
    ----------
    codes
        Whole numbers, one per spot: rows of the palette, or -1 where there is no class.
    palette
        Classes x 4.

    Returns
    -------
    numpy.ndarray
        Spots x 4, float32, from 0 to 1.

    Raises
    ------
    InputError
        If a code has no row in the palette.
    """
    rows = np.asarray(codes, dtype=np.intp)
    table = np.vstack([np.asarray(palette, np.float32).reshape(-1, 4), [MISSING]])
    if rows.size and (rows.min() < -1 or rows.max() >= len(table) - 1):
        raise InputError(
            f"Codes from {rows.min()} to {rows.max()} do not fit {len(table) - 1} colours",
            where="classes",
            remedy="Give every class a colour and use -1 for none",
        )
    return np.take(table.astype(np.float32), rows, axis=0)
