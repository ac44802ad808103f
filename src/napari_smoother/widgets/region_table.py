"""The table of regions: colour, name, spots, and whether each is seen and locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_smoother.widgets.page import silent
from napari_smoother.widgets.type_table import colour_icon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QKeyEvent
    from qtpy.QtWidgets import QWidget

    from napari_smoother.analyses.regions import RegionClass, Regions

COLOUR, NAME, SPOTS, VISIBLE, LOCKED = range(5)
TICKS = {VISIBLE: "visible", LOCKED: "locked"}
"""Columns with a tick, and the field of a region that it is."""


class RegionTable(QTableWidget):
    """Shows the regions, and tells what is changed in it.

    Attributes
    ----------
    chosen
        Emitted with the name of the region that was selected.
    renamed
        Emitted with the name before and the one that was typed.
    ticked
        Emitted with a name, the field of the region that was ticked, and whether it is on.
    colour_asked, removal_asked
        Emitted with the name of a region that is to have another colour, or to go.
    """

    chosen = Signal(str)
    renamed = Signal(str, str)
    ticked = Signal(str, str, bool)
    colour_asked = Signal(str)
    removal_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 5, parent)
        self.setHorizontalHeaderLabels(["", "Region", "Spots", "Visible", "Locked"])
        self.setAccessibleName("Regions")
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(24)
        for column, tip in {
            COLOUR: "Colour of the region: double-click or Enter to change it",
            NAME: "Name: double-click or F2 to rename",
            SPOTS: "Number of spots in the region, whether it is visible or not",
            VISIBLE: "Whether its outlines are drawn; its spots belong to it either way",
            LOCKED: "Locked regions are not changed by drawing, and lose no spots by it",
        }.items():
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(110)
        self.setToolTip(
            "Select the region to draw into. Double-click (or F2) renames, double-click on a "
            "colour (or Enter) changes it, the space bar ticks, Delete removes the region"
        )
        self._names: tuple[str, ...] = ()
        self.currentCellChanged.connect(self._choose)
        self.itemChanged.connect(self._on_changed)
        self.cellDoubleClicked.connect(self._ask_for_colour)

    def show_regions(self, regions: Regions, sizes: Sequence[int], chosen: str | None) -> None:
        """Show regions with their numbers of spots; the one to draw into is selected."""
        with silent(self):
            self._names = regions.names
            self.setRowCount(len(self._names))
            for row, (region, size) in enumerate(zip(regions.classes, sizes, strict=True)):
                self._fill(row, region, int(size))
            if chosen in self._names:
                self.setCurrentCell(self._names.index(chosen), max(self.currentColumn(), NAME))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Change the colour with Enter, and remove with Delete."""
        row = self.currentRow()
        if 0 <= row < len(self._names) and self.state() != self.State.EditingState:
            enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
            if enter and self.currentColumn() == COLOUR:
                self.colour_asked.emit(self._names[row])
                return
            if event.key() == Qt.Key.Key_Delete:
                self.removal_asked.emit(self._names[row])
                return
        super().keyPressEvent(event)

    def _fill(self, row: int, region: RegionClass, size: int) -> None:
        fixed = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        swatch = self._item(row, COLOUR, fixed)
        colour = QColor.fromRgbF(*map(float, region.colour))
        if swatch.data(Qt.ItemDataRole.UserRole) != colour:
            swatch.setData(Qt.ItemDataRole.UserRole, colour)
            swatch.setIcon(colour_icon(colour))
        say = Qt.ItemDataRole.AccessibleTextRole
        swatch.setData(say, f"colour of {region.name}: {colour.name()}")
        name = self._item(row, NAME, fixed | Qt.ItemFlag.ItemIsEditable)
        if name.text() != region.name:
            name.setText(region.name)
        count = self._item(row, SPOTS, fixed)
        count.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if count.text() != f"{size:,}":
            count.setText(f"{size:,}")
        for column, field in TICKS.items():
            tick = self._item(row, column, fixed | Qt.ItemFlag.ItemIsUserCheckable)
            state = Qt.CheckState.Checked if getattr(region, field) else Qt.CheckState.Unchecked
            if tick.checkState() != state or tick.data(Qt.ItemDataRole.CheckStateRole) is None:
                tick.setCheckState(state)
            tick.setData(say, f"{region.name} is {field}")

    def _item(self, row: int, column: int, flags: Any) -> QTableWidgetItem:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            item.setFlags(flags)
            self.setItem(row, column, item)
        return item

    def _choose(self, row: int, column: int, *before: int) -> None:
        if 0 <= row < len(self._names) and before[:1] != (row,):
            self.chosen.emit(self._names[row])

    def _on_changed(self, item: QTableWidgetItem) -> None:
        name = self._names[item.row()]
        if item.column() == NAME and item.text() != name:
            self.renamed.emit(name, item.text())
        elif item.column() in TICKS:
            on = item.checkState() == Qt.CheckState.Checked
            self.ticked.emit(name, TICKS[item.column()], on)

    def _ask_for_colour(self, row: int, column: int) -> None:
        if column == COLOUR:
            self.colour_asked.emit(self._names[row])
