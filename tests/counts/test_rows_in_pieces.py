"""Rows of a matrix a piece at a time: the same numbers, and no copies of what is there."""

import numpy as np
import pytest
from scipy import sparse

from napari_smoother.counts.rows import csr_chunks, rows_of


@pytest.fixture
def matrix():
    random = np.random.default_rng(0)
    dense = random.poisson(0.3, (23, 11)).astype(np.float32)
    dense[[0, 9, 22]] = 0
    return sparse.csr_matrix(dense)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 23), (0, 1), (5, 12), (9, 10), (20, 99), (23, 30)]
)
def test_rows_are_those_of_the_matrix_in_its_own_memory(matrix, start, stop):
    part = rows_of(matrix, start, stop)
    np.testing.assert_array_equal(part.toarray(), matrix.toarray()[start:stop])
    if part.nnz:
        assert np.shares_memory(part.data, matrix.data)
        assert np.shares_memory(part.indices, matrix.indices)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize("rows", [1, 7, 23, 100])
def test_chunks_may_be_changed_and_add_up_to_the_matrix(matrix, kind, rows):
    given = matrix.toarray() if kind == "dense" else matrix.asformat(kind)
    before = matrix.toarray()
    chunks = []
    for chunk in csr_chunks(given, rows):
        assert chunk.dtype == np.float64
        chunks.append(chunk.toarray())
        chunk.data *= -1
        chunk.indices[:] = 0
    np.testing.assert_array_equal(np.concatenate(chunks), before)
    after = given if kind == "dense" else given.toarray()
    np.testing.assert_array_equal(after, before)
