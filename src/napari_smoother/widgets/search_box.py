"""A list to choose from by typing a part of a name, or of another name of the same thing."""

from __future__ import annotations

import difflib
import html
from heapq import nlargest
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QModelIndex, QObject, Qt, Signal
from qtpy.QtWidgets import QComboBox, QCompleter, QLabel, QWidget

from napari_smoother.widgets.page import silent, wrapped_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qtpy.QtGui import QFocusEvent

SEARCHED = Qt.ItemDataRole.UserRole
"""What is searched: all names of a thing."""

MOST_OFFERED = 4
LOOKED_AT = 200
ALIKE = 0.5
"""Share of letters, in order, that a name has to have in common to be offered."""


class _Completer(QCompleter):
    """Looks through all names, and writes the one that is listed."""

    def pathFromIndex(self, index: QModelIndex) -> str:
        """Return what is written once a line is chosen."""
        return str(index.data(Qt.ItemDataRole.DisplayRole))


class SearchBox(QComboBox):
    """A combo box of many names; what is typed is looked for anywhere in them.

    A name counts once it is chosen: from the list, or by Enter. What is half typed changes
    nothing, and gives way to the chosen name when the box is left.

    Parameters
    ----------
    kind
        What is named: "gene".

    Attributes
    ----------
    kind
        For who types a name that is not there.
    name_chosen
        Emitted with a name of the list.
    complaint
        Says that there is no such name, and offers the nearest; for the page to place.
    """

    name_chosen = Signal(str)

    def __init__(self, kind: str = "name", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = kind
        self._chosen = ""
        self._names: list[str] = []
        self._others: list[tuple[str, ...]] = []
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        completer = _Completer(self)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCompletionRole(SEARCHED)
        self.setCompleter(completer)
        self.lineEdit().installEventFilter(self)
        self.complaint = _complaint()
        self.complaint.linkActivated.connect(lambda place: self.choose(self._names[int(place)]))
        self.activated.connect(lambda row: self.choose(self.itemText(row)))

    @property
    def chosen(self) -> str:
        """The name that was chosen last, whatever has been typed since."""
        return self._chosen

    def choose(self, name: str) -> None:
        """Take a name, as Enter does; one that is not there is told, with the nearest ones."""
        place = self.place_of(name)
        if place is None:
            self._complain(name)
            return
        self.show_chosen(self._names[place])
        self.name_chosen.emit(self._chosen)

    def show_chosen(self, name: str) -> None:
        """Show a name that was chosen elsewhere."""
        self._chosen = name
        self.complaint.hide()
        with silent(self):
            self.setCurrentText(name)

    def list_names(self, names: Iterable[str], others: Iterable[Iterable[str]] = ()) -> None:
        """List names.

        Parameters
        ----------
        names
            What is listed.
        others
            Further names of all of them, each in the same order.
        """
        self._names = list(names)
        self._others = [tuple(kind) for kind in others]
        self.complaint.hide()
        with silent(self):
            self.clear()
            self.addItems(self._names)
            model = self.model()
            with silent(model):  # a signal for each takes three times as long
                for place, spelled in enumerate(zip(self._names, *self._others, strict=True)):
                    self.setItemData(place, "\n".join(spelled), SEARCHED)
            self.completer().setModel(model)
            self.setCurrentText(self._chosen)

    def place_of(self, name: str) -> int | None:
        """Return where the one thing of a name is listed; None where there is none, or several.

        The names that are listed go before further ones, and upper and lower case count only
        where names differ in nothing else.
        """
        typed = name.strip()
        for spelled in (str.strip, str.casefold):
            for kind in (self._names, *self._others):
                alike = [p for p, other in enumerate(kind) if spelled(other) == spelled(typed)]
                if len(alike) == 1:
                    return alike[0]
        return None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take what is typed by Enter, and give it up by Escape.

        Left to itself Qt takes the first name that differs in nothing but case.
        """
        if watched is not self.lineEdit() or event.type() != QEvent.Type.KeyPress:
            return bool(super().eventFilter(watched, event))
        key = event.key()
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.completer().popup().hide()
            self.choose(self.currentText())
        elif key == Qt.Key.Key_Escape:
            self.show_chosen(self._chosen)
        return key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Let the list of completions, a window of its own, look like the window of the box."""
        super().focusInEvent(event)
        above: QWidget | None = self
        while above is not None and not above.styleSheet():
            above = above.parentWidget()
        popup = self.completer().popup()
        if above is not None and popup.styleSheet() != above.styleSheet():
            popup.setStyleSheet(above.styleSheet())

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Show the chosen name again, unless the complaint about another is still there."""
        super().focusOutEvent(event)
        if event.reason() != Qt.FocusReason.PopupFocusReason and self.complaint.isHidden():
            self.show_chosen(self._chosen)

    def _complain(self, name: str) -> None:
        places = nearest(name.strip(), [self._names, *self._others])
        offered = ", ".join(
            f'<a href="{place}">{html.escape(self._names[place])}</a>' for place in places
        )
        nothing = f"There is no {self.kind} “{html.escape(name.strip())}”."
        self.complaint.setText(f"{nothing} Nearest: {offered}" if offered else nothing)
        self.complaint.show()


def nearest(typed: str, kinds: Sequence[Sequence[str]]) -> list[int]:
    """Return places of the names that are most like what was typed.

    Those that share most pairs of letters are looked at closely.

    Parameters
    ----------
    typed
        A name that is not there.
    kinds
        All names of each thing, each kind in the same order; further kinds are looked at where
        nothing is like it among those before.
    """
    for names in kinds:
        found = _nearest(typed.casefold(), names)
        if found:
            return found
    return []


def _nearest(sought: str, names: Sequence[str]) -> list[int]:
    wanted = _pairs(sought)
    shared = {}
    for place, name in enumerate(names):
        has = _pairs(name.casefold())
        shared[place] = len(wanted & has) / (len(wanted) + len(has))
    likeness = {
        place: difflib.SequenceMatcher(None, names[place].casefold(), sought).ratio()
        for place in nlargest(LOOKED_AT, shared, key=shared.__getitem__)
    }
    best = sorted(likeness, key=lambda place: (-likeness[place], place))[:MOST_OFFERED]
    return [place for place in best if likeness[place] >= ALIKE]


def _pairs(name: str) -> set[str]:
    """Return the letters of a name in pairs, the first and the last with where it ends."""
    whole = f" {name} "
    return {whole[at : at + 2] for at in range(len(whole) - 1)}


def _complaint() -> QLabel:
    label = wrapped_label()
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.LinksAccessibleByMouse
        | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
    )
    label.hide()
    return label
