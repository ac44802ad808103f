"""Spots that lie far from their neighbours in memory are solved for in a closer order."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
from quadratic_problems import (
    intrinsic_precision,
    neighbour_weights,
    noisy_data,
    objective,
    projected_gradient,
)

from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic
from napari_smoother.solvers.sparse_rows import without_diagonal
from napari_smoother.solvers.spot_order import FAR, closer_order, share_far

SPOTS = 6000


@pytest.fixture(scope="module")
def scattered():
    """A, C and Q of spots in an order that knows nothing of their positions."""
    gram, linear, _, _ = noisy_data(SPOTS, 5)
    return gram, linear, intrinsic_precision(neighbour_weights(SPOTS), 0.95)


def test_neighbours_come_closer(scattered):
    prior = PriorTerm.prepare(scattered[2])
    order = closer_order(prior.pointers, prior.neighbours)
    assert order is not None
    assert np.array_equal(np.sort(order), np.arange(SPOTS))
    turned = PriorTerm.prepare(scattered[2][order][:, order])
    assert share_far(prior.pointers, prior.neighbours) > 0.1
    assert share_far(turned.pointers, turned.neighbours) == 0


def test_a_good_order_is_kept():
    # Neighbours next to each other but for one pair.
    chain = sparse.diags_array([-np.ones(2 * FAR - 1), 2 * np.ones(2 * FAR)], offsets=[-1, 0])
    matrix = sparse.lil_array(chain + chain.T)
    matrix[0, 2 * FAR - 1] = matrix[2 * FAR - 1, 0] = -1
    prior = PriorTerm.prepare(matrix.tocsr())
    assert closer_order(prior.pointers, prior.neighbours) is None


def test_an_order_that_no_other_betters_is_kept():
    # A hub is far from most of its neighbours wherever it stands.
    spots = 4 * FAR
    rows = np.concatenate([np.zeros(spots - 1, np.int64), np.arange(1, spots)])
    columns = np.concatenate([np.arange(1, spots), np.zeros(spots - 1, np.int64)])
    star = sparse.csr_array((-np.ones(rows.size), (rows, columns)), shape=(spots, spots))
    degree = -np.asarray(star.sum(axis=1)).ravel()
    prior = PriorTerm.prepare(star + sparse.diags_array(degree))
    assert closer_order(prior.pointers, prior.neighbours) is None


@pytest.mark.parametrize("weight", [0.0, 0.3, 300.0])
@pytest.mark.parametrize("bounded", [True, False])
def test_answers_come_in_the_order_of_the_caller(scattered, weight, bounded):
    gram, linear, precision = scattered
    data, prior = DataTerm.prepare(gram, linear), PriorTerm.prepare(precision)
    assert closer_order(prior.pointers, prior.neighbours) is not None
    found = solve_bounded_quadratic(data, prior, weight, bounded=bounded)
    assert found.converged
    left = projected_gradient(gram, linear, precision, weight, found.values, bounded)
    assert left == pytest.approx(found.residual, rel=0.05, abs=1e-8)
    value = objective(gram, linear, precision, weight, found.values)
    assert found.objective == pytest.approx(value, rel=1e-9)


def test_starts_and_reports_keep_their_order(scattered):
    gram, linear, precision = scattered
    data, prior = DataTerm.prepare(gram, linear), PriorTerm.prepare(precision)
    seen = []
    found = solve_bounded_quadratic(
        data, prior, 3.0, report=lambda values, residual: seen.append((values, residual))
    )
    for values, residual in seen:
        left = projected_gradient(gram, linear, precision, 3.0, values)
        assert left == pytest.approx(residual, rel=0.05, abs=1e-8)
    before = found.values.copy()
    again = solve_bounded_quadratic(data, prior, 3.0, start=found.values)
    assert again.steps == 0
    assert np.array_equal(found.values, before)
    assert np.array_equal(again.values, before)


def test_other_data_on_the_same_prior(scattered):
    gram, linear, precision = scattered
    prior = PriorTerm.prepare(precision)
    for data_of in (linear, linear[::-1], linear):
        found = solve_bounded_quadratic(DataTerm.prepare(gram, data_of), prior, 3.0)
        assert projected_gradient(gram, data_of, precision, 3.0, found.values) <= 1.01e-5


def test_rows_without_their_diagonal():
    matrix = sparse.csr_array(np.array([[2.0, -1, 0], [-1, 0, 0], [0, 0, 3]]))
    pointers, neighbours, entries = without_diagonal(matrix)
    assert pointers.tolist() == [0, 1, 2, 2]
    assert neighbours.tolist() == [1, 0]
    assert entries.tolist() == [-1, -1]
    prior = PriorTerm.prepare(matrix)
    assert (prior.matrix() != matrix).nnz == 0
    np.testing.assert_array_equal(prior.product(np.ones((3, 1)))[:, 0], [1, -1, 3])


@pytest.mark.parametrize("weight", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("bounded", [True, False])
def test_a_prior_for_every_type_keeps_the_order_of_the_caller(weight, bounded):
    gram, linear, *_ = noisy_data(SPOTS, 3)
    each = [
        intrinsic_precision(neighbour_weights(SPOTS, neighbours=4 + k), 0.95) for k in range(3)
    ]
    prior = PriorTerm.prepare(each)
    assert closer_order(prior.pointers, prior.neighbours) is not None
    found = solve_bounded_quadratic(
        DataTerm.prepare(gram, linear), prior, weight, bounded=bounded
    ).values
    smooth = np.column_stack([q @ found[:, k] for k, q in enumerate(each)])
    slope = found @ gram - linear + weight * smooth
    if bounded:
        assert found.min() >= 0
        slope = np.where((found <= 0) & (slope > 0), 0, slope)
    assert np.linalg.norm(slope) <= 1.01e-5 * np.linalg.norm(linear)
