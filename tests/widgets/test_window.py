"""Whole windows, as the command line opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
import pytest

from napari_smoother.widgets import opening, window

if TYPE_CHECKING:
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.session import Session


@pytest.fixture(autouse=True)
def one_viewer(make_napari_viewer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the window be one that napari's fixture looks after."""
    monkeypatch.setattr(napari, "Viewer", make_napari_viewer)


@pytest.fixture
def small(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(opening.SAMPLES, "layered cortex", lambda: sample)


def test_the_demonstration_is_shown_and_closed(qtbot: QtBot, small: None, tmp_path: Path) -> None:
    picture = tmp_path / "demo.png"
    window.demonstrate(picture)
    assert picture.stat().st_size > 10_000
    assert napari.current_viewer() is None


def test_the_window_is_closed_after_an_error(
    qtbot: QtBot, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Session) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(window, "wait_for_rest", fail)
    with pytest.raises(ValueError, match="broken"):
        window.demonstrate()
    assert napari.current_viewer() is None


def test_the_demonstration_says_why_there_is_nothing_to_see(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    def fail() -> Sample:
        raise ValueError("no sample")

    monkeypatch.setitem(opening.SAMPLES, "layered cortex", fail)
    with pytest.raises(RuntimeError, match="no composition"):
        window.demonstrate()
    assert "no sample" in told
    assert napari.current_viewer() is None


def test_closing_the_window_ends_the_demonstration(
    qtbot: QtBot, small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    picture = tmp_path / "demo.png"
    open_sample = opening.open_sample

    def open_and_close(session: Session, name: str) -> None:
        open_sample(session, name)
        viewer = session.viewer
        assert viewer is not None
        viewer.close()

    monkeypatch.setattr(opening, "open_sample", open_and_close)
    window.demonstrate(picture)
    assert not picture.exists()
