"""The bounded quadratic under a precision known by its products, against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.sparse import csr_array

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers import DataTerm
from napari_smoother.solvers.implicit_prior import solve_with_implicit_prior
from napari_smoother.weights.moving_average import MovingAverage, dense_precision
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import rho_range


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(2)
    weights = nearest_neighbours(random.random((40, 2)), 4).weights
    signature = random.random((30, 3))
    gram = signature.T @ signature
    linear = random.random((40, 3)) * np.array([9.0, 1.0, 3.0]) - 0.8
    return weights, gram, linear


def expected(weights, gram, linear, rho, weight, bounded) -> np.ndarray:
    """Solve with every entry of Q, as one system or one non-negative least squares."""
    n, types = linear.shape
    moving = np.eye(n) + rho * weights.toarray()
    q = np.linalg.inv(moving @ moving.T)
    hessian = np.kron(np.eye(n), gram) + weight * np.kron(q, np.eye(types))
    if not bounded:
        return np.linalg.solve(hessian, linear.ravel()).reshape(n, types)
    root = np.linalg.cholesky(hessian)
    found, _ = nnls(root.T, np.linalg.solve(root, linear.ravel()), maxiter=10_000)
    return found.reshape(n, types)


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.3, 30.0, 3e4])
@pytest.mark.parametrize("rho", [0.0, 0.1, 0.2])
def test_optimum(problem, rho, weight, bounded) -> None:
    weights, gram, linear = problem
    found = solve_with_implicit_prior(
        DataTerm.prepare(gram, linear),
        MovingAverage(weights, rho),
        weight,
        bounded=bounded,
        tolerance=1e-8,
    )
    assert found.converged
    best = expected(weights, gram, linear, rho, weight, bounded)
    np.testing.assert_allclose(found.values, best, atol=1e-5 * np.abs(best).max())
    assert found.values.min() >= 0 or not bounded


def test_precision_with_all_its_entries(problem) -> None:
    weights, _, _ = problem
    moving = np.eye(40) + 0.2 * weights.toarray()
    np.testing.assert_allclose(
        dense_precision(weights, 0.2).toarray(), np.linalg.inv(moving @ moving.T), atol=1e-10
    )
    # Several blocks of pivots, close to the end of the range.
    many = nearest_neighbours(np.random.default_rng(5).random((700, 2)), 6).weights
    rho = 0.98 * rho_range(many, "sma")[1]
    formed, moving = dense_precision(many, rho), np.eye(700) + rho * many.toarray()
    np.testing.assert_allclose(formed @ (moving @ moving.T), np.eye(700), atol=1e-7)
    with pytest.raises(InputError, match="6,000 spots"):
        dense_precision(csr_array((6000, 6000)), 0.1)
    with pytest.raises(Cancelled):
        dense_precision(weights, 0.2, cancelled=lambda: True)


def test_start_report_and_cancel(problem) -> None:
    weights, gram, linear = problem
    data, prior = DataTerm.prepare(gram, linear), MovingAverage(weights, 0.2)
    told = []
    found = solve_with_implicit_prior(
        data, prior, 3.0, report=lambda values, residual: told.append(residual)
    )
    assert told[-1] == found.residual
    again = solve_with_implicit_prior(data, prior, 3.0, start=found.values)
    assert again.steps == 0
    with pytest.raises(Cancelled):
        solve_with_implicit_prior(data, prior, 3.0, cancelled=lambda: True)
    with pytest.raises(InputError, match="same section"):
        solve_with_implicit_prior(DataTerm.prepare(gram, linear[:9]), prior, 3.0)
