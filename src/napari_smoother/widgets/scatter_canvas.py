"""A scatter of many points that is dragged over, zoomed into, and pointed at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_smoother.widgets.point_raster import Frame, PointRaster, packed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent, QWheelEvent

LEFT, BOTTOM = 20, 20
"""Pixels for what the axes are called."""

COVER = 0.6
"""Diameter of a point relative to the distance it would have in a grid that fills the frame."""

SMALLEST, LARGEST = 2.0, 11.0
FAINT = 0.12
"""Opacity of the points that are not selected, while others are."""

LASSO = "#f0b429"
STEP = 1.2
"""Of the zoom, for a notch of the wheel."""

NOTCH = 120.0
NEAR = 3
"""Pixels within which a point is pointed at."""

WHILE_DRAWING = 60
"""Milliseconds, at least, between two looks at an outline that is being drawn."""


class ScatterCanvas(QWidget):
    """Points in the colours they are given.

    Drag with the left button for a lasso, with the right one to move; turn the wheel to zoom, and
    double-click to see all.

    Attributes
    ----------
    begun
        Emitted when the hand begins an outline.
    drawing
        Emitted with an outline that is being drawn, m x 2 in units of the axes.
    drawn
        Emitted with an outline that is finished.
    pointed
        Emitted with the point under the pointer, -1 for none.
    confirmed, dismissed
        Emitted when Enter or Escape was pressed.
    """

    begun = Signal()
    drawing = Signal(object)
    drawn = Signal(object)
    pointed = Signal(int)
    confirmed = Signal()
    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(200, 200)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.message = ""
        self.axes = ("", "")
        self._raster = PointRaster(np.empty((0, 2)))
        self._colours: NDArray[np.floating] = np.empty((0, 3))
        self._selected: NDArray[np.bool_] | None = None
        self._marked = -1
        self._frame = Frame.around(self._raster.points, *self._size())
        self._home = self._frame
        self._seen: NDArray[np.int32] | None = None
        self._shades: NDArray[np.uint32] | None = None
        self._pixels: NDArray[np.uint32] | None = None
        self._outline: list[QPointF] = []
        self._moved_from: QPointF | None = None
        self._looks = QTimer(self)
        self._looks.setSingleShot(True)
        self._looks.setInterval(WHILE_DRAWING)
        self._looks.timeout.connect(self._look)
        self._looked_at = 0.0
        self._painted = QTimer(self)
        self._painted.setSingleShot(True)
        self._painted.timeout.connect(self._keep_pace)

    # What is shown

    def show_points(
        self, points: NDArray[np.floating], axes: tuple[str, str], message: str = ""
    ) -> None:
        """Show points and the whole of them.

        Parameters
        ----------
        points
            n x 2, finite.
        axes
            What is across, and what is up.
        message
            In place of points, where there are none.
        """
        self._raster = PointRaster(points)
        self.axes, self.message = axes, message
        self._selected, self._marked, self._outline = None, -1, []
        self._colours, self._shades = np.full((len(points), 3), 0.5), None
        self.show_all()

    def show_colours(self, colours: NDArray[np.floating]) -> None:
        """Colour the points, n x 3 or more from 0 to 1."""
        self._colours, self._shades, self._pixels = colours, None, None
        self.update()

    def select(self, points: NDArray[np.bool_] | None) -> None:
        """Bring points out, n booleans; None for none in particular."""
        if points is None and self._selected is None:
            return
        self._selected, self._seen, self._shades, self._pixels = points, None, None, None
        self.update()

    def mark(self, point: int) -> None:
        """Put a ring around a point; -1 for none."""
        if point != self._marked:
            self._marked = point
            self.update()

    def show_all(self) -> None:
        """Show every point."""
        self._home = Frame.around(self._raster.points, *self._size())
        self._look_at(self._home)

    def place_of(self, point: int) -> QPointF:
        """Return where a point is on the widget."""
        ((column, row),) = self._frame.to_pixels(self._raster.points[[point]])
        return QPointF(column + LEFT, row)

    def point_at(self, place: QPointF) -> int:
        """Return the point at a place on the widget, -1 for none."""
        seen = self._on_top()
        column, row = int(place.x()) - LEFT, int(place.y())
        if not (0 <= column < seen.shape[1] and 0 <= row < seen.shape[0]):
            return -1
        first = max(row - NEAR, 0), max(column - NEAR, 0)
        around = seen[first[0] : row + NEAR + 1, first[1] : column + NEAR + 1]
        rows, columns = np.nonzero(around >= 0)
        if not len(rows):
            return -1
        distances = (rows + first[0] - row) ** 2 + (columns + first[1] - column) ** 2
        nearest = int(np.argmin(distances))
        return int(around[rows[nearest], columns[nearest]])

    def _size(self) -> tuple[int, int]:
        return max(self.width() - LEFT, 1), max(self.height() - BOTTOM, 1)

    def _look_at(self, frame: Frame) -> None:
        self._frame, self._seen, self._pixels = frame, None, None
        self.update()

    @property
    def diameter(self) -> float:
        """Of a point, in pixels: smaller where there are many, larger where they are near."""
        share = self._frame.width * self._frame.height / max(len(self._raster.points), 1)
        zoom = self._home.across * self._home.width / (self._frame.across * self._frame.width)
        return float(np.clip(COVER * np.sqrt(share * max(zoom, 1.0)), SMALLEST, LARGEST))

    def _on_top(self) -> NDArray[np.int32]:
        if self._seen is None:
            self._seen = self._raster.on_top(self._frame, self.diameter, self._selected)
        return self._seen

    def _picture(self) -> NDArray[np.uint32]:
        if self._shades is None:
            opacity = np.ones(len(self._colours), dtype=np.float32)
            if self._selected is not None:
                opacity[~self._selected] = FAINT
            self._shades = packed(self._colours, opacity)
        if self._pixels is None:
            self._pixels = self._shades[self._on_top()]
        return self._pixels

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw points, axes, and what the hand draws."""
        painter = QPainter(self)
        text = self.palette().text().color()
        width, height = self._size()
        plane = QRectF(LEFT, 0, width, height)
        if len(self._raster.points):
            pixels = self._picture()
            # Written before the pixels go: QImage does not keep them alive.
            image = QImage(
                pixels.data,
                pixels.shape[1],
                pixels.shape[0],
                4 * pixels.shape[1],
                QImage.Format.Format_ARGB32_Premultiplied,
            )
            painter.drawImage(LEFT, 0, image)
        painter.setPen(text)
        if not len(self._raster.points):
            painter.drawText(
                plane, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message
            )
            return
        self._draw_axes(painter, plane)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if 0 <= self._marked < len(self._raster.points):
            place, radius = self.place_of(self._marked), self.diameter / 2 + 4
            painter.setPen(QPen(text, 2))
            painter.drawEllipse(place, radius, radius)
        if len(self._outline) > 1:
            painter.setPen(QPen(QColor(LASSO), 1.5))
            tint = QColor(LASSO)
            tint.setAlpha(30)
            painter.setBrush(tint)
            painter.drawPolygon(QPolygonF(self._outline))

    def _draw_axes(self, painter: QPainter, plane: QRectF) -> None:
        painter.setPen(QPen(painter.pen().color(), 0.5))
        painter.drawLine(plane.bottomLeft(), plane.bottomRight())
        painter.drawLine(plane.bottomLeft(), plane.topLeft())
        across, up = self.axes
        centre = Qt.AlignmentFlag.AlignCenter
        painter.drawText(
            QRectF(LEFT, plane.bottom() + 2, plane.width(), BOTTOM - 2), centre, across
        )
        painter.save()
        painter.translate(QPointF(LEFT / 2, plane.center().y()))
        painter.rotate(-90)
        painter.drawText(
            QRectF(-plane.height() / 2, -LEFT / 2, plane.height(), LEFT - 2), centre, up
        )
        painter.restore()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep what is shown."""
        size = self._size()
        self._home = self._home.resized(*size)
        self._look_at(self._frame.resized(*size))

    # What the hand does

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a lasso, or to move."""
        if not len(self._raster.points):
            return
        if event.button() == Qt.MouseButton.LeftButton:
            self._outline = [event.position()]
            self.begun.emit()
        else:
            self._moved_from = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Draw on, move on, or point."""
        place = event.position()
        if self._moved_from is not None:
            way = place - self._moved_from
            self._moved_from = place
            self._look_at(self._frame.moved(way.x(), way.y()))
        elif self._outline:
            self._outline.append(place)
            self.update()
            if not self._looks.isActive():
                self._looks.start()
        else:
            self.pointed.emit(self.point_at(place))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Close the lasso; a click is none."""
        self._moved_from = None
        self._looks.stop()
        outline, self._outline = self._in_plane(), []
        self.update()
        if event.button() == Qt.MouseButton.LeftButton and len(outline) > 2:
            self.drawn.emit(outline)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show every point."""
        self._outline = []
        self.show_all()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the pointer."""
        event.accept()
        place = event.position()
        factor = STEP ** (event.angleDelta().y() / NOTCH)
        self._look_at(self._frame.zoomed(factor, place.x() - LEFT, place.y()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Confirm or dismiss what is selected."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.confirmed.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self._outline = []
            self._looks.stop()
            self.update()
            self.dismissed.emit()
        else:
            super().keyPressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Point at nothing."""
        self.pointed.emit(-1)

    def _in_plane(self) -> NDArray[np.float64]:
        if len(self._outline) < 3:
            return np.empty((0, 2))
        pixels = np.array([(place.x() - LEFT, place.y()) for place in self._outline])
        return self._frame.to_plane(pixels)

    def _look(self) -> None:
        outline = self._in_plane()
        if not len(outline):
            return
        self._looked_at = time.perf_counter()
        self.drawing.emit(outline)
        self._painted.start()

    def _keep_pace(self) -> None:
        """Look less often where a look takes long, with all that was painted for it."""
        took = 1000 * (time.perf_counter() - self._looked_at)
        self._looks.setInterval(max(WHILE_DRAWING, round(2 * took)))
