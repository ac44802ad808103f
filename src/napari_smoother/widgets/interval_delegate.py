"""Paints a difference with its interval as a dot on a bar, about a line at no difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from napari_smoother.widgets.sorted_table import ROW

if TYPE_CHECKING:
    from qtpy.QtCore import QModelIndex

MORE, LESS, NEITHER = "#f28b54", "#8ab4f8", "#8a94a0"
"""Colours of more than in the reference, of less, and of what may be either."""

PICTURE = 72
"""Pixels at the left of the cell; the text has the others."""


class IntervalDelegate(QStyledItemDelegate):
    """Paints the picture of a row with ``difference``, ``lower`` and ``upper``.

    Attributes
    ----------
    extent
        Difference at the ends of the picture.
    """

    extent = 1.0

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint the text at the right, and the picture beside it."""
        super().paint(painter, option, index)
        row = index.data(ROW)
        if row is None or not np.isfinite(row["difference"]):
            return
        area = QRectF(option.rect).adjusted(4, 4, 0, -4)
        area.setWidth(PICTURE)
        middle, y = area.center().x(), area.center().y()
        scale = area.width() / 2 / max(self.extent, 1e-12)
        at = middle + row["difference"] * scale
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(option.palette.text().color(), 0.6))
        painter.drawLine(QPointF(middle, area.top()), QPointF(middle, area.bottom()))
        lower, upper = row["lower"], row["upper"]
        known = np.isfinite(lower) and np.isfinite(upper)
        sign = (1 if lower > 0 else -1 if upper < 0 else 0) if known else 0
        colour = QColor((NEITHER, MORE, LESS)[sign])
        if known:
            left, right = (
                float(np.clip(middle + end * scale, area.left(), area.right()))
                for end in (lower, upper)
            )
            painter.setPen(QPen(colour, 3, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
            painter.drawLine(QPointF(left, y), QPointF(right, y))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(float(np.clip(at, area.left(), area.right())), y), 3.5, 3.5)
        painter.restore()
