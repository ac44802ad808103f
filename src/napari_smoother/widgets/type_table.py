"""The list of cell types: colour, name, and a bar as long as the mean proportion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_smoother.figures.colours import categorical_palette
from napari_smoother.layers.plain_text import as_text
from napari_smoother.layers.scene import DOMINANT
from napari_smoother.models.deconv.catalogue import MODELS

if TYPE_CHECKING:
    from napari_smoother.analyses.composition import Composition
    from napari_smoother.figures.panels import ClassKey

SEARCHED = 12
"""Types from which on there is a field to look for one."""

LOWEST = 110
"""Pixels: the header and three types."""

SHARE = Qt.ItemDataRole.UserRole
COLOUR = Qt.ItemDataRole.UserRole + 1


class BarDelegate(QStyledItemDelegate):
    """Paints a bar over the cell, so that a selected row keeps its own."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint the cell and its bar."""
        super().paint(painter, option, index)
        share = index.data(SHARE)
        if share is not None:
            area = QRectF(option.rect).adjusted(2, 3, -2, -3)
            area.setWidth(max(area.width() * share, 0.0))
            colour = QColor(index.data(COLOUR))
            colour.setAlphaF(0.55)
            painter.fillRect(area, colour)


def colour_icon(colour: QColor, side: int = 14) -> QIcon:
    """Return a square of one colour, which a selected row does not hide."""
    pixmap = QPixmap(side, side)
    pixmap.fill(colour)
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(pixmap, mode)
    return icon


class TypeTable(QTableWidget):
    """Chooses what is shown: the dominant type, or the proportion of one type.

    Attributes
    ----------
    search
        Looks for a type where there are many, for the page to place.
    type_chosen
        Emitted with the name of a type, or `DOMINANT`.
    """

    type_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 3, parent)
        self.setHorizontalHeaderLabels(["", "Cell type", "Mean proportion"])
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.setColumnWidth(0, 24)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setItemDelegateForColumn(2, BarDelegate(self))
        self.setToolTip(
            "Select what to show on the tissue. Bars and numbers: mean proportion over the spots, "
            "by the model named"
        )
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(LOWEST)
        self.setAccessibleName("Cell types")
        self.search = QLineEdit()
        self.search.setPlaceholderText("find a cell type")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Shows the cell types whose name holds this")
        self.search.setAccessibleName("Find a cell type")
        self.search.hide()
        self.search.textChanged.connect(self._find)
        self._types: tuple[str, ...] = ()
        self._colours: tuple[tuple[float, ...], ...] = ()
        self.currentCellChanged.connect(self._choose)

    def is_key(self, key: ClassKey) -> bool:
        """Whether it lists these classes, in these colours, and nothing is missing from it."""
        listed = dict(zip(self._types, self._colours, strict=True))
        return not key.missing and all(listed.get(name) == colour for name, colour in key.classes)

    def show_composition(self, composition: Composition | None, shown: str) -> None:
        """Show the types of a composition, the one on the map selected."""
        types = composition.types if composition is not None else ()
        header = "Mean proportion"
        if composition is not None:
            header = f"Mean, {MODELS[composition.settings.model].short}"
        self.horizontalHeaderItem(2).setText(header)
        blocked = self.blockSignals(True)
        if types != self._types:
            self._list(types)
        if composition is not None:
            self._fill(composition)
            row = types.index(shown) + 1 if shown in types else 0
            if self.currentRow() != row:
                self.selectRow(row)
        self.blockSignals(blocked)

    def _list(self, types: tuple[str, ...]) -> None:
        self._types = types
        palette = categorical_palette(max(len(types), 1))[: len(types)]
        self._colours = tuple(tuple(map(float, colour)) for colour in palette)
        self.search.clear()
        self.search.setVisible(len(types) > SEARCHED)
        self.setRowCount(0)
        if not types:
            return
        self.setRowCount(len(types) + 1)
        self.setItem(0, 1, QTableWidgetItem("Dominant type"))
        for row, (name, colour) in enumerate(zip(types, self._colours, strict=True), start=1):
            swatch = QTableWidgetItem()
            swatch.setIcon(colour_icon(QColor.fromRgbF(*colour)))
            bar = QTableWidgetItem()
            bar.setData(COLOUR, QColor.fromRgbF(*colour))
            bar.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, 0, swatch)
            called = QTableWidgetItem(name)
            called.setToolTip(as_text(name))
            self.setItem(row, 1, called)
            self.setItem(row, 2, bar)
        self.resizeRowsToContents()

    def _find(self, text: str) -> None:
        sought = text.strip().casefold()
        for row, name in enumerate(self._types, start=1):
            self.setRowHidden(row, sought not in name.casefold())

    def _fill(self, composition: Composition) -> None:
        means = composition.mean_proportions
        longest = float(means.max(initial=0.0)) or 1.0
        for row, mean in enumerate(means, start=1):
            bar = self.item(row, 2)
            bar.setText(f"{mean:.3f}")
            bar.setData(SHARE, float(mean) / longest)

    def _choose(self, row: int, column: int, *before: int) -> None:
        if row == 0:
            self.type_chosen.emit(DOMINANT)
        elif 0 < row <= len(self._types):
            self.type_chosen.emit(self._types[row - 1])
