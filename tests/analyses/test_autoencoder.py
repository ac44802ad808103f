"""An autoencoder of the window is that of the library, and an empty spot has no latent mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_smoother.analyses import autoencoder
from napari_smoother.analyses.autoencoder import Trained
from napari_smoother.analyses.context import Context
from napari_smoother.analyses.embedding_settings import AutoencoderSettings, DomainSettings
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotated
from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.study.study import Study

EMPTY = 40


@pytest.fixture
def study() -> Study:
    section = simulate_cortex(rows=16, n_genes=60, seed=5, image_size=400).section
    adata = section.adata.copy()
    counts = adata.X.tolil()
    counts[EMPTY] = 0
    adata.X = counts.tocsr()
    study = Study()
    study.open(replace(section, adata=adata))
    return study


def projector(values, weights, settings, on_epoch, cancelled) -> Trained:
    """Train nothing: the first columns, after as many epochs as were asked for."""
    losses = tuple(1.0 / epoch for epoch in range(1, settings.epochs + 1))
    for epoch, loss in enumerate(losses, 1):
        on_epoch(epoch, loss)
    return Trained(np.asarray(values.toarray()[:, : settings.components], float), losses, 0.1)


def compare(study: Study, settings: AutoencoderSettings, train) -> None:
    analysis = Autoencoder(study, train)
    analysis.settings = settings
    analysis.update()
    section = study.section
    found = autoencoder.compute(section.adata, study.graph.weights, settings, train=train)
    adata = section.adata.copy()
    found.write(adata, domain="domain_vae")
    saved = annotated(study)
    assert np.flatnonzero(np.isnan(adata.obsm["X_spatial_vae"]).any(axis=1)).tolist() == [EMPTY]
    np.testing.assert_array_equal(saved.obsm["X_spatial_vae"], adata.obsm["X_spatial_vae"])
    window, library = (each.uns["smoother"]["spatial_vae"] for each in (saved, adata))
    assert window["recipe"] == library["recipe"]
    assert window["report"]["losses"] == library["report"]["losses"]
    if settings.domains.find:
        assert saved.obs["domain_vae"].equals(adata.obs["domain_vae"])
        np.testing.assert_array_equal(saved.obsm["X_domain_vae"], adata.obsm["X_domain_vae"])
        assert np.flatnonzero(adata.obs["domain_vae"].isna()).tolist() == [EMPTY]


def test_window_and_library_write_the_same(study: Study) -> None:
    settings = AutoencoderSettings(components=4, epochs=3, domains=DomainSettings(True, 3))
    compare(study, settings, projector)


def test_window_and_library_train_the_same(study: Study) -> None:
    pytest.importorskip("scvi", reason="scvi-tools (extra scvi) is not installed")
    compare(study, AutoencoderSettings(components=3, epochs=3), None)


def test_domains_are_found_without_training_again(study: Study) -> None:
    study.update()
    steps, news = autoencoder.AutoencoderSteps(), []
    settings = AutoencoderSettings(components=4, epochs=3)
    adata, weights = study.section.adata, study.graph.weights
    context = Context(tell=news.append)
    autoencoder.compute(adata, weights, settings, context, steps, projector)
    assert [each.done for each in news if each.text.startswith("training · ")] == [1, 2, 3]
    settings = replace(settings, domains=DomainSettings(True, 3))
    found = autoencoder.compute(adata, weights, settings, Context(), steps, projector)
    assert found.domains is not None
    assert steps.trained.runs == 1
