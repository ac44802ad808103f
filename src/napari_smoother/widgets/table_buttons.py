"""Copy and Export of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_smoother.widgets import files
from napari_smoother.widgets.notices import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.widgets.session import Session
    from napari_smoother.widgets.sorted_table import SortedTable


class TableButtons(QWidget):
    """Two buttons under a table.

    Parameters
    ----------
    session
        Whose thread writes.
    table
        What is copied.
    title
        Of the dialog that asks for a file, and of what is proposed for its name.
    writer
        Returns a function that writes the table to a path; None while there is none.
    what
        What is exported, for the tooltip.
    """

    def __init__(
        self,
        session: Session,
        table: SortedTable,
        title: str,
        writer: Callable[[], Callable[[Path], None] | None],
        what: str,
    ) -> None:
        super().__init__()
        self._session, self._title, self._writer = session, title, writer
        self.copy = QPushButton("Copy")
        self.copy.setToolTip(
            "Puts the rows that are selected, or all if at most one is, into the clipboard: "
            "tab-separated, with all digits (Ctrl+C in the table)"
        )
        self.export = QPushButton("Export…")
        self.export.setToolTip(f"Writes {what} as CSV, with all digits")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addStretch()
        row.addWidget(self.copy)
        row.addWidget(self.export)
        self.copy.clicked.connect(table.copy)
        self.export.clicked.connect(self._ask_where_to_export)

    def _ask_where_to_export(self) -> None:
        section = self._session.study.section
        if section is None or self._writer() is None:
            return
        name = f"{section.name}_{self._title}.csv".replace(" ", "_").replace("/", "_").lower()
        answer = files.ask_where_to_save(self, self._title, Path(name), "Table (*.csv)")
        if answer is not None:
            self.write(answer[0])

    def write(self, path: Path) -> None:
        """Write the table beside the window, whole or not at all."""
        writer = self._writer()
        if writer is None:
            return
        if path.suffix.lower() != ".csv":
            path = path.with_name(f"{path.name}.csv")
        self._session.load(
            lambda cancelled: writer(path),
            lambda nothing: tell(f"Saved {path}"),
            f"saving {path.name}",
        )
