"""What a crash leaves is offered again."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_smoother.analyses.regions import RegionClass
from napari_smoother.io.opening import open_section
from napari_smoother.widgets import autosave, opening, unsaved
from napari_smoother.widgets.autosave import Autosave

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


@pytest.fixture
def file(sample: Sample, tmp_path: Path) -> Path:
    path = tmp_path / "section.h5ad"
    sample.section.adata.write_h5ad(path)
    return path


@pytest.fixture
def keeper(session: Session) -> Autosave:
    (keeper,) = session.findChildren(Autosave)
    return keeper


@pytest.fixture
def worked_on(
    qtbot: QtBot,
    session: Session,
    keeper: Autosave,
    file: Path,
    reference: Reference,
    settle: Settle,
) -> Session:
    """A session with unsaved work on a file, which is kept."""
    opening.open_path(session, file)
    settle(session)
    keeper.keep()
    assert not keeper.is_busy, "nothing has been done yet"
    session.study.set_reference(reference)
    session.study.deconvolution = replace(session.study.deconvolution, lambda_=0.00183)
    session.study.regions = session.study.regions.with_class(RegionClass("T/NK", (1.0, 0, 0)))
    settle(session)
    keeper.keep()
    qtbot.waitUntil(lambda: not keeper.is_busy, timeout=30_000)
    return session


def crashed(session: Session) -> None:
    """Forget the section as if the program had ended."""
    (keeper,) = session.findChildren(Autosave)
    keeper._offered.clear()


def test_work_is_offered_and_taken_up_again(
    qtbot: QtBot,
    worked_on: Session,
    file: Path,
    settle: Settle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = worked_on.study
    recipe, abundance = study.recipe, study.composition.abundance
    kept = autosave.path_of(study.section)
    assert kept.stat().st_size < file.stat().st_size, "without counts"
    asked = []
    monkeypatch.setattr(
        unsaved, "ask_to_restore", lambda window, name, when: asked.append(name) or True
    )
    crashed(worked_on)
    study.open(open_section(file))
    qtbot.waitUntil(lambda: bool(asked), timeout=30_000)
    settle(worked_on)
    assert study.recipe == recipe
    np.testing.assert_array_equal(study.composition.abundance, abundance)
    assert study.composition_analysis.shown.is_kept
    assert study.is_unsaved, "no file has it yet"


def test_work_that_is_not_wanted_is_gone(
    qtbot: QtBot, worked_on: Session, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = autosave.path_of(worked_on.study.section)
    asked = []
    monkeypatch.setattr(
        unsaved, "ask_to_restore", lambda window, name, when: bool(asked.append(name))
    )
    crashed(worked_on)
    worked_on.study.open(open_section(file))
    qtbot.waitUntil(lambda: bool(asked), timeout=30_000)
    assert not kept.exists()


def test_what_is_saved_is_not_kept_beside(
    qtbot: QtBot, worked_on: Session, tmp_path: Path, settle: Settle
) -> None:
    kept = autosave.path_of(worked_on.study.section)
    assert kept.exists()
    opening.save_results(worked_on, tmp_path / "saved.h5ad")
    settle(worked_on)
    assert not kept.exists()


def test_another_window_that_has_it_open_is_left_alone(
    qtbot: QtBot, worked_on: Session, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsaved, "ask_to_restore", lambda *given: pytest.fail("it still runs"))
    (keeper,) = worked_on.findChildren(Autosave)
    keeper._offered.clear()
    mine = os.getpid()
    monkeypatch.setattr(autosave.os, "getpid", lambda: mine + 1)
    worked_on.study.open(open_section(file))
    qtbot.wait(200)


def test_a_damaged_file_is_told_and_taken_away(
    qtbot: QtBot,
    worked_on: Session,
    file: Path,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = autosave.path_of(worked_on.study.section)
    kept.write_bytes(kept.read_bytes()[:1000])
    crashed(worked_on)
    worked_on.study.open(open_section(file))
    qtbot.waitUntil(lambda: not kept.exists(), timeout=30_000)
    assert "unsaved work cannot be read" in told[-1]
