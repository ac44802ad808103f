"""A choice of the matrix that counts are read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QFormLayout

from napari_smoother.widgets.page import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.counts.origin import CountsOrigin

TIP = (
    "Matrix of the file that counts are read from. Found by itself: whole numbers, or a logarithm "
    "of them, which is undone. Another choice reads the file again"
)


class CountsChoice(QComboBox):
    """Shows where counts came from, and asks to have them from elsewhere.

    Its row is there where a file has more than one matrix.

    Parameters
    ----------
    rows
        The layout it has a row of.
    choose
        Called with the place that was chosen.
    """

    def __init__(self, rows: QFormLayout, choose: Callable[[str], None]) -> None:
        super().__init__()
        self._rows = rows
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setToolTip(TIP)
        self.textActivated.connect(choose)
        rows.addRow("Counts from", self)
        self.show_origin(None, can_choose=False)

    def show_origin(self, origin: CountsOrigin | None, *, can_choose: bool) -> None:
        """Show the place counts were found in, and the others of the file."""
        with silent(self):
            self.clear()
            if origin is not None:
                self.addItems(list(origin.places or (origin.place,)))
                self.setCurrentText(origin.place)
        self._rows.setRowVisible(self, can_choose and self.count() > 1)
