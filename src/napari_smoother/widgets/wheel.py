"""The mouse wheel scrolls a page; it changes a control only where the user put the focus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QComboBox, QScrollBar, QTabBar

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

CONTROLS = (QAbstractSpinBox, QAbstractSlider, QComboBox, QTabBar)
"""What Qt changes under the wheel, besides scroll bars, which are there for it."""


class WheelNeedsFocus(QObject):
    """Passes the wheel on from every control without focus to the page it is on.

    Parameters
    ----------
    pages
        Whose controls to look after, those that are there now.
    """

    def __init__(self, pages: QWidget) -> None:
        super().__init__(pages)
        for kind in CONTROLS:
            for control in pages.findChildren(kind):
                if isinstance(control, QScrollBar):
                    continue
                # Qt would give it the focus first, because of the wheel.
                if control.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                    control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                control.installEventFilter(self)

    def eventFilter(self, watched: QWidget, event: QEvent) -> bool:
        """Leave a turn of the wheel to the parent of a control without focus."""
        if event.type() != QEvent.Type.Wheel or watched.hasFocus():
            return False
        event.ignore()
        return True
