"""Files dropped anywhere on the window: sections, references, regions and recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from napari_smoother.io.file_kinds import FileKind, kind_of
from napari_smoother.widgets import opening, recipes, region_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtGui import QDropEvent

    from napari_smoother.widgets.session import Session

OPEN: dict[FileKind, Callable[[Session, Path], None]] = {
    "section": opening.open_path,
    "reference": opening.ask_and_open_reference,
    "regions": region_files.import_regions,
    "recipe": recipes.open_recipe,
}
"""In the order in which they are opened: what needs a section finds the one dropped with it."""


class DropTarget(QObject):
    """Opens what is dropped on a widget, if all of it is ours; else the widget does.

    With Alt held napari asks by what to open it, as it always does.

    Parameters
    ----------
    session
        To open it in.
    widget
        That accepts drops, or has children that do: napari's welcome screen lies on its canvas.
    """

    def __init__(self, session: Session, widget: QWidget) -> None:
        super().__init__(widget)
        self._session = session
        for part in (widget, *widget.findChildren(QWidget)):
            if part.acceptDrops():
                part.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take a drop."""
        if event.type() != QEvent.Type.Drop or self._session.is_closed:
            return False
        asked = Qt.KeyboardModifier.AltModifier in QGuiApplication.keyboardModifiers()
        if asked or not open_dropped(self._session, paths_of(event)):
            return False
        event.acceptProposedAction()
        return True


def open_dropped(session: Session, paths: Sequence[Path]) -> bool:
    """Open files by what they are for.

    Returns
    -------
    bool
        Whether all of them are ours; otherwise none is opened.
    """
    kinds = {path: kind_of(path) for path in paths}
    if not paths or None in kinds.values():
        return False
    for kind in get_args(FileKind):
        for path in [path for path in paths if kinds[path] == kind]:
            session.dropped.emit(kind)
            OPEN[kind](session, path)
    return True


def paths_of(event: QDropEvent) -> list[Path]:
    """Return the files that are dropped; none where something else is among them."""
    urls = event.mimeData().urls()
    paths = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
    return paths if len(paths) == len(urls) else []
