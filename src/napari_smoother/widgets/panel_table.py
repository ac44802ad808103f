"""The panels of a figure: which, in what order, their titles and their colour limits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_smoother.analyses.figure_settings import ON_SCREEN, PanelSettings
from napari_smoother.figures.compose import panel_letters
from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.page import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qtpy.QtWidgets import QWidget

    from napari_smoother.analyses.figure_settings import FigureSettings

NAME, TITLE, LOW, HIGH = range(4)
HEADINGS = ("Panel", "Title", "From", "To")
TIPS = (
    "One panel for each ticked line, in this order",
    "What is written above the panel; type another, or nothing for none",
    "Number at the lower end of its colour bar; empty: found from the values",
    "Number at the upper end of its colour bar; empty: found from the values",
)


class PanelTable(QTableWidget):
    """A line for each panel there may be, ticked where it is in the figure.

    Attributes
    ----------
    contents_changed
        Emitted with the contents of the figure, in order, when the hand changed them.
    panel_changed
        Emitted with the `PanelSettings` of a panel whose title or limits the hand changed.
    """

    contents_changed = Signal(object)
    panel_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self.setAccessibleName("Panels of the figure")
        self.setToolTip("Panels of the figure: tick, move, and type titles and limits")
        self.setCornerButtonEnabled(False)
        self.setHorizontalHeaderLabels(HEADINGS)
        for column, tip in enumerate(TIPS):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.setTabKeyNavigation(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.horizontalHeader()
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(TITLE, QHeaderView.ResizeMode.Stretch)
        for column in (LOW, HIGH):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, 44)
        self.verticalHeader().setDefaultSectionSize(22)
        self.setWordWrap(False)
        self.setMinimumWidth(0)
        self._settings: FigureSettings | None = None
        self.itemChanged.connect(self._take)

    def names(self) -> tuple[str, ...]:
        """Return the lines, in order."""
        return tuple(self.item(row, NAME).text() for row in range(self.rowCount()))

    def ticked(self) -> tuple[str, ...]:
        """Return the lines that are ticked, in order."""
        return tuple(
            self.item(row, NAME).text()
            for row in range(self.rowCount())
            if self.item(row, NAME).checkState() == Qt.CheckState.Checked
        )

    def tick(self, name: str, ticked: bool = True) -> None:
        """Tick a line or not, as the hand does."""
        state = Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
        self.item(self.names().index(name), NAME).setCheckState(state)

    def move_current(self, by: int) -> None:
        """Move the chosen line up (-1) or down (1)."""
        row = self.currentRow()
        names = list(self.names())
        if not (0 <= row < len(names) and 0 <= row + by < len(names)):
            return
        before = self.ticked()
        ticked = set(before)
        names.insert(row + by, names.pop(row))
        self._list(names)
        self.setCurrentCell(row + by, NAME)
        after = tuple(name for name in names if name in ticked)
        if after != before:
            self.contents_changed.emit(after)
        else:
            self._fill()

    def show_figure(
        self,
        settings: FigureSettings,
        candidates: Iterable[str],
        is_there: Callable[[str], bool],
        has_limits: Callable[[str], bool],
    ) -> None:
        """Show the panels of a figure, and what else could be one.

        Parameters
        ----------
        settings
            The figure.
        candidates
            What is listed in any case.
        is_there
            Whether the section has what a panel asks for.
        has_limits
            Whether it has a colour bar.
        """
        known = list(self.names())
        candidates = list(candidates)
        listed = [name for name in known if name in candidates or name in settings.contents]
        listed += [name for name in candidates if name not in listed]
        listed += [name for name in settings.contents if name not in listed]
        # Lines stay where they are; those of the figure are in its order.
        ordered = iter(settings.contents)
        inside = set(settings.contents)
        names = [next(ordered) if name in inside else name for name in listed]
        self._settings, self._is_there, self._has_limits = settings, is_there, has_limits
        if names != known:
            self._list(names)
        self._fill()

    def _list(self, names: list[str]) -> None:
        with silent(self):
            self.setRowCount(len(names))
            for row, name in enumerate(names):
                for column in range(len(HEADINGS)):
                    self.setItem(row, column, QTableWidgetItem())
                self.item(row, NAME).setText(name)

    def _fill(self) -> None:
        """Write what the figure has of every line."""
        settings = self._settings
        if settings is None:
            return
        letters = panel_letters(settings.letters, len(settings.contents))
        with silent(self):
            for row, name in enumerate(self.names()):
                inside, there = name in settings.contents, self._is_there(name)
                letter = letters[settings.contents.index(name)] if inside else ""
                self.setVerticalHeaderItem(row, QTableWidgetItem(letter))
                item = self.item(row, NAME)
                state = Qt.CheckState.Checked if inside else Qt.CheckState.Unchecked
                item.setCheckState(state)
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                font = item.font()
                font.setItalic(not there)
                font.setStrikeOut(not there)
                item.setFont(font)
                tip = "" if there else " is not in this section: the figure is drawn without it"
                item.setToolTip(as_text(name) + tip)
                self._fill_panel(row, settings.panel(name))

    def _fill_panel(self, row: int, panel: PanelSettings) -> None:
        title = self.item(row, TITLE)
        title.setText(_default(panel.content) if panel.title is None else panel.title)
        title.setToolTip(as_text(title.text()) or "no title")
        for column, number in ((LOW, panel.low), (HIGH, panel.high)):
            item = self.item(row, column)
            item.setText("" if number is None else f"{number:g}")
            item.setToolTip(TIPS[column])
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            flags = item.flags() | Qt.ItemFlag.ItemIsEditable | Qt.ItemFlag.ItemIsEnabled
            if not self._has_limits(panel.content):
                flags &= ~(Qt.ItemFlag.ItemIsEditable | Qt.ItemFlag.ItemIsEnabled)
            item.setFlags(flags)

    def _take(self, item: QTableWidgetItem) -> None:
        """Take over what the hand changed in one cell."""
        settings = self._settings
        if settings is None:
            return
        name = self.item(item.row(), NAME).text()
        if item.column() == NAME:
            self.contents_changed.emit(self.ticked())
            return
        panel, text = settings.panel(name), item.text().strip()
        if item.column() == TITLE:
            title = None if text == _default(name) else text
            changed = replace(panel, title=title)
        else:
            try:
                number = float(text) if text else None
            except ValueError:
                self._fill()  # which brings back the number that was there
                return
            low = item.column() == LOW
            changed = replace(panel, low=number) if low else replace(panel, high=number)
        if changed == panel:
            self._fill()
        else:
            self.panel_changed.emit(changed)


def with_panel(settings: FigureSettings, panel: PanelSettings) -> FigureSettings:
    """Return a figure with what was set of one panel."""
    others = [each for each in settings.panels if each.content != panel.content]
    own = [] if panel == PanelSettings(panel.content) else [panel]
    return replace(settings, panels=tuple(others + own))


def _default(content: str) -> str:
    return "" if content == ON_SCREEN else content
