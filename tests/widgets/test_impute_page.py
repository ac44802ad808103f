"""The Impute page in the real window: a gene raw and smoothed, beside each other, and denser."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_smoother.analyses.imputed import NAME
from napari_smoother.errors import Cancelled
from napari_smoother.layers import imputation_map
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.models.impute import denser_positions
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.impute_page import ImputePage

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

LEFT = Qt.MouseButton.LeftButton
GENE = "CUX2"


@pytest.fixture
def page(dock: SmootherDock, session: Session, sample: Sample, settle: Settle) -> ImputePage:
    session.study.open(sample.section)
    settle(session)
    page = dock.turn_to(ImputePage)
    assert isinstance(page, ImputePage)
    return page


@pytest.fixture
def smoothed(page: ImputePage, session: Session, settle: Settle) -> ImputePage:
    type_gene(page, GENE)
    settle(session)
    assert page.analysis.result is not None
    return page


def type_gene(page: ImputePage, name: str) -> None:
    line = page.gene.lineEdit()
    line.selectAll()
    QTest.keyClicks(line, name)
    QTest.keyClick(line, Qt.Key.Key_Return)


def test_a_typed_gene_is_smoothed(
    dock: SmootherDock, page: ImputePage, session: Session, settle: Settle
) -> None:
    assert page.analysis.result is None, "nothing is computed before a gene is chosen"
    type_gene(page, GENE.lower())
    settle(session)
    result = page.analysis.result
    assert result.gene == GENE
    assert page.analysis.is_up_to_date
    assert session.status.kind == "optimum"
    layer = session.scene.layer(NAME)
    assert layer.visible
    assert not session.scene.layer(SPOTS).visible
    assert layer.name == f"{GENE} smoothed, log1p of counts per 10,000"
    assert dock.key.quantity.text() == layer.name
    low, high = np.percentile(result.raw, [1, 99])
    np.testing.assert_allclose(layer.face_contrast_limits, (low, high))
    np.testing.assert_allclose(layer.features[layer.name], result.values)
    assert f"{result.correlation:.3f}" in page.facts.text()


def test_the_gene_of_the_data_page_is_taken_on(
    dock: SmootherDock, page: ImputePage, session: Session, settle: Settle
) -> None:
    data = dock.turn_to(DataPage)
    assert isinstance(data, DataPage)
    data.name.choose(GENE)
    dock.turn_to(ImputePage)
    settle(session)
    assert page.analysis.result.gene == GENE
    assert page.gene.currentText() == GENE
    assert session.scene.layer(NAME).visible


def test_lambda_is_live_and_leaves_no_trace(
    qtbot: QtBot, smoothed: ImputePage, session: Session, settle: Settle
) -> None:
    first, place = smoothed.analysis.result, smoothed.lambda_.slider.value()
    colours = session.scene.layer(NAME).face_color.copy()
    key = session.scene.key
    shown = []
    smoothed.analysis.result_changed.connect(shown.append)
    for step in (60, 120, 180, 240):
        smoothed.lambda_.slider.setValue(place + step)
        qtbot.wait(60)
    settle(session)
    assert len(shown) >= 2, "nothing was shown on the way"
    assert not np.array_equal(session.scene.layer(NAME).face_color, colours)
    assert session.scene.key == key, "the limits stay those of the raw values"
    assert smoothed.analysis.result.values.std() < first.values.std()
    smoothed.lambda_.slider.setValue(place)
    settle(session)
    np.testing.assert_array_equal(smoothed.analysis.result.values, first.values)
    np.testing.assert_array_equal(session.scene.layer(NAME).face_color, colours)


def test_raw_smoothed_and_difference(
    qtbot: QtBot, smoothed: ImputePage, session: Session, window: napari.Viewer
) -> None:
    result, layer = smoothed.analysis.result, session.scene.layer(NAME)
    window.scene.camera.zoom *= 3
    view = (window.scene.camera.center, window.scene.camera.zoom)
    of_smoothed = layer.face_color.copy()
    qtbot.mouseClick(smoothed.map_buttons["raw"], LEFT)
    of_raw = layer.face_color.copy()
    np.testing.assert_allclose(layer.features.iloc[:, 1], result.raw)
    qtbot.mouseClick(smoothed.map_buttons["difference"], LEFT)
    np.testing.assert_allclose(layer.features.iloc[:, 1], result.values - result.raw)
    assert session.scene.key.low == -session.scene.key.high
    qtbot.mouseClick(smoothed.map_buttons["smoothed"], LEFT)
    np.testing.assert_array_equal(layer.face_color, of_smoothed)
    qtbot.mousePress(smoothed.hold, LEFT)
    np.testing.assert_array_equal(layer.face_color, of_raw)
    qtbot.mouseRelease(smoothed.hold, LEFT)
    np.testing.assert_array_equal(layer.face_color, of_smoothed)
    assert (window.scene.camera.center, window.scene.camera.zoom) == view
    smoothed.own_limits.click()
    low, high = np.percentile(result.values, [1, 99])
    np.testing.assert_allclose(layer.face_contrast_limits, (low, high))


def test_side_by_side(
    qtbot: QtBot,
    dock: SmootherDock,
    smoothed: ImputePage,
    session: Session,
    window: napari.Viewer,
    settle: Settle,
) -> None:
    scene, result = session.scene, smoothed.analysis.result
    window.scene.camera.zoom *= 3
    view = (window.scene.camera.center, window.scene.camera.zoom)
    raw_colours = _raw_colours(qtbot, smoothed, session)
    qtbot.mouseClick(smoothed.map_buttons["both"], LEFT)
    right, left = scene.layer(NAME), scene.layer(imputation_map.RAW)
    np.testing.assert_array_equal(left.face_color, raw_colours)
    assert left.extent.world[1, 1] < right.extent.world[0, 1], "they do not overlap"
    np.testing.assert_allclose(left.extent.world[:, 0], right.extent.world[:, 0])
    assert scene.key.quantity.startswith("left: raw, right: ")
    # The image under a spot at the left is the one under the same spot at the right.
    image, copy = scene.layer("image"), scene.layer(imputation_map.RAW_IMAGE)
    for spot in (0, 100, 500):
        places = [
            np.round(picture.world_to_data(spots.data_to_world(spots.data[spot]))).astype(int)
            for picture, spots in ((image, right), (copy, left))
        ]
        np.testing.assert_array_equal(image.data[tuple(places[0])], copy.data[tuple(places[1])])
    shown = right.face_color.copy()
    smoothed.lambda_.slider.setValue(900)
    settle(session)
    assert not np.array_equal(right.face_color, shown)
    np.testing.assert_array_equal(left.face_color, raw_colours)
    assert smoothed.analysis.result.raw is result.raw
    scene.fade_image(0.3)
    scene.resize_spots(2.0)
    assert copy.opacity == image.opacity == 0.3
    assert left.size[0] == right.size[0]
    dock.turn_to(DataPage)
    assert scene.layer(imputation_map.RAW) is None
    assert scene.layer(imputation_map.RAW_IMAGE) is None
    assert (window.scene.camera.center, window.scene.camera.zoom) == view
    dock.turn_to(ImputePage)
    assert scene.layer(imputation_map.RAW) is not None


def _raw_colours(qtbot: QtBot, page: ImputePage, session: Session) -> np.ndarray:
    qtbot.mouseClick(page.map_buttons["raw"], LEFT)
    return session.scene.layer(NAME).face_color.copy()


def test_denser_grid_lies_on_the_tissue(
    dock: SmootherDock, smoothed: ImputePage, session: Session, settle: Settle, sample: Sample
) -> None:
    smoothed.denser.click()
    settle(session)
    scene, grid = session.scene, smoothed.analysis.result.grid
    layer = scene.layer(imputation_map.GRID)
    positions = denser_positions(sample.section.positions, 3.0)
    np.testing.assert_allclose(layer.data, positions[:, ::-1])
    assert layer.visible
    assert layer.size[0] < scene.layer(NAME).size[0]
    np.testing.assert_allclose(layer.features.iloc[:, 0], grid.values)
    first = layer.face_color.copy()
    smoothed.lambda_.slider.setValue(900)
    settle(session)
    assert scene.layer(imputation_map.GRID) is layer, "it is painted anew, not made anew"
    assert not np.array_equal(layer.face_color, first)
    smoothed.map_buttons["raw"].click()
    assert not layer.visible
    smoothed.map_buttons["smoothed"].click()
    assert layer.visible
    dock.turn_to(DataPage)
    assert not layer.visible


def test_hidden_spots_and_what_they_tell(
    smoothed: ImputePage, session: Session, settle: Settle, sample: Sample
) -> None:
    smoothed.held_out.setValue(20)
    settle(session)
    result = smoothed.analysis.result
    assert (~result.observed).sum() == round(0.2 * sample.section.n_spots)
    assert f"off by {result.hidden.error:.3g}" in smoothed.facts.text()
    assert f"by {result.hidden.error_of_mean:.3g} " in smoothed.facts.text()
    smoothed.held_out.setValue(0)
    smoothed.column.setCurrentText("region")
    region = smoothed.hidden_class.currentText()
    settle(session)
    np.testing.assert_array_equal(
        smoothed.analysis.result.observed, sample.section.adata.obs["region"] != region
    )


def test_a_gene_that_is_not_there_is_told(
    dock: SmootherDock, smoothed: ImputePage, session: Session, settle: Settle, told: list[str]
) -> None:
    before = smoothed.analysis.result
    type_gene(smoothed, "NOSUCHGENE")
    settle(session)
    assert "There is no gene “NOSUCHGENE”" in smoothed.gene.complaint.text()
    assert "optimum" in dock.status.text.text()
    assert smoothed.analysis.result is before
    type_gene(smoothed, "GFAP")
    settle(session)
    assert smoothed.analysis.result.gene == "GFAP"


def test_cancel_keeps_what_was_there(
    qtbot: QtBot, dock: SmootherDock, smoothed: ImputePage, session: Session, settle: Settle
) -> None:
    analysis = smoothed.analysis
    before, colours = analysis.result, session.scene.layer(NAME).face_color.copy()
    compute, asked = analysis.compute, []

    def endless(request, context):
        asked.append(request)
        while not context.cancelled():
            time.sleep(0.001)
        raise Cancelled

    analysis.compute = endless
    smoothed.denser.click()
    qtbot.waitUntil(lambda: bool(asked), timeout=30_000)
    qtbot.waitUntil(dock.status.cancel.isEnabled, timeout=30_000)
    qtbot.mouseClick(dock.status.cancel, LEFT)
    qtbot.waitUntil(lambda: session.is_at_rest, timeout=30_000)
    assert analysis.result is before
    assert f"cancelled: showing {GENE} smoothed with λ 1, ρ 1" in dock.status.text.text()
    np.testing.assert_array_equal(session.scene.layer(NAME).face_color, colours)
    analysis.compute = compute
    smoothed.lambda_.slider.setValue(700)
    settle(session)
    assert analysis.result.grid is not None


def test_closing_the_window_while_it_computes(
    qtbot: QtBot, window: napari.Viewer, smoothed: ImputePage, session: Session
) -> None:
    analysis, running, ended = smoothed.analysis, [], []

    def endless(request, context):
        running.append(1)
        while not context.cancelled():
            time.sleep(0.001)
        ended.append(1)
        raise Cancelled

    analysis.compute = endless
    smoothed.lambda_.slider.setValue(700)
    qtbot.waitUntil(lambda: bool(running), timeout=30_000)
    window.close()
    qtbot.waitUntil(lambda: bool(ended), timeout=30_000)
    assert session.is_closed


def test_another_section_starts_afresh(
    smoothed: ImputePage, session: Session, settle: Settle
) -> None:
    from napari_smoother.sample_data import simulate_tumour

    smoothed.map_buttons["both"].click()
    smoothed.column.setCurrentText("region")
    settle(session)
    session.study.open(simulate_tumour(rows=16, n_genes=60, seed=1, image_size=400).section)
    settle(session)
    assert smoothed.analysis.result is None
    assert smoothed.analysis.settings.hidden_column == ""
    names = (NAME, imputation_map.RAW, imputation_map.RAW_IMAGE)
    assert all(session.scene.layer(name) is None for name in names)
    assert not smoothed.facts.text()
