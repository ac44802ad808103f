"""What the tissue image shows at each spot.

A position is (x, y) = (column, row) in full-resolution pixels; the image is read at
(row, column) = (y, x) times its scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


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
    row, column, radius = _windows(positions, pixels, scale, diameter)
    colours: NDArray[np.float64] = _window_means(pixels, row, column, radius)
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
    row, column, radius = _windows(positions, pixels, scale, diameter)
    patches: NDArray[np.float32] = _window_pixels(pixels, row, column, radius)
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


@njit(nogil=True, cache=True)
def _window_means(pixels, row, column, radius):  # type: ignore[no-untyped-def]
    height, width, n_channels = pixels.shape
    means = np.zeros((row.size, n_channels))
    for i in range(row.size):
        # A window narrower than two pixels is the pixel of the centre.
        top = min(max(row[i] - radius, 0), height - 1)
        left = min(max(column[i] - radius, 0), width - 1)
        bottom = max(min(row[i] + max(radius, 1), height), top + 1)
        right = max(min(column[i] + max(radius, 1), width), left + 1)
        for r in range(top, bottom):
            for c in range(left, right):
                for channel in range(n_channels):
                    means[i, channel] += pixels[r, c, channel]
        for channel in range(n_channels):
            means[i, channel] /= (bottom - top) * (right - left)
    return means


@njit(nogil=True, cache=True)
def _window_pixels(pixels, row, column, radius):  # type: ignore[no-untyped-def]
    height, width, n_channels = pixels.shape
    side = max(2 * radius, 1)
    patches = np.empty((row.size, side * side * n_channels), np.float32)
    for i in range(row.size):
        at = 0
        for down in range(side):
            r = min(max(row[i] - radius + down, 0), height - 1)
            for along in range(side):
                c = min(max(column[i] - radius + along, 0), width - 1)
                for channel in range(n_channels):
                    patches[i, at] = pixels[r, c, channel]
                    at += 1
    return patches
