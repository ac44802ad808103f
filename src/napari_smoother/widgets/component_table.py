"""The list of dims of an embedding, each with a bar as long as its share of the variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_smoother.widgets.type_table import COLOUR, SHARE, BarDelegate

if TYPE_CHECKING:
    from napari_smoother.analyses.embedding import Embedding

BAR = "#8ab4f8"


class ComponentTable(QTableWidget):
    """Chooses the dim that is shown.

    Attributes
    ----------
    component_chosen
        Emitted with the number of a dim, counted from 0.
    """

    component_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setItemDelegateForColumn(1, BarDelegate(self))
        self.setToolTip("Select a component to show it on the tissue")
        self.setMinimumHeight(150)
        self.cellClicked.connect(lambda row, column: self.component_chosen.emit(row))
        self.currentCellChanged.connect(self._choose)

    def show_embedding(self, embedding: Embedding | None, shown: int | None) -> None:
        """List the dims of an embedding; the one on the map is selected, if it is one."""
        blocked = self.blockSignals(True)
        shares = embedding.shares if embedding is not None else ()
        trained = embedding is not None and bool(embedding.losses)
        self.setHorizontalHeaderLabels(
            ["Dim" if trained else "Component", f"Share of the {'latent ' * trained}variance"]
        )
        self.setRowCount(len(shares))
        longest = max((float(share) for share in shares), default=0.0) or 1.0
        for row, share in enumerate(shares):
            if self.item(row, 1) is None:
                self.setItem(row, 0, QTableWidgetItem(f"{row + 1}"))
                bar = QTableWidgetItem()
                bar.setData(COLOUR, QColor(BAR))
                bar.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, 1, bar)
            bar = self.item(row, 1)
            bar.setText(f"{100 * share:.2g} %")
            bar.setData(SHARE, float(share) / longest)
        if shown is None:
            self.setCurrentCell(-1, -1)
        elif self.currentRow() != min(shown, len(shares) - 1):
            self.selectRow(min(shown, len(shares) - 1))
        self.blockSignals(blocked)

    def _choose(self, row: int, column: int, *before: int) -> None:
        if row >= 0:
            self.component_chosen.emit(row)
