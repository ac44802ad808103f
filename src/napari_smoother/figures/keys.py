"""What explains colours: first measured, then drawn into the room it asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from napari_smoother.figures.colour_bar import ColourBar
from napari_smoother.figures.colours import MISSING
from napari_smoother.figures.legend import WHITE, Legend
from napari_smoother.figures.panels import ClassKey, NumberKey

if TYPE_CHECKING:
    from napari_smoother.figures.sheet import Sheet


class Key(Protocol):
    """Something that explains colours."""

    def size(self, font_size: float, room: float, *, below: bool) -> tuple[float, float]:
        """Width and height; ``room`` is the height beside a panel, or the width below it."""

    def draw(self, sheet: Sheet, left: float, top: float, room: float, *, below: bool) -> None:
        """Draw with the upper left corner given."""


def key_drawing(
    key: NumberKey | ClassKey,
    *,
    lines: bool = False,
    page: tuple[float, float, float] = WHITE,
) -> Key:
    """Choose how a key is drawn on a page of a colour."""
    if isinstance(key, NumberKey):
        return ColourBar(key)
    classes = (*key.classes, (key.missing_name, MISSING)) if key.missing else key.classes
    return Legend(key.quantity, classes, lines, page)
