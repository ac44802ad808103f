"""The quadratic solver with a Gram matrix a spot, against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, sparse

from napari_smoother import _core
from napari_smoother._core import LANES
from napari_smoother.solvers import PriorTerm
from napari_smoother.solvers.bounded_quadratic import Solution

SPOTS, TYPES = 70, 3  # more than one group of lanes, the last one not full


def solve(grams, linear, prior, weight, *, bounded, coupling=None, watch=None):
    values = np.zeros(linear.shape)
    found = _core.solve_local(
        prior.core_in_order, packed(grams), linear, coupling, values,
        weight=weight, bounded=bounded, scale=np.linalg.norm(linear), tolerance=1e-8,
        maximum_steps=5000, watch=watch,
    )  # fmt: skip
    return Solution.from_core(values, found, 0.0)


def packed(grams):
    blocks = np.zeros((-(-SPOTS // LANES), 6, LANES), np.float32)
    rows, columns = np.tril_indices(TYPES)
    for spot, gram in enumerate(grams):
        blocks[spot // LANES, :, spot % LANES] = gram[rows, columns]
    return blocks


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    factors = random.normal(size=(SPOTS, 5, TYPES))
    grams = np.einsum("ngk,ngl->nkl", factors, factors) * random.gamma(1, 3, SPOTS)[:, None, None]
    linear = random.normal(size=(SPOTS, TYPES)) * 3
    chain = sparse.diags_array([-np.ones(SPOTS - 1)] * 2, offsets=[-1, 1])
    q = sparse.csr_array(chain + sparse.diags_array(-np.asarray(chain.sum(axis=1)).ravel()))
    return grams.astype(np.float32).astype(float), linear, q


def dense(grams, each, weight, coupling=None):
    matrix = np.zeros((SPOTS, TYPES, SPOTS, TYPES))
    for spot in range(SPOTS):
        matrix[spot, :, spot, :] = grams[spot]
    for k, q in enumerate(each):
        matrix[:, k, :, k] += weight * q.toarray()
    matrix = matrix.reshape(SPOTS * TYPES, -1)
    return matrix if coupling is None else matrix - np.outer(coupling.ravel(), coupling.ravel())


def expected(matrix, linear, bounded):
    if not bounded:
        return np.linalg.solve(matrix, linear.ravel()).reshape(linear.shape)
    root = np.linalg.cholesky(matrix)
    return optimize.nnls(root.T, np.linalg.solve(root, linear.ravel()))[0].reshape(linear.shape)


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(
    ("weight", "one_for_all"),
    [(0.1, True), (10.0, True), (1e5, True), (0.1, False), (10.0, False)],
)
def test_optimum(problem, bounded, weight, one_for_all) -> None:
    grams, linear, q = problem
    each = [q] * TYPES if one_for_all else [q, 2 * q, sparse.eye_array(SPOTS).tocsr()]
    prior = PriorTerm.prepare(q if one_for_all else each)
    found = solve(grams, linear, prior, weight, bounded=bounded)
    assert found.converged
    matrix = dense(grams, each, weight)
    truth = expected(matrix, linear, bounded)
    np.testing.assert_allclose(found.values, truth, atol=2e-6)
    objective = truth.ravel() @ matrix @ truth.ravel() / 2 - np.vdot(linear, truth)
    assert found.objective == pytest.approx(objective, rel=1e-6)
    np.testing.assert_allclose(prior.product(truth)[:, 0], q @ truth[:, 0], atol=1e-9)


@pytest.mark.parametrize("bounded", [False, True])
def test_a_shared_number_that_was_eliminated(problem, bounded) -> None:
    grams, linear, q = problem
    prior = PriorTerm.prepare(q + 0.1 * sparse.eye_array(SPOTS))
    each = [q + 0.1 * sparse.eye_array(SPOTS)] * TYPES
    plain = dense(grams, each, 1.0)
    coupling = np.random.default_rng(1).normal(size=linear.shape)
    # Scaled so that 0.8 of the curvature in one direction is taken away.
    size = coupling.ravel() @ np.linalg.solve(plain, coupling.ravel())
    coupling *= np.sqrt(0.8 / size)
    found = solve(grams, linear, prior, 1.0, bounded=bounded, coupling=coupling)
    assert found.converged
    truth = expected(dense(grams, each, 1.0, coupling), linear, bounded)
    np.testing.assert_allclose(found.values, truth, atol=2e-6)
