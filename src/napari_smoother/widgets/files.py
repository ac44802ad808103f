"""Choosing files: dialogs that remember folders, and the sections opened last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

MOST_RECENT = 10


def settings() -> QSettings:
    """Return what is remembered from one window to the next."""
    return QSettings(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-smoother", "window"
    )


def ask_for_file(parent: QWidget, title: str, kinds: str) -> Path | None:
    """Ask for a file to open, in the folder of the last one of that title."""
    name, _ = QFileDialog.getOpenFileName(parent, title, _folder(title), kinds)
    return _chosen(title, name)


def ask_for_folder(parent: QWidget, title: str) -> Path | None:
    """Ask for a folder to open, beside the last one of that title."""
    return _chosen(title, QFileDialog.getExistingDirectory(parent, title, _folder(title)))


def ask_where_to_save(
    parent: QWidget | None, title: str, proposed: Path, kinds: str
) -> tuple[Path, str] | None:
    """Ask where to save.

    Parameters
    ----------
    parent
        The page that asks.
    title
        Of the dialog.
    proposed
        A file name, in its folder where it has one; otherwise in that of the last save.
    kinds
        As Qt writes them.

    Returns
    -------
    tuple or None
        The path and the chosen kind; None when the user thinks better of it.
    """
    if proposed.parent == Path():
        proposed = Path(_folder(title)) / proposed
    name, kind = QFileDialog.getSaveFileName(parent, title, str(proposed), kinds)
    path = _chosen(title, name)
    return None if path is None else (path, kind)


def recent_sections() -> list[Path]:
    """Return the sections opened last that are still there, the last one first."""
    return [path for path in _recent() if path.exists()]


def note_opened(path: Path) -> None:
    """Remember a section as the one opened last."""
    path = path.absolute()
    others = [other for other in _recent() if other != path]
    settings().setValue("recent", [str(known) for known in [path, *others][:MOST_RECENT]])


def _recent() -> list[Path]:
    known = settings().value("recent", [])
    return [Path(name) for name in ([known] if isinstance(known, str) else known or [])]


def _folder(title: str) -> str:
    return str(settings().value(f"folder/{title}", ""))


def _chosen(title: str, name: str) -> Path | None:
    if not name:
        return None
    path = Path(name)
    settings().setValue(f"folder/{title}", str(path.parent))
    return path
