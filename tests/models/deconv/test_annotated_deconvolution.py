"""From AnnData to AnnData."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, sparse

from napari_smoother import deconvolve
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv import Reference


@pytest.fixture
def section() -> tuple[ad.AnnData, pd.DataFrame]:
    """A field of 6 x 6 spots, left half of one mixture and right half of another."""
    random = np.random.default_rng(7)
    genes = [f"gene{i}" for i in range(30)]
    table = pd.DataFrame(random.gamma(0.6, 1.0, (30, 3)), index=genes, columns=["a", "b", "c"])
    table /= table.sum()
    x, y = np.meshgrid(np.arange(6.0), np.arange(6.0))
    left = (x.ravel() < 3)[:, None]
    truth = np.where(left, [0.8, 0.2, 0.0], [0.0, 0.3, 0.7])
    counts = random.poisson(300 * truth @ table.to_numpy().T).astype(np.float32)
    adata = ad.AnnData(
        sparse.csr_matrix(counts),
        obs=pd.DataFrame(index=[f"spot{i}" for i in range(36)]),
        var=pd.DataFrame(index=genes),
        obsm={"spatial": np.column_stack([x.ravel(), y.ravel()]) * 100},
    )
    adata.obsm["truth"] = truth
    return adata, table


def test_results_are_where_scanpy_users_look(section, tmp_path) -> None:
    adata, table = section
    assert deconvolve(adata, table) is None
    props = adata.obsm["nnls"]
    assert list(props.columns) == ["a", "b", "c"]
    assert props.index.equals(adata.obs_names)
    np.testing.assert_allclose(props.sum(axis=1), 1)
    assert np.abs(props.to_numpy() - adata.obsm["truth"]).mean() < 0.1
    stored = adata.uns["smoother"]["nnls"]
    assert json.loads(json.dumps(stored)) == stored
    assert stored["report"]["converged"]
    assert stored["report"]["n_genes"] == 30
    assert stored["recipe"]["graph"] == "mutual 6 nearest neighbours"
    adata.write_h5ad(tmp_path / "result.h5ad")
    again = ad.read_h5ad(tmp_path / "result.h5ad")
    pd.testing.assert_frame_equal(again.obsm["nnls"], props)
    assert again.uns["smoother"]["nnls"]["recipe"]["lambda_"] == stored["recipe"]["lambda_"]


def test_without_prior_it_is_weighted_least_squares_of_every_spot(section) -> None:
    adata, table = section
    deconvolve(
        adata, table, lambda_=0, scale="counts", gene_weights="inverse_mean", intercept=False
    )
    signature = table.to_numpy() * 1e4
    counts = adata.X.toarray().astype(float)
    share = counts / counts.sum(1, keepdims=True) * 1e4
    weights = 1 / (share.mean(0) + 0.05 * share.mean())
    root = np.sqrt(weights)
    for spot in range(36):
        expected = optimize.nnls(root[:, None] * signature, root * share[spot])[0]
        np.testing.assert_allclose(adata.obsm["nnls_abundance"].iloc[spot], expected, atol=1e-5)


def test_a_graph_that_is_there_is_used(section) -> None:
    """With every edge across the middle cut, the halves do not know of each other."""
    adata, table = section
    positions = adata.obsm["spatial"]
    gaps = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    near = (gaps > 0) & (gaps < 120)
    side = positions[:, 0] < 250
    adata.obsp["spatial_connectivities"] = sparse.csr_matrix(
        (near & (side[:, None] == side[None])).astype(np.float32)
    )
    whole = deconvolve(adata, table, lambda_=5.0, copy=True, gene_weights="none", tolerance=1e-7)
    assert whole.uns["smoother"]["nnls"]["recipe"]["graph"] == 'obsp["spatial_connectivities"]'
    half = adata[side].copy()
    deconvolve(half, table, lambda_=5.0, gene_weights="none", tolerance=1e-7)
    np.testing.assert_allclose(
        whole.obsm["nnls"][side].to_numpy(), half.obsm["nnls"].to_numpy(), atol=1e-4
    )
    assert "nnls" not in adata.obsm


def test_empty_spots_neither_have_nor_give_values(section) -> None:
    adata, table = section
    counts = adata.X.toarray()
    counts[14] = 0
    adata.X = sparse.csr_matrix(counts)
    deconvolve(adata, table, lambda_=20.0, gene_weights="none", tolerance=1e-7)
    assert adata.uns["smoother"]["nnls"]["report"]["n_without_value"] == 1
    assert adata.obsm["nnls"].iloc[14].isna().all()
    assert adata.obsm["nnls_abundance"].iloc[14].isna().all()
    # A zero that took part would pull its neighbours' totals below those of the others.
    totals = adata.obsm["nnls_abundance"].sum(axis=1).to_numpy()
    assert totals[[8, 13, 15, 20]].min() > 0.9 * np.median(totals)


def test_cells_as_reference_and_other_results_kept(section) -> None:
    adata, table = section
    random = np.random.default_rng(0)
    cells = ad.AnnData(
        random.poisson(np.repeat(table.to_numpy().T, 5, axis=0) * 2000).astype(np.float32),
        obs=pd.DataFrame({"label": np.repeat(["a", "b", "c"], 5)}, index=map(str, range(15))),
        var=pd.DataFrame(index=table.index),
    )
    adata.uns["smoother"] = {"note": "kept"}
    deconvolve(adata, cells, cell_type="label", key_added="from_cells")
    deconvolve(adata, Reference.from_cells(cells, "label", "named"), key_added="named")
    pd.testing.assert_frame_equal(adata.obsm["from_cells"], adata.obsm["named"])
    assert set(adata.uns["smoother"]) == {"note", "from_cells", "named"}
    assert adata.uns["smoother"]["named"]["recipe"]["reference"] == "named"


def test_counts_in_a_layer(section) -> None:
    adata, table = section
    deconvolve(adata, table)
    expected = adata.obsm["nnls"].copy()
    adata.layers["raw"] = adata.X.copy()
    adata.X = np.log1p(adata.X.toarray()) - 1
    deconvolve(adata, table, layer="raw")
    pd.testing.assert_frame_equal(adata.obsm["nnls"], expected)
    with pytest.raises(InputError, match='no layer "counts"; there are: X, layers'):
        deconvolve(adata, table, layer="counts")


def test_refusals(section) -> None:
    adata, table = section
    with pytest.raises(Cancelled):
        deconvolve(adata, table, cancelled=lambda: True)
    assert "nnls" not in adata.obsm
    lost = adata.copy()
    del lost.obsm["spatial"]
    with pytest.raises(InputError, match="neither a graph nor positions"):
        deconvolve(lost, table)
    silent = adata.copy()
    silent.X = sparse.csr_matrix(adata.shape, dtype=np.float32)
    with pytest.raises(InputError, match="No spot has a count"):
        deconvolve(silent, table)


@pytest.mark.tissue
def test_starmap_proportions_are_found(tissue) -> None:
    """Pseudo-spots with known cells: the default finds them, and better than plain NNLS."""
    folder = tissue / "starmap_visual_cortex"
    spots = ad.read_h5ad(folder / "starmap_spots_ground_truth.h5ad")
    table = pd.read_csv(folder / "starmap_signature_from_same_cells_GPL3.csv", index_col=0)
    truth = spots.obsm["proportions"][table.columns]
    kept = truth.sum(axis=1) > 0
    truth = truth[kept].div(truth[kept].sum(axis=1), axis=0)

    def error(**settings) -> float:
        found = deconvolve(spots, table, copy=True, **settings).obsm["nnls"]
        return float(np.sqrt(((found[kept] - truth) ** 2).to_numpy().mean()))

    plain = error(lambda_=0, gene_weights="none", scale="counts")
    assert error() < 0.085 < 0.1 < plain


@pytest.mark.tissue
@pytest.mark.parametrize("rho", [0.99, 1.0])
def test_lymph_node(tissue, rho) -> None:
    folder = tissue / "visium_human_lymph_node"
    section = ad.read_h5ad(folder / "lymph_node_visium_1000spots.h5ad")
    cells = ad.read_h5ad(folder / "lymph_node_reference_330cells.h5ad")
    deconvolve(section, cells, rho=rho)
    report = section.uns["smoother"]["nnls"]["report"]
    assert (report["n_genes"], report["n_types"], report["n_spots"]) == (558, 11, 1000)
    assert report["converged"]
    mean = section.obsm["nnls"].mean()
    assert mean["B"] > mean["VSMC"]  # a lymph node holds more B cells than vessel muscle
