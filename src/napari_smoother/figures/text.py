"""How much room text takes, in millimetres."""

from __future__ import annotations

from functools import lru_cache

from napari_smoother.keys import safe_text

POINT = 25.4 / 72
"""Millimetres."""

LINE_SPACING = 1.3
"""Height of a line of text, of its font size."""

FAMILY = "DejaVu Sans"
"""The font matplotlib brings along, so that figures look alike everywhere."""


def line_height(size: float) -> float:
    """Height of a line of text of ``size`` points."""
    return LINE_SPACING * size * POINT


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line of text of ``size`` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    if not text:
        return 0.0
    font = FontProperties(family=FAMILY, weight="bold" if bold else "normal", size=size)
    width, _, _ = TextToPath().get_text_width_height_descent(safe_text(text), font, ismath=False)
    return float(width) * POINT


def wrap(text: str, size: float, room: float, *, bold: bool = False) -> list[str]:
    """Break text into lines no wider than ``room``; a word too wide keeps a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, bold=bold) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
