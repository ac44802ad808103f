"""What is read off the rows of a sparse matrix, against dense arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from napari_smoother.solvers.sparse_rows import (
    largest_asymmetry,
    reordered_rows,
    without_diagonal,
)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 12), density=st.floats(0, 1), seed=st.integers(0, 10_000))
def test_asymmetry_and_diagonal_are_those_of_the_dense_matrix(n, density, seed) -> None:
    random = np.random.default_rng(seed)
    dense = random.integers(-3, 4, (n, n)) * (random.random((n, n)) < density) * 1.0
    matrix = sparse.csr_array(dense)
    # Zeros that are stored are entries like any other.
    matrix.data[random.random(matrix.nnz) < 0.2] = 0
    dense = matrix.toarray()
    assert largest_asymmetry(matrix) == np.abs(dense - dense.T).max()
    both = sparse.csr_array(dense + dense.T)
    assert largest_asymmetry(both) == 0
    pointers, neighbours, entries = without_diagonal(matrix)
    rest = sparse.csr_array((entries, neighbours, pointers), shape=(n, n)).toarray()
    np.testing.assert_array_equal(rest, dense - np.diag(np.diag(dense)))


@pytest.mark.parametrize("place", [(0, 3), (3, 0), (2, 4), (4, 4)])
def test_one_entry_more_is_seen_wherever_it_stands(place) -> None:
    dense = np.eye(5)
    dense[place] += 7
    expected = 0.0 if place[0] == place[1] else 7.0
    assert largest_asymmetry(sparse.csr_array(dense)) == expected


@pytest.mark.parametrize(("n", "density"), [(1, 1.0), (40, 0.1), (300, 0.02), (200, 0.6)])
def test_rows_in_another_order_are_those_of_the_turned_matrix(n, density) -> None:
    """Rows of few entries and of many, and some without any."""
    random = np.random.default_rng(n)
    dense = random.standard_normal((n, n)) * (random.random((n, n)) < density)
    dense[n // 2] = 0
    matrix = sparse.csr_array(dense)
    order = random.permutation(n).astype(np.int32)
    place = np.argsort(order).astype(np.int32)
    pointers, neighbours, entries = reordered_rows(
        matrix.indptr, matrix.indices, matrix.data, order, place
    )
    found = sparse.csr_array((entries, neighbours, pointers), shape=(n, n))
    assert found.has_canonical_format
    np.testing.assert_array_equal(found.toarray(), dense[order][:, order])
