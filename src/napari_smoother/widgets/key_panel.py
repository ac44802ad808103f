"""The key to the colours on the tissue, always in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.figures.colours import MISSING, map_numbers
from napari_smoother.figures.panels import ClassKey, NumberKey
from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.page import text_label

if TYPE_CHECKING:
    from napari_smoother.layers.spot_map import Key

BAR_HEIGHT = 12
ROWS = 7
"""Classes under each other before a second column is begun."""


class KeyPanel(QWidget):
    """A colour bar with its quantity for numbers, a legend for classes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.quantity = text_label()
        self.quantity.setWordWrap(True)
        self.bar = QLabel()
        self.bar.setFixedHeight(BAR_HEIGHT)
        self.bar.setScaledContents(True)
        self.bar.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.low, self.high = QLabel(), QLabel()
        self.ends = QWidget()
        ends = QHBoxLayout(self.ends)
        ends.setContentsMargins(0, 0, 0, 0)
        ends.addWidget(self.low)
        ends.addStretch()
        ends.addWidget(self.high)
        self.legend = QScrollArea()
        self.legend.setWidgetResizable(True)
        self.legend.setFrameShape(QScrollArea.Shape.NoFrame)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for widget in (self.quantity, self.bar, self.ends, self.legend):
            layout.addWidget(widget)
        self._key: Key | None = None
        self.show_key(None)

    def show_key(self, key: Key | None) -> None:
        """Show what the colours mean; None when there is one colour only."""
        self.setVisible(key is not None)
        is_number = isinstance(key, NumberKey)
        self.bar.setVisible(is_number)
        self.ends.setVisible(is_number)
        self.legend.setVisible(isinstance(key, ClassKey))
        if key is not None:
            self.quantity.setText(key.quantity)
        if isinstance(key, NumberKey):
            if not isinstance(self._key, NumberKey) or self._key.colormap != key.colormap:
                self.bar.setPixmap(colour_bar(key.colormap))
            self.low.setText(f"{key.low:.3g}")
            self.high.setText(f"{key.high:.3g}")
        elif isinstance(key, ClassKey):
            self._list(key)
        self._key = key

    def _list(self, key: ClassKey) -> None:
        if key == self._key:
            return
        shown = [*key.classes, *([(key.missing_name, MISSING)] if key.missing else [])]
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        for place, (name, colour) in enumerate(shown):
            swatch = QLabel()
            pixmap = QPixmap(BAR_HEIGHT, BAR_HEIGHT)
            pixmap.fill(QColor.fromRgbF(*map(float, colour)))
            swatch.setPixmap(pixmap)
            label = text_label(name)
            label.setToolTip(as_text(name))
            column, row = divmod(place, ROWS)
            grid.addWidget(swatch, row, 3 * column)
            grid.addWidget(label, row, 3 * column + 1)
            grid.setColumnStretch(3 * column + 2, 1)
        grid.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.legend.setWidget(content)
        rows = min(len(shown), ROWS)
        self.legend.setFixedHeight(rows * 20 + (14 if len(shown) > 2 * ROWS else 4))


def colour_bar(colormap: str) -> QPixmap:
    """Return a colour map from left to right."""
    import numpy as np

    colours = map_numbers(np.linspace(0, 1, 256), 0.0, 1.0, colormap)
    pixels = np.ascontiguousarray((colours * 255).round().astype(np.uint8)[None])
    image = QImage(pixels.data, 256, 1, 4 * 256, QImage.Format.Format_RGBA8888)
    return QPixmap.fromImage(image.copy())
