"""What a user can set of a figure."""

from __future__ import annotations

from dataclasses import dataclass

from napari_smoother.analyses.stage import ComparedByValue

ON_SCREEN = "what is on screen"
DOMINANT_TYPE = "dominant cell type"


@dataclass(frozen=True, slots=True)
class FigureSettings(ComparedByValue):
    """How a figure is composed.

    Parameters
    ----------
    contents
        `ON_SCREEN`, `DOMINANT_TYPE`, names of cell types, genes or obs columns; one panel each.
    columns
        Panels beside each other; 0 decides by their number.
    width_mm
        Width of the figure in millimetres: a journal's column is about 85 or 180 mm.
    image
        Whether the tissue image is drawn under the spots.
    edges
        Whether the edges of the graph are drawn, coloured by weight.
    outlines
        Whether the outlines of regions are drawn.
    scale_bar
        Whether a bar tells the scale, in micrometres.
    dpi
        Dots per inch of PNG files, and of the image inside SVG and PDF.
    """

    contents: tuple[str, ...] = (ON_SCREEN,)
    columns: int = 0
    width_mm: float = 180.0
    image: bool = True
    edges: bool = False
    outlines: bool = True
    scale_bar: bool = True
    dpi: int = 300
