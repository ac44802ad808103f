"""A real napari window with the dock, on small simulated tissue."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import QSettings

from napari_smoother.analyses.figure_settings import FigureSettings
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.printing.plan import plan
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.widgets import autosave, files, unsaved
from napari_smoother.widgets.contributions import show_dock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.figures.panels import Panel
    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session


@pytest.fixture(autouse=True, scope="module")
def _settled_heap() -> None:
    """Let collections pass over what is there for good: napari asks for one with every layer.

    They took a quarter of the time of these tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Discard unsaved work when asked, or as a test answers; remember nothing between tests."""
    answers = ["discard"]
    monkeypatch.setattr(unsaved, "ask", lambda window, names, what: answers[-1])
    remembered = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    monkeypatch.setattr(files, "settings", lambda: remembered)
    monkeypatch.setattr(autosave, "folder", lambda: tmp_path / "state" / "unsaved")
    return answers


@pytest.fixture(scope="session")
def sample() -> Sample:
    return simulate_cortex(rows=30, n_genes=300, seed=3, image_size=400)


@pytest.fixture(scope="session")
def reference(sample: Sample) -> Reference:
    return Reference.from_cells(sample.reference, "cell_type", "simulated cells")


@pytest.fixture
def window(make_napari_viewer: Callable[..., napari.Viewer]) -> napari.Viewer:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1400, 900)
    return viewer


@pytest.fixture
def dock(window: napari.Viewer) -> SmootherDock:
    return show_dock(window)


@pytest.fixture
def session(dock: SmootherDock) -> Session:
    return dock.session


@pytest.fixture
def settle(qtbot: QtBot) -> Callable[[Session], None]:
    """Wait until nothing is being read or computed any more."""

    def wait(session: Session) -> None:
        qtbot.waitUntil(lambda: session.is_at_rest, timeout=180_000)

    return wait


@pytest.fixture
def solved(
    session: Session,
    sample: Sample,
    reference: Reference,
    settle: Callable[[Session], None],
) -> Session:
    """Return a session whose composition is at the optimum."""
    session.study.open(sample.section)
    session.study.set_reference(reference)
    settle(session)
    assert session.study.composition is not None
    return session


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Return every notification napari has been given since the test began."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def note(notification) -> None:
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(note)
    yield messages
    notification_manager.notification_ready.disconnect(note)


@pytest.fixture
def printed() -> Callable[[Session, str], Panel]:
    """Return the panel that a figure of a session has of something."""

    def panel_of(session: Session, content: str) -> Panel:
        settings = FigureSettings((content,))
        (panel,), left_out = plan(session.study, settings, session.scene.painted).panels()
        assert not left_out
        return panel

    return panel_of
