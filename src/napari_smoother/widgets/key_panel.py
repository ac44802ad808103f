"""The key to the colours on the tissue, always in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.figures.colours import MISSING, map_numbers
from napari_smoother.figures.panels import ClassKey, NumberKey
from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.page import ElidedLabel

if TYPE_CHECKING:
    from napari_smoother.layers.spot_map import Key

BAR_HEIGHT = 12
SEARCHED = 12
"""Classes from which on there is a field to look for one."""

LOWEST_LIST = 70
"""Pixels that classes have at least."""

HEIGHT_OF_CLASSES = 150
"""Pixels that they have until the hand gives them more."""


class KeyPanel(QWidget):
    """A colour bar with its quantity for numbers, a list for classes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.quantity = ElidedLabel()
        self.bar = QLabel()
        self.bar.setFixedHeight(BAR_HEIGHT)
        self.bar.setScaledContents(True)
        self.bar.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.low, self.high = QLabel(), QLabel()
        self.ends = QWidget()
        ends = QHBoxLayout(self.ends)
        ends.setContentsMargins(0, 0, 0, 0)
        ends.addWidget(self.low)
        ends.addWidget(self.bar, 1)
        ends.addWidget(self.high)
        self.search = QLineEdit()
        self.search.setPlaceholderText("find a class")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Shows the classes whose name holds this")
        self.search.setAccessibleName("Find a class")
        self.legend = QListWidget()
        self.legend.setMinimumHeight(LOWEST_LIST)
        self.legend.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.legend.setFlow(QListWidget.Flow.TopToBottom)
        self.legend.setAccessibleName("Classes and their colours")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for widget in (self.quantity, self.ends, self.search, self.legend):
            layout.addWidget(widget)
        self.search.textChanged.connect(self._find)
        self._key: Key | None = None
        self.show_key(None)

    def sizeHint(self) -> QSize:
        """Return how high it is until the hand gives it another height."""
        height = HEIGHT_OF_CLASSES if self.has_classes else self._height_of_numbers
        return QSize(super().sizeHint().width(), height)

    @property
    def _height_of_numbers(self) -> int:
        return int(self.quantity.sizeHint().height() + self.ends.sizeHint().height() + 2)

    @property
    def has_classes(self) -> bool:
        """Whether it lists classes, which may have any height."""
        return isinstance(self._key, ClassKey)

    def show_key(self, key: Key | None) -> None:
        """Show what the colours mean; None when there is one colour only."""
        before, self._key = self._key, key
        self.setVisible(key is not None)
        is_number = isinstance(key, NumberKey)
        self.ends.setVisible(is_number)
        self.legend.setVisible(self.has_classes)
        self.setMaximumHeight(16_777_215 if self.has_classes else self._height_of_numbers)
        if key is not None:
            self.quantity.setText(key.quantity)
        if isinstance(key, NumberKey):
            self.search.hide()
            if not isinstance(before, NumberKey) or before.colormap != key.colormap:
                self.bar.setPixmap(colour_bar(key.colormap))
            self.low.setText(f"{key.low:.3g}")
            self.high.setText(f"{key.high:.3g}")
        elif isinstance(key, ClassKey) and key != before:
            self._list(key)

    def _list(self, key: ClassKey) -> None:
        shown = [*key.classes, *([(key.missing_name, MISSING)] if key.missing else [])]
        self.search.clear()
        self.search.setVisible(len(shown) > SEARCHED)
        self.legend.clear()
        for name, colour in shown:
            pixmap = QPixmap(BAR_HEIGHT, BAR_HEIGHT)
            pixmap.fill(QColor.fromRgbF(*map(float, colour)))
            item = QListWidgetItem(QIcon(pixmap), name)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            item.setToolTip(as_text(name))
            self.legend.addItem(item)

    def _find(self, text: str) -> None:
        sought = text.strip().casefold()
        for row in range(self.legend.count()):
            item = self.legend.item(row)
            item.setHidden(sought not in item.text().casefold())


def colour_bar(colormap: str) -> QPixmap:
    """Return a colour map from left to right."""
    import numpy as np

    colours = map_numbers(np.linspace(0, 1, 256), 0.0, 1.0, colormap)
    pixels = np.ascontiguousarray((colours * 255).round().astype(np.uint8)[None])
    image = QImage(pixels.data, 256, 1, 4 * 256, QImage.Format.Format_RGBA8888)
    return QPixmap.fromImage(image.copy())
