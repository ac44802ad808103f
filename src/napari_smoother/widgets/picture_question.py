"""Asks whether outlines from a file were drawn on a smaller picture of the section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_smoother.widgets.page import listen, wrapped_label

if TYPE_CHECKING:
    from napari_smoother.study.imported_outlines import DrawnOn, ImportedOutlines


class PictureQuestion(QWidget):
    """Asks whether imported outlines were drawn on a smaller picture, and scales them if so.

    Parameters
    ----------
    outlines
        That come from files.
    """

    def __init__(self, outlines: ImportedOutlines) -> None:
        super().__init__()
        self._outlines = outlines
        self.text = wrapped_label()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.scale: dict[str, QPushButton] = {}
        self.leave = QPushButton("Leave as they are")
        self.leave.setToolTip("The outlines are in full-resolution pixels already")
        self.leave.clicked.connect(outlines.leave)
        self._buttons = QHBoxLayout()
        self._buttons.addWidget(self.leave)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(self._buttons)
        listen(self, outlines.offered, self._show)
        self._show(outlines.offer)

    def _show(self, pictures: tuple[DrawnOn, ...]) -> None:
        for button in self.scale.values():
            button.deleteLater()
        self.scale = {}
        for at, drawn_on in enumerate(pictures):
            button = QPushButton(f"Scale from {drawn_on.picture}")
            button.setToolTip(
                f"Divides the outlines by {drawn_on.scale:.4g}; they then hold "
                f"{drawn_on.n_spots:,} spots"
            )
            button.clicked.connect(lambda _=False, one=drawn_on: self._outlines.scale(one))
            self._buttons.insertWidget(at, button)
            self.scale[drawn_on.picture] = button
        names = " or the ".join(
            f"{drawn_on.picture} picture ({drawn_on.n_spots:,} spots)" for drawn_on in pictures
        )
        self.text.setText(
            f"The outlines of {self._outlines.source} look drawn on the {names}. Scale them?"
        )
        self.setVisible(bool(pictures))
