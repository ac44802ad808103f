"""What the hand meets on the canvas: layers that stay as they are, hover, and dropped files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QHelpEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QToolTip

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.analyses.shown import View
from napari_smoother.io.regions_geojson import NamedPolygon, write_regions_geojson
from napari_smoother.layers.scene import COMPOSITION, DOMINANT
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.regions_page import RegionsPage
from napari_smoother.widgets.spot_tip import SpotTip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


def canvas_of(viewer: napari.Viewer):
    return viewer.window._qt_viewer.canvas.native


def point_at(viewer: napari.Viewer, session: Session, spot: int) -> None:
    """Let napari know where the pointer is: over a spot."""
    layer = session.scene.map_on_top
    viewer.cursor.position = tuple(layer.data_to_world(layer.data[spot]))


def drop_on(widget, *paths: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy, middle = Qt.DropAction.CopyAction, widget.rect().center()
    QApplication.sendEvent(widget, QDragEnterEvent(middle, copy, mime, button, keys))
    QApplication.sendEvent(widget, QDropEvent(QPointF(middle), copy, mime, button, keys))


def test_no_key_and_no_click_changes_spots(
    window: napari.Viewer, solved: Session, qtbot: QtBot
) -> None:
    canvas = canvas_of(window)
    layer = solved.scene.map_on_top
    n_spots, features = len(layer.data), len(layer.features)
    for dimensions in (3, 2):  # napari lets layers be edited again
        window.dims.ndisplay = dimensions
    assert not layer.editable
    canvas.setFocus()
    for key in (Qt.Key.Key_2, Qt.Key.Key_3):
        QTest.keyClick(canvas, key)
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center())
        QTest.keyClick(canvas, Qt.Key.Key_A)
        QTest.keyClick(canvas, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClick(canvas, Qt.Key.Key_Delete)
        QTest.keyClick(canvas, Qt.Key.Key_Backspace)
    layer = solved.scene.map_on_top
    assert (len(layer.data), len(layer.features)) == (n_spots, features)
    solved.scene.show_type(solved.study.composition.types[0])
    assert len(np.unique(np.asarray(layer.face_color), axis=0)) > 10


def test_the_map_that_is_shown_is_the_layer_that_is_selected(
    window: napari.Viewer, solved: Session
) -> None:
    scene = solved.scene
    for stage in (COMPOSITION, "data", COMPOSITION):
        scene.show_stage(stage)
        assert window.layers.selection.active is scene.map_on_top
        assert scene.map_on_top.visible


def test_a_layer_that_the_hand_selected_stays_selected(
    window: napari.Viewer, solved: Session
) -> None:
    image = solved.scene.layer("image")
    window.layers.selection.active = image
    solved.scene.show_stage("data")
    assert window.layers.selection.active is image


def test_a_map_that_was_deleted_gives_way_to_the_data_and_comes_back(
    window: napari.Viewer, solved: Session
) -> None:
    scene = solved.scene
    window.layers.remove(scene.layer(COMPOSITION))
    assert scene.stage == "data"
    assert scene.map_on_top is scene.layer(SPOTS)
    scene.show_type(DOMINANT)
    assert scene.map_on_top is scene.layer(COMPOSITION)
    assert scene.key.quantity == "dominant cell type"


def test_spots_that_were_deleted_leave_no_key_and_come_back(
    window: napari.Viewer, solved: Session, sample: Sample
) -> None:
    scene = solved.scene
    gene = View("gene", str(sample.section.adata.var_names[0]))
    scene.colour_by(gene)
    window.layers.remove(scene.layer(SPOTS))
    assert scene.key is None
    scene.colour_by(gene)
    assert scene.key is not None
    assert scene.map_on_top.visible


@pytest.mark.parametrize("stage", ["data", COMPOSITION])
def test_all_layers_may_be_deleted_at_once_while_spots_are_circled(
    window: napari.Viewer, solved: Session, stage: str
) -> None:
    solved.scene.show_stage(stage)
    solved.highlight.select(np.arange(solved.study.section.n_spots) < 9)
    window.layers.clear()
    assert len(window.layers) == 0
    solved.scene.show_type(DOMINANT)
    assert solved.scene.map_on_top.visible


def test_renamed_hidden_and_moved_layers_are_still_ours(
    window: napari.Viewer, solved: Session
) -> None:
    scene = solved.scene
    layer = scene.layer(COMPOSITION)
    layer.name = "mine"
    layer.visible = False
    window.layers.move(window.layers.index(layer), 0)
    scene.show_type(solved.study.composition.types[1])
    assert scene.layer(COMPOSITION) is layer
    assert layer.visible
    assert layer.name == f"proportion of {solved.study.composition.types[1]}"


def test_hover_tells_spot_value_region_and_composition(
    window: napari.Viewer, solved: Session
) -> None:
    study = solved.study
    composition, spot = study.composition, 40
    positions = study.section.positions
    side = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 1.0
    outline = RegionShape("core", positions[spot] + side)
    regions = study.regions.with_class(RegionClass("core", (1.0, 0.5, 0.0)))
    study.regions = regions.with_shapes([outline])
    solved.scene.show_type(composition.types[1])
    point_at(window, solved, spot)
    canvas = canvas_of(window)
    tip = next(tip for tip in solved.findChildren(SpotTip))
    said = tip.text.split("\n")
    assert said[0] == study.section.adata.obs_names[spot]
    assert (
        said[1] == f"proportion of {composition.types[1]}: {composition.proportions[spot, 1]:.4g}"
    )
    assert "region: core" in said
    largest = int(np.argmax(composition.proportions[spot]))
    share = f"{composition.proportions[spot, largest]:.2f}"
    assert f"{share}  {composition.types[largest]}" in said
    event = QHelpEvent(QEvent.Type.ToolTip, QPoint(9, 9), canvas.mapToGlobal(QPoint(9, 9)))
    QApplication.sendEvent(canvas, event)
    assert QToolTip.text() == tip.text


def test_hover_reads_the_map_that_is_shown_while_settings_change(
    window: napari.Viewer, solved: Session, settle: Settle
) -> None:
    study, spot = solved.study, 40
    solved.scene.show_type(study.composition.types[0])
    study.deconvolution = replace(study.deconvolution, lambda_=30.0)
    settle(solved)
    point_at(window, solved, spot)
    tip = next(tip for tip in solved.findChildren(SpotTip))
    assert f"{study.composition.proportions[spot, 0]:.4g}" in tip.text.split("\n")[1]
    window.cursor.position = (-1e6, -1e6)
    assert tip.text == ""


@pytest.mark.parametrize("where", ["canvas", "dock"])
def test_files_dropped_anywhere_are_opened_by_what_they_are_for(
    window: napari.Viewer,
    dock: SmootherDock,
    session: Session,
    sample: Sample,
    settle: Settle,
    tmp_path: Path,
    told: list[str],
    where: str,
) -> None:
    widget = dock if where == "dock" else window.window._qt_viewer
    paths = {name: tmp_path / name for name in ("cells.h5ad", "section.h5ad", "core.geojson")}
    sample.reference.write_h5ad(paths["cells.h5ad"])
    sample.section.adata.write_h5ad(paths["section.h5ad"])
    square = RegionShape("core", np.array([[0, 0], [0, 900], [900, 900]])).area()
    write_regions_geojson([NamedPolygon("core", None, square)], paths["core.geojson"])
    drop_on(widget, paths["cells.h5ad"], paths["section.h5ad"])  # in either order
    settle(session)
    assert session.study.section.n_spots == sample.section.n_spots
    assert session.study.reference.n_types > 1
    assert dock.tabs.currentIndex() == dock.pages.index(dock.page(DeconvolvePage))
    drop_on(widget, paths["core.geojson"])
    settle(session)
    assert [region.name for region in session.study.regions.classes] == ["core"]
    assert dock.tabs.currentIndex() == dock.pages.index(dock.page(RegionsPage))
    assert not [text for text in told if "error" in text.lower()]


def test_a_dropped_reference_without_a_section_says_what_to_do(
    dock: SmootherDock, session: Session, sample: Sample, tmp_path: Path, told: list[str]
) -> None:
    path = tmp_path / "signature.csv"
    sample.reference.to_df().iloc[:3].T.to_csv(path)
    drop_on(dock, path)
    assert "Drop or open a section first" in told[-1]
    assert session.is_at_rest
