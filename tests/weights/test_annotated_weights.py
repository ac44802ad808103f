from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import napari_smoother
from napari_smoother import spatial_weights
from napari_smoother.errors import InputError
from napari_smoother.weights.annotated import section_graph


@pytest.fixture
def square():
    """Four by five spots, one unit apart, two regions of columns 0-1 and 2-4."""
    y, x = np.mgrid[:4, :5].astype(float)
    counts = np.random.default_rng(0).poisson(3.0, (20, 30)).astype(np.float32)
    adata = ad.AnnData(sparse.csr_matrix(counts))
    adata.obsm["spatial"] = np.column_stack([x.ravel(), y.ravel()])
    adata.obs["region"] = pd.Categorical(np.where(x.ravel() < 2, "left", "right"))
    return adata


def neighbours_by_hand(positions, reach):
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    return apart, (apart > 0) & (apart <= reach)


def test_lattice_neighbours_and_their_distances(square):
    assert spatial_weights(square, k=4) is None
    apart, near = neighbours_by_hand(square.obsm["spatial"], 1.0)
    np.testing.assert_array_equal(square.obsp["spatial_connectivities"].toarray(), near)
    np.testing.assert_array_equal(square.obsp["spatial_distances"].toarray(), near * apart)
    entry = square.uns["smoother"]["weights"]
    assert entry["recipe"] == {"rule": "nearest", "neighbours": 4, "mutual": True}
    assert entry["report"] == {
        "n_spots": 20, "n_edges": 31, "n_cut": 0, "n_isolated": 0, "n_components": 1,
    }  # fmt: skip


def test_a_radius_with_a_kernel(square):
    spatial_weights(square, radius=1.5, bandwidth=0.8)
    apart, near = neighbours_by_hand(square.obsm["spatial"], 1.5)
    expected = near * np.exp(-(apart**2) / (2 * 0.8**2))
    np.testing.assert_allclose(square.obsp["spatial_connectivities"].toarray(), expected)
    recipe = square.uns["smoother"]["weights"]["recipe"]
    assert recipe == {"rule": "radius", "radius": 1.5, "bandwidth": 0.8}


@pytest.mark.parametrize("left", [0.0, 0.25])
def test_a_border_between_regions(square, left):
    spatial_weights(square, k=4, scale_by_obs="region", boundary_connectivity=left)
    _, near = neighbours_by_hand(square.obsm["spatial"], 1.0)
    label = square.obs["region"].to_numpy()
    across = label[:, None] != label[None]
    found = square.obsp["spatial_connectivities"]
    np.testing.assert_array_equal(found.toarray(), near * np.where(across, left, 1.0))
    report = square.uns["smoother"]["weights"]["report"]
    # Cut links are not stored; four of 31 cross the border.
    assert found.nnz == square.obsp["spatial_distances"].nnz == 2 * (31 if left else 27)
    assert (report["n_cut"], report["n_components"]) == ((0, 1) if left else (4, 2))


def test_similar_expression_links_more_strongly(square):
    square.obsm["X_known"] = np.column_stack([square.obsm["spatial"][:, 0] < 2, np.ones(20)])
    spatial_weights(square, k=4, scale_by_expression="X_known")
    _, near = neighbours_by_hand(square.obsm["spatial"], 1.0)
    unit = square.obsm["X_known"] / np.linalg.norm(square.obsm["X_known"], axis=1, keepdims=True)
    np.testing.assert_allclose(
        square.obsp["spatial_connectivities"].toarray(), near * (unit @ unit.T)
    )
    recipe = square.uns["smoother"]["weights"]["recipe"]
    assert (recipe["scale_by_expression"], "n_components" in recipe) == ("X_known", False)


@pytest.mark.parametrize("key", ["X", "log"])
def test_expression_from_a_matrix_and_both_scalings(square, key):
    square.layers["log"] = square.X.toarray()
    plain = spatial_weights(square, k=4, scale_by_expression=key, n_components=5, copy=True)
    assert not square.obsp
    assert "smoother" not in square.uns
    both = spatial_weights(
        square, k=4, scale_by_expression=key, n_components=5, scale_by_obs="region", copy=True
    )
    label = square.obs["region"].to_numpy()
    inside = label[:, None] == label[None]
    weights = plain.obsp["spatial_connectivities"].toarray()
    assert ((weights >= 0) & (weights <= 1)).all()
    assert len(np.unique(weights)) > 5
    np.testing.assert_array_equal(both.obsp["spatial_connectivities"].toarray(), weights * inside)


def test_what_is_written_survives_a_file(square, tmp_path):
    square.uns["smoother"] = {"note": "kept"}
    spatial_weights(square, scale_by_obs="region", boundary_connectivity=0.5)
    assert json.loads(json.dumps(square.uns["smoother"]))["note"] == "kept"
    square.write_h5ad(tmp_path / "square.h5ad")
    again = ad.read_h5ad(tmp_path / "square.h5ad")
    found, graph = section_graph(again)
    assert graph == 'obsp["spatial_connectivities"]'
    expected, _ = section_graph(square)
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    assert again.uns["smoother"]["weights"]["recipe"]["neighbours"] == 6


def test_deconvolve_takes_these_weights(square):
    table = pd.DataFrame(
        np.random.default_rng(1).gamma(1.0, 1.0, (30, 3)), index=square.var_names, columns=[*"abc"]
    )
    spatial_weights(square, k=4, scale_by_obs="region")
    left = (square.obs["region"] == "left").to_numpy()
    alone = square[left].copy()
    for section in (square, alone):
        napari_smoother.deconvolve(
            section, table, lambda_=3.0, tolerance=1e-7, gene_weights="none"
        )
    np.testing.assert_allclose(square.obsm["nnls"][left], alone.obsm["nnls"], atol=1e-4)


def test_refusals(square):
    with pytest.raises(InputError, match="Both k = 4 and a radius"):
        spatial_weights(square, k=4, radius=1.0)
    with pytest.raises(InputError, match="without a radius"):
        spatial_weights(square, k=4, bandwidth=1.0)
    with pytest.raises(InputError, match='no column "layer"; there are: region'):
        spatial_weights(square, scale_by_obs="layer")
    with pytest.raises(InputError, match='no expression or embedding "X_pca"; there are: X'):
        spatial_weights(square, scale_by_expression="X_pca")
    assert not square.obsp
    square.obsp["spatial_connectivities"] = sparse.csr_matrix(-np.eye(20, k=1))
    with pytest.raises(InputError, match="negative"):
        section_graph(square)
    del square.obsm["spatial"]
    with pytest.raises(InputError, match="no positions"):
        spatial_weights(square)
