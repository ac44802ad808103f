from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from napari_smoother.errors import InputError
from napari_smoother.weights.moving_average import MovingAverage
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import (
    is_singular,
    is_symmetric,
    precision,
    rho_range,
    row_scaled,
)
from napari_smoother.weights.standardise import marginal_variances

# A pair with weight 2, a third spot linked to the second by 1, a fourth alone.
WEIGHTS = np.array([[0, 2, 0, 0], [2, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0.0]])

BY_HAND = {
    ("car", 0.25): [[1, -0.5, 0, 0], [-0.5, 1, -0.25, 0], [0, -0.25, 1, 0], [0, 0, 0, 1]],
    ("icar", 0.5): [[2, -1, 0, 0], [-1, 3, -0.5, 0], [0, -0.5, 1, 0], [0, 0, 0, 1]],
    ("icar", 1.0): [[2, -2, 0, 0], [-2, 3, -1, 0], [0, -1, 1, 0], [0, 0, 0, 1]],
    ("sar", 0.5): [[2, -2, 0.5, 0], [-2, 2.25, -1, 0], [0.5, -1, 1.25, 0], [0, 0, 0, 1]],
    # Rows of W scaled: (0, 1, 0), (2/3, 0, 1/3), (0, 1, 0).
    ("isar", 0.6): [[1.16, -1, 0.08, 0], [-1, 1.72, -0.8, 0], [0.08, -0.8, 1.04, 0], [0, 0, 0, 1]],
}


@pytest.mark.parametrize(("process", "rho"), BY_HAND)
def test_small_graph_by_hand(process, rho):
    found = precision(csr_array(WEIGHTS), process, rho)
    np.testing.assert_allclose(found.toarray(), BY_HAND[process, rho], atol=1e-12)
    assert found.has_sorted_indices


def test_moving_average_by_hand():
    average = MovingAverage(csr_array(WEIGHTS), 0.25)
    # (I + W/4)(I + W'/4), written out.
    covariance = [[1.25, 1, 0.125, 0], [1, 1.3125, 0.5, 0], [0.125, 0.5, 1.0625, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(average.covariance().toarray(), covariance, atol=1e-12)
    inverse = np.linalg.inv(covariance)
    np.testing.assert_allclose(average.product(np.eye(4)), inverse, atol=1e-12)
    np.testing.assert_allclose(average.product(np.arange(4.0)), inverse @ np.arange(4), atol=1e-12)
    assert average.trace() == pytest.approx(np.trace(inverse))


def test_standardised_moving_average_has_unit_variances():
    average = MovingAverage(csr_array(WEIGHTS), 0.25, standardise=True)
    inverse = np.linalg.inv(average.product(np.eye(4)))
    np.testing.assert_allclose(inverse, average.covariance().toarray(), atol=1e-12)
    np.testing.assert_allclose(inverse.diagonal(), 1, atol=1e-12)
    assert average.trace() == pytest.approx(np.trace(average.product(np.eye(4))))


def test_singular_moving_average_is_refused():
    pair = csr_array(np.array([[0, 1.0], [1, 0]]))
    with pytest.raises(InputError, match="no inverse"):
        MovingAverage(pair, 1)


def test_cut_edges_are_left_out():
    weights = csr_array(WEIGHTS)
    weights.data[weights.data == 1] = 0.0
    found = precision(weights, "icar", 0.5)
    np.testing.assert_array_equal(
        found.toarray(), [[2, -1, 0, 0], [-1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    assert found.nnz == 6
    assert precision(weights, "car", 0.0).nnz == 4


@pytest.mark.parametrize("process", ["car", "sar", "icar", "isar"])
def test_a_spot_without_neighbours_keeps_a_unit(process):
    found = precision(csr_array((3, 3)), process, 0.9)
    np.testing.assert_array_equal(found.toarray(), np.eye(3))


def random_graph(seed, n=40):
    random = np.random.default_rng(seed)
    graph = nearest_neighbours(random.uniform(size=(n, 2)), 4).weights
    half = np.triu(random.uniform(0.1, 2, (n, n)), 1)
    return csr_array(graph.multiply(half + half.T))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["sar", "icar", "isar"]), st.floats(-1, 1))
def test_precision_is_symmetric_and_semi_definite(seed, process, rho):
    found = precision(random_graph(seed), process, rho).toarray()
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    assert np.linalg.eigvalsh(found).min() > -1e-10


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["car", "sar", "icar", "isar"]))
def test_relabeling_spots_relabels_the_precision(seed, process):
    weights = random_graph(seed)
    order = np.random.default_rng(seed).permutation(40)
    turned = csr_array(weights.toarray()[np.ix_(order, order)])
    first = precision(weights, process, 0.1).toarray()
    second = precision(turned, process, 0.1).toarray()
    np.testing.assert_allclose(first[np.ix_(order, order)], second, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_units_of_weights(seed, unit):
    weights = random_graph(seed)
    isar = precision(weights, "isar", 0.8).toarray()
    np.testing.assert_allclose(precision(weights * unit, "isar", 0.8).toarray(), isar, atol=1e-10)
    icar = precision(weights, "icar", 0.8).toarray()
    linked = weights.sum(axis=1) > 0
    scaled = precision(weights * unit, "icar", 0.8).toarray()
    np.testing.assert_allclose(
        scaled[np.ix_(linked, linked)], unit * icar[np.ix_(linked, linked)], rtol=1e-10
    )


@pytest.mark.parametrize("process", ["car", "icar"])
@pytest.mark.parametrize("n", [30, 400])
def test_range_of_rho_is_where_the_precision_is_definite(process, n):
    weights = random_graph(7, n)
    lowest, highest = rho_range(weights, process)
    assert lowest < 0 < highest
    for rho in (0.999 * lowest, 0.999 * highest):
        inside = precision(weights, process, rho).toarray()
        assert np.linalg.eigvalsh(inside).min() > 0
    for rho in (1.001 * lowest, 1.001 * highest):
        outside = precision(weights, process, rho, check=False).toarray()
        assert np.linalg.eigvalsh(outside).min() < 0
        with pytest.raises(InputError, match=r"indefinite.*between"):
            precision(weights, process, rho)


def test_range_of_a_pair_in_closed_form():
    pair = csr_array(np.array([[0, 4.0], [4, 0]]))
    assert rho_range(pair, "car") == pytest.approx((-0.25, 0.25))
    assert rho_range(pair, "sma") == pytest.approx((-0.25, 0.25))
    assert rho_range(pair, "icar") == pytest.approx((-1, 1))
    assert rho_range(csr_array((2, 2)), "icar") == (-np.inf, np.inf)


def test_moving_average_range_is_mirrored():
    weights = csr_array(np.ones((3, 3)) - np.eye(3))  # eigenvalues 2, -1, -1
    assert rho_range(weights, "car") == pytest.approx((-1, 0.5))
    assert rho_range(weights, "sma") == pytest.approx((-0.5, 1))


def test_singular_is_known_without_a_factorisation():
    weights = random_graph(3)
    assert is_singular(weights, "icar", 1)
    assert is_singular(weights, "isar", 1)
    assert not is_singular(weights, "icar", 0.999)
    assert not is_singular(weights, "car", 1e-3)
    assert not is_singular(csr_array((3, 3)), "icar", 1)
    pair = csr_array(np.array([[0, 1.0], [1, 0]]))
    assert is_singular(pair, "car", 1)
    assert is_singular(pair, "icar", -1)


def test_row_scaled_weights_enter_by_their_symmetric_part():
    weights = row_scaled(random_graph(5))
    assert not is_symmetric(weights)
    dense = weights.toarray()
    linked = dense.sum(axis=1) > 0
    expected = np.diag(np.where(linked, dense.sum(axis=1), 1)) - 0.5 * (dense + dense.T) / 2
    np.testing.assert_allclose(precision(weights, "icar", 0.5).toarray(), expected, atol=1e-12)
    residual = np.eye(40) - 0.5 * dense
    np.testing.assert_allclose(
        precision(weights, "sar", 0.5).toarray(), residual.T @ residual, atol=1e-12
    )
    np.testing.assert_allclose(dense.sum(axis=1)[linked], 1)


@pytest.mark.parametrize(
    ("process", "rho"), [("car", 0.1), ("sar", 0.1), ("icar", 0.95), ("isar", 0.9)]
)
def test_marginal_variances_are_the_diagonal_of_the_inverse(process, rho):
    matrix = precision(random_graph(11, 300), process, rho)
    inverse = np.linalg.inv(matrix.toarray())
    np.testing.assert_allclose(marginal_variances(matrix), inverse.diagonal(), rtol=1e-9)
    standard = precision(random_graph(11, 300), process, rho, standardise=True)
    np.testing.assert_allclose(np.linalg.inv(standard.toarray()).diagonal(), 1, rtol=1e-9)


def test_marginal_variances_where_entries_of_the_factor_cancel():
    # Found by search: an entry of its factor cancels to 0 and is not stored.
    matrix = csr_array(
        np.array([
            [2.0, 1, 0, -1, 1],
            [1, 3, 0, -2, 1],
            [0, 0, 4, 2, 2],
            [-1, -2, 2, 5, 1],
            [1, 1, 2, 1, 4],
        ])
    )  # fmt: skip
    np.testing.assert_allclose(
        marginal_variances(matrix), np.linalg.inv(matrix.toarray()).diagonal(), rtol=1e-12
    )


def test_a_singular_precision_has_no_variances_but_a_normalised_laplacian():
    weights = random_graph(2)
    with pytest.raises(InputError, match="no inverse"):
        marginal_variances(precision(weights, "icar", 1))
    found = precision(weights, "icar", 1, standardise=True).toarray()
    degree = np.where(weights.sum(axis=1) > 0, weights.sum(axis=1), 1.0)
    root = np.sqrt(np.outer(degree, degree))
    expected = np.eye(40) - weights.toarray() / root
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bad_input_is_named():
    weights = csr_array(WEIGHTS)
    with pytest.raises(InputError, match="Unknown"):
        precision(weights, "matern", 0.5)
    with pytest.raises(InputError, match="Unknown"):
        precision(weights, "sma", 0.5)
    with pytest.raises(InputError, match="rho is nan"):
        precision(weights, "icar", np.nan)
    with pytest.raises(InputError, match="negative"):
        precision(-1 * weights, "icar", 0.5)
    with pytest.raises(InputError, match="shape"):
        precision(csr_array(np.ones((2, 3))), "icar", 0.5)


def test_symmetry_is_told_apart():
    assert is_symmetric(csr_array(WEIGHTS))
    assert is_symmetric(csr_array((3, 3)))
    assert not is_symmetric(csr_array(np.triu(WEIGHTS)))
    skewed = WEIGHTS.copy()
    skewed[0, 1] = 2.1
    assert not is_symmetric(csr_array(skewed))
