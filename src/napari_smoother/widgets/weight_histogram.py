"""How much of their weight edges have kept, as a histogram in the colours of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_smoother.figures.colours import EDGE_WEIGHT, map_numbers
from napari_smoother.printing.overlays import CUT_COLOUR
from napari_smoother.weights.summary import BINS, HALVED, NEARLY_CUT

if TYPE_CHECKING:
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from napari_smoother.weights.summary import Weakening

HEIGHT = 96
GAP = 8
"""Pixels between the column of cut edges and the others."""

TIP = (
    "How many edges keep which share of their full weight; in red, at the left, those that are "
    "cut. The colours are those of the edges on the tissue. Lines mark shares of "
    f"{NEARLY_CUT:g} and {HALVED:g}; point at a column for its number"
)


class WeightHistogram(QWidget):
    """Edges over the share of their full weight that scalings have left."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: Weakening | None = None
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setToolTip(TIP)
        self.setAccessibleName("Histogram of the weights of edges")

    def show_weights(self, weakening: Weakening | None) -> None:
        """Draw a histogram; None for an empty frame."""
        self._shown = weakening
        self.setAccessibleDescription("" if weakening is None else describe(weakening))
        self.update()

    def text_at(self, x: float) -> str:
        """Return what the column at a place says, "" where there is none."""
        if self._shown is None:
            return ""
        for step in range(-1, BINS):
            column = self._column(step)
            if column.left() <= x < column.right():
                if step < 0:
                    return f"{self._shown.n_cut:,} edges are cut: weight 0"
                low, high = step / BINS, (step + 1) / BINS
                number = int(self._shown.counts[step])
                return f"{number:,} edges keep {low:.2f} to {high:.2f} of their weight"
        return ""

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the number of the column under the mouse."""
        text = self.text_at(event.position().x())
        if text:
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the columns, and the shares under them."""
        painter = QPainter(self)
        text = self.palette().text().color()
        frame = self._frame()
        if self._shown is not None:
            highest = max(int(self._shown.counts.max(initial=0)), self._shown.n_cut, 1)
            for step in range(-1, BINS):
                number = self._shown.n_cut if step < 0 else int(self._shown.counts[step])
                self._draw(painter, step, number / highest)
        faint = QColor(text)
        faint.setAlphaF(0.45)
        painter.setPen(faint)
        left = self._column(-1)
        for start, end in ((left.left(), left.right()), (self._left, frame.right())):
            painter.drawLine(QPointF(start, frame.bottom()), QPointF(end, frame.bottom()))
        painter.setPen(QPen(faint, 1.0, Qt.PenStyle.DashLine))
        for share in (NEARLY_CUT, HALVED):
            x = self._place(share)
            painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        painter.setPen(text)
        self._write(painter, left.center().x(), "cut")
        for share, said in ((NEARLY_CUT, f"{NEARLY_CUT:g}"), (HALVED, f"{HALVED:g}"), (1.0, "1")):
            self._write(painter, self._place(share), said)

    def _draw(self, painter: QPainter, step: int, share: float) -> None:
        if share <= 0:
            return
        column = self._column(step)
        height = max(column.height() * share, 2.0)  # one edge of thousands is seen, too
        bar = QRectF(column.left(), column.bottom() - height, column.width(), height)
        if step < 0:
            colour = QColor.fromRgbF(*CUT_COLOUR)
        else:
            (rgba,) = map_numbers([(step + 0.5) / BINS], 0.0, 1.0, EDGE_WEIGHT)
            colour = QColor.fromRgbF(*map(float, rgba))
        painter.fillRect(bar.adjusted(0.5, 0, -0.5, 0), colour)

    def _write(self, painter: QPainter, x: float, text: str) -> None:
        box = QRectF(min(x - 24, self.width() - 48.0), self._frame().bottom() + 1, 48, 16)
        side = (
            Qt.AlignmentFlag.AlignHCenter if box.left() == x - 24 else Qt.AlignmentFlag.AlignRight
        )
        painter.drawText(box, side, text)

    def _frame(self) -> QRectF:
        return QRectF(self.rect()).adjusted(2, 2, -2, -18)

    @property
    def _left(self) -> float:
        """Where the share 0 is."""
        return float(self._frame().left() + self._frame().width() / (BINS + 1) + GAP)

    def _place(self, share: float) -> float:
        return float(self._left + share * (self._frame().right() - self._left))

    def _column(self, step: int) -> QRectF:
        """Where a step of shares lies, that of cut edges being -1."""
        frame = self._frame()
        if step < 0:
            return QRectF(
                frame.left(), frame.top(), self._left - GAP - frame.left(), frame.height()
            )
        left, right = self._place(step / BINS), self._place((step + 1) / BINS)
        return QRectF(left, frame.top(), right - left, frame.height())


def describe(weakening: Weakening) -> str:
    """Return how many edges are cut and weakened, in words."""
    found = weakening
    return (
        f"{found.n_edges:,} pairs of neighbours: {found.n_cut:,} cut, {found.n_nearly_cut:,} "
        f"below {NEARLY_CUT:g} of their weight, {found.n_halved:,} below {HALVED:g}"
    )
