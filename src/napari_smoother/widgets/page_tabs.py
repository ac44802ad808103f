"""The pages, one in front: their names in as many rows as they need, all in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

IN_A_ROW = 5


class PageTabs(QWidget):
    """Widgets under the buttons that bring them to the front.

    A bar of tabs would hide the last ones behind arrows where the dock is narrow.

    Parameters
    ----------
    pages
        Name and widget of each.

    Attributes
    ----------
    currentChanged
        Emitted with the number of the page that came to the front.
    """

    currentChanged = Signal(int)

    def __init__(self, pages: Sequence[tuple[str, QWidget]]) -> None:
        super().__init__()
        self.stack = QStackedWidget()
        self.buttons = QButtonGroup(self)
        names = QGridLayout()
        names.setSpacing(2)
        for number, (name, page) in enumerate(pages):
            button = QPushButton(name)
            button.setCheckable(True)
            button.setAccessibleName(f"{name} page")
            button.setToolTip(f"Brings the {name} page to the front (Alt+{number + 1})")
            button.setShortcut(f"Alt+{number + 1}")
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self.buttons.addButton(button, number)
            row, column = divmod(number, IN_A_ROW)
            names.addWidget(button, row, column)
            self.stack.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(names)
        layout.addWidget(self.stack, 1)
        self.buttons.idClicked.connect(self.setCurrentIndex)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.buttons.button(0).setChecked(True)

    def currentIndex(self) -> int:
        """Return the number of the page in front."""
        return int(self.stack.currentIndex())

    def setCurrentIndex(self, number: int) -> None:
        """Bring a page to the front."""
        self.buttons.button(number).setChecked(True)
        if number != self.stack.currentIndex():
            self.stack.setCurrentIndex(number)
            self.currentChanged.emit(number)
