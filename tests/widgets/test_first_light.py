"""The first walk through the house, by hand: open, colour, draw, slide, cancel, close."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from qtpy.QtCore import QPoint, Qt

from napari_smoother.layers import edges
from napari_smoother.layers.scene import COMPOSITION, DOMINANT
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.widgets import opening
from napari_smoother.widgets.contributions import show_dock
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.regions_page import RegionsPage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

LEFT = Qt.MouseButton.LeftButton


def draw_polygon(qtbot: QtBot, viewer: napari.Viewer, corners: list[tuple[float, float]]) -> None:
    """Click corners, given as shares of the canvas, and double-click the last."""
    canvas = viewer.window._qt_viewer.canvas.native
    for x, y in corners:
        place = QPoint(int(x * canvas.width()), int(y * canvas.height()))
        qtbot.mouseMove(canvas, place)
        qtbot.wait(20)
        qtbot.mouseClick(canvas, LEFT, pos=place)
        qtbot.wait(20)
    qtbot.mouseDClick(canvas, LEFT, pos=place)
    qtbot.wait(50)


def test_sample_opens_with_its_composition(
    window: napari.Viewer, session: Session, settle: Settle
) -> None:
    opening.open_sample(session, "tumour")
    settle(session)
    study = session.study
    assert study.section is not None
    assert study.section.name == "Simulated tumour"
    assert study.composition is not None
    assert study.composition.converged
    assert study.composition.settled
    assert window.layers["dominant cell type"].visible
    assert session.preview.status.kind == "optimum"
    truth = study.section.adata.obsm["proportions"][list(study.composition.types)].to_numpy()
    error = np.sqrt(np.mean((study.composition.proportions - truth) ** 2))
    spread = np.sqrt(np.mean((truth.mean(axis=0) - truth) ** 2))
    assert error < 0.5 * spread


def test_colouring_by_gene_and_by_class(
    dock: SmootherDock, session: Session, sample: Sample, settle: Settle
) -> None:
    session.study.open(sample.section)
    settle(session)
    page = dock.turn_to(DataPage)
    assert isinstance(page, DataPage)
    adata = sample.section.adata
    gene = adata.var_names[int(np.argmax(np.asarray(adata.X.sum(axis=0))))]
    page.name.choose(gene)
    layer = session.scene.layer(SPOTS)
    assert layer.face_colorbar.visible
    assert dock.key.quantity.text().startswith(gene)
    counts = adata[:, gene].X.toarray().ravel()
    per_ten_thousand = 1e4 * counts / np.asarray(adata.X.sum(axis=1)).ravel()
    low, high = np.percentile(np.log1p(per_ten_thousand), [1, 99])
    np.testing.assert_allclose(layer.face_contrast_limits, (low, high), rtol=1e-5)
    brightest, darkest = np.argmax(per_ten_thousand), np.argmin(per_ten_thousand)
    viridis_ends = np.array([[0.267, 0.005, 0.329], [0.993, 0.906, 0.144]])
    np.testing.assert_allclose(layer.face_color[darkest, :3], viridis_ends[0], atol=0.01)
    np.testing.assert_allclose(layer.face_color[brightest, :3], viridis_ends[1], atol=0.01)

    page.source.setCurrentText("Spot column")
    page.name.choose("region")
    assert not layer.face_colorbar.visible
    regions = adata.obs["region"].astype(str).to_numpy()
    for region in np.unique(regions):
        assert len(np.unique(layer.face_color[regions == region], axis=0)) == 1
    assert len(np.unique(layer.face_color, axis=0)) == len(np.unique(regions))


def test_polygon_drawn_by_mouse_cuts_the_graph(
    qtbot: QtBot,
    window: napari.Viewer,
    dock: SmootherDock,
    session: Session,
    sample: Sample,
    settle: Settle,
) -> None:
    session.study.open(sample.section)
    settle(session)
    dock.turn_to(GraphPage)
    page = dock.turn_to(RegionsPage)
    assert isinstance(page, RegionsPage)
    page.connectivity.slider.setValue(0)
    qtbot.mouseClick(page.tools["Polygon"], LEFT)
    draw_polygon(qtbot, window, [(0.4, 0.4), (0.6, 0.4), (0.62, 0.6), (0.42, 0.62)])
    settle(session)

    study = session.study
    (shape,) = study.regions.shapes
    inside = shapely.intersects_xy(shapely.Polygon(shape.vertices), *sample.section.positions.T)
    assert 10 < inside.sum() < sample.section.n_spots - 10
    np.testing.assert_array_equal(study.region_labels == 0, inside)
    assert page.table.item(0, 2).text() == f"{inside.sum():,}"
    graph = study.graph
    assert graph is not None
    crossing = inside[graph.edges[:, 0]] != inside[graph.edges[:, 1]]
    assert graph.summary.n_cut == crossing.sum() > 0
    cut = session.scene.layer(edges.CUT_EDGES)
    assert len(cut.data) == crossing.sum()
    assert cut.opacity == 1.0
    page.coloured.click()
    colours = session.scene.layer(SPOTS).face_color
    assert len(np.unique(colours[inside], axis=0)) == 1
    assert (colours[inside][0] != colours[~inside]).any(axis=1).all()
    page.coloured.click()

    page.connectivity.slider.setValue(250)
    settle(session)
    assert session.scene.layer(edges.CUT_EDGES).opacity == pytest.approx(0.75)
    assert study.graph.summary.n_cut == 0
    between = study.graph.weights[graph.edges[crossing, 0], graph.edges[crossing, 1]]
    np.testing.assert_allclose(between, 0.25)

    page.undo.click()
    assert study.boundary_connectivity == 0
    page.undo.click()
    settle(session)
    assert not study.regions.shapes
    assert (study.region_labels == -1).all()
    page.redo.click()
    settle(session)
    np.testing.assert_array_equal(study.region_labels == 0, inside)


def test_lambda_slider_is_live_and_leaves_no_trace(
    qtbot: QtBot, dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    first = solved.study.composition
    assert first is not None
    place = page.lambda_.slider.value()
    shown = []
    solved.study.composition_changed.connect(lambda composition: shown.append(composition))
    for step in (40, 80, 120, 160, 120, 60):
        page.lambda_.slider.setValue(place + step)
        qtbot.wait(60)
    settle(solved)
    smoother = solved.study.composition
    assert smoother is not None
    assert smoother.settings.lambda_ == page.lambda_.value()
    assert not np.array_equal(smoother.abundance, first.abundance)
    assert any(not composition.settled for composition in shown), "nothing was shown on the way"
    page.lambda_.slider.setValue(place)
    settle(solved)
    again = solved.study.composition
    assert again is not None
    assert again.settled
    np.testing.assert_array_equal(again.abundance, first.abundance)


def test_maps_of_one_type_and_of_the_dominant_one(
    dock: SmootherDock, solved: Session, sample: Sample
) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    composition = solved.study.composition
    assert composition is not None
    layer = solved.scene.layer(COMPOSITION)
    codes = composition.proportions.argmax(axis=1)
    for code in np.unique(codes):
        assert len(np.unique(layer.face_color[codes == code], axis=0)) == 1
    page.types.selectRow(3)
    assert solved.scene.cell_type == composition.types[2]
    assert layer.name == f"proportion of {composition.types[2]}"
    share = composition.proportions[:, 2]
    assert layer.face_contrast_limits[1] >= share.max()
    assert layer.face_color[share.argmax()].tolist() != layer.face_color[share.argmin()].tolist()
    page.types.selectRow(0)
    assert solved.scene.cell_type == DOMINANT


def test_cancel_keeps_the_last_result_and_says_so(
    qtbot: QtBot, dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    study = solved.study
    before = study.composition
    assert before is not None
    asked = []

    def endless(request, *, cancelled, tell=None):
        while not cancelled():
            asked.append(time.perf_counter())
            time.sleep(0.001)
        from napari_smoother.errors import Cancelled

        raise Cancelled

    study.composition_analysis.run = endless
    study.deconvolution = replace(study.deconvolution, lambda_=77.0)
    qtbot.waitUntil(lambda: len(asked) > 5, timeout=30_000)
    qtbot.waitUntil(dock.status.cancel.isEnabled, timeout=30_000)
    qtbot.mouseClick(dock.status.cancel, LEFT)
    qtbot.waitUntil(lambda: solved.preview.is_at_rest, timeout=30_000)
    assert study.composition is before
    assert "cancelled: showing the result for λ 0.2" in dock.status.text.text()
    del study.composition_analysis.run
    study.deconvolution = replace(study.deconvolution, lambda_=2.0)
    settle(solved)
    assert study.composition is not before


def test_newest_change_wins_over_a_long_solve(
    qtbot: QtBot, solved: Session, settle: Settle
) -> None:
    study = solved.study
    run = study.composition_analysis.run
    began, cancelled_values = [], []

    def slow_at_first(request, *, cancelled, tell=None):
        wanted = request.settings.lambda_
        began.append(wanted)
        if wanted == 50.0:
            while not cancelled():
                time.sleep(0.001)
            cancelled_values.append(wanted)
            from napari_smoother.errors import Cancelled

            raise Cancelled
        return run(request, cancelled=cancelled, tell=tell)

    study.composition_analysis.run = slow_at_first
    study.deconvolution = replace(study.deconvolution, lambda_=50.0)
    qtbot.waitUntil(lambda: began == [50.0], timeout=30_000)
    for newer in (3.0, 4.0, 5.0):
        study.deconvolution = replace(study.deconvolution, lambda_=newer)
    settle(solved)
    assert cancelled_values == [50.0]
    assert 3.0 not in began
    assert 4.0 not in began
    assert study.composition is not None
    assert study.composition.settings.lambda_ == 5.0


def test_without_live_nothing_is_solved_until_asked(
    dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    before = solved.study.composition
    page.live.setChecked(False)
    page.rho.slider.setValue(500)
    settle(solved)
    assert solved.study.composition is before
    assert "not live" in dock.status.text.text()
    page.solve.click()
    settle(solved)
    assert solved.study.composition is not None
    assert solved.study.composition.settings.rho == 0.5


def test_two_viewers_have_two_studies(
    make_napari_viewer: Callable[..., napari.Viewer],
    sample: Sample,
    reference: Reference,
    settle: Settle,
) -> None:
    first = show_dock(make_napari_viewer(show=True))
    second = show_dock(make_napari_viewer(show=True))
    assert first.session is not second.session
    first.session.study.open(sample.section)
    first.session.study.set_reference(reference)
    settle(first.session)
    assert first.session.study.composition is not None
    assert second.session.study.section is None
    assert not second.session.viewer.layers


def test_closing_the_window_while_it_computes(
    qtbot: QtBot, window: napari.Viewer, solved: Session
) -> None:
    study = solved.study
    running, ended = [], []

    def endless(request, *, cancelled, tell=None):
        running.append(1)
        while not cancelled():
            time.sleep(0.001)
        ended.append(1)
        from napari_smoother.errors import Cancelled

        raise Cancelled

    study.composition_analysis.run = endless
    study.deconvolution = replace(study.deconvolution, lambda_=9.0)
    qtbot.waitUntil(lambda: bool(running), timeout=30_000)
    window.close()
    qtbot.waitUntil(lambda: bool(ended), timeout=30_000)
    assert solved.is_closed


def test_results_are_saved_and_open_again(
    session: Session, solved: Session, settle: Settle, tmp_path: Path
) -> None:
    import anndata

    path = tmp_path / "results.h5ad"
    opening.save_results(solved, path)
    settle(solved)
    composition, graph = solved.study.composition, solved.study.graph
    assert composition is not None
    assert graph is not None
    saved = anndata.read_h5ad(path)
    assert list(saved.obsm["nnls"].columns) == list(composition.types)
    np.testing.assert_array_equal(saved.obsm["nnls"].to_numpy(), composition.proportions)
    assert (saved.obsp["spatial_connectivities"] != graph.weights).nnz == 0
    assert saved.uns["smoother"]["nnls"]["recipe"]["rho"] == 0.99
    opening.open_path(solved, path)
    settle(solved)
    assert solved.study.section is not None
    assert solved.study.section.source == path


def test_rho_and_lambda_are_chosen_and_the_curve_shown(
    qtbot: QtBot, dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    page.lambda_.slider.setValue(1000)
    settle(solved)
    qtbot.mouseClick(page.choice.button, LEFT)
    assert page.choice.stop.isEnabled()
    qtbot.waitUntil(lambda: not page.choice.runner.is_busy, timeout=180_000)
    settle(solved)
    chosen = solved.study.deconvolution
    assert chosen.lambda_ < 100
    assert f"λ {chosen.lambda_:.3g}" in page.choice.text.text()
    assert page.choice.curve.isVisible()
    assert page.lambda_.value() == pytest.approx(chosen.lambda_)
    assert solved.study.composition is not None
    assert solved.study.composition.settings == chosen


def test_choosing_can_be_stopped(
    qtbot: QtBot, dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    before = solved.study.deconvolution
    qtbot.mouseClick(page.choice.button, LEFT)
    qtbot.mouseClick(page.choice.stop, LEFT)
    qtbot.waitUntil(lambda: not page.choice.runner.is_busy, timeout=30_000)
    settle(solved)
    assert solved.study.deconvolution == before
    assert page.choice.text.text() == "stopped"
    assert page.choice.button.isEnabled()


def test_graph_is_scaled_live_by_expression_and_histology(
    dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    page = dock.turn_to(GraphPage)
    assert isinstance(page, GraphPage)
    plain = solved.study.graph
    assert plain is not None
    before = solved.study.composition
    page.expression.setChecked(True)
    settle(solved)
    scaled = solved.study.graph
    assert scaled is not None
    assert scaled.edge_weights.mean() < plain.edge_weights.mean()
    colours = solved.scene.layer(edges.EDGES).edge_color
    assert len(np.unique(colours, axis=0)) > 10
    assert solved.study.composition is not before
    page.histology.setChecked(True)
    settle(solved)
    assert solved.study.graph.edge_weights.mean() < scaled.edge_weights.mean()
    page.expression.setChecked(False)
    page.histology.setChecked(False)
    settle(solved)
    np.testing.assert_array_equal(solved.study.graph.edge_weights, plain.edge_weights)
    np.testing.assert_array_equal(solved.study.composition.abundance, before.abundance)


def test_process_can_be_changed(dock: SmootherDock, solved: Session, settle: Settle) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    before = solved.study.composition
    page.process.setCurrentText("ISAR")
    settle(solved)
    after = solved.study.composition
    assert after is not None
    assert after.converged
    assert after.settings.process == "isar"
    assert not np.array_equal(after.abundance, before.abundance)


def test_maps_of_uncertainty_and_of_what_is_left_unexplained(
    dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    page.types.selectRow(2)
    page.map.setCurrentText("Uncertainty (standard deviation)")
    settle(solved)
    composition = solved.study.composition
    assert composition is not None
    assert composition.deviation is not None
    layer = solved.scene.layer(COMPOSITION)
    assert layer.name == f"standard deviation of the proportion of {composition.types[1]}"
    deviation = composition.deviation.proportion_deviation[:, 1]
    assert (deviation > 0).all()
    np.testing.assert_allclose(
        layer.face_contrast_limits, np.percentile(deviation, [1, 99]), rtol=1e-5
    )
    page.lambda_.slider.setValue(page.lambda_.slider.value() + 200)
    settle(solved)
    smoother = solved.study.composition.deviation
    assert smoother is not None
    assert not np.allclose(smoother.proportion_deviation[:, 1], deviation), "of the old λ"
    # A prior that smooths away what is there does not make the composition more certain.
    assert smoother.roughness > composition.deviation.roughness

    page.map.setCurrentText("Unexplained share of expression")
    settle(solved)
    assert layer.name == "share of expression left unexplained"
    misfit = solved.study.composition.misfit
    np.testing.assert_allclose(
        layer.face_contrast_limits, np.percentile(misfit, [1, 99]), rtol=1e-5
    )
    page.map.setCurrentText("Proportions")
    settle(solved)
    assert layer.name == f"proportion of {composition.types[1]}"


def test_closing_the_window_while_it_reads_and_chooses(
    qtbot: QtBot, window: napari.Viewer, dock: SmootherDock, solved: Session
) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    section = solved.study.section
    reading, used = [], []

    def read(cancelled: Callable[[], bool]) -> None:
        reading.append(1)
        while not cancelled():
            time.sleep(0.001)

    solved.load(read, used.append, "reading for ever")
    page.choice.choose()
    qtbot.waitUntil(lambda: bool(reading), timeout=30_000)
    window.close()
    qtbot.wait(200)
    assert solved.is_closed
    assert not used
    assert solved.study.section is section
