"""Ctrl+Z takes back the last change, wherever the hand is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt

from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.impute_page import ImputePage

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def test_keys_in_the_canvas_and_in_the_dock(
    qtbot: QtBot,
    window: napari.Viewer,
    dock: SmootherDock,
    solved: Session,
    settle: Callable[[Session], None],
) -> None:
    study, page = solved.study, dock.turn_to(DeconvolvePage)
    first = study.composition
    assert not dock.undo.isEnabled()
    page.lambda_.slider.setValue(700)
    chosen = study.deconvolution.lambda_
    settle(solved)
    canvas = window.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Z, CONTROL)
    settle(solved)
    assert study.deconvolution.lambda_ != chosen
    assert page.lambda_.value() == study.deconvolution.lambda_
    assert (study.composition.abundance == first.abundance).all()
    qtbot.keyClick(canvas, Qt.Key.Key_Z, CONTROL | SHIFT)
    settle(solved)
    assert study.deconvolution.lambda_ == chosen
    page.lambda_.slider.setFocus()
    qtbot.keyClick(page.lambda_.slider, Qt.Key.Key_Z, CONTROL)
    assert study.deconvolution.lambda_ != chosen
    qtbot.mouseClick(dock.redo, Qt.MouseButton.LeftButton)
    assert study.deconvolution.lambda_ == chosen
    settle(solved)


def test_maps_are_taken_back_too(solved: Session, settle: Callable[[Session], None]) -> None:
    scene, study = solved.scene, solved.study
    scene.show_type(study.composition.types[1])
    before = scene.colours.copy()
    scene.show_type(study.composition.types[2])
    assert (scene.colours != before).any()
    scene.resize_spots(2.0)
    size = scene.layer("composition").size[0]
    scene.show_stage("data")
    assert scene.layer("spots").visible
    study.undo()
    assert scene.layer("composition").visible, "the map that the change was made on"
    assert scene.layer("composition").size[0] == size / 2
    study.undo()
    assert scene.cell_type == study.composition.types[1]
    assert (scene.colours == before).all()
    settle(solved)


def test_a_gene_that_is_taken_back_takes_its_map_away(
    dock: SmootherDock, solved: Session, settle: Callable[[Session], None], told: list[str]
) -> None:
    study, page = solved.study, dock.turn_to(ImputePage)
    page._set(gene=study.section.adata.var_names[3])
    settle(solved)
    assert solved.scene.layer("imputed") is not None
    study.undo()
    settle(solved)
    assert not study.analyses["imputed"].settings.gene
    assert solved.scene.layer("imputed") is None
    assert not told, "nothing is wrong"
