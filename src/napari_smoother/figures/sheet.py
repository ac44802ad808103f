"""The page: a figure measured in millimetres, y pointing down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_smoother.figures.text import FAMILY
from napari_smoother.keys import safe_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.9
"""Between a patch of colour and its name."""

SWATCH = 2.0
"""Size of a patch of colour."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure measured in millimetres from its upper left corner.

    Parameters
    ----------
    figure
        Of matplotlib.
    width, height
        Of the figure.
    font_size
        In points.
    ink
        Colour of text and lines.
    """

    figure: Figure
    width: float
    height: float
    font_size: float
    ink: str

    def axes(self, left: float, top: float, width: float, height: float, label: str) -> Axes:
        """Add axes without frame."""
        axes = self.figure.add_axes(
            (
                left / self.width,
                1 - (top + height) / self.height,
                width / self.width,
                height / self.height,
            ),
            label=label,
        )
        axes.set_axis_off()
        return axes

    def paper(self, left: float, top: float, width: float, height: float, label: str) -> Axes:
        """Add axes to draw on in millimetres, y pointing down."""
        axes = self.axes(left, top, width, height, label)
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        return axes

    def write(
        self,
        axes: Axes,
        x: float,
        y: float,
        text: str,
        *,
        bold: bool = False,
        size: float | None = None,
        across: Literal["left", "center"] = "left",
        up: Literal["center_baseline", "center", "top"] = "center_baseline",
        rotation: float = 0.0,
    ) -> None:
        """Write text at a place of axes, by default its left end at half its height."""
        axes.text(
            x,
            y,
            safe_text(text),
            fontsize=self.font_size if size is None else size,
            family=FAMILY,
            weight="bold" if bold else "normal",
            color=self.ink,
            ha=across,
            va=up,
            rotation=rotation,
            multialignment="center" if rotation else "left",
            # Names are written as they are, whatever dollar signs they hold.
            parse_math=False,
            usetex=False,
        )
