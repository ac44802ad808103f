"""Figures to files: whole or not at all, and the same bytes for the same figure."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.context import Context
from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError
from napari_smoother.figures.embedded import PNG_KEYWORD, as_tiff_bytes
from napari_smoother.figures.watching import watched

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from typing import BinaryIO

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SOFTWARE = "napari-smoother"
ENDINGS = (".png", ".tiff", ".tif", ".svg", ".pdf")

# matplotlib's settings are those of the whole process: one figure is drawn at a time.
_drawing = Lock()


def save_figure(
    figure: Figure,
    path: str | os.PathLike[str],
    *,
    dpi: float = 300,
    title: str = "",
    recipe: str = "",
    context: Context = Context(),
) -> Path:
    """Write a figure as PNG, TIFF, SVG or PDF.

    SVG keeps text as text, PDF embeds TrueType fonts; in both, edges and outlines stay vectors,
    and so do spots unless there are too many (see :func:`compose_figure`); the tissue's image is
    a picture. TIFF is RGB, compressed by LZW. The file appears only when whole, so that an
    interrupted or failed write leaves an older file as it was.

    Parameters
    ----------
    figure
        From :func:`compose_figure` or its kin.
    path
        Where to; its ending decides the format.
    dpi
        Dots per inch of PNG and TIFF, and of pictures in SVG and PDF.
    title
        What the file says it shows; never a date.
    recipe
        How it was made: a recipe as TOML, which :func:`recipe_of_figure` reads from the file.
    context
        Told how far it is, and asked whether to stop.

    Returns
    -------
    pathlib.Path
        Of the file written.

    Raises
    ------
    InputError
        If the ending is unknown, the resolution is not a positive number, or the folder is
        missing or cannot be written to.
    Cancelled
        If the context says so; there is no file then, or the older one.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"Figures cannot be written as {ending or 'a file without an ending'!s}",
            where=str(path),
            remedy="Choose a name that ends in .png, .tiff, .svg or .pdf",
        )
    _check_resolution(dpi)
    with (
        _settings(),
        watched(figure, context),
        replacing(path) as unfinished,
        unfinished.open("wb") as stream,
    ):
        if ending in (".tif", ".tiff"):
            _write_tiff(figure, stream, dpi, recipe)
        else:
            figure.savefig(
                stream,
                format=ending[1:],
                dpi=dpi,
                metadata=_metadata(ending, title, recipe),
                facecolor=figure.get_facecolor(),
            )
    return path


def rendered(figure: Figure, dpi: float, context: Context = Context()) -> NDArray[np.uint8]:
    """Return the pixels that a PNG of a figure has.

    Parameters
    ----------
    figure
        From :func:`compose_figure` or its kin.
    dpi
        Dots per inch.
    context
        Told how far it is, and asked whether to stop.

    Returns
    -------
    numpy.ndarray
        Rows x columns x 3.
    """
    _check_resolution(dpi)
    with _settings(), watched(figure, context):
        return _pixels(figure, dpi)


def _check_resolution(dpi: float) -> None:
    if not 10 <= dpi <= 2400:
        raise InputError(
            f"A resolution of {dpi:g} dots per inch cannot be used",
            where="dpi",
            remedy="Choose 10 to 2400, for example 300 for print",
        )


@contextmanager
def _settings() -> Iterator[None]:
    """Draw with our settings: the caller's, such as a tight box, must not change the figure."""
    from matplotlib import rc_context

    ours: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": SOFTWARE,
        "svg.image_inline": True,
        "pdf.fonttype": 42,
        "pdf.use14corefonts": False,
        "savefig.bbox": None,
        "savefig.transparent": False,
        "image.composite_image": True,
    }
    with _drawing, rc_context(ours):
        yield


def _metadata(ending: str, title: str, recipe: str) -> dict[str, str | None]:
    """Return what is written about the figure into it; never a date."""
    own: dict[str, str | None]
    if ending == ".png":
        own = {"Software": SOFTWARE, "Title": title, PNG_KEYWORD: recipe}
    elif ending == ".svg":
        own = {"Date": None, "Creator": SOFTWARE, "Title": title, "Description": recipe}
    else:
        dates = {"CreationDate": None, "ModDate": None}
        own = {**dates, "Creator": SOFTWARE, "Title": title, "Subject": recipe}
    return {name: text for name, text in own.items() if text != ""}


def _pixels(figure: Figure, dpi: float) -> NDArray[np.uint8]:
    raw = io.BytesIO()
    figure.savefig(raw, format="rgba", dpi=dpi, facecolor=figure.get_facecolor())
    width, height = (int(round(size * dpi, 6)) for size in figure.get_size_inches())
    flat = np.frombuffer(raw.getbuffer(), np.uint8)
    return np.ascontiguousarray(flat.reshape(height, width, 4)[..., :3])


def _write_tiff(figure: Figure, stream: BinaryIO, dpi: float, recipe: str) -> None:
    from PIL import Image

    about: dict[str, Any] = {"description": as_tiff_bytes(recipe)} if recipe else {}
    Image.fromarray(_pixels(figure, dpi)).save(
        stream, format="TIFF", compression="tiff_lzw", dpi=(dpi, dpi), software=SOFTWARE, **about
    )
