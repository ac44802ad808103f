"""A list to choose from by typing a part of a name, or of another name of the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import QComboBox, QCompleter, QWidget

from napari_smoother.widgets.page import silent

if TYPE_CHECKING:
    from collections.abc import Iterable

SEARCHED = Qt.ItemDataRole.UserRole
"""What is searched: all names of a thing."""


class _Completer(QCompleter):
    """Looks through all names, and writes the one that is listed."""

    def pathFromIndex(self, index: QModelIndex) -> str:
        """Return what is written once a line is chosen."""
        return str(index.data(Qt.ItemDataRole.DisplayRole))


class SearchBox(QComboBox):
    """A combo box of many names; what is typed is looked for anywhere in them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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

    def list_names(self, names: Iterable[str], others: Iterable[Iterable[str]] = ()) -> None:
        """List names.

        Parameters
        ----------
        names
            What is listed.
        others
            Further names of all of them, each in the same order.
        """
        names = list(names)
        self.clear()
        self.addItems(names)
        model = self.model()
        with silent(model):  # a signal for each takes three times as long
            for place, spelled in enumerate(zip(names, *others, strict=True)):
                self.setItemData(place, "\n".join(spelled), SEARCHED)
        self.completer().setModel(model)
