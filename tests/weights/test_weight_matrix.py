from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import coo_array, csr_array

from napari_smoother import SpatialWeightMatrix
from napari_smoother.errors import InputError

LINE = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0]])


@pytest.fixture
def line():
    """Four spots in a row, each linked to the next."""
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(LINE, k=1)
    return weights


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_line_is_linked_to_the_next(line):
    expected = np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1)
    assert line.swm.layout == torch.sparse_coo
    assert line.swm.dtype == torch.float32
    assert line.swm.is_coalesced()
    np.testing.assert_array_equal(line.swm.to_dense(), expected)
    np.testing.assert_array_equal(line.swm_scaled.to_dense(), expected)
    assert line.n_spots == 4
    assert line.summary().n_edges == 3


def test_positions_come_in_any_form(line):
    for coords in (torch.tensor(LINE), pd.DataFrame(LINE, columns=["x", "y"]), LINE.tolist()):
        weights = SpatialWeightMatrix()
        weights.calc_weights_knn(coords, k=1)
        np.testing.assert_array_equal(weights.swm.to_dense(), line.swm.to_dense())


def test_row_scale_makes_rows_sum_to_one():
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(LINE, k=1, row_scale=True)
    np.testing.assert_allclose(
        weights.swm.to_dense(), [[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [0, 0, 1, 0]]
    )


def test_band_width_is_relative_to_the_section_when_scaled():
    # The longest side is 3: a band width of 0.1 is 0.3 there.
    weights = SpatialWeightMatrix()
    weights.calc_weights_dist(LINE, radius_cutoff=1.0, band_width=0.1, row_scale=False)
    expected = np.exp(-1 / (2 * 0.3**2))
    np.testing.assert_allclose(weights.swm.to_dense()[0], [0, expected, 0, 0], rtol=1e-6)
    weights.calc_weights_dist(
        LINE, scale_coords=False, radius_cutoff=2.0, band_width=1.5, row_scale=False
    )
    expected = np.exp(-np.array([1, 4]) / (2 * 1.5**2))
    np.testing.assert_allclose(weights.swm.to_dense()[0], [0, *expected, 0], rtol=1e-6)


def test_other_metrics_of_distance():
    corner = np.array([[0, 0], [1, 1.0]])
    weights = SpatialWeightMatrix()
    for metric, edges in (("euclidean", 1), ("manhattan", 0), ("chebyshev", 1)):
        weights.calc_weights_dist(corner, radius_cutoff=1.5, dist_metric=metric)
        assert weights.summary().n_edges == edges
    with pytest.raises(InputError, match="haversine"):
        weights.calc_weights_dist(corner, dist_metric="haversine")


def test_scalings_multiply_and_are_undone(line):
    similarity = np.full((4, 4), 0.5)
    similarity[0, 1] = similarity[1, 0] = -1
    line.scale_by_similarity(similarity)
    np.testing.assert_allclose(line.scaled.data, [0, 0, 0.5, 0.5, 0.5, 0.5])
    line.scale_by_identity(np.array(["a", "a", "a", "b"]), boundary_connectivity=0.1)
    np.testing.assert_allclose(line.scaled.data, [0, 0, 0.5, 0.5, 0.05, 0.05])
    assert [scaling.source for scaling in line.scalings] == ["similarity", "identity"]
    assert line.scaled.nnz == line.unscaled.nnz
    assert line.summary().n_cut == 1
    line.undo_scaling()
    np.testing.assert_allclose(line.scaled.data, [0, 0, 0.5, 0.5, 0.5, 0.5])
    line.clear_scalings()
    np.testing.assert_allclose(line.scaled.data, 1)
    with pytest.raises(InputError, match="no scaling"):
        line.undo_scaling()


def test_order_of_scalings_does_not_matter(random):
    positions = random.uniform(size=(60, 2))
    expression = random.poisson(3.0, (30, 60))
    regions = random.choice(["a", "b"], 60)
    first, second = SpatialWeightMatrix(), SpatialWeightMatrix()
    first.calc_weights_knn(positions)
    first.scale_by_expr(expression)
    first.scale_by_identity(regions, 0.2)
    second.calc_weights_knn(positions)
    second.scale_by_identity(regions, 0.2)
    second.scale_by_expr(expression)
    np.testing.assert_allclose(first.scaled.toarray(), second.scaled.toarray())


@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor, csr_array, pd.DataFrame])
def test_similarity_in_any_form(line, form):
    similarity = np.arange(16.0).reshape(4, 4)
    returned = line.scale_by_similarity(form(similarity), return_swm=True)
    expected = similarity * line.swm.to_dense().numpy()
    np.testing.assert_allclose(returned.to_dense(), expected)


def test_sparse_similarity_is_zero_where_nothing_is_stored(line):
    only = coo_array(([0.7, 0.7], ([1, 2], [2, 1])), shape=(4, 4))
    dense = line.scale_by_similarity(only, return_swm=True).to_dense()
    np.testing.assert_allclose(dense.numpy(), only.toarray(), rtol=1e-6)
    tensor = torch.sparse_coo_tensor([[1, 2], [2, 1]], [0.7, 0.7], (4, 4))
    line.undo_scaling()
    dense = line.scale_by_similarity(tensor, return_swm=True).to_dense()
    np.testing.assert_allclose(dense.numpy(), only.toarray(), rtol=1e-6)


def test_scaled_rows_can_sum_to_one(line):
    line.scale_by_identity([0, 0, 0, 1], row_scale=True)
    np.testing.assert_allclose(line.scaled.sum(axis=1), [1, 1, 1, 0])


def test_expression_by_hand(line):
    expression = np.array([[1, 1, -1, 0], [0, 1, 0, 0.0]])
    line.scale_by_expr(expression, reduce="none")
    half = np.sqrt(0.5)
    np.testing.assert_allclose(line.scaled.data, [half, half, 0, 0, 0, 0])
    line.undo_scaling()
    line.scale_by_expr(csr_array(expression), reduce="none")
    np.testing.assert_allclose(line.scaled.data, [half, half, 0, 0, 0, 0])


@pytest.mark.parametrize("reduce", ["mean", "pca", "none"])
def test_histology_cuts_at_the_border_of_colours(line, reduce):
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 45:] = (200, 80, 120)
    coords = np.array([[10, 20], [30, 20], [60, 20], [80, 20]])
    factors = {"spot_diameter_fullres": 10.0, "tissue_hires_scalef": 1.0}
    line.scale_by_histology(coords, image, factors, reduce=reduce)
    data = line.scaled.data
    np.testing.assert_allclose(data[[0, 1, 4, 5]], 1, atol=1e-6)
    assert (data[[2, 3]] < 0.01).all()
    assert line.scalings[0].settings["scale_factors"] == factors


def test_histology_names_a_missing_scale(line):
    with pytest.raises(InputError, match="tissue_hires_scalef is missing"):
        line.scale_by_histology(LINE, np.zeros((5, 5)), {"spot_diameter_fullres": 1})


def test_ready_made_graph():
    connectivities = csr_array(np.array([[1, 0.5, 0], [0.5, 0, 0], [0, 0, 0]]))
    distances = csr_array(np.array([[0, 12.0, 0], [12, 0, 0], [0, 0, 0]]))
    weights = SpatialWeightMatrix.from_graph(connectivities, distances)
    np.testing.assert_array_equal(weights.scaled.toarray()[0], [0, 0.5, 0])
    np.testing.assert_array_equal(weights.neighbourhood.distances.data, [12, 12])
    assert connectivities[0, 0] == 1
    for graph in (connectivities.toarray(), torch.tensor(connectivities.toarray())):
        other = SpatialWeightMatrix.from_graph(graph)
        np.testing.assert_array_equal(other.scaled.toarray(), weights.scaled.toarray())
    with pytest.raises(InputError, match="negative"):
        SpatialWeightMatrix.from_graph(-connectivities)
    with pytest.raises(InputError, match="shape"):
        SpatialWeightMatrix.from_graph(np.ones((2, 3)))


def test_precision_as_tensor(line):
    expected = np.diag([1, 2, 2, 1.0]) - 0.5 * line.swm.to_dense().numpy()
    for sparse in (True, False):
        tensor = line.get_inv_cov("icar", 0.5, return_sparse=sparse)
        assert tensor.is_sparse == sparse
        dense = tensor.to_dense() if sparse else tensor
        np.testing.assert_allclose(dense, expected, rtol=1e-6)
    covariance = np.eye(4) + 0.5 * line.swm.to_dense().numpy()
    covariance = covariance @ covariance.T
    average = line.get_inv_cov("sma", 0.5, return_sparse=False)
    np.testing.assert_allclose(average, np.linalg.inv(covariance), rtol=1e-4, atol=1e-5)


def test_precision_follows_the_scalings(line):
    before = line.precision("icar", 0.9)
    assert line.precision("icar", 0.9) is before
    line.scale_by_identity([0, 0, 1, 1])
    assert line.precision("icar", 0.9)[1, 2] == 0
    line.undo_scaling()
    np.testing.assert_array_equal(line.precision("icar", 0.9).toarray(), before.toarray())


def test_new_neighbours_start_without_scalings(line):
    line.scale_by_identity([0, 0, 1, 1])
    line.calc_weights_knn(LINE, k=2)
    assert line.scalings == ()
    assert line.config["weight"]["k"] == 2


def test_nothing_can_be_asked_before_there_is_a_graph():
    with pytest.raises(InputError, match="no graph yet"):
        _ = SpatialWeightMatrix().swm
    assert "no graph" in repr(SpatialWeightMatrix())


def test_matrix_survives_pickling(line):
    line.scale_by_identity([0, 0, 1, 1])
    again = pickle.loads(pickle.dumps(line))
    np.testing.assert_array_equal(again.scaled.toarray(), line.scaled.toarray())


def test_verbose_speaks(line, capsys):
    line.calc_weights_knn(LINE, k=1, verbose=True)
    assert "4 spots with 1.50 neighbours" in capsys.readouterr().out


def test_visium_section_is_a_ring_of_six(tissue):
    import anndata

    adata = anndata.read_h5ad(next((tissue / "visium_dlpfc_151673").glob("*.h5ad")))
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(adata.obsm["spatial"], k=6)
    summary = weights.summary()
    assert summary.n_isolated == 0
    assert 5.5 < summary.mean_degree <= 6
    weights.scale_by_identity(adata.obs["layer"].to_numpy())
    layers = adata.obs["layer"].to_numpy()
    kept = weights.scaled.tocoo()
    linked = kept.data > 0
    assert (layers[kept.coords[0][linked]] == layers[kept.coords[1][linked]]).all()
    assert weights.summary().n_cut > 100
