"""Pictures of the tissue: png, jpg and tif into rows x columns x channels."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_EAGER = 200_000_000
"""Bytes of decoded pixels above which a picture is not loaded as a whole."""

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf"})
IMAGE_SUFFIXES = TIFF_SUFFIXES | {".png", ".jpg", ".jpeg"}

CHANNELS = (1, 3, 4)

PLAIN_MODES = {
    "1": "L",
    "P": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
    "LA": "RGBA",
    "La": "RGBA",
    "PA": "RGBA",
    "RGBa": "RGBA",
}
"""What each of Pillow's colour modes becomes, where it is not grey, RGB or RGBA already."""

TIFF_FAULTS = (
    OSError,
    EOFError,
    ValueError,  # tifffile's own error is one
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What tifffile raises on broken files; which of them has changed with its versions."""

COPY_AGAIN = "Copy the picture again, or take it out of the folder to open the section without it"


class TooLarge(InputError):
    """A picture that would fill the memory and cannot be read piece by piece."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels as they are in the file.

    Parameters
    ----------
    pixels
        Rows x columns, or rows x columns x channels (3 or 4). A read-only memory map where the
        file is large and stored plainly.
    reduction
        Pixels of this array per pixel of the file's full resolution; 1 unless a smaller level of
        a pyramid was taken.
    """

    pixels: NDArray[Any]
    reduction: float = 1.0


def read_picture(path: Path, *, largest: int = LARGEST_EAGER) -> Picture:
    """Read a picture of the tissue.

    Palettes, CMYK and grey with opacity become RGB or RGBA. Of a tif with several resolutions the
    finest that fits is taken; one that is too large but stored plainly is mapped, not read.
    The orientation flag of cameras is not applied: positions refer to pixels as stored.

    Parameters
    ----------
    path
        A png, jpg or tif file, perhaps gzipped.
    largest
        Bytes of decoded pixels that may be loaded.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        If the file is truncated, not a picture, or has other than 1, 3 or 4 channels.
    TooLarge
        If it has more than ``largest`` bytes and cannot be mapped.
    """
    file: Path | BytesIO = path
    suffix = path.suffix.lower()
    if suffix == ".gz":
        file = _unpacked(path, largest)
        suffix = Path(path.stem).suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return _read_tiff(file, path, largest)
    return Picture(_read_plain(file, path, largest))


def is_blank(pixels: NDArray[Any]) -> bool:
    """Whether a picture shows nothing: one colour throughout, or fully transparent.

    Space Ranger outputs cut down for examples keep such placeholders where the picture was.

    Parameters
    ----------
    pixels
        Rows x columns, or rows x columns x channels.
    """
    if pixels.size == 0:
        return True
    if pixels.ndim == 2:
        return bool(pixels.min() == pixels.max())
    if pixels.shape[2] == 4 and not pixels[..., 3].any():
        return True
    return all(bool(pixels[..., c].min() == pixels[..., c].max()) for c in range(3))


def share_inside(positions: NDArray[np.float64], shape: tuple[int, ...], scale: float) -> float:
    """Share of the spots whose centre lies on a picture, 0 to 1.

    Parameters
    ----------
    positions
        n x 2, (x, y) in full-resolution pixels.
    shape
        Of the picture, rows and columns first.
    scale
        Picture pixels per full-resolution pixel.
    """
    rows, columns = shape[:2]
    x, y = positions[:, 0] * scale, positions[:, 1] * scale
    return float(np.mean((x >= 0) & (x < columns) & (y >= 0) & (y < rows)))


def _unpacked(path: Path, largest: int) -> BytesIO:
    try:
        with gzip.open(path, "rb") as packed:
            data = packed.read(largest + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise InputError(
            f"The picture cannot be unpacked: {fault}", where=str(path), remedy=COPY_AGAIN
        ) from fault
    if len(data) > largest:
        raise TooLarge(
            f"The picture is too large to unpack in memory: more than {largest / 1e6:.0f} MB",
            where=str(path),
            remedy="Unpack it with gunzip",
        )
    return BytesIO(data)


def _read_plain(source: Path | BytesIO, path: Path, largest: int) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(source) as file:
            size = file.width * file.height * len(file.getbands())
            if size > largest:
                raise _too_large(path, size)
            mode = PLAIN_MODES.get(file.mode, file.mode)
            if file.mode == "P" and "transparency" in file.info:
                mode = "RGBA"
            return np.asarray(file if mode == file.mode else file.convert(mode))
    except Image.DecompressionBombError as fault:
        raise _too_large(path, None) from fault
    except (OSError, SyntaxError, ValueError) as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(
            f"The picture cannot be read: {fault}", where=str(path), remedy=COPY_AGAIN
        ) from fault


def _read_tiff(source: Path | BytesIO, path: Path, largest: int) -> Picture:
    import tifffile

    try:
        with tifffile.TiffFile(source) as file:
            levels = file.series[0].levels
            full = levels[0]
            fitting = next((level for level in levels if level.nbytes <= largest), None)
            if full is not fitting and full.dataoffset is not None and source is path:
                mapped = tifffile.memmap(path, mode="r", series=0, level=0)
                return Picture(_channels_last(mapped, full.axes, path))
            if fitting is None:
                raise _too_large(path, full.nbytes)
            pixels = _channels_last(fitting.asarray(), fitting.axes, path)
            width = full.shape[full.axes.index("X")]
            return Picture(pixels, reduction=pixels.shape[1] / width)
    except TIFF_FAULTS as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(
            f"The picture cannot be read: {fault}", where=str(path), remedy=COPY_AGAIN
        ) from fault


def _channels_last(pixels: NDArray[Any], axes: str, path: Path) -> NDArray[Any]:
    """Rows x columns (x channels), as a view."""
    for axis in reversed(range(pixels.ndim)):
        if pixels.shape[axis] == 1 and axes[axis] not in "YX":
            pixels = np.squeeze(pixels, axis=axis)
            axes = axes[:axis] + axes[axis + 1 :]
    if axes == "YX":
        return pixels
    channels = axes.replace("Y", "").replace("X", "")
    if len(channels) == 1 and "Y" in axes and "X" in axes:
        channel_axis = axes.index(channels)
        if pixels.shape[channel_axis] in CHANNELS and axes.index("Y") < axes.index("X"):
            return np.moveaxis(pixels, channel_axis, -1)
    raise InputError(
        f"The picture has the shape {pixels.shape} with the axes {axes}; rows x columns x 1, 3 or "
        "4 channels are expected",
        where=str(path),
        remedy="Export the picture as a plain RGB or grey tif",
    )


def _too_large(path: Path, size: int | None) -> TooLarge:
    how = "far more" if size is None else f"{size / 1e6:.0f} MB"
    return TooLarge(
        f"The picture is too large to load: {how} of pixels",
        where=str(path),
        remedy=f"Export it smaller (below {LARGEST_EAGER / 1e6:.0f} MB), as an uncompressed tif, "
        "or as a pyramid",
    )
