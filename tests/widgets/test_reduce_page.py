"""The Reduce page in a real window: components, colours, domains, and training by hand."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_smoother.analyses.autoencoder import Trained
from napari_smoother.analyses.figure_settings import ON_SCREEN
from napari_smoother.errors import Cancelled
from napari_smoother.figures.panels import ClassKey
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.reduce_page import COUNTS, NORMALISED, ReducePage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.figures.panels import Panel
    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

LEFT = Qt.MouseButton.LeftButton
PCA, VAE = "spatial_pca", "spatial_vae"


@pytest.fixture
def page(dock: SmootherDock, session: Session, sample: Sample, settle: Settle) -> ReducePage:
    """Return the page after it was turned to, its first result on screen."""
    session.study.open(sample.section)
    settle(session)
    assert session.reduction.analysis.result is None, "computed before anybody asked"
    page = dock.turn_to(ReducePage)
    settle(session)
    assert isinstance(page, ReducePage)
    return page


def test_components_follow_the_sliders(
    dock: SmootherDock, page: ReducePage, session: Session, settle: Settle, qtbot: QtBot
) -> None:
    analysis = session.reduction.analysis
    layer = session.scene.layer(PCA)
    assert layer.visible
    assert not session.scene.layer(SPOTS).visible
    assert layer.name == "spatial component 1"
    assert dock.key.quantity.text() == "spatial component 1"
    assert dock.status.text.text().startswith("optimum · residual")
    first = analysis.result.scores
    assert page.table.rowCount() == analysis.settings.components == 30

    page.table.selectRow(2)
    assert layer.name == "spatial component 3"
    np.testing.assert_allclose(layer.features["spatial component 3"], first[:, 2])
    for place in range(500, 700, 20):
        page.lambda_.slider.setValue(place)
        qtbot.wait(5)
    settle(session)
    assert analysis.is_up_to_date
    assert not np.array_equal(analysis.result.scores, first)
    page.lambda_.field.setValue(0.0)
    settle(session)
    assert np.array_equal(analysis.result.scores, first), "the way of the hand left a trace"
    page.components.setValue(4)
    settle(session)
    assert page.table.rowCount() == 4


def test_a_page_of_its_own_finds_components_without_being_turned_to(
    window: napari.Viewer, session: Session, sample: Sample, settle: Settle
) -> None:
    session.study.open(sample.section)
    window.window.add_plugin_dock_widget("napari-smoother", "Smoother · Reduce")
    settle(session)
    assert session.scene.layer(PCA).visible


def test_three_components_as_colours(
    dock: SmootherDock,
    page: ReducePage,
    session: Session,
    settle: Settle,
    printed: Callable[[Session, str], Panel],
) -> None:
    page.map.setCurrentText("Three components as red, green, blue")
    page.channels[2].setValue(5)
    scores = session.reduction.analysis.result.scores
    layer = session.scene.layer(PCA)
    for channel, component in enumerate((0, 1, 4)):
        low, high = np.percentile(scores[:, component], [1, 99])
        expected = ((scores[:, component] - low) / (high - low)).clip(0, 1)
        np.testing.assert_allclose(layer.face_color[:, channel], expected, atol=1e-5)
    key = session.scene.key
    assert isinstance(key, ClassKey)
    assert key.quantity == "spatial components 1, 2, 5 as red, green, blue"
    assert [name.split(":")[0] for name, _ in key.classes] == [
        "spatial component 1",
        "spatial component 2",
        "spatial component 5",
    ]
    assert [colour[:3] for _, colour in key.classes] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    panel = printed(session, ON_SCREEN)
    np.testing.assert_allclose(panel.colours, layer.face_color)
    assert panel.key == key


def test_domains_are_found_when_they_are_looked_at(
    dock: SmootherDock, page: ReducePage, session: Session, settle: Settle
) -> None:
    assert session.reduction.analysis.steps.domains.runs == 0
    page.map.setCurrentText("Spatial domains")
    settle(session)
    page.domains.setValue(4)
    settle(session)
    analysis = session.reduction.analysis
    assert analysis.steps.settled.runs == 1, "the embedding was found again for its domains"
    domains = analysis.result.domains.labels
    layer = session.scene.layer(PCA)
    assert len(np.unique(layer.face_color, axis=0)) == len(np.unique(domains)) <= 4
    assert "domains" in dock.status.text.text()
    assert layer.name == "spatial domain on spatial components"

    dock.turn_to(DataPage)
    assert not layer.visible
    assert dock.status.text.text() == session.connecting.status.text


def test_another_section_begins_anew(
    page: ReducePage, session: Session, settle: Settle, sample: Sample
) -> None:
    from napari_smoother.sample_data import simulate_tumour

    page.map.setCurrentText("Three components as red, green, blue")
    section = simulate_tumour(rows=20, n_genes=120, seed=2, image_size=400).section
    session.study.open(section)
    settle(session)
    result = session.reduction.analysis.result
    assert result.spots is section.adata.obs_names
    assert len(session.scene.layer(PCA).data) == section.n_spots


class SlowTraining:
    """Trains nothing, one epoch at a time, each in many steps that look for a cancel."""

    def __init__(self, pause: float = 0.02) -> None:
        self.pause = pause
        self.last = np.inf
        """Epoch after which it goes on only to be cancelled."""
        self.stopped_in: list[int] = []
        self.ended = threading.Event()

    def __call__(self, values, weights, settings, on_epoch, cancelled) -> Trained:
        self.ended.clear()
        losses = []
        try:
            for epoch in range(1, settings.epochs + 1):
                steps = 0
                while steps < 10 or epoch > self.last:
                    if cancelled():
                        self.stopped_in.append(epoch)
                        raise Cancelled("the training was cancelled")
                    time.sleep(self.pause / 10)
                    steps += 1
                losses.append(100.0 / epoch)
                on_epoch(epoch, losses[-1])
            latent = np.asarray(values.toarray()[:, : settings.components], dtype=float)
            return Trained(latent, tuple(losses), 0.1)
        finally:
            self.ended.set()


@pytest.fixture
def training(session: Session) -> SlowTraining:
    training = SlowTraining()
    session.autoencoder.analysis._train = training
    return training


@pytest.fixture
def panel_of_vae(training: SlowTraining, page: ReducePage):
    page.training.missing_changed()
    page.method.setCurrentText("Spatial VAE")
    page.training.epochs.setValue(5)
    return page.training


def test_training_shows_its_epochs_and_a_cancel_keeps_what_was_there(
    dock: SmootherDock,
    page: ReducePage,
    panel_of_vae,
    training: SlowTraining,
    session: Session,
    settle: Settle,
    qtbot: QtBot,
) -> None:
    assert page.data.currentText() == COUNTS
    assert dock.status.text.text() == "not computed yet: press Train"
    qtbot.mouseClick(panel_of_vae.train, LEFT)
    settle(session)
    assert panel_of_vae.curve.losses == pytest.approx([100, 50, 100 / 3, 25, 20])
    assert dock.status.text.text().startswith("trained · 5 epochs · loss 20")
    assert session.scene.layer(VAE).visible
    before = session.autoencoder.analysis.result

    panel_of_vae.epochs.setValue(500)
    assert "press Train" in dock.status.text.text()
    page.table.selectRow(3)
    np.testing.assert_array_equal(
        session.scene.layer(VAE).features["latent dim 4"], before.scores[:, 3]
    )
    assert "5 epochs" in dock.status.text.text()
    training.last = 3
    qtbot.mouseClick(panel_of_vae.train, LEFT)
    qtbot.waitUntil(lambda: "epoch 3 of 500" in dock.status.text.text(), timeout=30_000)
    assert panel_of_vae.bar.isVisible()
    assert len(panel_of_vae.curve.losses) == 3
    assert dock.status.cancel.isEnabled()
    seen = panel_of_vae.bar.value()
    qtbot.mouseClick(dock.status.cancel, LEFT)
    settle(session)
    assert seen == 3
    assert training.stopped_in == [4], "did not stop within the epoch"
    assert session.autoencoder.analysis.result is before
    assert panel_of_vae.curve.losses == before.losses
    assert dock.status.text.text().startswith("cancelled: showing the result for")

    page.method.setCurrentText("Spatial PCA")
    assert page.data.currentText() == NORMALISED
    assert session.scene.layer(PCA).visible
    assert dock.status.text.text().startswith("optimum")


def test_closing_the_window_stops_the_training(
    window: napari.Viewer,
    page: ReducePage,
    panel_of_vae,
    training: SlowTraining,
    session: Session,
    qtbot: QtBot,
) -> None:
    panel_of_vae.epochs.setValue(2000)
    qtbot.mouseClick(panel_of_vae.train, LEFT)
    qtbot.waitUntil(lambda: len(panel_of_vae.curve.losses) >= 2, timeout=30_000)
    window.close()
    assert training.ended.is_set(), "the training outlived the window"
    assert session.is_closed


def test_without_scvi_the_panel_says_what_to_install(
    page: ReducePage, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_smoother.study.autoencoder.find_spec", lambda name: None)
    page.training.missing_changed()
    page.method.setCurrentText("Spatial VAE")
    assert not page.training.train.isEnabled()
    assert page.training.message.isVisible()
    assert "napari-smoother[scvi]" in page.training.message.text()
    assert "napari-smoother[scvi]" in page.training.train.toolTip()


def test_saved_file_has_components_and_domains(
    page: ReducePage, session: Session, settle: Settle, tmp_path: Path
) -> None:
    import anndata as ad

    from napari_smoother.widgets import opening

    page.map.setCurrentText("Spatial domains")
    page.domains.setValue(4)
    settle(session)
    opening.save_results(session, tmp_path / "saved.h5ad")
    settle(session)
    saved = ad.read_h5ad(tmp_path / "saved.h5ad")
    result = session.reduction.analysis.result
    np.testing.assert_array_equal(saved.obsm["X_spatial_pca"], result.scores)
    np.testing.assert_array_equal(saved.obs["domain"].astype(int) - 1, result.domains.labels)
    assert saved.uns["smoother"]["spatial_pca"]["recipe"]["components"] == 30


@pytest.mark.tissue
def test_layers_of_a_cortex_are_found(
    dock: SmootherDock, session: Session, settle: Settle, tissue: Path
) -> None:
    from sklearn.metrics import adjusted_rand_score

    from napari_smoother.widgets import opening

    opening.open_path(session, tissue / "visium_dlpfc_151673" / "visium_dlpfc_151673.h5ad")
    settle(session)
    page = dock.turn_to(ReducePage)
    assert isinstance(page, ReducePage)
    page.map.setCurrentText("Spatial domains")
    page.domains.setValue(7)
    settle(session)
    layers = session.study.section.adata.obs["layer"].astype(str)
    known = (layers != "NA").to_numpy()
    domains = session.reduction.analysis.result.domains.labels
    assert adjusted_rand_score(layers[known], domains[known]) > 0.2  # chance: 0


def test_the_number_of_domains_is_chosen_by_bars_that_can_be_clicked(
    page: ReducePage, session: Session, settle: Settle, qtbot: QtBot
) -> None:
    assert not page.agreement.isVisible()
    page.map.setCurrentText("Spatial domains")
    settle(session)
    analysis = session.reduction.analysis
    assert page.domains.text() == "chosen"
    report = analysis.result.report
    assert page.agreement.isVisible()
    assert max(report["agreement"]) <= 1
    number = next(n for n in report["numbers"] if n != report["n_domains"])
    column = page.agreement.place_of(number)
    qtbot.mouseClick(page.agreement, LEFT, pos=column.center().toPoint())
    settle(session)
    assert analysis.settings.domains.number == page.domains.value() == number
    assert analysis.result.report["n_domains"] == number
    assert page.agreement.isVisible(), "the bars stay to choose another"
