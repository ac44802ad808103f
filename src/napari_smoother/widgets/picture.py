"""The view with the key to its colours, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QFont, QGuiApplication, QImage, QPainter

from napari_smoother.figures.colours import MISSING
from napari_smoother.figures.panels import ClassKey, NumberKey
from napari_smoother.widgets.key_panel import colour_bar
from napari_smoother.widgets.notices import tell

if TYPE_CHECKING:
    from napari_smoother.layers.spot_map import Key
    from napari_smoother.widgets.session import Session

SHARE_OF_WIDTH = 0.3
LINE = 20
MARGIN = 12
SWATCH = 12
PAPER, INK = "white", "black"


def copy(session: Session) -> None:
    """Put the view, with its key, into the clipboard."""
    viewer = session.viewer
    if viewer is None or session.study.section is None:
        return
    pixels = viewer.screenshot(canvas_only=True, flash=False)
    QGuiApplication.clipboard().setImage(with_key(pixels, session.scene.key))
    tell("The view is in the clipboard, with its key")


def with_key(pixels: np.ndarray, key: Key | None) -> QImage:
    """Return a picture with the key to its colours at the right, on white.

    Parameters
    ----------
    pixels
        Rows x columns x 4, uint8.
    key
        To the colours; None where there is one colour only.
    """
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    view = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
    if key is None:
        return view.copy()
    beside = max(round(SHARE_OF_WIDTH * width), 160)
    lines = 4 + (len(key.classes) if isinstance(key, ClassKey) else 2)
    sheet = QImage(width + beside, max(height, lines * LINE), QImage.Format.Format_RGB32)
    sheet.fill(QColor(PAPER))
    painter = QPainter(sheet)
    painter.drawImage(0, 0, view)
    painter.setPen(QColor(INK))
    painter.setFont(QFont(painter.font().family(), 10))
    column = QRect(width + MARGIN, MARGIN, beside - 2 * MARGIN, sheet.height())
    words = Qt.TextFlag.TextWordWrap
    used = painter.boundingRect(column, words, key.quantity)
    painter.drawText(column, words, key.quantity)
    column.setTop(used.bottom() + LINE // 2)
    if isinstance(key, NumberKey):
        _draw_bar(painter, column, key)
    else:
        _draw_classes(painter, column, key)
    painter.end()
    return sheet


def _draw_bar(painter: QPainter, column: QRect, key: NumberKey) -> None:
    bar = QRect(column.left(), column.top(), column.width(), SWATCH)
    painter.drawPixmap(bar, colour_bar(key.colormap))
    below = bar.translated(0, LINE).adjusted(0, 0, 0, LINE)
    painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"{key.low:.3g}")
    painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{key.high:.3g}")


def _draw_classes(painter: QPainter, column: QRect, key: ClassKey) -> None:
    shown = [*key.classes, *([(key.missing_name, MISSING)] if key.missing else [])]
    room = column.width() - SWATCH - MARGIN
    for row, (name, colour) in enumerate(shown):
        top = column.top() + row * LINE
        painter.fillRect(column.left(), top, SWATCH, SWATCH, QColor.fromRgbF(*map(float, colour)))
        text = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, room)
        painter.drawText(column.left() + SWATCH + MARGIN // 2, top + SWATCH, text)
