"""The tooltip of the canvas: what is known of the spot on which the mouse rests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QObject, QRect, QSize
from qtpy.QtWidgets import QToolTip, QWidget

from napari_smoother.layers.plain_text import as_text
from napari_smoother.layers.under_pointer import describe_point

if TYPE_CHECKING:
    from qtpy.QtGui import QHelpEvent

    from napari_smoother.widgets.session import Session

STILL = QSize(8, 8)
"""Pixels around the pointer in which the text stays."""


class SpotTip(QObject):
    """Answers when Qt asks the canvas for a tooltip.

    Parameters
    ----------
    session
        Whose map is in front.
    canvas
        The widget that napari draws in.
    """

    def __init__(self, session: Session, canvas: QWidget) -> None:
        super().__init__(session)
        self._session = session
        canvas.installEventFilter(self)

    @property
    def text(self) -> str:
        """What is known of what is under the pointer; empty where there is no spot."""
        session = self._session
        viewer, layer = session.viewer, session.scene.map_on_top
        if session.is_closed or viewer is None or layer is None or not layer.visible:
            return ""
        place = layer.get_value(np.asarray(viewer.cursor.position), world=True)
        if place is None:
            return ""
        return describe_point(layer, int(place), session.study)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Show it; without a spot under the pointer napari may have something to say."""
        if event.type() != QEvent.Type.ToolTip:
            return False
        text = self.text
        if not text or not isinstance(watched, QWidget):
            return False
        asked: QHelpEvent = event
        around = QRect(asked.pos(), STILL)
        QToolTip.showText(asked.globalPos(), as_text(text), watched, around)
        return True
