"""What the tissue image shows at each spot.

A position is (x, y) = (column, row) in full-resolution pixels; the image is read at
(row, column) = (y, x) times its scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

VALUES_AT_ONCE = 1_000_000
"""Of the image that are copied at a time."""


def spot_colours(
    positions: ArrayLike, image: ArrayLike, *, scale: float, diameter: float
) -> NDArray[np.float64]:
    """Mean of the image over the square window of each spot.

    Only pixels inside the image count, so that spots at the edge keep their true colour.

    Parameters
    ----------
    positions
        n x 2 as (x, y) in full-resolution pixels.
    image
        Rows x columns, or rows x columns x channels, any number type; see `channels`.
    scale
        Image pixels per full-resolution pixel.
    diameter
        Of a spot, in full-resolution pixels.

    Returns
    -------
    colours
        n x channels float64, in the units of the image.

    Raises
    ------
    InputError
        If the image has no channels, or a spot lies outside it.
    """
    pixels = channels(image)
    height, width, n_channels = pixels.shape
    row, column, radius = _windows(positions, pixels, scale, diameter)
    area = max(2 * radius, 1) ** 2
    colours = np.empty((len(row), n_channels))
    for spots in _pieces(len(row), area * n_channels):
        rows, is_row = _along_axis(row[spots], radius, height)
        columns, is_column = _along_axis(column[spots], radius, width)
        window = pixels[rows[:, :, None], columns[:, None, :]].astype(np.float64)
        counted = (is_row[:, :, None] & is_column[:, None, :]).reshape(-1, 1, area)
        sums = counted.astype(np.float64) @ window.reshape(-1, area, n_channels)
        colours[spots] = sums[:, 0] / counted.sum(axis=2)
    return colours


def spot_patches(
    positions: ArrayLike, image: ArrayLike, *, scale: float, diameter: float
) -> NDArray[np.float32]:
    """Square window of the image around each spot, pixel by pixel.

    Beyond the image the pixel at its edge is repeated.

    Parameters
    ----------
    positions, image, scale, diameter
        As for `spot_colours`.

    Returns
    -------
    patches
        n x (side * side * channels) float32, rows first, then columns, then channels.
    """
    pixels = channels(image)
    height, width, n_channels = pixels.shape
    row, column, radius = _windows(positions, pixels, scale, diameter)
    values = max(2 * radius, 1) ** 2 * n_channels
    patches = np.empty((len(row), values), np.float32)
    for spots in _pieces(len(row), values):
        rows, _ = _along_axis(row[spots], radius, height)
        columns, _ = _along_axis(column[spots], radius, width)
        patches[spots] = pixels[rows[:, :, None], columns[:, None, :]].reshape(-1, values)
    return patches


def channels(image: ArrayLike) -> NDArray[np.generic]:
    """Image as rows x columns x channels.

    Grey images get one channel. Four channels of 8 bits are red, green, blue and opacity: they
    are laid on white, since the colour of a transparent pixel means nothing. Of any other
    four, the last is left out when it is constant; else channels are taken as they are.
    """
    pixels = np.asarray(image)
    if pixels.dtype == np.bool_ or pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise InputError(
            f"The image has the shape {pixels.shape}",
            where="image",
            remedy="Give rows x columns, or rows x columns x channels",
        )
    if pixels.shape[2] != 4:
        return pixels
    opacity = pixels[:, :, 3]
    if (opacity == opacity.flat[0]).all() and (pixels.dtype != np.uint8 or opacity.flat[0] == 255):
        return pixels[:, :, :3]
    if pixels.dtype == np.uint8:
        share = opacity[:, :, None].astype(np.float32) / 255
        return 255 + (pixels[:, :, :3].astype(np.float32) - 255) * share
    return pixels


def _windows(
    positions: ArrayLike, pixels: NDArray[np.generic], scale: float, diameter: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Centre row and column of every spot in the image, and half the side of its window."""
    points = np.asarray(positions, np.float64)
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points).all():
        raise InputError(
            f"Positions have the shape {points.shape} or are not finite",
            where="image at the spots",
            remedy="Give one (x, y) pair for each spot",
        )
    if not (scale > 0 and diameter > 0):
        raise InputError(
            f"The image has the scale {scale} and spots the diameter {diameter}",
            where="scale factors",
            remedy="Both must be positive",
        )
    column, row = np.floor(points[:, 0] * scale), np.floor(points[:, 1] * scale)
    radius = int(diameter / 2 * scale)
    height, width = pixels.shape[:2]
    margin = radius + 1
    outside = (row < -margin) | (row >= height + margin)
    outside |= (column < -margin) | (column >= width + margin)
    if outside.any():
        spot = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{int(outside.sum())} of {len(points)} spots lie outside the image of "
            f"{height} rows and {width} columns, for example spot {spot} at row "
            f"{row[spot]:.0f}, column {column[spot]:.0f}",
            where="image at the spots",
            remedy="Check that the scale belongs to this image and positions are (x, y)",
        )
    return row.astype(np.int64), column.astype(np.int64), radius


def _pieces(n_spots: int, values: int) -> Iterator[slice]:
    """All spots, as many at a time as keep so many values each within bounds."""
    step = max(VALUES_AT_ONCE // values, 1)
    return (slice(first, first + step) for first in range(0, n_spots, step))


def _along_axis(
    centre: NDArray[np.int64], radius: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows (or columns) of every window, and which of them count in its mean.

    Beyond the image the last one is repeated, which counts only where none is inside. A window
    narrower than two pixels is the pixel of the centre.
    """
    wanted = centre[:, None] + np.arange(-radius, max(radius, 1))
    taken = np.clip(wanted, 0, size - 1)
    inside = wanted == taken
    return taken, inside | ~inside.any(axis=1, keepdims=True)
