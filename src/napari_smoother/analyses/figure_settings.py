"""What a user can set of a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import InputError

ON_SCREEN = "what is on screen"
DOMINANT_TYPE = "dominant cell type"
REGIONS = "regions of the tissue"
DOMAINS = "spatial domains"
AUTOENCODER_DOMAINS = "spatial domains of the autoencoder"

Letters = Literal["none", "a", "A"]
Limits = Literal["own", "common"]


@dataclass(frozen=True, slots=True)
class Part(ComparedByValue):
    """A part of a section: around a region, or within a rectangle.

    Parameters
    ----------
    region
        Name of the region that it is drawn around; empty for the rectangle.
    box
        Left, top, right, bottom of the rectangle in full-resolution pixels.

    Raises
    ------
    InputError
        If there is neither a region nor a rectangle with a width and a height.
    """

    region: str = ""
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.region:
            return
        left, top, right, bottom = self.box or (0.0, 0.0, 0.0, 0.0)
        if not (left < right and top < bottom):
            raise InputError(
                "It is neither a region nor a rectangle",
                where="part of a figure",
                remedy="Give a region, or left, top, right and bottom in full-resolution pixels",
            )


@dataclass(frozen=True, slots=True)
class PanelSettings(ComparedByValue):
    """What is set of one panel.

    Parameters
    ----------
    content
        The panel, as in `FigureSettings.contents`.
    title
        Above it: empty for none, and where it is not given the name of the content.
    low, high
        Numbers at the ends of its colour bar; found from the values where not given.
    """

    content: str
    title: str | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class FigureSettings(ComparedByValue):
    """How a figure is composed.

    Parameters
    ----------
    contents
        `ON_SCREEN`, `DOMINANT_TYPE`, `REGIONS`, `DOMAINS`, `AUTOENCODER_DOMAINS`, names of cell
        types, genes, obs columns, or "table / column" of obsm; one panel each, in this order.
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
        Dots per inch of PNG and TIFF files, and of pictures inside SVG and PDF.
    letters
        Letters of panels, bold, where there are several panels: "none", small ("a") or
        capital ("A").
    letter_size
        Of the letters of panels, in points.
    font_size
        Of all other text, in points; most journals ask for at least 5.
    limits
        Whether every panel has colour limits of its own, or all proportions have common ones,
        and so all genes. What is set of a panel comes first.
    panels
        Titles and limits of panels that were set by hand.
    crop
        The part of the section that is drawn; all of it where there is none.
    insets
        Parts that are drawn again below every panel, enlarged, in a frame.
    vector_spots
        Most spots of a figure that SVG and PDF keep as shapes; more are drawn as a picture.
    spot_size
        Diameter of the spots, times their own; as on screen where it is not given.
    image_opacity
        Of the tissue image, from 0 to 1; as on screen where it is not given.
    """

    contents: tuple[str, ...] = (ON_SCREEN,)
    columns: int = 0
    width_mm: float = 180.0
    image: bool = True
    edges: bool = False
    outlines: bool = True
    scale_bar: bool = True
    dpi: int = 300
    letters: Letters = "a"
    letter_size: float = 8.0
    font_size: float = 7.0
    limits: Limits = "own"
    panels: tuple[PanelSettings, ...] = ()
    crop: Part | None = None
    insets: tuple[Part, ...] = ()
    vector_spots: int = 20_000
    spot_size: float | None = None
    image_opacity: float | None = None

    def panel(self, content: str) -> PanelSettings:
        """Return what is set of a panel."""
        for panel in self.panels:
            if panel.content == content:
                return panel
        return PanelSettings(content)
