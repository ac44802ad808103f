"""What a figure shows: panels with their keys, edges and outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class NumberKey:
    """A colour bar.

    Parameters
    ----------
    quantity
        What the numbers are, with their unit.
    low, high
        Values at the two ends; spots beyond them have the colour of the end.
    colormap
        Name of the matplotlib colormap.
    missing
        Whether some spots have no value and are drawn in grey.
    """

    quantity: str
    low: float
    high: float
    colormap: str
    missing: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise InputError(
                f"A colour bar cannot run from {self.low:g} to {self.high:g}",
                where=f"limits of {self.quantity}",
                remedy="Give a finite lower limit below a finite upper one",
            )


@dataclass(frozen=True, slots=True)
class ClassKey:
    """A legend.

    Parameters
    ----------
    quantity
        What the classes are: its heading.
    classes
        (name, colour) pairs, colours as red, green, blue, alpha from 0 to 1.
    missing
        Whether some spots have no class and are drawn in grey.
    missing_name
        What the legend calls them.
    """

    quantity: str
    classes: tuple[tuple[str, Colour], ...]
    missing: bool = False
    missing_name: str = "no value"


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One picture of the section.

    Parameters
    ----------
    title
        Above the picture; may be empty.
    colours
        Spots x 4, red, green, blue, alpha from 0 to 1.
    key
        What the colours mean; None only where they mean nothing.
    visible
        Which spots are drawn; all when None.

    Raises
    ------
    InputError
        If the shapes do not fit or colours leave 0 to 1.
    """

    title: str
    colours: NDArray[np.floating]
    key: NumberKey | ClassKey | None
    visible: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        colours = self.colours
        where = f"colours of panel {self.title!r}"
        if colours.ndim != 2 or colours.shape[1] != 4:
            raise InputError(
                f"Colours have the shape {colours.shape}, not spots x 4",
                where=where,
                remedy="Give red, green, blue and alpha for each spot",
            )
        if not ((colours >= 0) & (colours <= 1)).all():
            raise InputError(
                "Some colours are below 0, above 1 or not numbers",
                where=where,
                remedy="Scale colours to lie from 0 to 1",
            )
        if self.visible is not None and self.visible.shape != (len(colours),):
            raise InputError(
                f"The mask has the shape {self.visible.shape} for {len(colours)} spots",
                where=f"visible spots of panel {self.title!r}",
                remedy="Give one truth value for each spot",
            )


@dataclass(frozen=True, slots=True, eq=False)
class EdgeOverlay:
    """The neighbour graph, drawn under the spots.

    Parameters
    ----------
    segments
        Edges x 2 x 2: both ends as (x, y) in full-resolution pixels.
    colours
        Edges x 4, or one colour for all.
    width
        In points.
    key
        What the colours mean.
    """

    segments: NDArray[np.floating]
    colours: NDArray[np.floating]
    width: float = 0.5
    key: NumberKey | ClassKey | None = None

    def __post_init__(self) -> None:
        if self.segments.ndim != 3 or self.segments.shape[1:] != (2, 2):
            raise InputError(
                f"Edges have the shape {self.segments.shape}, not edges x 2 x 2",
                where="edges of the figure",
                remedy="Give (x, y) of both ends of every edge",
            )
        if self.colours.shape not in {(4,), (len(self.segments), 4)}:
            raise InputError(
                f"Colours have the shape {self.colours.shape} for {len(self.segments)} edges",
                where="edges of the figure",
                remedy="Give one colour, or one for each edge",
            )


@dataclass(frozen=True, slots=True, eq=False)
class RegionOutline:
    """The border of a region.

    Parameters
    ----------
    name
        Shown in the key; outlines of the same name share an entry.
    vertices
        n x 2, (x, y) in full-resolution pixels; closed without repeating the first.
    colour
        Red, green, blue, alpha from 0 to 1.
    """

    name: str
    vertices: NDArray[np.floating]
    colour: Colour

    def __post_init__(self) -> None:
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 2 or len(self.vertices) < 3:
            raise InputError(
                f"The outline has the shape {self.vertices.shape}, not corners x 2",
                where=f"outline of {self.name}",
                remedy="Give at least three (x, y) corners",
            )
