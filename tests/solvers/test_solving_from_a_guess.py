"""A guess improved by conjugate gradients, against a dense solve."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_smoother.errors import Cancelled
from napari_smoother.solvers.positive_systems import solve_from


def system(stiffness: float) -> tuple[sparse.csr_array, np.ndarray]:
    n = 300
    chain = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    matrix = sparse.csr_array(np.eye(n) + stiffness * chain)
    return matrix, np.random.default_rng(0).standard_normal((n, 3))


def test_reaches_the_dense_solution_from_anywhere() -> None:
    matrix, right = system(5.0)
    truth = np.linalg.solve(matrix.toarray(), right)
    start = np.random.default_rng(1).standard_normal(right.shape)
    before = start.copy()
    found = solve_from(matrix, right, start, tolerance=1e-10)
    assert found.converged
    np.testing.assert_allclose(found.values, truth, atol=1e-8)
    np.testing.assert_array_equal(start, before)


def test_nothing_is_left_to_do_from_the_solution() -> None:
    matrix, right = system(5.0)
    truth = np.linalg.solve(matrix.toarray(), right)
    found = solve_from(matrix, right, truth, tolerance=1e-6, maximum_steps=1)
    assert found.converged


def test_too_few_steps_are_said_to_be_too_few() -> None:
    matrix, right = system(1e4)
    found = solve_from(matrix, right, np.zeros_like(right), tolerance=1e-8, maximum_steps=3)
    assert not found.converged
    norms = np.linalg.norm(right, axis=0)
    residual = np.linalg.norm(right - matrix @ found.values, axis=0) / norms
    assert found.residual == pytest.approx(residual.max())
    assert found.residual > 1e-8


def test_zeros_at_the_right() -> None:
    matrix, right = system(5.0)
    right[:, 1] = 0
    found = solve_from(matrix, right, np.ones_like(right), tolerance=1e-8)
    np.testing.assert_allclose(found.values[:, 1], 0)


def test_cancelling() -> None:
    matrix, right = system(5.0)
    with pytest.raises(Cancelled):
        solve_from(matrix, right, np.zeros_like(right), cancelled=lambda: True)
