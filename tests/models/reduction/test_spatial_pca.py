"""SpatialPCA against the dense eigenproblem, scikit-learn and the stated objective."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother import SpatialLoss, SpatialWeightMatrix, spatial_pca
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.reduction import SpatialPCA


def section(n: int = 120, genes: int = 40, seed: int = 0) -> ad.AnnData:
    random = np.random.default_rng(seed)
    positions = random.random((n, 2))
    waves = np.cos(positions @ random.uniform(2, 9, (2, 6)))
    values = waves @ random.standard_normal((6, genes)) + random.standard_normal((n, genes))
    adata = ad.AnnData(
        (values - values.mean(axis=0)) / values.std(axis=0),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(genes)]),
    )
    adata.obsm["spatial"] = positions
    adata.layers["scaled"] = adata.X.copy()
    return adata


def loss_of(adata: ad.AnnData, prior: str = "icar", rho: float = 0.99) -> SpatialLoss:
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(adata.obsm["spatial"], k=6)
    return SpatialLoss(prior, weights, rho=rho)


@pytest.mark.parametrize(
    ("prior", "rho"), [("icar", 0.99), ("sar", 0.1), ("isar", 0.5), ("car", 0.1)]
)
def test_the_optimum_of_the_stated_objective(prior, rho):
    adata = section()
    loss = loss_of(adata, prior, rho)
    model = SpatialPCA(adata, layer="scaled", n_latent=4, spatial_loss=loss)
    model.reduce()
    x = adata.layers["scaled"]
    matrix = x.T @ (np.eye(len(x)) - 0.1 * loss.precisions[0].toarray()) @ x
    truth = np.linalg.eigvalsh(matrix)[::-1][:4].sum() / (4 * len(x))
    assert model.report.objective == pytest.approx(-truth, rel=1e-9)
    # What the objective says, from the loss module itself.
    scores = model.get_latent_representation()
    by_loss = -np.square(scores).mean() + 0.1 * float(loss(scores.T))
    assert by_loss == pytest.approx(-truth, rel=1e-5)
    assert model.report.variance == pytest.approx(np.square(scores).mean(), rel=1e-9)


def test_a_moving_average_prior_too():
    adata = section()
    loss = loss_of(adata, "sma", 0.1)
    model = SpatialPCA(adata, n_latent=3, spatial_loss=loss, lambda_spatial_loss=0.5)
    model.reduce(tolerance=1e-9)
    q = loss.precisions[0].product(np.eye(adata.n_obs))
    truth = np.linalg.eigvalsh(adata.X.T @ (np.eye(adata.n_obs) - 0.5 * q) @ adata.X)[::-1][:3]
    assert model.report.objective == pytest.approx(-truth.sum() / (3 * adata.n_obs), rel=1e-9)


def test_without_a_loss_it_is_principal_component_analysis():
    from sklearn.decomposition import PCA

    adata = section()
    shifted = ad.AnnData(adata.X + np.linspace(0, 5, adata.n_vars), var=adata.var)
    model = SpatialPCA(shifted, n_latent=5)
    model.reduce()
    truth = PCA(5, svd_solver="full").fit(shifted.X)
    overlap = np.abs(np.sum(truth.components_.T * model.U, axis=0))
    np.testing.assert_allclose(overlap, 1, rtol=1e-8)
    np.testing.assert_allclose(
        np.square(model.get_latent_representation()).sum(axis=0),
        truth.explained_variance_ * (adata.n_obs - 1),
        rtol=1e-9,
    )


def test_a_large_lambda_finds_the_smooth_direction():
    random = np.random.default_rng(5)
    adata = section(200, 10)
    rough = random.standard_normal(200)
    smooth = np.cos(5 * adata.obsm["spatial"][:, 0])
    values = 0.1 * random.standard_normal((200, 10))
    values[:, 0] += 3 * rough
    values[:, 1] += smooth
    adata.X = values - values.mean(axis=0)
    loss = loss_of(adata)
    first = {}
    for strength in (0.0, 0.5):
        model = SpatialPCA(adata, n_latent=1, spatial_loss=loss, lambda_spatial_loss=strength)
        model.reduce()
        first[strength] = int(np.abs(model.U[:, 0]).argmax())
    assert first == {0.0: 0, 0.5: 1}


def test_the_life_of_the_field_s_package_works_as_written():
    adata, cells = section(seed=1), section(seed=2)
    loss = loss_of(adata)
    baseline = SpatialPCA(cells, layer="scaled", n_latent=6)
    fresh = SpatialPCA.from_rna_model(
        rna_model=baseline, st_adata=adata, layer="scaled",
        spatial_loss=loss, lambda_spatial_loss=0.1,
    )  # fmt: skip
    with pytest.raises(InputError, match="reduce"):
        fresh.get_latent_representation()
    baseline.reduce()
    model = SpatialPCA.from_rna_model(rna_model=baseline, st_adata=adata, layer="scaled")
    np.testing.assert_allclose(model.get_latent_representation(), adata.X @ baseline.U, atol=1e-12)
    with pytest.warns(UserWarning, match="lr, max_epochs"):
        fresh.reduce(lr=1.0, max_epochs=1000, verbose=False, quite=True)
    assert fresh.dr_logs["total_loss"] == [fresh.report.objective]
    with pytest.raises(TypeError, match="learning_rate"):
        fresh.reduce(learning_rate=1)


def test_scanpy_s_loadings_are_taken_over():
    import scanpy as sc

    adata = section()
    with pytest.raises(InputError, match="PCs"):
        SpatialPCA.from_scanpy(adata)
    sc.tl.pca(adata, n_comps=5, svd_solver="arpack")
    model = SpatialPCA.from_scanpy(adata)
    np.testing.assert_allclose(model.get_latent_representation(), adata.obsm["X_pca"], atol=1e-5)


def test_other_genes_another_section_and_losses_by_component_are_refused():
    adata = section()
    other = adata[:, ::-1].copy()
    with pytest.raises(InputError, match="other genes"):
        SpatialPCA.from_rna_model(SpatialPCA(adata, n_latent=2), other)
    with pytest.raises(InputError, match="120 spots"):
        SpatialPCA(adata, spatial_loss=loss_of(section(60)))
    loss = loss_of(adata)
    loss.confidences = loss.confidences.new_tensor([1.0, 2.0])
    with pytest.raises(InputError, match="differs between dims"):
        SpatialPCA(adata, n_latent=2, spatial_loss=loss)
    with pytest.raises(InputError, match="n_latent"):
        SpatialPCA(adata, n_latent=41)


@pytest.mark.parametrize("strength", [0.0, 1e-3, 10.0, 1e5])
@pytest.mark.parametrize("rho", [0.9, 1.0])
def test_a_graph_in_pieces_with_isolated_spots(strength, rho):
    adata = section(40, 12)
    adata.obsm["spatial"][:20] += 100
    adata.obsm["spatial"][0] = 1e4
    weights = SpatialWeightMatrix()
    weights.calc_weights_dist(
        adata.obsm["spatial"], scale_coords=False, radius_cutoff=0.3, band_width=1, row_scale=False
    )
    q = weights.precision("icar", rho)

    class Loss:
        inv_cov = q
        precisions = [q]  # noqa: RUF012

    model = SpatialPCA(adata, n_latent=3, spatial_loss=Loss(), lambda_spatial_loss=strength)
    model.reduce()
    x = adata.X
    truth = np.linalg.eigvalsh(x.T @ (np.eye(40) - strength * q.toarray()) @ x)[::-1][:3]
    assert model.report.objective == pytest.approx(-truth.sum() / 120, rel=1e-7)
    assert model.report.positive == int((truth > 1e-9 * np.abs(truth).max()).sum())


@pytest.mark.parametrize("storage", ["dense", "sparse", "backed"])
def test_a_section_gets_scores_loadings_and_a_recipe(storage, tmp_path):
    adata = section()
    adata.X = np.maximum(adata.X, 0)
    if storage != "dense":
        adata.X = sparse.csr_matrix(adata.X)
    plain = section()
    plain.X = adata.X.toarray() if sparse.issparse(adata.X) else adata.X
    expected = spatial_pca(plain, layer="X", n_latent=4, lambda_=0.1, copy=True)
    if storage == "backed":
        adata.write_h5ad(tmp_path / "a.h5ad")
        adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    spatial_pca(adata, layer="X", n_latent=4, lambda_=0.1)
    np.testing.assert_allclose(
        adata.obsm["X_spatial_pca"], expected.obsm["X_spatial_pca"], atol=1e-8
    )
    stored = adata.uns["smoother"]["spatial_pca"]
    assert json.loads(json.dumps(stored)) == stored
    assert stored["recipe"]["lambda_"] == 0.1
    assert stored["report"]["converged"]
    assert "smoother" not in plain.uns


def test_smoothed_scores_obey_their_equation():
    adata = section()
    raw = spatial_pca(adata, layer="X", n_latent=4, smoothing=0.0, copy=True)
    smooth = spatial_pca(adata, layer="X", n_latent=4, smoothing=2.0, copy=True)
    q = loss_of(adata).precisions[0]
    np.testing.assert_allclose(
        smooth.obsm["X_spatial_pca"] + 2 * (q @ smooth.obsm["X_spatial_pca"]),
        raw.obsm["X_spatial_pca"],
        atol=1e-10,
    )


def test_a_prepared_model_follows_lambda_and_the_number_of_components():
    adata = section(150, 900)
    loss = loss_of(adata)
    model = SpatialPCA(adata, n_latent=5, spatial_loss=loss)
    with pytest.raises(Cancelled):
        model.prepare(cancelled=lambda: True)
    model.prepare()
    for strength, k in ((0.1, 5), (0.3, 5), (0.3, 8), (0.0, 3)):
        model.lambda_spatial_loss, model.n_latent = strength, k
        model.reduce(tolerance=1e-8)
        fresh = SpatialPCA(adata, None, k, loss, strength)
        fresh.reduce(tolerance=1e-8)
        assert model.report.objective == pytest.approx(fresh.report.objective, rel=1e-10)
        assert model.get_latent_representation().shape == (150, k)


def test_a_cancel_leaves_everything_as_it_was():
    adata = section()
    with pytest.raises(Cancelled):
        spatial_pca(adata, layer="X", cancelled=lambda: True)
    assert list(adata.obsm) == ["spatial"]
    assert "smoother" not in adata.uns
