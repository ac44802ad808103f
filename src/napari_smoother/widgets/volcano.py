"""The volcano of a ranking: fold change across, p-value up, a point a gene, each to be clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.interval_delegate import LESS, MORE, NEITHER
from napari_smoother.widgets.raw_against_smoothed import ticks

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

HEIGHT = 180
LEFT, BOTTOM, TOP, RIGHT = 44, 34, 8, 12
DOT = 3
"""Pixels of a gene."""

REACH = 8
"""Pixels from a gene within which the pointer means it."""

NAMED = 4
"""Genes at each side that have their names beside them."""

RANGE = 99.9
"""Percentile of the fold changes of genes that both sides express, at the edge of the plot."""


class Volcano(QWidget):
    """Shows all genes of a ranking; those that are listed have a colour.

    Attributes
    ----------
    gene_chosen
        Emitted with the row name of the gene that was clicked.
    """

    gene_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setAccessibleName("Volcano plot of genes")
        self.setToolTip(
            "Each gene once: log2 fold change across, adjusted p-value up (powers of ten). Orange "
            "and blue are listed below: more and less than in the reference. Genes that one side "
            "does not express lie at the edges. Click a gene to see it on the tissue"
        )
        self._table: pd.DataFrame | None = None
        self._names: NDArray[Any] = np.empty(0, dtype=object)
        self._listed = np.empty(0, dtype=bool)
        self._across = self._up = np.empty(0)
        self._limits = (1.0, 1.0)
        self._thresholds = (0.0, 1.0)
        self._gene = ""
        self._picture: QImage | None = None

    def show_ranking(
        self,
        table: pd.DataFrame | None,
        names: NDArray[Any],
        listed: NDArray[np.bool_],
        thresholds: tuple[float, float],
    ) -> None:
        """Draw the genes of one group; None for none.

        Parameters
        ----------
        table
            As `GeneRanking.table` has it.
        names
            How its genes are shown.
        listed
            Which of them have a colour.
        thresholds
            Fold change and adjusted p-value from which they are listed.
        """
        self._table, self._names, self._listed = table, names, listed
        self._thresholds = thresholds
        self._picture = None
        if table is not None and len(table):
            self._across = table["log2_fold_change"].to_numpy(dtype=np.float64)
            self._up = _powers(table["adjusted_p_value"].to_numpy())
            both = (table["share"].to_numpy() > 0) & (table["share_reference"].to_numpy() > 0)
            widest = np.percentile(np.abs(self._across[both]), RANGE) if both.any() else 1.0
            self._limits = max(float(widest) * 1.05, 0.5), max(float(self._up.max()) * 1.05, 1.0)
        self.update()

    def show_gene(self, gene: str) -> None:
        """Put a ring around the gene of a row name; "" for none."""
        if gene != self._gene:
            self._gene = gene
            self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw the points anew."""
        super().resizeEvent(event)
        self._picture = None

    def places(self) -> NDArray[np.float64]:
        """Return where the genes are in the widget: n x 2 pixels, across and down."""
        frame, (wide, high) = self._frame(), self._limits
        across = np.clip(self._across / wide, -1, 1)
        up = np.clip(self._up / high, 0, 1)
        return np.stack(
            [
                frame.center().x() + across * frame.width() / 2,
                frame.bottom() - up * frame.height(),
            ],
            axis=1,
        )

    def gene_at(self, place: QPointF) -> int | None:
        """Return which row of the table is at a place; None for none. Listed genes come first."""
        if self._table is None or not len(self._table):
            return None
        far = np.hypot(*(self.places() - [place.x(), place.y()]).T)
        far = np.where(self._listed, far, far + REACH / 2)
        nearest = int(np.argmin(far))
        return nearest if far[nearest] <= REACH else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say which gene is under the pointer."""
        row = self.gene_at(event.position())
        self.setCursor(
            Qt.CursorShape.ArrowCursor if row is None else Qt.CursorShape.PointingHandCursor
        )
        if row is None or self._table is None:
            QToolTip.hideText()
        else:
            text = as_text(_described(str(self._names[row]), self._table.iloc[row]))
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the gene under the pointer."""
        row = self.gene_at(event.position())
        if row is not None and self._table is not None:
            self.gene_chosen.emit(str(self._table["gene"].iloc[row]))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw axes, thresholds, genes, and the names of some."""
        painter = QPainter(self)
        frame = self._frame()
        if self._table is None or not len(self._table):
            return
        self._draw_axes(painter, frame)
        if self._picture is None:
            self._picture = self._points()
        painter.drawImage(QPointF(0, 0), self._picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_names(painter, frame)

    def _frame(self) -> QRectF:
        return QRectF(self.rect()).adjusted(LEFT, TOP, -RIGHT, -BOTTOM)

    def _points(self) -> QImage:
        """Return all points as a picture, which takes as long for any number of them."""
        ratio = self.devicePixelRatioF()
        width, height = round(self.width() * ratio), round(self.height() * ratio)
        pixels = np.zeros((height, width, 4), np.uint8)
        places = np.round(self.places() * ratio).astype(np.intp)
        up = self._listed & (self._across > 0)
        radius = max(round(DOT * ratio / 2), 1)
        reach = np.arange(-radius, radius + 1)
        disc = [(x, y) for x in reach for y in reach if x * x + y * y <= radius * radius + 1]
        for chosen, colour, opacity in (
            (~self._listed, NEITHER, 110),
            (self._listed & ~up, LESS, 235),
            (up, MORE, 235),
        ):
            shade = QColor(colour)
            across, down = places[chosen].T
            for x, y in disc:
                column = np.clip(across + x, 0, width - 1)
                row = np.clip(down + y, 0, height - 1)
                pixels[row, column] = (shade.red(), shade.green(), shade.blue(), opacity)
        image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()
        image.setDevicePixelRatio(ratio)
        return image

    def _draw_axes(self, painter: QPainter, frame: QRectF) -> None:
        text, (wide, high) = self.palette().text().color(), self._limits
        fold, level = self._thresholds
        painter.setPen(QPen(text, 0.5))
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        painter.drawLine(
            QPointF(frame.center().x(), frame.top()), QPointF(frame.center().x(), frame.bottom())
        )
        painter.setPen(QPen(text, 0.6, Qt.PenStyle.DashLine))
        for value in (-fold, fold):
            x = frame.center().x() + value / wide * frame.width() / 2
            if fold and frame.left() < x < frame.right():
                painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        y = frame.bottom() - _powers(np.array([level]))[0] / high * frame.height()
        if frame.top() < y < frame.bottom():
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
        painter.setPen(text)
        for value in (*-ticks(0, wide)[1:], *ticks(0, wide)):
            x = frame.center().x() + value / wide * frame.width() / 2
            box = QRectF(x - 20, frame.bottom() + 4, 40, 14)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"{value:g}")
        for value in ticks(0, high):
            y = frame.bottom() - value / high * frame.height()
            box = QRectF(14, y - 7, LEFT - 18, 14)
            beside = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, beside, f"{value:g}")
        box = QRectF(frame.left(), frame.bottom() + 18, frame.width(), 16)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "log₂ fold change")
        painter.save()
        painter.translate(QPointF(8, frame.center().y()))
        painter.rotate(-90)
        box = QRectF(-frame.height() / 2 - 20, -8, frame.height() + 40, 16)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "−log₁₀ adjusted p")
        painter.restore()

    def _draw_names(self, painter: QPainter, frame: QRectF) -> None:
        """Write names beside the first genes of each side and the chosen one."""
        assert self._table is not None
        places, scores = self.places(), self._table["score"].to_numpy()
        listed = np.flatnonzero(self._listed)
        order = listed[np.argsort(-np.abs(scores[listed]), kind="stable")]
        first = [row for up in (True, False) for row in order[(scores[order] > 0) == up][:NAMED]]
        chosen = np.flatnonzero(self._table["gene"].to_numpy() == self._gene)
        text, taken = self.palette().text().color(), list[QRectF]()
        painter.setPen(text)
        font = painter.font()
        font.setPointSizeF(max(font.pointSizeF() - 1.5, 6.0))
        painter.setFont(font)
        metrics = painter.fontMetrics()
        for row in [*chosen[:1], *first]:
            x, y = places[row]
            if row in chosen:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(text, 1.6))
                painter.drawEllipse(QPointF(x, y), 5.5, 5.5)
            name = metrics.elidedText(
                str(self._names[row]), Qt.TextElideMode.ElideRight, int(frame.width() / 3)
            )
            width = metrics.horizontalAdvance(name) + 2
            left = x + 6 if x + 6 + width < self.width() else x - 6 - width
            box = QRectF(left, y - 7, width, 14)
            if all(not box.intersects(other) for other in taken):
                taken.append(box)
                painter.setPen(text)
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, name)


def _powers(p_values: NDArray[Any]) -> NDArray[np.float64]:
    """Return minus the logarithm; of 0, which is too small for a number, that of the smallest."""
    return np.asarray(-np.log10(np.maximum(p_values, np.finfo(np.float64).tiny)))


def _described(name: str, row: Any) -> str:
    return (
        f"{name}\nlog₂ fold change {row['log2_fold_change']:.2f}, adjusted p "
        f"{row['adjusted_p_value']:.1e}\nexpressed in {row['share']:.0%} of spots, in the "
        f"reference in {row['share_reference']:.0%}"
    )
