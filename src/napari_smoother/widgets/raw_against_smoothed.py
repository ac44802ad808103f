"""A plot of raw against smoothed values, one point a spot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_smoother.analyses.gene_values import SCALE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.imputed import Imputed

SEEN = "#8ab4f8"
HIDDEN = "#f28b54"
DOT = 3
"""Pixels of a spot."""

FAINTEST = 0.4
"""Opacity of a place with one spot; it grows with the logarithm of their number."""

MANY = 20.0
"""Spots in one place that make it opaque."""

HEIGHT = 190
LEFT, BOTTOM, TOP, RIGHT = 44, 34, 8, 12


class RawAgainstSmoothed(QWidget):
    """Smoothed over raw values on equal axes, with the line on which both are the same."""

    def __init__(self) -> None:
        super().__init__()
        self._imputed: Imputed | None = None
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            f"Each spot once, {SCALE}: raw across, smoothed up; blue was seen, orange was hidden. "
            "On the dashed line both are the same"
        )

    def show_imputed(self, imputed: Imputed | None) -> None:
        """Plot a result; None for none."""
        self._imputed = imputed
        self.setVisible(imputed is not None)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw axes and spots."""
        imputed = self._imputed
        if imputed is None or not imputed.compared.any():
            return
        raw, values = imputed.raw[imputed.compared], imputed.values[imputed.compared]
        seen = imputed.observed[imputed.compared]
        low = float(min(raw.min(), values.min(), 0.0))
        high = float(max(raw.max(), values.max(), low + 1e-9))
        painter = QPainter(self)
        frame = QRectF(self.rect()).adjusted(LEFT, TOP, -RIGHT, -BOTTOM)
        self._draw_axes(painter, frame, low, high, "filled in" if imputed.fixed else "smoothed")
        for chosen, colour in ((seen, SEEN), (~seen, HIDDEN)):
            if chosen.any():
                dots = np.stack([raw[chosen], values[chosen]], axis=1)
                picture = picture_of((dots - low) / (high - low), frame, QColor(colour))
                painter.drawImage(frame, picture)

    def _draw_axes(
        self, painter: QPainter, frame: QRectF, low: float, high: float, done: str
    ) -> None:
        text = self.palette().text().color()
        painter.setPen(QPen(text, 0.5))
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        painter.drawLine(frame.bottomLeft(), frame.topLeft())
        painter.setPen(QPen(text, 0.8, Qt.PenStyle.DashLine))
        painter.drawLine(frame.bottomLeft(), frame.topRight())
        painter.setPen(text)
        for value in ticks(low, high):
            share = (value - low) / (high - low)
            x, y = frame.left() + share * frame.width(), frame.bottom() - share * frame.height()
            painter.drawText(
                QRectF(x - 20, frame.bottom() + 1, 40, 14),
                Qt.AlignmentFlag.AlignCenter,
                f"{value:g}",
            )
            painter.drawText(
                QRectF(frame.left() - 32, y - 7, 28, 14),
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                f"{value:g}",
            )
        painter.drawText(
            QRectF(frame.left(), frame.bottom() + 16, frame.width(), 16),
            Qt.AlignmentFlag.AlignCenter,
            f"raw, {SCALE}",
        )
        painter.save()
        painter.translate(QPointF(12, frame.center().y()))
        painter.rotate(-90)
        painter.drawText(
            QRectF(-frame.height() / 2, -10, frame.height(), 16),
            Qt.AlignmentFlag.AlignCenter,
            done,
        )
        painter.restore()


def ticks(low: float, high: float) -> NDArray[np.float64]:
    """Return three to six round numbers within a range."""
    rough = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(round_ for round_ in (1, 2, 5, 10) if round_ * power >= rough)
    numbers: NDArray[np.float64] = np.arange(np.ceil(low / step - 1e-9), high / step + 1e-9) * step
    return numbers + 0.0  # no negative zero


def picture_of(places: NDArray[np.float64], frame: QRectF, colour: QColor) -> QImage:
    """Return dots as a picture whose opacity says how many lie on each other.

    Painting takes the same time for any number of spots.

    Parameters
    ----------
    places
        n x 2 from 0 to 1, across and up.
    frame
        Where it is drawn: the picture has one pixel for `DOT` of its.
    colour
        Of the dots.
    """
    places = np.clip(places, 0.0, 1.0)
    columns, rows = max(int(frame.width()) // DOT, 1), max(int(frame.height()) // DOT, 1)
    counts, _, _ = np.histogram2d(
        1 - places[:, 1], places[:, 0], bins=(rows, columns), range=((0, 1), (0, 1))
    )
    shade = FAINTEST + (1 - FAINTEST) * np.log1p(counts) / np.log1p(MANY)
    shade = np.minimum(shade, 1.0)
    pixels = np.empty((rows, columns, 4), np.uint8)
    pixels[:] = (colour.red(), colour.green(), colour.blue(), 0)
    pixels[..., 3] = np.where(counts > 0, 255 * shade, 0).astype(np.uint8)
    image = QImage(pixels.data, columns, rows, 4 * columns, QImage.Format.Format_RGBA8888)
    return image.copy()  # it does not keep the pixels alive
