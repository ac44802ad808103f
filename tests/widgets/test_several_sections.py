"""Several sections are open at once, and unsaved work is asked about before it is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.io.opening import open_section
from napari_smoother.sample_data import simulate_tumour
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.reduce_page import ReducePage

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="module")
def tumour() -> Sample:
    return simulate_tumour(rows=20, n_genes=150, seed=1, image_size=400)


def test_a_second_section_leaves_the_first_as_it_is(
    qtbot: QtBot, dock: SmootherDock, solved: Session, tumour: Sample, settle: Settle
) -> None:
    study, scene = solved.study, solved.scene
    dock.turn_to(DeconvolvePage)
    far = np.median(study.section.positions, axis=0)
    corner = RegionShape("corner", np.array([(0, 0), (far[0], 0), far, (0, far[1])]))
    study.regions = study.regions.with_class(RegionClass("corner", (1.0, 0, 0))).with_shapes(
        [corner]
    )
    scene.show_type(study.composition.types[2])
    settle(solved)
    first, recipe, colours = study.composition, study.recipe, scene.colours.copy()
    assert not dock.sections.isVisible()

    study.open(tumour.section, beside=True)
    settle(solved)
    assert dock.sections.isVisible()
    assert study.section is tumour.section
    assert not study.regions.classes
    assert study.graph.weights.shape[0] == tumour.section.n_spots
    assert len(scene.colours) == tumour.section.n_spots
    assert not study.can_undo
    study.deconvolution = replace(study.deconvolution, lambda_=4.0)
    settle(solved)

    names = [dock.sections.itemText(place) for place in range(dock.sections.count())]
    assert names == [section.name for section in study.sections]
    dock.sections.setCurrentIndex(0)
    dock.sections.activated.emit(0)
    assert study.composition is first, "at once, without solving again"
    assert study.recipe == recipe
    settle(solved)
    assert study.composition is first
    np.testing.assert_array_equal(scene.colours, colours)
    assert scene.layer("regions") is not None
    study.undo()
    assert scene.cell_type == "", "each section has a history of its own"


def test_a_section_that_is_closed_asks_about_unsaved_work(
    qtbot: QtBot,
    dock: SmootherDock,
    solved: Session,
    tumour: Sample,
    settle: Settle,
    answer: list[str],
) -> None:
    study = solved.study
    first = study.section
    study.open(tumour.section, beside=True)
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    settle(solved)
    answer.append("cancel")
    qtbot.mouseClick(dock.close_section, LEFT)
    assert study.section is tumour.section
    answer.append("discard")
    qtbot.mouseClick(dock.close_section, LEFT)
    assert study.sections == (first,)
    assert study.section is first
    assert not dock.close_section.isVisible()
    settle(solved)


def test_the_window_stays_when_closing_is_cancelled_and_saves_what_is_to_be_saved(
    window: napari.Viewer,
    solved: Session,
    tumour: Sample,
    settle: Settle,
    answer: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = solved.study
    study.open(tumour.section, beside=True)
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    settle(solved)
    assert study.unsaved() == tuple(section.name for section in study.sections)
    answer.append("cancel")
    assert not window.window._qt_window.close()
    assert not solved.is_closed

    asked: list[Path] = []

    def choose(parent, title, proposed, kinds):
        asked.append(tmp_path / Path(proposed).name)
        return str(asked[-1]), "AnnData (*.h5ad)"

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    answer.append("save")
    assert solved.may_close(window.window._qt_window)
    assert not study.unsaved()
    assert solved.may_close(window.window._qt_window), "and is not asked about again"
    assert len(asked) == len(set(asked)) == 2
    again = {path.name: open_section(path) for path in asked}
    assert all("smoother" in section.adata.uns for section in again.values())


def test_looking_at_things_is_not_work(
    dock: SmootherDock, session: Session, sample: Sample, settle: Settle
) -> None:
    session.study.open(sample.section)
    session.scene.resize_spots(2.0)
    dock.turn_to(ReducePage)
    settle(session)
    shown = session.study.analyses["spatial_pca"].result
    assert shown is not None
    assert session.study.is_unsaved, "components were found"
    dock.turn_to(DataPage)
    session.study.open(sample.section)
    session.scene.resize_spots(2.0)
    settle(session)
    assert not session.study.is_unsaved
