"""Smoothed embeddings against a dense solve, and what is left out of them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import napari_smoother as ns
from napari_smoother.analyses import smooth_embedding as smoothing
from napari_smoother.analyses.smooth_embedding import SmoothingSettings
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.weights.neighbours import nearest_neighbours

SIDE = 16


@pytest.fixture
def adata() -> ad.AnnData:
    """Two waves over a square lattice, with noise, far from the origin."""
    random = np.random.default_rng(4)
    y, x = (part.ravel() for part in np.indices((SIDE, SIDE)))
    waves = np.stack([np.sin(x / 3), np.cos(y / 4)], axis=1)
    made = ad.AnnData(sparse.csr_matrix(np.ones((SIDE**2, 3), dtype=np.float32)))
    made.obsm["spatial"] = np.stack([x, y], axis=1).astype(float)
    made.obsm["waves"] = waves
    made.obsm["X_pca"] = 50 + waves + 0.5 * random.standard_normal(waves.shape)
    return made


def icar(positions: np.ndarray, rho: float) -> np.ndarray:
    weights = nearest_neighbours(positions, 6).weights.toarray()
    return np.diag(weights.sum(axis=1)) - rho * weights


def dense(adata: ad.AnnData, lambda_: float, rho: float) -> np.ndarray:
    before = adata.obsm["X_pca"]
    mean, q = before.mean(axis=0), icar(adata.obsm["spatial"], rho)
    return mean + np.linalg.solve(np.eye(len(q)) + lambda_ * q, before - mean)


@pytest.mark.parametrize(("lambda_", "rho"), [(0.3, 0.99), (5.0, 0.5), (0.3, 1.0)])
def test_a_smoothed_embedding_is_the_posterior_mean(adata, lambda_, rho) -> None:
    ns.smooth_embedding(adata, lambda_=lambda_, rho=rho)
    np.testing.assert_allclose(adata.obsm["X_pca_smooth"], dense(adata, lambda_, rho), atol=1e-8)
    entry = adata.uns["smoother"]["X_pca_smooth"]
    assert entry["recipe"]["lambda_"] == lambda_
    assert entry["recipe"]["basis"] == "X_pca"


def test_the_chosen_lambda_takes_noise_off(adata) -> None:
    found = ns.smooth_embedding(adata, copy=True)
    assert "X_pca_smooth" not in adata.obsm
    report = found.uns["smoother"]["X_pca_smooth"]["report"]
    assert min(report["strengths"]) < report["lambda"] < max(report["strengths"])
    truth = adata.obsm["waves"]

    def error(values: np.ndarray) -> float:
        return float(np.square(values - 50 - truth).mean())

    chosen = error(found.obsm["X_pca_smooth"])
    assert chosen < 0.35 * error(adata.obsm["X_pca"])
    # It is the lowest of the errors at spots left out, over strengths that are far apart.
    place = int(np.argmin(report["errors"]))
    assert 0.3 < report["lambda"] / report["strengths"][place] < 3


def test_zero_gives_the_embedding_back(adata) -> None:
    ns.smooth_embedding(adata, lambda_=0.0, key_added="same")
    np.testing.assert_array_equal(adata.obsm["same"], adata.obsm["X_pca"])


def test_spots_without_counts_or_values_are_left_out(adata) -> None:
    counts = adata.X.tolil()
    counts[7] = 0
    adata.X = counts.tocsr()
    adata.obsm["X_pca"][[7, 30]] = [[1e6, 1e6], [np.nan, 0.0]]
    kept = np.setdiff1d(np.arange(adata.n_obs), [7, 30])
    weights = nearest_neighbours(adata.obsm["spatial"], 6).weights.toarray()
    alone = adata[kept].copy()
    alone.obsp["spatial_connectivities"] = sparse.csr_array(weights[np.ix_(kept, kept)])
    ns.smooth_embedding(adata, lambda_=1.0)
    ns.smooth_embedding(alone, lambda_=1.0)
    found = adata.obsm["X_pca_smooth"]
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [7, 30]
    np.testing.assert_allclose(found[kept], alone.obsm["X_pca_smooth"], atol=1e-10)


def test_names_of_columns_and_a_file_keep_everything(adata, tmp_path) -> None:
    adata.obsm["shares"] = pd.DataFrame(
        adata.obsm["X_pca"], index=adata.obs_names, columns=["neuron", "glia"]
    )
    ns.smooth_embedding(adata, "shares")
    adata.write_h5ad(tmp_path / "a.h5ad")
    read = ad.read_h5ad(tmp_path / "a.h5ad")
    assert list(read.obsm["shares_smooth"]) == ["neuron", "glia"]
    np.testing.assert_array_equal(read.obsm["shares_smooth"], adata.obsm["shares_smooth"])


def test_the_function_is_the_analysis(adata) -> None:
    weights = nearest_neighbours(adata.obsm["spatial"], 6).weights
    found = smoothing.compute(adata, weights, SmoothingSettings())
    ns.smooth_embedding(adata)
    np.testing.assert_array_equal(found.values, adata.obsm["X_pca_smooth"])
    assert "256 spots" in found.describe()


def test_faults_leave_nothing_behind(adata) -> None:
    adata.obsm["text"] = pd.DataFrame({"a": ["b"] * adata.n_obs}, index=adata.obs_names)
    adata.obsm["nothing"] = np.full((adata.n_obs, 2), np.nan)
    before = set(adata.obsm)
    for arguments, problem in (
        ({"basis": "X_umap"}, "no embedding 'X_umap'"),
        ({"basis": "text"}, "numbers alone"),
        ({"basis": "nothing"}, "No spot"),
        ({"rho": 2.0}, "rho 2.0"),
        ({"lambda_": -1.0}, "lambda -1.0"),
    ):
        with pytest.raises(InputError, match=problem):
            ns.smooth_embedding(adata, **arguments)
    with pytest.raises(Cancelled):
        ns.smooth_embedding(adata, cancelled=lambda: True)
    assert set(adata.obsm) == before
    assert "smoother" not in adata.uns
