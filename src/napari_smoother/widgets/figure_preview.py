"""The figure as it will be written, large, over the canvas of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QImage, QPainter, QPixmap
from qtpy.QtWidgets import (
    QFrame,
    QGraphicsPixmapItem,
    QGraphicsScene,
    QGraphicsView,
    QHBoxLayout,
    QLabel,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.page import silent, wrapped_label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qtpy.QtCore import QObject
    from qtpy.QtGui import QCloseEvent, QResizeEvent, QWheelEvent

ZOOM_STEP = 1.25
LARGEST_ZOOM = 16.0
MARGIN = 12
"""Pixels around the sheet where it fits."""

SHARPEST = 600
"""Dots per inch that the preview is drawn with at most."""


class _Sheet(QGraphicsView):
    """A picture that is moved with the hand and enlarged with the wheel."""

    zoomed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setScene(QGraphicsScene(self))
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setDragMode(QGraphicsView.DragMode.ScrollHandDrag)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorUnderMouse)
        self.setRenderHints(QPainter.RenderHint.SmoothPixmapTransform)
        self.setBackgroundBrush(Qt.GlobalColor.gray)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.picture = QGraphicsPixmapItem()
        self.picture.setTransformationMode(Qt.TransformationMode.SmoothTransformation)
        self.scene().addItem(self.picture)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Enlarge or reduce about the pointer."""
        self.zoom_by(ZOOM_STEP ** (event.angleDelta().y() / 120))
        event.accept()

    def zoom_by(self, factor: float) -> None:
        """Enlarge, within reason."""
        now = self.transform().m11()
        wanted = min(max(now * factor, 0.02 * now), LARGEST_ZOOM * 10)
        if wanted != now:
            self.scale(wanted / now, wanted / now)
            self.zoomed.emit()


class FigurePreview(QWidget):
    """Shows a figure on its page: fitted, in its true size, or enlarged.

    Lengths of its scene are points of the page, 72 an inch, whatever the picture is drawn with.

    Attributes
    ----------
    sharper_wanted
        Emitted when what is shown should be drawn with more dots per inch.
    closed
        Emitted when the hand has closed it.
    """

    sharper_wanted = Signal()
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # Opaque in every theme: the canvas is under it.
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.sheet = _Sheet()
        self.sheet.setAccessibleName("The figure as it will be written")
        self.sheet.setToolTip("Drag to move, turn the wheel to enlarge")
        self.fit_button = self._button("Fit", "Shows the whole figure")
        self.true_button = self._button("True size", "Shows the figure as large as in print")
        self.smaller = self._button("−", "Shows it smaller")
        self.larger = self._button("+", "Shows it larger")
        self.scale_label = QLabel()
        self.scale_label.setToolTip("Size on screen, of that in print")
        self.facts = wrapped_label()
        self.float_button = self._button("Own window", "Shows the figure in a window of its own")
        self.float_button.setCheckable(True)
        self.is_afloat = False
        self.close_button = self._button("×", "Shows the canvas; tick Preview to come back")
        self.close_button.setAccessibleName("Close the preview")
        self.remark = wrapped_label()
        top = QHBoxLayout()
        for widget in (self.fit_button, self.true_button, self.smaller, self.larger):
            top.addWidget(widget)
        top.addWidget(self.scale_label)
        top.addStretch()
        top.addWidget(self.float_button)
        top.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.sheet, 1)
        layout.addWidget(self.facts)
        layout.addWidget(self.remark)
        self._fits = True
        self._covered: QWidget | None = None
        self._dpi = 72.0
        self.fit_button.clicked.connect(self.fit)
        self.true_button.clicked.connect(self.show_true_size)
        self.smaller.clicked.connect(lambda: self._zoom(1 / ZOOM_STEP))
        self.larger.clicked.connect(lambda: self._zoom(ZOOM_STEP))
        self.sheet.zoomed.connect(self._on_zoomed)
        self.close_button.clicked.connect(self.closed)
        self.float_button.toggled.connect(self._set_afloat)
        self.remark.hide()

    @staticmethod
    def _button(text: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        return button

    def cover(self, widget: QWidget) -> None:
        """Lie over a widget, and stay as large as it."""
        if self._covered is not widget:
            self._covered = widget
            widget.installEventFilter(self)
        if not self.is_afloat:
            if self.parentWidget() is not widget:
                self.setParent(widget)
            self.setGeometry(widget.rect())
        self.show()
        self.raise_()

    def _set_afloat(self, afloat: bool) -> None:
        """Leave the window, or come back over its canvas."""
        self.is_afloat = afloat
        if self._covered is None:
            return
        if afloat:
            self.setParent(self._covered.window(), Qt.WindowType.Window)
            self.setWindowTitle("Figure")
            self.resize(1000, 800)
            self.show()
        else:
            self.setParent(None)
            self.cover(self._covered)
        self.sharper_wanted.emit()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Come back over the canvas the next time, when its own window is closed."""
        super().closeEvent(event)
        if self.is_afloat:
            self.is_afloat = False
            with silent(self.float_button):
                self.float_button.setChecked(False)
            self.setParent(None)
            self.closed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of what it covers."""
        if (
            event.type() == QEvent.Type.Resize
            and watched is self.parentWidget()
            and not self.is_afloat
        ):
            self.setGeometry(self.parentWidget().rect())
        return False

    def wanted_dpi(self, width_inches: float) -> float:
        """Return the dots per inch that are as sharp as the screen, at the present size."""
        ratio = self.devicePixelRatioF()
        if self._fits or self.sheet.picture.pixmap().isNull():
            room = self.sheet.viewport().width() - 2 * MARGIN
            return float(min(max(ratio * room / width_inches, 72), SHARPEST))
        return float(min(max(ratio * 72 * self.sheet.transform().m11(), 72), SHARPEST))

    def show_pixels(self, pixels: NDArray[np.uint8], dpi: float) -> None:
        """Show a figure that was drawn with so many dots per inch; the view stays."""
        height, width = pixels.shape[:2]
        image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        self._dpi = dpi
        self.sheet.picture.setPixmap(QPixmap.fromImage(image.copy()))
        self.sheet.picture.setScale(72 / dpi)
        room = QRectF(0, 0, width * 72 / dpi, height * 72 / dpi)
        self.sheet.setSceneRect(room)
        if self._fits:
            self.fit()
        else:
            self._on_scale()  # it may have been enlarged further meanwhile

    def show_facts(self, facts: str, remark: str) -> None:
        """Show size and resolution, and what has to be said about the figure."""
        self.facts.setText(facts)
        self.remark.setText(remark)
        self.remark.setToolTip(as_text(remark))
        self.remark.setVisible(bool(remark))

    def clear(self) -> None:
        """Show nothing."""
        self.sheet.picture.setPixmap(QPixmap())
        self.show_facts("", "")

    def fit(self) -> None:
        """Show the whole figure."""
        self._fits = True
        rect = self.sheet.sceneRect()
        view = self.sheet.viewport()
        if rect.isEmpty() or view.width() <= 2 * MARGIN:
            return
        zoom = min(
            (view.width() - 2 * MARGIN) / rect.width(),
            (view.height() - 2 * MARGIN) / rect.height(),
        )
        self.sheet.resetTransform()
        self.sheet.scale(zoom, zoom)
        self.sheet.centerOn(rect.center())
        self._on_scale()

    def show_true_size(self) -> None:
        """Show the figure as large as in print, as far as the screen knows its own size."""
        self._fits = False
        zoom = self._true_zoom()
        centre: QPointF = self.sheet.mapToScene(self.sheet.viewport().rect().center())
        self.sheet.resetTransform()
        self.sheet.scale(zoom, zoom)
        self.sheet.centerOn(centre)
        self._on_scale()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep a figure that fits fitting."""
        super().resizeEvent(event)
        if self._fits:
            self.fit()

    def _zoom(self, factor: float) -> None:
        self.sheet.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorViewCenter)
        self.sheet.zoom_by(factor)
        self.sheet.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorUnderMouse)

    def _on_zoomed(self) -> None:
        self._fits = False
        self._on_scale()

    def _on_scale(self) -> None:
        self._tell_scale()
        needed = self.devicePixelRatioF() * 72 * self.sheet.transform().m11()
        if min(needed, SHARPEST) > 1.2 * self._dpi and not self.sheet.picture.pixmap().isNull():
            self.sharper_wanted.emit()

    def _true_zoom(self) -> float:
        """Pixels of the screen for a point in print."""
        screen = self.screen()
        dpi = screen.physicalDotsPerInch() if screen is not None else 96.0
        return float(dpi if 40 < dpi < 400 else 96.0) / 72

    def _tell_scale(self) -> None:
        share = self.sheet.transform().m11() / self._true_zoom()
        self.scale_label.setText(f"{share:.0%}")
