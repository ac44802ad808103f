"""Every model and every process in the window: switched to, slid, cancelled, refused."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_smoother.layers.scene import COMPOSITION
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.widgets import opening
from napari_smoother.widgets.choice_panel import NO_CHOICE
from napari_smoother.widgets.deconvolve_page import NO_DEVIATION, DeconvolvePage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_smoother.models.deconv.catalogue import ModelName
    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

PASSING: tuple[ModelName, ...] = ("dwls", "nusvr", "lognormreg", "poisson")


@pytest.fixture(scope="session")
def sample() -> Sample:
    return simulate_cortex(rows=18, n_genes=150, seed=3, image_size=400)


@pytest.fixture(scope="session")
def reference(sample: Sample) -> Reference:
    return Reference.from_cells(sample.reference, "cell_type", "simulated cells")


@pytest.fixture
def page(dock: SmootherDock, solved: Session) -> DeconvolvePage:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    return page


def choose(page: DeconvolvePage, model: str) -> None:
    page.model.setCurrentIndex(page.model.findData(model))


def choose_process(
    qtbot: QtBot, page: DeconvolvePage, settle: Settle, session: Session, name: str
) -> None:
    page.process.setCurrentText(name)
    qtbot.waitUntil(lambda: not page.process_rows.is_busy, timeout=30_000)
    settle(session)


def test_every_model_is_solved_shown_and_named(
    dock: SmootherDock, solved: Session, settle: Settle, page: DeconvolvePage
) -> None:
    before = solved.study.composition
    for model in [*MODELS, "nnls"]:
        choose(page, model)
        settle(solved)
        composition = solved.study.composition
        assert composition.settings.model == model
        assert composition.converged
        assert composition.settled
        assert page.types.horizontalHeaderItem(2).text() == f"Mean, {MODELS[model].short}"
        assert solved.scene.layer(COMPOSITION).visible
        facts = MODELS[model]
        assert [page.model_panel.scale.itemData(i) for i in range(len(facts.scales))] == [
            *facts.scales
        ]
        assert page.model_panel.scale.isEnabled() == (len(facts.scales) > 1)
        assert page.model_panel.tube.isVisible() == (model == "nusvr")
        word = "optimum" if facts.convex else "stationary point"
        assert dock.status.text.text().startswith(word)
        assert facts.title in dock.status.text.toolTip()
        assert "objective" in dock.status.text.toolTip()
    np.testing.assert_array_equal(solved.study.composition.abundance, before.abundance)


@pytest.mark.parametrize("model", PASSING)
def test_slider_leaves_no_trace_in_any_model(
    qtbot: QtBot, solved: Session, settle: Settle, page: DeconvolvePage, model: ModelName
) -> None:
    choose(page, model)
    settle(solved)
    first = solved.study.composition
    place = page.lambda_.slider.value()
    for step in (60, 200, 120):
        page.lambda_.slider.setValue(place + step)
        qtbot.wait(80)
    settle(solved)
    assert not np.array_equal(solved.study.composition.abundance, first.abundance)
    page.lambda_.slider.setValue(place)
    settle(solved)
    again = solved.study.composition
    assert again is not first
    assert first.settled
    assert again.settled
    np.testing.assert_array_equal(again.abundance, first.abundance)


def test_forms_of_nu_svr(solved: Session, settle: Settle, page: DeconvolvePage) -> None:
    choose(page, "nusvr")
    settle(solved)
    assert solved.study.composition.abundance.min() >= 0
    page.model_panel.nonneg.setChecked(False)
    settle(solved)
    assert solved.study.composition.abundance.min() < 0
    page.model_panel.tube_loss.setCurrentText("absolute (l1)")
    settle(solved)
    chosen = solved.study.composition.settings
    assert (chosen.tube_loss, chosen.nonneg) == ("l1", False)
    assert solved.study.composition.converged


def test_what_is_not_defined_is_disabled_and_says_why(
    solved: Session, settle: Settle, page: DeconvolvePage
) -> None:
    page.map.setCurrentText("Uncertainty (standard deviation)")
    settle(solved)
    assert solved.study.composition.deviation is not None
    item = page.map.model().item(1)
    choose(page, "poisson")
    settle(solved)
    assert page.map.currentText() == "Proportions"
    assert not item.isEnabled()
    assert item.toolTip() == NO_DEVIATION
    assert not page.choice.button.isEnabled()
    assert page.choice.button.toolTip() == NO_CHOICE
    page.map.setCurrentText("Unexplained share of expression")
    settle(solved)
    layer = solved.scene.layer(COMPOSITION)
    assert layer.name == "share of deviance left unexplained"
    misfit = solved.study.composition.misfit
    np.testing.assert_allclose(
        layer.face_contrast_limits, np.nanpercentile(misfit, [1, 99]), rtol=1e-5
    )
    choose(page, "linear_regression")
    settle(solved)
    assert item.isEnabled()
    assert page.choice.button.isEnabled()
    page.map.setCurrentText("Uncertainty (standard deviation)")
    settle(solved)
    assert solved.study.composition.deviation is not None


def test_choice_for_linear_regression_allows_negative_abundances(
    qtbot: QtBot, solved: Session, settle: Settle, page: DeconvolvePage
) -> None:
    choose(page, "linear_regression")
    settle(solved)
    page.choice.choose()
    assert not page.choice.button.isEnabled()
    qtbot.waitUntil(lambda: not page.choice.runner.is_busy, timeout=60_000)
    settle(solved)
    assert page.choice.button.isEnabled()
    chosen = solved.study.composition.settings
    assert chosen.model == "linear_regression"
    assert f"λ {chosen.lambda_:.3g}" in page.choice.text.text()


def test_every_process_keeps_its_share_of_the_range(
    qtbot: QtBot, solved: Session, settle: Settle, page: DeconvolvePage
) -> None:
    first = solved.study.composition
    weights = solved.study.graph.weights.toarray()
    spectrum = np.linalg.eigvalsh(weights)
    for name in ("CAR", "SAR", "SMA", "ISAR", "ICAR"):
        choose_process(qtbot, page, settle, solved, name)
        composition = solved.study.composition
        chosen = composition.settings
        assert chosen.process == name.lower()
        assert composition.converged
        if name in ("CAR", "SAR", "SMA"):
            end = 1 / spectrum[-1] if name != "SMA" else -1 / spectrum[0]
            assert page.process_rows.validity.isVisible()
            assert page.process_rows.limit == pytest.approx(end, rel=1e-3)
            assert 0.85 * end < chosen.rho < end
        else:
            assert not page.process_rows.validity.isVisible()
            assert chosen.rho == 0.99
    np.testing.assert_array_equal(solved.study.composition.abundance, first.abundance)


@pytest.mark.parametrize("process", ["CAR", "SAR", "SMA"])
def test_rho_out_of_range_is_told_and_nothing_is_lost(
    qtbot: QtBot,
    dock: SmootherDock,
    solved: Session,
    settle: Settle,
    page: DeconvolvePage,
    told: list[str],
    process: str,
) -> None:
    choose_process(qtbot, page, settle, solved, process)
    before = solved.study.composition
    page.rho.field.setValue(0.9)
    settle(solved)
    limit = f"{page.process_rows.limit:.4g}"
    assert f"valid below {limit}" in dock.status.text.text()
    assert dock.status.text.text().startswith("not computed")
    assert "not valid" in page.process_rows.validity.text()
    assert any(limit in message for message in told)
    assert solved.study.composition is before
    page.rho.slider.setValue(400)
    settle(solved)
    assert solved.study.composition.converged
    assert solved.study.composition is not before


@pytest.mark.parametrize("model", ["dwls", "poisson"])
def test_passing_models_under_a_moving_average(
    qtbot: QtBot, solved: Session, settle: Settle, page: DeconvolvePage, model: ModelName
) -> None:
    choose(page, model)
    settle(solved)
    choose_process(qtbot, page, settle, solved, "SMA")
    assert solved.study.composition.settings.process == "sma"
    assert solved.study.composition.converged


def test_cancelling_a_slow_model_keeps_what_was_there(
    qtbot: QtBot, dock: SmootherDock, solved: Session, settle: Settle, page: DeconvolvePage
) -> None:
    large = simulate_cortex(rows=110, n_genes=900, seed=5, image_size=400)
    solved.study.open(large.section)
    settle(solved)
    before = solved.study.composition
    assert before is not None
    solved.study.deconvolution = replace(
        solved.study.deconvolution.with_model("nusvr"), tube_loss="l1"
    )
    qtbot.waitUntil(
        lambda: "residual" in dock.status.text.text() and "solving" in dock.status.text.text(),
        timeout=60_000,
    )
    qtbot.waitUntil(dock.status.cancel.isEnabled, timeout=5_000)
    began = time.perf_counter()
    qtbot.mouseClick(dock.status.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: solved.preview.is_at_rest, timeout=20_000)
    took = time.perf_counter() - began
    assert took < 10, "the loop of the model was not left"
    assert solved.study.composition is before
    assert "cancelled: showing the result for λ 0.2, ρ 0.99, NNLS" in dock.status.text.text()
    choose(page, "nnls")
    settle(solved)
    np.testing.assert_array_equal(solved.study.composition.abundance, before.abundance)


def test_results_of_another_model_are_saved_under_its_name(
    solved: Session, settle: Settle, page: DeconvolvePage, tmp_path: Path
) -> None:
    import anndata

    choose(page, "dwls")
    settle(solved)
    source = solved.study.section.adata
    keys = set(source.obsm), set(source.uns), set(source.obs)
    path = tmp_path / "dwls.h5ad"
    opening.save_results(solved, path)
    settle(solved)
    saved = anndata.read_h5ad(path)
    np.testing.assert_array_equal(
        saved.obsm["dwls"].to_numpy(), solved.study.composition.proportions
    )
    assert "nnls" not in saved.obsm
    found = saved.uns["smoother"]["dwls"]
    assert found["recipe"]["model"] == "dwls"
    assert found["report"]["kkt_residual"] <= 1e-5
    assert (set(source.obsm), set(source.uns), set(source.obs)) == keys
    assert (saved.X != source.X).nnz == 0


@pytest.mark.tissue
def test_every_model_on_a_visual_cortex(
    qtbot: QtBot, dock: SmootherDock, session: Session, settle: Settle, tissue: Path
) -> None:
    folder = tissue / "starmap_visual_cortex"
    opening.open_path(session, folder / "starmap_spots_ground_truth.h5ad")
    settle(session)
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    opening.ask_and_open_reference(
        page.session, folder / "starmap_signature_from_same_cells_GPL3.csv"
    )
    settle(session)
    shares = session.study.section.adata.obsm["proportions"]
    for model in MODELS:
        choose(page, model)
        settle(session)
        composition = session.study.composition
        assert composition.settings.model == model
        assert composition.converged
        known = [name for name in composition.types if name in shares.columns]
        columns = [composition.types.index(name) for name in known]
        truth = shares[known].to_numpy()
        error = np.sqrt(np.nanmean((composition.proportions[:, columns] - truth) ** 2))
        assert error < 0.8 * truth.std(axis=0).mean() + 0.05
    for name in ("CAR", "SAR", "SMA", "ISAR"):
        choose_process(qtbot, page, settle, session, name)
        assert session.study.composition.settings.process == name.lower()
        assert session.study.composition.converged


def test_shares_of_cells_or_of_rna_without_a_new_solve(
    dock: SmootherDock, solved: Session, settle: Callable[[Session], None]
) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    study = solved.study
    of_cells = study.composition
    assert of_cells is not None
    assert page.model_panel.shares.currentText() == "Shares of cells"
    totals = study.reference.cell_totals
    expected = of_cells.abundance / totals
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(of_cells.proportions, expected, rtol=1e-9)

    page.model_panel.shares.setCurrentText("Shares of RNA")
    settle(solved)
    of_rna = study.composition
    assert of_rna.fit is of_cells.fit
    expected = of_rna.abundance / of_rna.abundance.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(of_rna.proportions, expected, rtol=1e-9)
