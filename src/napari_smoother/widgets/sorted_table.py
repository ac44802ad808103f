"""A table of many rows: sorted by a click on a header, copied and shown as fast as it scrolls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QTableView, QWidget

from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.settings_form import TIP_WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

ROW = Qt.ItemDataRole.UserRole + 7
"""Of an index: the whole row, by column of the table."""

UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """How a column is shown.

    Parameters
    ----------
    key
        The column of the table that it is sorted by.
    title
        Its header.
    tip
        What is said of it to who points at the header.
    form
        Returns its text for a row: ``"{mean:.3f}".format_map``.
    width
        Pixels.
    """

    key: str
    title: str
    tip: str
    form: Callable[[Mapping[str, Any]], str]
    width: int


class _Row(Mapping[str, Any]):
    """One row of a table, looked up by column."""

    def __init__(self, columns: Mapping[str, NDArray[Any]], place: int) -> None:
        self._columns, self._place = columns, place

    def __getitem__(self, name: str) -> Any:
        return self._columns[name][self._place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class TableModel(QAbstractTableModel):
    """Rows of a DataFrame in an order of their own.

    Parameters
    ----------
    columns
        What is shown of them.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.table = pd.DataFrame({column.key: [] for column in columns})
        self.order: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._sorted: tuple[int, Qt.SortOrder] | None = None

    def set_table(self, table: pd.DataFrame) -> None:
        """Show other rows, sorted as before."""
        self.beginResetModel()
        self.table = table
        self._arrays = {str(name): table[name].to_numpy() for name in table}
        self.order = np.arange(len(table))
        if self._sorted is not None:
            self.order = self._sorted_order(*self._sorted)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, and what else a view asks for."""
        column = self.columns[index.column()]
        row = _Row(self._arrays, int(self.order[index.row()]))
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            value = row[column.key]
            unknown = isinstance(value, float | np.floating) and math.isnan(value)
            return UNKNOWN if unknown else column.form(row)
        if role == Qt.ItemDataRole.TextAlignmentRole and self._is_number(column.key):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole and not self._is_number(column.key):
            return as_text(str(row[column.key]))
        return row if role == ROW else None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the header of a column."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self.columns[section].title
            if role == Qt.ItemDataRole.ToolTipRole:
                return fill(self.columns[section].tip, TIP_WIDTH)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what is unknown comes last, rows alike stay as they are."""
        if not 0 <= column < len(self.columns):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        places = [int(self.order[index.row()]) for index in before]
        self._sorted = column, order
        self.order = self._sorted_order(column, order)
        where = np.empty_like(self.order)
        where[self.order] = np.arange(len(self.order))
        after = [
            self.index(int(where[place]), index.column())
            for place, index in zip(places, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _sorted_order(self, column: int, order: Qt.SortOrder) -> NDArray[np.intp]:
        values = self._arrays.get(self.columns[column].key, np.empty(0))
        if values.dtype.kind not in "iufb":
            folded = pd.Series(values, dtype=object).astype(str).str.casefold()
            values = pd.factorize(folded, sort=True)[0]
        keys = values.astype(np.float64)
        if order == Qt.SortOrder.DescendingOrder:
            keys = -keys
        return np.argsort(keys, kind="stable")  # NaN last

    def _is_number(self, key: str) -> bool:
        return key in self._arrays and self._arrays[key].dtype.kind in "iuf"


class SortedTable(QTableView):
    """Rows of a DataFrame; the one that is chosen by the hand is told.

    Parameters
    ----------
    columns
        What is shown of them.

    Attributes
    ----------
    row_chosen
        Emitted with a row, by column of the table.
    """

    row_chosen = Signal(object)

    def __init__(self, columns: Sequence[Column], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = TableModel(columns)
        self.setModel(self.rows)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(22)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        for place, column in enumerate(columns):
            self.setColumnWidth(place, column.width)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self._is_shown = False
        self.selectionModel().currentRowChanged.connect(self._tell)

    def show_table(self, table: pd.DataFrame) -> None:
        """Show other rows, sorted as before."""
        self._is_shown = True
        self.rows.set_table(table)
        self._is_shown = False

    def show_columns(self, keys: Sequence[str]) -> None:
        """Show these columns only."""
        for place, column in enumerate(self.rows.columns):
            self.setColumnHidden(place, column.key not in keys)

    def show_row(self, **values: Any) -> None:
        """Let the first row that has these values be the current one, without telling it."""
        table, order = self.rows.table, self.rows.order
        same = np.ones(len(order), dtype=bool)
        for name, value in values.items():
            same &= (table[name].to_numpy() == value)[order]
        place = int(np.argmax(same)) if same.any() else -1
        current = self.currentIndex()
        if place >= 0 and current.isValid() and same[current.row()]:
            return
        self._is_shown = True
        if place < 0:
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
        else:
            flags = QItemSelectionModel.SelectionFlag
            self.selectionModel().setCurrentIndex(
                self.rows.index(place, 0), flags.ClearAndSelect | flags.Rows
            )
            self.scrollTo(self.rows.index(place, 0))
        self._is_shown = False

    def copied(self) -> str:
        """Return the selected rows, or all if none or one is, tab-separated with a header."""
        selected = sorted(index.row() for index in self.selectionModel().selectedRows())
        order = self.rows.order if len(selected) < 2 else self.rows.order[selected]
        return str(self.rows.table.iloc[order].to_csv(sep="\t", index=False, lineterminator="\n"))

    def copy(self) -> None:
        """Put it into the clipboard."""
        QGuiApplication.clipboard().setText(self.copied())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy with Ctrl+C, as whole rows with all digits."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
            event.accept()
        else:
            super().keyPressEvent(event)

    def _tell(self, current: QModelIndex, before: QModelIndex) -> None:
        if current.isValid() and not self._is_shown:
            self.row_chosen.emit(current.data(ROW))
