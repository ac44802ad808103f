"""Work that no file has yet: asking about it before it is lost."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from qtpy.QtWidgets import QMessageBox

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.io.h5ad import write_h5ad
from napari_smoother.layers.plain_text import as_text
from napari_smoother.study.annotated import annotate, findings_of
from napari_smoother.widgets import files, opening
from napari_smoother.widgets.notices import tell_error

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_smoother.widgets.session import Session

Answer = Literal["save", "discard", "cancel"]


def ask(parent: QWidget | None, names: tuple[str, ...], what: str) -> Answer:
    """Ask what is to become of unsaved work.

    Parameters
    ----------
    parent
        The window.
    names
        Of the sections.
    what
        What is about to be done: "Closing the window".

    Returns
    -------
    str
        ``"save"``, ``"discard"`` or ``"cancel"``.
    """
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Unsaved work")
    listed = ", ".join(names)
    box.setText(as_text(f"Settings, regions or results of {listed} are not saved."))
    box.setInformativeText(f"{what} would lose them.")
    buttons = QMessageBox.StandardButton
    box.setStandardButtons(buttons.Save | buttons.Discard | buttons.Cancel)
    box.setDefaultButton(buttons.Save)
    chosen = box.exec()
    if chosen == buttons.Save:
        return "save"
    return "discard" if chosen == buttons.Discard else "cancel"


def ask_to_restore(parent: QWidget | None, name: str, seconds: float) -> bool:
    """Ask whether work that was not saved is to be taken up again.

    Parameters
    ----------
    parent
        The window.
    name
        Of the section.
    seconds
        When it was kept, in seconds since 1970.
    """
    when = datetime.fromtimestamp(seconds).strftime("%d %B, %H:%M")
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Unsaved work")
    box.setText(as_text(f"Work on {name} of {when} was not saved before the program ended."))
    box.setInformativeText("Settings, regions and results can be taken up where they were.")
    restore = box.addButton("Restore", QMessageBox.ButtonRole.AcceptRole)
    box.addButton("Discard", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(restore)
    box.exec()
    return box.clickedButton() is restore


def may_close(session: Session, window: QWidget) -> bool:
    """Ask about unsaved work as the window closes, and save what is to be saved.

    Returns
    -------
    bool
        Whether the window may close.
    """
    names = session.study.unsaved()
    if not names:
        return True
    answer = ask(window, names, "Closing the window")
    if answer == "save":
        study = session.study
        return all(
            _save(session, window)
            for place in range(len(study.sections))
            if _brought_unsaved(session, place)
        )
    return answer == "discard"


def close_section(session: Session, window: QWidget | None) -> None:
    """Let the section in front go, after asking about what is not saved of it."""
    study = session.study
    section = study.section
    if section is None:
        return
    if study.is_unsaved:
        answer = ask(window, (section.name,), "Closing the section")
        if answer == "cancel" or (answer == "save" and not _save(session, window)):
            return
    study.close(study.place)


def _brought_unsaved(session: Session, place: int) -> bool:
    session.study.switch_to(place)
    return session.study.is_unsaved


def _save(session: Session, window: QWidget | None) -> bool:
    """Save the section in front and wait for it; False when it was not saved."""
    study = session.study
    section = study.section
    assert section is not None
    try:
        findings = findings_of(study)
        answer = files.ask_where_to_save(
            window, "Save results", opening.proposed_path(section), "AnnData (*.h5ad)"
        )
        if answer is None:
            return False
        path = answer[0]
        session.wait_for(
            lambda cancelled: write_h5ad(annotate(findings), path), f"saving {path.name}"
        )
    except Cancelled:
        return False
    except InputError as error:
        tell_error(error)
        return False
    study.note_saved(section, findings.session.recipe, findings.results)
    return True
