"""Sparse factors: little fill, for any pattern, and solutions beside dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.linalg import splu

from napari_smoother import _core
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.positive_systems import solve_positive
from napari_smoother.solvers.sparse_factor import SparseFactor
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision


def _symmetric(n, pairs):
    matrix = sparse.lil_array((n, n))
    for i, j in pairs:
        matrix[i, j] = matrix[j, i] = -1.0
    matrix.setdiag(0)
    degree = np.asarray(-matrix.sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(degree + 1.0) + matrix.tocsr())


def _superlu_fill(matrix):
    factor = splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )  # fmt: skip
    return factor.L.nnz - matrix.shape[0]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_graph_is_ordered_and_factored(data):
    n = data.draw(st.integers(1, 40))
    node = st.integers(0, n - 1)
    matrix = _symmetric(n, data.draw(st.lists(st.tuples(node, node), max_size=4 * n)))
    pattern = SparseFactor.prepare(matrix)
    assert sorted(pattern.pattern.order()) == list(range(n))
    shift = data.draw(st.sampled_from([0.0, 0.7]))
    found = pattern.factorise(shift, 2.0)
    assert found is not None
    right = np.random.default_rng(n).standard_normal((n, data.draw(st.integers(1, 70))))
    values, residual = found.solve(right)
    dense = shift * np.eye(n) + 2.0 * matrix.toarray()
    np.testing.assert_allclose(values, np.linalg.solve(dense, right), rtol=1e-9, atol=1e-12)
    assert residual < 1e-12


@pytest.mark.parametrize("neighbours", [3, 6, 20])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_fill_is_about_that_of_superlu(neighbours, dimensions):
    positions = np.random.default_rng(neighbours).random((1500, dimensions))
    weights = nearest_neighbours(positions, neighbours, mutual=False).weights
    matrix = precision(weights, "icar", 0.99)
    assert SparseFactor.prepare(matrix).pattern.entries <= 1.1 * _superlu_fill(matrix)


def test_graphs_of_special_shape():
    star = _symmetric(50, [(0, i) for i in range(1, 50)])
    assert SparseFactor.prepare(star).pattern.entries == 49
    path = _symmetric(80, [(i, i + 1) for i in range(79)])
    assert SparseFactor.prepare(path).pattern.entries == 79
    complete = _symmetric(30, [(i, j) for i in range(30) for j in range(i)])
    assert SparseFactor.prepare(complete).pattern.entries == 30 * 29 // 2
    lonely = sparse.csr_array(2.0 * np.eye(7))
    assert SparseFactor.prepare(lonely).pattern.entries == 0


def test_hubs_come_last():
    """Next to everything, they would be walked through at every elimination."""
    n = 2000
    pairs = [(h, i) for h in (7, 900) for i in range(n) if i != h]
    pairs += [(i, i + 1) for i in range(n - 1)]
    matrix = _symmetric(n, pairs)
    order = SparseFactor.prepare(matrix).pattern.order()
    assert sorted(order) == list(range(n))
    assert set(order[-2:]) == {7, 900}
    # The path fills nothing, and every row meets both hubs.
    assert SparseFactor.prepare(matrix).pattern.entries <= 3 * n
    right = np.random.default_rng(5).standard_normal((n, 2))
    np.testing.assert_allclose(matrix @ solve_positive(matrix, right).values, right, atol=1e-9)


def test_a_pattern_that_is_not_symmetric_is_found():
    one_way = sparse.csr_array(np.triu(np.ones((6, 6)), 1))
    with pytest.raises(InputError, match="symmetric"):
        SparseFactor.prepare(one_way)


def test_matrices_that_are_not_positive_have_no_factor():
    n = 40
    path = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    lowest = np.linalg.eigvalsh(path)[0]
    pattern = SparseFactor.prepare(sparse.csr_array(path))
    assert pattern.factorise(-0.9 * lowest) is not None
    assert pattern.factorise(-lowest) is None
    assert pattern.factorise(-1.1 * lowest) is None
    assert pattern.factorise(0.0, -1.0) is None
    not_finite = path.copy()
    not_finite[3, 3] = np.nan
    with pytest.raises(InputError, match="finite"):
        SparseFactor.prepare(sparse.csr_array(not_finite))


def test_the_same_bits_whatever_the_threads():
    positions = np.random.default_rng(1).random((3000, 2))
    matrix = precision(nearest_neighbours(positions, 6).weights, "icar", 0.99)
    found = SparseFactor.prepare(matrix).factorise()
    assert found is not None
    right = np.random.default_rng(2).standard_normal((3000, 45))
    before = _core.thread_count()
    answers = []
    try:
        for threads in (1, 2, 8):
            _core.set_thread_count(threads)
            answers.append(found.solve(right)[0])
    finally:
        _core.set_thread_count(before)
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def test_cancelled_within_a_factorisation():
    """The factor of a graph in space takes long; it is left after the first look."""
    positions = np.random.default_rng(3).random((12_000, 3))
    matrix = precision(nearest_neighbours(positions, 20, mutual=False).weights, "icar", 0.9)
    pattern = SparseFactor.prepare(matrix)
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) > 1

    with pytest.raises(Cancelled):
        pattern.factorise(cancelled=cancelled)
    assert len(asked) == 2
