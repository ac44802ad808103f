"""Keeps unsaved work where a crash leaves it, and offers it when the section is opened again.

Recipe and results are kept, never counts: they are in the file the section came from.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import psutil
from platformdirs import user_state_path
from qtpy.QtCore import QObject, QTimer

from napari_smoother.errors import InputError
from napari_smoother.io.session_file import read_session, write_session
from napari_smoother.study.annotated import record_of
from napari_smoother.study.session_record import record_from_entries
from napari_smoother.widgets import unsaved
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.runner import Runner

if TYPE_CHECKING:
    from pathlib import Path

    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

EVERY = 15
"""Seconds between looks at whether there is unsaved work."""


def folder() -> Path:
    """Return where unsaved work is kept."""
    return user_state_path("napari-smoother", appauthor=False) / "unsaved"


def path_of(section: Section) -> Path | None:
    """Return where unsaved work on a section is kept; None for one that no file has."""
    if section.source is None:
        return None
    name = f"{section.source.absolute()}\0{section.library or ''}"
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16)
    return folder() / f"{digest.hexdigest()}.h5"


class Autosave(QObject):
    """Keeps the unsaved work of a session.

    Parameters
    ----------
    session
        Whose work.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.study = session.study
        self._kept: tuple[Section, Any, tuple[Any, ...]] | None = None
        self._runner = Runner(self)
        self._runner.failed.connect(self._on_failed)
        self._timer = QTimer(self)
        self._timer.setInterval(1000 * EVERY)
        self._timer.timeout.connect(self.keep)
        self._timer.start()
        self._offered: set[Path] = set()
        session.closing.connect(self._on_closing)
        self.study.section_changed.connect(self._on_section_changed)
        self.study.saved.connect(self.forget)
        self.study.closed.connect(self.forget)

    @property
    def is_busy(self) -> bool:
        """Whether something is being written."""
        return self._runner.is_busy

    def keep(self) -> None:
        """Keep what is not saved about the section in front, if it is not kept already."""
        section = self.study.section
        path = None if section is None else path_of(section)
        if section is None or path is None or self._runner.is_busy or not self.study.is_unsaved:
            return
        results = tuple(each.result for each in self.study.analyses.values())
        now = (section, self.study.recipe, results)
        if self._kept is not None and _is_same(self._kept, now):
            return
        self._kept = now
        record = record_of(self.study)

        def write(cancelled: Any, report: Any) -> None:
            entries = record.to_entries(section)
            entries["kept"] = {
                "seconds": time.time(),
                "process": os.getpid(),
                "machine": socket.gethostname(),
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            write_session(entries, path)

        self._runner.submit(write)

    def forget(self, section: Section) -> None:
        """Let go what was kept of a section: it is saved, or not wanted any more."""
        path = path_of(section)
        if path is not None:
            path.unlink(missing_ok=True)
        self._kept = None

    def _on_section_changed(self, section: Section | None) -> None:
        path = None if section is None else path_of(section)
        if path is None or path in self._offered or not path.is_file():
            return
        self._offered.add(path)
        # After everybody else has seen the section.
        QTimer.singleShot(0, lambda: self._offer(section, path))

    def _offer(self, section: Section | None, path: Path) -> None:
        """Ask whether work that a crash has left is to be taken up again."""
        if section is None or section is not self.study.section or self.session.is_closed:
            return
        try:
            entries = read_session(path)
            kept = entries["kept"]
            if _is_of_running(kept):
                return  # another window has the section open
            record = record_from_entries(entries, section)
        except (InputError, KeyError) as fault:
            path.unlink(missing_ok=True)
            tell_error(fault)
            return
        if unsaved.ask_to_restore(self.session.window, section.name, float(kept["seconds"])):
            self.study.open(section, record)
            self.study.note_unsaved()
        else:
            path.unlink(missing_ok=True)

    def _on_closing(self) -> None:
        self._timer.stop()
        self._runner.shut_down()
        for section in self.study.sections:
            self.forget(section)

    def _on_failed(self, error: Exception) -> None:
        self._timer.stop()  # told once, not every quarter of a minute
        tell_error(error)


Kept = tuple[Any, Any, tuple[Any, ...]]


def _is_same(kept: Kept, now: Kept) -> bool:
    one, other = kept[2], now[2]
    same_results = len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
    return kept[0] is now[0] and kept[1] == now[1] and same_results


def _is_of_running(kept: Any) -> bool:
    """Whether the process that kept something is another one that still runs."""
    process = int(kept["process"])
    here = str(kept["machine"]) == socket.gethostname()
    return here and process != os.getpid() and psutil.pid_exists(process)
