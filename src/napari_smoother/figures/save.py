"""Figures to files: whole or not at all, and the same bytes for the same figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

METADATA: dict[str, dict[str, str | None]] = {
    ".png": {"Software": "napari-smoother"},
    ".svg": {"Date": None, "Creator": "napari-smoother"},
    ".pdf": {"CreationDate": None, "ModDate": None, "Creator": "napari-smoother"},
}
"""What is written about the figure into it; never a date."""


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: float = 300) -> Path:
    """Write a figure as PNG, SVG or PDF.

    SVG keeps text as text, PDF embeds TrueType fonts; in both, spots, edges and outlines
    stay vectors and the tissue's image is a picture. The file appears only when whole, so
    that an interrupted or failed write leaves an older file as it was.

    Parameters
    ----------
    figure
        From :func:`compose_figure` or its kin.
    path
        Where to; its ending decides the format.
    dpi
        Dots per inch of a PNG, and of the tissue's image in SVG and PDF.

    Returns
    -------
    pathlib.Path
        Of the file written.

    Raises
    ------
    InputError
        If the ending is unknown, the resolution is not a positive number, or the folder is
        missing or cannot be written to.
    """
    from matplotlib import rc_context

    path = Path(path)
    ending = path.suffix.lower()
    if ending not in METADATA:
        raise InputError(
            f"Figures cannot be written as {ending or 'a file without an ending'!s}",
            where=str(path),
            remedy="Choose a name that ends in .png, .svg or .pdf",
        )
    if not 10 <= dpi <= 2400:
        raise InputError(
            f"A resolution of {dpi:g} dots per inch cannot be used",
            where="dpi",
            remedy="Choose 10 to 2400, for example 300 for print",
        )
    with (
        # Settings of the caller, such as a tight box, must not change what was composed.
        rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "napari-smoother",
                "svg.image_inline": True,
                "pdf.fonttype": 42,
                "pdf.use14corefonts": False,
                "savefig.bbox": None,
                "savefig.transparent": False,
                "image.composite_image": True,
            }
        ),
        replacing(path) as unfinished,
        unfinished.open("wb") as stream,
    ):
        figure.savefig(
            stream,
            format=ending[1:],
            dpi=dpi,
            metadata=METADATA[ending],
            facecolor=figure.get_facecolor(),
        )
    return path
