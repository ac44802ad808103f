"""A histogram with two handles: the least and the most that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from napari_smoother.analyses.histogram import Histogram

Handle = Literal["low", "high"]

KEPT = "#5a9bd8"
LEFT_OUT = "#9a9a9a"
HANDLE = "#e0a84a"
GRIP = 6.0
"""Half the width of the grip of a handle, pixels."""

REACH = 12.0
"""Pixels from a handle at which the hand takes it."""


class LimitHistogram(QWidget):
    """How many spots have how much, and the limits between which they are kept.

    A handle at the end of the axis is no limit.

    Parameters
    ----------
    name
        What is counted, for who does not see it.
    tip
        What it is, with its unit.

    Attributes
    ----------
    held
        Emitted with whether the hand holds a handle.
    moved
        Emitted with the least and the most while the hand moves a handle; None for no limit.
    """

    held = Signal(bool)
    moved = Signal(object, object)

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self._histogram: Histogram | None = None
        self._limits: dict[Handle, float | None] = {"low": None, "high": None}
        self._taken: Handle | None = None
        self.setFixedHeight(84)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setAccessibleName(f"Histogram of {name}, with a handle at each limit")
        self.setToolTip(tip)

    def show_histogram(self, histogram: Histogram | None) -> None:
        """Draw a histogram; None for none."""
        self._histogram = histogram
        self.update()

    def show_limits(self, low: float | None, high: float | None) -> None:
        """Put the handles where limits are, without announcing it."""
        self._limits = {"low": low, "high": high}
        self.update()

    @property
    def is_held(self) -> bool:
        """Whether the hand holds a handle."""
        return self._taken is not None

    def place_of(self, handle: Handle) -> QPointF:
        """Return where a handle is, in pixels."""
        frame, limit = self._frame(), self._limits[handle]
        if limit is None or self._histogram is None:
            across = 0.0 if handle == "low" else 1.0
        else:
            across = self._across(limit)
        return QPointF(frame.left() + across * frame.width(), frame.center().y())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the handle under the mouse."""
        self._taken = self._under(event.position())
        if event.button() == Qt.MouseButton.LeftButton and self._taken is not None:
            self.held.emit(True)
        else:
            self._taken = None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the handle that is held; show where one can be taken."""
        if self._taken is None:
            over = self.isEnabled() and self._under(event.position()) is not None
            shape = Qt.CursorShape.SplitHCursor if over else Qt.CursorShape.ArrowCursor
            self.setCursor(shape)
            return
        self._move(self._taken, event.position().x())
        limit = self._limits[self._taken]
        told = "no limit" if limit is None else f"{limit:,.6g}"
        QToolTip.showText(event.globalPosition().toPoint(), told, self)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the handle go."""
        if self._taken is not None and event.button() == Qt.MouseButton.LeftButton:
            self._taken = None
            self.held.emit(False)

    def changeEvent(self, event: QEvent) -> None:
        """Draw it in the colours of another theme."""
        super().changeEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw bars, axis and handles."""
        painter = QPainter(self)
        if self._histogram is None:
            return
        self._paint_bars(painter, self._histogram)
        self._paint_axis(painter, self._histogram)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_handle(painter, "low")
        self._paint_handle(painter, "high")

    def _paint_bars(self, painter: QPainter, histogram: Histogram) -> None:
        frame = self._frame()
        numbers = histogram.numbers
        # A few spots far out are what is looked for here: they must not vanish.
        heights = np.sqrt(numbers / max(int(numbers.max()), 1)) * frame.height()
        width = frame.width() / len(numbers)
        low, high = self.place_of("low").x(), self.place_of("high").x()
        for place, height in enumerate(heights):
            if not height:
                continue
            left, height = frame.left() + place * width, max(float(height), 1.5)
            bar = QRectF(left, frame.bottom() - height, max(width - 0.5, 0.5), height)
            painter.fillRect(bar, QColor(LEFT_OUT))
            first, last = max(bar.left(), low), min(bar.right(), high)
            if first < last:
                kept = QRectF(first, bar.top(), last - first, height)
                painter.fillRect(kept, QColor(KEPT))

    def _paint_axis(self, painter: QPainter, histogram: Histogram) -> None:
        frame, axis = self._frame(), histogram.axis
        painter.setPen(self.palette().text().color())
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        metrics, reached = painter.fontMetrics(), -1e9
        for tick in axis.ticks(float(axis.back(histogram.high))):
            x = frame.left() + self._across(tick, clipped=False) * frame.width()
            label = f"{tick:,.6g}"
            width = metrics.horizontalAdvance(label)
            left = min(max(x - width / 2, 0.0), self.width() - width)
            if not frame.left() - 0.5 <= x <= frame.right() + 0.5 or left < reached:
                continue
            painter.drawLine(QPointF(x, frame.bottom()), QPointF(x, frame.bottom() + 3))
            painter.drawText(QPointF(left, frame.bottom() + 4 + metrics.ascent()), label)
            reached = left + width + 6

    def _paint_handle(self, painter: QPainter, handle: Handle) -> None:
        frame, x = self._frame(), self.place_of(handle).x()
        colour = QColor(HANDLE if self.isEnabled() else LEFT_OUT)
        painter.setPen(QPen(colour, 2.0))
        painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        # Each grip on the side that it keeps nothing of: both are seen where they meet.
        out = -GRIP * 1.6 if handle == "low" else GRIP * 1.6
        top = frame.top()
        tip = [QPointF(x, top), QPointF(x + out, top), QPointF(x + out, top + GRIP)]
        painter.drawPolygon(QPolygonF([*tip, QPointF(x, top + 2 * GRIP)]))

    def _frame(self) -> QRectF:
        return QRectF(self.rect()).adjusted(12, 4, -12, -20)

    def _across(self, value: float, *, clipped: bool = True) -> float:
        """Return the share of the way from the left end to a number."""
        histogram = self._histogram
        assert histogram is not None
        place = float(histogram.axis.forward(value))
        across = (place - histogram.low) / (histogram.high - histogram.low)
        return min(max(across, 0.0), 1.0) if clipped else across

    def _under(self, position: QPointF) -> Handle | None:
        """Return the handle within reach; of two in one place the one on whose side it is."""
        if self._histogram is None:
            return None
        away: dict[Handle, float] = {
            "low": position.x() - self.place_of("low").x(),
            "high": position.x() - self.place_of("high").x(),
        }
        near = [handle for handle in away if abs(away[handle]) <= REACH]
        if len(near) == 2 and away["low"] == away["high"]:
            at_right_end = self.place_of("high").x() >= self._frame().right() - 0.5
            return "low" if away["low"] < 0 or at_right_end else "high"
        return min(near, key=lambda handle: abs(away[handle]), default=None)

    def _move(self, handle: Handle, x: float) -> None:
        histogram, frame = self._histogram, self._frame()
        if histogram is None:
            return
        across = (x - frame.left()) / frame.width()
        limit: float | None
        if (handle == "low" and across <= 0) or (handle == "high" and across >= 1):
            limit = None
        else:
            across = min(max(across, 0.0), 1.0)
            place = histogram.low + across * (histogram.high - histogram.low)
            limit = max(histogram.axis.back(place), 0.0)
            other = self._limits["high" if handle == "low" else "low"]
            if other is not None:
                limit = min(limit, other) if handle == "low" else max(limit, other)
        self._limits[handle] = limit
        self.update()
        self.moved.emit(self._limits["low"], self._limits["high"])
