"""The quadratic solver with a Gram matrix a spot, against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers import PriorTerm
from napari_smoother.solvers.local_quadratic import (
    LANES,
    LocalTerm,
    group_count,
    solve_local_quadratic,
)

SPOTS, TYPES = 70, 3  # more than one group of lanes, the last one not full


def packed(grams):
    blocks = np.zeros((group_count(SPOTS), 6, LANES), np.float32)
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
    found = solve_local_quadratic(
        LocalTerm(packed(grams), linear), prior, weight, bounded=bounded, tolerance=1e-8
    )
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
    term = LocalTerm(packed(grams), linear, coupling)
    found = solve_local_quadratic(term, prior, 1.0, bounded=bounded, tolerance=1e-8)
    assert found.converged
    truth = expected(dense(grams, each, 1.0, coupling), linear, bounded)
    np.testing.assert_allclose(found.values, truth, atol=2e-6)


def test_bad_input_and_cancelling(problem) -> None:
    grams, linear, q = problem
    with pytest.raises(InputError, match="packed Gram matrices have shape"):
        LocalTerm(packed(grams)[:1], linear)
    term = LocalTerm(packed(grams), linear)
    with pytest.raises(InputError, match="70 spots and 3 types"):
        solve_local_quadratic(term, PriorTerm.prepare(sparse.eye_array(4).tocsr()), 1.0)
    with pytest.raises(Cancelled):
        solve_local_quadratic(term, PriorTerm.prepare(q), 1.0, cancelled=lambda: True)
