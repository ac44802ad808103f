from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.errors import InputError


def section(n=80):
    positions = np.random.default_rng(0).uniform(size=(n, 2))
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(positions, k=5)
    return positions, weights


@pytest.mark.parametrize(
    ("process", "rho", "standard"),
    [("car", 0.1, False), ("icar", 0.97, False), ("isar", 0.9, True), ("sma", 0.2, False)],
)
def test_quantiles_from_the_dense_covariance(process, rho, standard):
    positions, weights = section()
    loss = SpatialLoss(process, weights, rho, standardize_cov=standard)
    found, variances = loss.calc_corr_decay_stats(positions, 0, 7, return_var=True)
    covariance = np.linalg.inv(weights.get_inv_cov(
        process, rho, standardize=standard, return_sparse=False
    ).double().numpy())  # fmt: skip
    spread = np.sqrt(covariance.diagonal())
    correlation = covariance / np.outer(spread, spread)
    ranked = np.argsort(cdist(positions, positions), axis=1)
    shares = [0.1, 0.25, 0.5, 0.75, 0.9]
    for k in range(8):
        expected = np.quantile(correlation[np.arange(80), ranked[:, k]], shares)
        np.testing.assert_allclose(found.iloc[k, :5].astype(float), expected, atol=1e-4)
    assert found["k"].tolist() == list(range(8))
    np.testing.assert_allclose(
        variances.iloc[0], np.quantile(covariance.diagonal(), shares), rtol=1e-4
    )


def test_a_pair_in_closed_form():
    weights = SpatialWeightMatrix.from_graph(np.array([[0, 1], [1, 0]]))
    # The inverse of [[1, -r], [-r, 1]] has the correlation r.
    table = SpatialLoss("car", weights, 0.3).calc_corr_decay_stats([[0, 0], [1, 1]], 1, 1)
    np.testing.assert_allclose(table.iloc[0, :5].astype(float), 0.3)


def test_a_spot_is_its_own_first_even_among_spots_at_one_place():
    positions = np.zeros((5, 2))
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(positions, k=4)
    table = SpatialLoss("icar", weights, 0.9).calc_corr_decay_stats(positions, 0, 4)
    np.testing.assert_allclose(table.iloc[0, :5].astype(float), 1)
    assert (table.iloc[1:, :5] < 0.99).all(axis=None)


def test_a_sample_is_drawn_by_its_seed():
    positions, weights = section()
    loss = SpatialLoss("icar", weights, 0.97)
    first = loss.calc_corr_decay_stats(positions, 1, 3, n_samples=20, seed=1)
    assert first.equals(loss.calc_corr_decay_stats(positions, 1, 3, n_samples=20, seed=1))
    assert not first.equals(loss.calc_corr_decay_stats(positions, 1, 3, n_samples=20, seed=2))


def test_groups_have_their_own():
    positions, weights = section()
    cut = SpatialWeightMatrix.from_graph(weights.unscaled)
    cut.scale_by_identity(np.arange(80))
    loss = SpatialLoss("icar", [weights, cut], 0.9)
    own = loss.calc_corr_decay_stats(positions, 1, 2, cov_ind=0)
    none = loss.calc_corr_decay_stats(positions, 1, 2, cov_ind=1)
    assert (own["Q50"] > 0).all()
    assert (none[["Q10", "Q50", "Q90"]] == 0).all(axis=None)


def test_bad_input_is_named():
    positions, weights = section()
    with pytest.warns(UserWarning, match="singular"):
        improper = SpatialLoss("icar", weights, 1)
    with pytest.raises(InputError, match=r"singular.*between"):
        improper.calc_corr_decay_stats(positions)
    loss = SpatialLoss("icar", weights, 0.9)
    with pytest.raises(InputError, match="no group 3"):
        loss.calc_corr_decay_stats(positions, cov_ind=3)
    with pytest.raises(InputError, match="Orders 0 to 80"):
        loss.calc_corr_decay_stats(positions, max_k=80)
