"""The line that says what is on screen, with a lamp and the button that stops work."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.page import wrapped_label
from napari_smoother.widgets.under_way import describe

if TYPE_CHECKING:
    from napari_smoother.widgets.preview import StatusKind
    from napari_smoother.widgets.session import Session

LAMPS: dict[StatusKind, str] = {
    "idle": "#8a94a0",
    "working": "#f0b429",
    "optimum": "#5fbf6a",
    "outdated": "#d08a3c",
    "failed": "#e5534b",
}


class Lamp(QWidget):
    """A dot whose colour is the kind of status."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(14, 14)
        self._colour = QColor(LAMPS["idle"])

    def show_kind(self, kind: StatusKind) -> None:
        """Take the colour of a kind of status."""
        self._colour = QColor(LAMPS[kind])
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the dot."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colour)
        painter.drawEllipse(QRectF(2, 2, 10, 10))


class StatusLine(QWidget):
    """What is on screen, in words, and Cancel.

    Parameters
    ----------
    session
        Whose work it shows.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.lamp = Lamp()
        self.text = wrapped_label()
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stops the work; what was there before stays")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.lamp)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.cancel)
        self.cancel.clicked.connect(self._cancel)
        session.status_changed.connect(lambda status: self.show_status())
        session.busy_changed.connect(lambda description: self.show_status())
        session.under_way.changed.connect(self.show_status)
        self.show_status()

    def show_status(self) -> None:
        """Show what is being done, or else what the map in front is."""
        session = self.session
        status, work = session.status, session.under_way.current
        if session.is_loading:
            work = session.loader
        if work is not None and (work is not session.front.runner or work.progress is not None):
            status = replace(status, kind="working", text=describe(work))
        self.lamp.show_kind(status.kind)
        self.text.setText(status.text)
        self.text.setToolTip(as_text(status.detail))
        self.cancel.setEnabled(status.kind == "working")

    def _cancel(self) -> None:
        """Stop what is told of; of an analysis in front also the graph that it waits for."""
        work = self.session.under_way.current
        if work is None or work in (self.session.loader, self.session.front.runner):
            self.session.cancel()
        else:
            self.session.under_way.cancel()
