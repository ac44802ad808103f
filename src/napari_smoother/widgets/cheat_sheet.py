"""The list of keys, over the window until it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QVBoxLayout

from napari_smoother.widgets.page import text_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtWidgets import QWidget

    from napari_smoother.widgets.session import Session

OTHERS = {
    "?": "Show these keys",
    "Alt+1 … Alt+9": "Turn to a page",
    "double-click": "Rename a region, or change its colour",
}
"""What is no key of the canvas."""


class CheatSheet(QDialog):
    """Keys and what they do.

    Parameters
    ----------
    keys
        What each does.
    """

    def __init__(self, keys: Mapping[str, str], parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of Smoother")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        rows = QGridLayout()
        rows.setHorizontalSpacing(24)
        for row, (key, what) in enumerate({**keys, **OTHERS}.items()):
            rows.addWidget(text_label(key), row, 0)
            rows.addWidget(text_label(what), row, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(text_label("After a click on the canvas:"))
        layout.addLayout(rows)
        layout.addWidget(text_label("Others are chosen in napari's preferences, under Shortcuts."))


def show(session: Session, keys: Mapping[str, str]) -> CheatSheet:
    """Show the list beside the work, which goes on."""
    sheet = CheatSheet(keys, session.window)
    sheet.show()
    return sheet
