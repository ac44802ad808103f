"""Embeddings on a study's graph: the library's numbers, and nothing found twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import napari_smoother
from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.analyses.autoencoder import Trained
from napari_smoother.analyses.embedding_settings import (
    AutoencoderSettings,
    DomainSettings,
    EmbeddingSettings,
    ExpressionSettings,
    ReductionSettings,
)
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.reduction import SpatialPCA, smooth_embedding
from napari_smoother.models.reduction.variable_genes import most_variable, residual_variances
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotated
from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.study import Study


@pytest.fixture(scope="module")
def section():
    return simulate_cortex(rows=20, n_genes=150, seed=5, image_size=400).section


@pytest.fixture
def study(section) -> Study:
    study = Study()
    study.open(section)
    return study


@pytest.fixture
def reduction(study: Study) -> Reduction:
    reduction = Reduction(study)
    reduction.settings = ReductionSettings(
        data=ExpressionSettings(scale=True),
        components=5,
        lambda_=0.1,
        smoothing=1.0,
    )
    return reduction


def by_hand(study: Study, lambda_: float, smoothing: float):
    """What a scanpy user would do, with the graph of the study: values, loadings, scores."""
    import scanpy as sc

    adata = study.section.adata.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata = adata[:, adata.X.toarray().std(axis=0) > 0].copy()
    sc.pp.scale(adata, zero_center=False)
    adata.X = adata.X.toarray() * np.sqrt(adata.n_obs / (adata.n_obs - 1))  # scanpy: n - 1
    loss = SpatialLoss("icar", SpatialWeightMatrix.from_graph(study.graph.weights), rho=0.99)
    model = SpatialPCA(adata, None, 5, loss, lambda_)
    model.reduce()
    return adata.X, model.U, smooth_embedding(model.get_latent_representation(), loss, smoothing)


@pytest.mark.parametrize(("lambda_", "smoothing"), [(0.1, 1.0), (0.5, 0.0)])
def test_scores_are_those_of_the_models(study, reduction, lambda_, smoothing) -> None:
    reduction.settings = replace(reduction.settings, lambda_=lambda_, smoothing=smoothing)
    reduction.update()
    x, loadings, scores = by_hand(study, lambda_, smoothing)
    np.testing.assert_allclose(reduction.result.scores, scores, atol=1e-3 * scores.std())
    assert reduction.result.converged
    total = np.square(x - x.mean(axis=0)).sum()
    plain = np.square((x - x.mean(axis=0)) @ loadings).sum(axis=0)
    np.testing.assert_allclose(reduction.result.shares, plain / total, rtol=1e-3)


def test_the_way_of_the_hand_leaves_no_trace(reduction) -> None:
    reduction.update()
    first = reduction.result.scores
    for lambda_ in (0.3, 2.0, 0.1):
        reduction.settings = replace(reduction.settings, lambda_=lambda_)
        reduction.accept(reduction.run(reduction.request(settled=False)))
    np.testing.assert_allclose(reduction.result.scores, first, atol=1e-3 * first.std())
    reduction.update()
    assert np.array_equal(reduction.result.scores, first)


def test_each_setting_runs_its_own_steps_only(study, reduction) -> None:
    def runs() -> list[int]:
        steps = reduction.steps
        found = (steps.genes, steps.formed, steps.settled, steps.domains)
        return [step.runs for step in found]

    reduction.update()
    assert runs() == [1, 1, 1, 0]
    reduction.settings = replace(reduction.settings, lambda_=0.2)
    reduction.update()
    assert runs() == [1, 1, 2, 0]
    reduction.settings = replace(reduction.settings, domains=DomainSettings(find=True, number=4))
    assert reduction.request(settled=False).start is None, "the embedding is there already"
    reduction.update()
    assert runs() == [1, 1, 2, 1]
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    reduction.update()
    assert runs() == [2, 2, 3, 2], "Moran's I knows the graph"


def test_domains_come_after_the_embedding(study, reduction) -> None:
    reduction.settings = replace(
        reduction.settings, domains=DomainSettings(find=True, number=5, coupling=2.0)
    )
    reduction.update()
    news = []
    reduction.settings = replace(reduction.settings, seed=1)
    outcome = reduction.run(reduction.request(settled=True), tell=news.append)
    assert news[0].result.domains is None
    assert not news[0].finished
    assert outcome.result.domains is not None
    moving = reduction.run(reduction.request(settled=False))
    assert moving.result.domains is None, "not while the hand moves"


@pytest.mark.parametrize("lambda_", [0.0, 0.1])
@pytest.mark.parametrize("smoothing", [None, 2.0])
def test_domains_are_those_of_the_library_to_the_bit(study, lambda_, smoothing) -> None:
    reduction = Reduction(study)
    reduction.settings = ReductionSettings(
        lambda_=lambda_, smoothing=smoothing, domains=DomainSettings(True, 5)
    )
    reduction.update()
    # The way of the hand leaves no trace.
    reduction.settings = replace(reduction.settings, components=7)
    reduction.accept(reduction.run(reduction.request(settled=False)))
    reduction.settings = replace(reduction.settings, components=30)
    reduction.update()
    adata = study.section.adata.copy()
    adata.obsp["spatial_connectivities"] = study.graph.weights
    napari_smoother.domains(adata, 5, lambda_=lambda_, smoothing=smoothing)
    saved = annotated(study)
    assert saved.obs["domain"].equals(adata.obs["domain"])
    assert np.array_equal(saved.obsm["X_domain"], adata.obsm["X_domain"])
    assert np.array_equal(saved.obsm["domain"], adata.obsm["domain"])
    report = adata.uns["smoother"]["domain"]["report"]
    assert reduction.result.report["smoothing"] == report["smoothing"]


def test_the_defaults_of_window_and_library_are_the_same(study) -> None:
    reduction = Reduction(study)
    study.update()
    adata = study.section.adata.copy()
    adata.obsp["spatial_connectivities"] = study.graph.weights
    napari_smoother.domains(adata)
    reduction.settings = replace(reduction.settings, domains=DomainSettings(find=True))
    reduction.update()
    assert np.array_equal(annotated(study).obsm["domain"], adata.obsm["domain"])


def test_spots_without_counts_have_no_place(section) -> None:
    adata = section.adata.copy()
    counts = adata.X.tolil()
    counts[[3, 40]] = 0
    adata.X = counts.tocsr()
    study = Study()
    study.open(replace(section, adata=adata))
    reduction = Reduction(study)
    reduction.settings = ReductionSettings(components=3, domains=DomainSettings(True, 4))
    reduction.update()
    result = reduction.result
    assert np.flatnonzero(np.isnan(result.scores).any(axis=1)).tolist() == [3, 40]
    assert np.flatnonzero(result.domains.labels < 0).tolist() == [3, 40]


def test_what_is_saved(study, reduction) -> None:
    reduction.settings = replace(
        reduction.settings,
        data=ExpressionSettings(n_genes=60, scale=True),
        domains=DomainSettings(find=True, number=3),
    )
    reduction.update()
    saved = annotated(study)
    assert saved.obsm["X_spatial_pca"].shape == (study.section.n_spots, 5)
    loadings = saved.varm["spatial_pca"]
    np.testing.assert_allclose(loadings.T @ loadings, np.eye(5), atol=1e-8)
    assert (np.abs(loadings).sum(axis=1) > 0).sum() == 60
    assert set(saved.obs["domain"].cat.categories) == {"1", "2", "3"}
    recipe = saved.uns["smoother"]["spatial_pca"]
    assert recipe["recipe"]["data"] == {
        "n_genes": 60,
        "scale": True,
        "genes_by": "spatial",
    }
    assert "up_to_date" not in recipe
    assert saved.obsm["domain"].shape == (study.section.n_spots, 3)


def test_variances_of_residuals_are_those_of_scanpy(section) -> None:
    import scanpy as sc

    adata = section.adata.copy()
    sc.experimental.pp.highly_variable_genes(adata, n_top_genes=40, theta=100)
    ours = residual_variances(section.adata.X)
    np.testing.assert_allclose(ours, adata.var["residual_variances"], rtol=1e-6)
    chosen = np.flatnonzero(adata.var["highly_variable"])
    np.testing.assert_array_equal(most_variable(ours, 40), chosen)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: EmbeddingSettings(components=0), "components"),
        (lambda: EmbeddingSettings(rho=1.5), "rho"),
        (lambda: ReductionSettings(lambda_=-1.0), "lambda"),
        (lambda: ReductionSettings(smoothing=float("nan")), "smoothing"),
        (lambda: DomainSettings(number=0), "domains"),
        (lambda: DomainSettings(coupling=-1.0), "coupling"),
        (lambda: ExpressionSettings(n_genes=0), "n_genes"),
        (lambda: ExpressionSettings(genes_by="luck"), "genes_by"),
        (lambda: AutoencoderSettings(epochs=0), "epochs"),
        (lambda: AutoencoderSettings(learning_rate=0.0), "learning_rate"),
        (lambda: AutoencoderSettings(likelihood="gauss"), "likelihood"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, field: str) -> None:
    with pytest.raises(InputError) as refusal:
        make()
    assert field in str(refusal.value)


def test_there_are_no_more_components_than_genes(reduction) -> None:
    reduction.settings = replace(
        reduction.settings, components=10, data=ExpressionSettings(n_genes=4)
    )
    reduction.update()
    assert reduction.result.n_dims == 4


def projector(values, weights, settings, on_epoch, cancelled) -> Trained:
    """Train nothing: the first columns, after as many epochs as were asked for."""
    losses = []
    for epoch in range(1, settings.epochs + 1):
        if cancelled():
            raise Cancelled("the training was cancelled")
        losses.append(1.0 / epoch)
        on_epoch(epoch, losses[-1])
    return Trained(np.asarray(values.toarray()[:, : settings.components], float), (*losses,), 0.1)


def test_an_autoencoder_waits_to_be_trained_and_its_domains_do_not(study) -> None:
    autoencoder = Autoencoder(study, projector)
    assert not autoencoder.follows
    autoencoder.settings = AutoencoderSettings(components=3, epochs=4)
    autoencoder.update()
    result = autoencoder.result
    assert result.losses == (1.0, 0.5, 1 / 3, 0.25)
    autoencoder.settings = replace(autoencoder.settings, domains=DomainSettings(True, 4))
    assert autoencoder.follows
    autoencoder.update()
    assert autoencoder.steps.trained.runs == 1
    assert autoencoder.result.domains is not None
    autoencoder.settings = replace(autoencoder.settings, epochs=5)
    assert not autoencoder.follows
    epochs = []
    with pytest.raises(Cancelled):
        autoencoder.run(
            autoencoder.request(settled=True),
            cancelled=lambda: len(epochs) > 3,
            tell=epochs.append,
        )
    assert autoencoder.result.losses == result.losses
    saved = annotated(study)
    np.testing.assert_array_equal(saved.obsm["X_spatial_vae"], result.scores)
    assert not saved.uns["smoother"]["spatial_vae"]["up_to_date"]
    assert saved.uns["smoother"]["spatial_vae"]["recipe"]["epochs"] == 4


def test_values_that_are_not_counts_are_refused_by_likelihoods_of_counts(section) -> None:
    adata = section.adata.copy()
    adata.layers["half"] = adata.X * 0.5
    study = Study()
    study.open(replace(section, adata=adata))
    autoencoder = Autoencoder(study, projector)
    autoencoder.settings = AutoencoderSettings(data=ExpressionSettings(layer="half"))
    with pytest.raises(InputError, match="not whole"):
        autoencoder.update()


def test_training_with_scvi_is_that_of_the_library(study) -> None:
    pytest.importorskip("scvi", reason="scvi-tools (extra scvi) is not installed")
    from napari_smoother.models.reduction import SpatialVAE

    autoencoder = Autoencoder(study)
    assert autoencoder.missing == ""
    autoencoder.settings = AutoencoderSettings(components=3, epochs=3)
    autoencoder.update()
    adata = study.section.adata[:, autoencoder.result.chosen.genes].copy()
    SpatialVAE.setup_anndata(adata)
    loss = SpatialLoss("icar", SpatialWeightMatrix.from_graph(study.graph.weights), rho=0.99)
    model = SpatialVAE(adata, loss, 0.1, n_latent=3)
    model.train(max_epochs=3)
    np.testing.assert_allclose(
        autoencoder.result.scores, model.get_latent_representation(), atol=1e-5
    )
