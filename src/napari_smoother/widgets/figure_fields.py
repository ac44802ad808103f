"""How the fields of a figure are edited, and what they are called."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from napari_smoother.widgets.page import text_label
from napari_smoother.widgets.sliders import ExactField

OWN_WIDTH = "Own width"
FIELDS: dict[str, dict[str, Any]] = {
    "columns": {"range": (0, 12)},
    "width_mm": {"editor": lambda: ExactField(30, 1000)},
    "dpi": {"range": (50, 2400)},
    "font_size": {"editor": lambda: ExactField(3, 40)},
    "letters": {"choices": {"none": "none", "a": "a, b, c", "A": "A, B, C"}},
    "letter_size": {"editor": lambda: ExactField(3, 40)},
    "limits": {"choices": {"own": "own of each panel", "common": "common to all alike"}},
    "vector_spots": {"range": (0, 10_000_000), "step": 5000},
    "spot_size": {"editor": lambda: ExactField(0.01, 100), "text": "as on screen"},
    "image_opacity": {"editor": lambda: ExactField(0, 1), "text": "as on screen"},
    "image": {"text": "Image"},
    "edges": {"text": "Edges"},
    "outlines": {"text": "Regions"},
    "scale_bar": {"text": "Scale bar"},
}

NAMES = {
    "columns": "Columns of the figure",
    "width_mm": "Width of the figure in millimetres",
    "dpi": "Resolution in dots per inch",
    "font_size": "Size of the text in points",
    "letters": "Letters of panels",
    "letter_size": "Size of the letters in points",
    "limits": "Colour limits",
    "vector_spots": "Most vector spots",
    "spot_size": "Size of spots in the figure",
    "image_opacity": "Opacity of the image in the figure",
}
"""Of the fields, for who cannot see what stands beside them."""


def beside(first: QWidget, text: str, second: QWidget) -> QHBoxLayout:
    """Return a row of two fields with a word between them, as narrow as may be."""
    row = QHBoxLayout()
    for widget in (first, second):
        widget.setMinimumWidth(48)
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    row.addWidget(first, 1)
    row.addWidget(text_label(text))
    row.addWidget(second, 1)
    return row
