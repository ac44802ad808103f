"""Sparse linear systems with many right-hand sides, against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.positive_systems import solve_positive


def laplacian(n, seed=0):
    """Random graph with about six neighbours a spot, in no order."""
    random = np.random.default_rng(seed)
    i, j = random.integers(0, n, (2, 3 * n))
    weights = sparse.coo_array((random.random(3 * n), (i, j)), shape=(n, n)).tocsr()
    weights = weights + weights.T
    weights.setdiag(0)
    return sparse.csr_array(sparse.diags_array(np.asarray(weights.sum(axis=1)).ravel()) - weights)


@pytest.mark.parametrize("columns", [1, 3, 70])
@pytest.mark.parametrize("shift", [1e-6, 1.0])
def test_solution(columns, shift) -> None:
    matrix = laplacian(300) + shift * sparse.eye_array(300)
    right = np.random.default_rng(1).normal(size=(300, columns))
    right[:, 0] = 0
    found = solve_positive(matrix, right)
    assert found.converged
    assert found.method == "factorisation"
    truth = np.linalg.solve(matrix.toarray(), right)
    np.testing.assert_allclose(found.values, truth, rtol=1e-7, atol=1e-9 * np.abs(truth).max())
    norms = np.linalg.norm(right, axis=0)
    # In more digits: the values are large beside what is left, and products of them round.
    longer = right - matrix.toarray().astype(np.longdouble) @ found.values.astype(np.longdouble)
    left = np.sqrt((longer**2).sum(axis=0)) / np.where(norms > 0, norms, 1)
    rounding = 1e-16 * np.abs(found.values).max() * abs(matrix).sum(axis=1).max()
    assert left.max() <= found.residual * 1.01 + rounding


def test_a_matrix_that_is_not_positive_is_refused() -> None:
    """No spatial precision is: the solution would be no minimum of anything."""
    matrix = sparse.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(InputError, match="singular"):
        solve_positive(matrix, np.array([[2.0], [3.0]]))


def test_nothing_to_solve_and_faults() -> None:
    matrix = laplacian(20) + sparse.eye_array(20)
    assert solve_positive(matrix, np.zeros((20, 0))).values.shape == (20, 0)
    with pytest.raises(InputError, match="singular"):
        solve_positive(laplacian(20), np.ones((20, 1)))
    with pytest.raises(Cancelled):
        solve_positive(matrix, np.ones((20, 1)), cancelled=lambda: True)
