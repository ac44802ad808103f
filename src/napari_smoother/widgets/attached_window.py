"""The napari window around our pages: it is closed, files are dropped on it, a pointer rests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QStatusBar

from napari_smoother.widgets.drop_target import DropTarget
from napari_smoother.widgets.spot_tip import SpotTip

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_smoother.widgets.session import Session


def attach(session: Session, window: QWidget) -> None:
    """Have a session take part in the window that it is in; once is enough.

    Names of layers and of what is under the pointer stand in its status bar as they are.
    """
    if not session.follow_window(window):
        return
    viewer = getattr(window, "_qt_viewer", None)
    if viewer is not None:
        DropTarget(session, viewer)
        SpotTip(session, viewer.canvas.native)
    for bar in window.findChildren(QStatusBar):
        for label in bar.findChildren(QLabel):
            label.setTextFormat(Qt.TextFormat.PlainText)
