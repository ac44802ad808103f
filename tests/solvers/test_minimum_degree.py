"""The order of elimination: a permutation, with no more fill than SuperLU's, for any pattern."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.linalg import splu

from napari_smoother.solvers.minimum_degree import minimum_degree
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
    order = minimum_degree(matrix.indptr, matrix.indices)
    assert sorted(order) == list(range(n))
    factor = SparseFactor.prepare(matrix)
    found = factor.factorise((0.0,), 1.0, np.zeros(1, np.uint8))
    assert found is not None
    lower = sparse.csc_array((found[0][:, 0], factor.rows, factor.pointers), shape=(n, n))
    whole = (lower + sparse.eye_array(n)).toarray()
    product = whole * found[1][:, 0] @ whole.T
    ordered = matrix.toarray()[np.ix_(factor.order, factor.order)]
    np.testing.assert_allclose(product, ordered, atol=1e-12 * np.abs(ordered).max())


@pytest.mark.parametrize("neighbours", [3, 6, 20])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_fill_is_about_that_of_superlu(neighbours, dimensions):
    positions = np.random.default_rng(neighbours).random((1500, dimensions))
    weights = nearest_neighbours(positions, neighbours, mutual=False).weights
    matrix = precision(weights, "icar", 0.99)
    assert SparseFactor.prepare(matrix).rows.size <= 1.1 * _superlu_fill(matrix)


def test_graphs_of_special_shape():
    star = _symmetric(50, [(0, i) for i in range(1, 50)])
    assert SparseFactor.prepare(star).rows.size == 49
    path = _symmetric(80, [(i, i + 1) for i in range(79)])
    assert SparseFactor.prepare(path).rows.size == 79
    complete = _symmetric(30, [(i, j) for i in range(30) for j in range(i)])
    assert SparseFactor.prepare(complete).rows.size == 30 * 29 // 2
    lonely = sparse.csr_array(2.0 * np.eye(7))
    assert sorted(minimum_degree(lonely.indptr, lonely.indices)) == list(range(7))
    assert minimum_degree(np.zeros(1, np.int32), np.zeros(0, np.int32)).size == 0


def test_hubs_come_last():
    """Next to everything, they would be walked through at every elimination."""
    n = 2000
    pairs = [(h, i) for h in (7, 900) for i in range(n) if i != h]
    pairs += [(i, i + 1) for i in range(n - 1)]
    matrix = _symmetric(n, pairs)
    order = minimum_degree(matrix.indptr, matrix.indices)
    assert sorted(order) == list(range(n))
    assert set(order[-2:]) == {7, 900}
    # The path fills nothing, and every row meets both hubs.
    assert SparseFactor.prepare(matrix).rows.size <= 3 * n
    right = np.random.default_rng(5).standard_normal((n, 2))
    np.testing.assert_allclose(matrix @ solve_positive(matrix, right).values, right, atol=1e-9)


def test_the_same_order_every_time_and_whatever_the_diagonal():
    positions = np.random.default_rng(1).random((500, 2))
    weights = sparse.csr_array(nearest_neighbours(positions, 5).weights)
    with_diagonal = precision(weights, "icar", 0.9)
    first = minimum_degree(weights.indptr, weights.indices)
    np.testing.assert_array_equal(first, minimum_degree(weights.indptr, weights.indices))
    np.testing.assert_array_equal(
        first, minimum_degree(with_diagonal.indptr, with_diagonal.indices)
    )


def test_a_pattern_that_is_not_symmetric_is_found():
    one_way = sparse.csr_array(np.triu(np.ones((6, 6)), 1))
    with pytest.raises(ValueError, match="symmetric"):
        minimum_degree(one_way.indptr, one_way.indices)


@pytest.mark.parametrize("count", [1, 5])
def test_crowded_factors_are_left_to_superlu(monkeypatch, count):
    from napari_smoother.solvers import positive_systems

    positions = np.random.default_rng(2).random((400, 3))
    matrix = precision(nearest_neighbours(positions, 12, mutual=False).weights, "icar", 0.9)
    right = np.random.default_rng(3).standard_normal((400, count))
    expected = np.linalg.solve(matrix.toarray(), right)
    for crowded in (0, 1e9):
        monkeypatch.setattr(positive_systems, "CROWDED", crowded)
        found = solve_positive(matrix, right)
        np.testing.assert_allclose(found.values, expected, rtol=1e-10)
