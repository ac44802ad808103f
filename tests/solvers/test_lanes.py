"""Loops over short vectors do the same whatever the number of types."""

import numba
import numpy as np
import pytest
import scipy.sparse as sparse

from napari_smoother.solvers.lanes import load, nothing, over_types, store
from napari_smoother.solvers.sparse_product import add_sparse_rows


@numba.njit
def _visit(first, second, wide, narrow, values, out, visits):
    left, right = load(values, first, wide), load(values, second, narrow)
    store(out, first, 2 * left + 1)
    store(out, second, right * 2.0 + 1.0)
    visits[0] += 1


_visit_all = over_types(_visit)


@numba.njit
def _visited(values, out, visits):
    _visit_all(values.size, values.dtype.type(0), (values, out, visits))


@numba.njit
def _arithmetic(values, out):
    four = load(values, 0, nothing(4, values[0]))
    store(out, 0, (four - 0.5) / (four + four * 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_type_is_visited(dtype) -> None:
    for count in range(1, 80):
        values = np.arange(1, count + 1, dtype=dtype)
        out = np.full(count + 1, -7, dtype)
        visits = np.zeros(1, np.int64)
        _visited(values, out[:count], visits)
        np.testing.assert_array_equal(out[:count], 2 * values + 1)
        assert out[count] == -7
        assert visits[0] <= count // 32 + 3


def test_vectors_calculate_as_arrays_do() -> None:
    values = np.array([1.0, 2, 4, 8])
    out = np.empty(4)
    _arithmetic(values, out)
    np.testing.assert_allclose(out, (values - 0.5) / (3 * values), rtol=1e-15)


def test_an_array_that_a_flat_index_would_misread_is_refused() -> None:
    values = np.asfortranarray(np.ones((4, 4)))
    with pytest.raises(numba.TypingError, match="C-contiguous"):
        _arithmetic(values, np.empty(4))
    with pytest.raises(numba.TypingError, match="C-contiguous"):
        _arithmetic(np.ones(16)[::2], np.empty(4))


@pytest.mark.parametrize("types", [1, 3, 4, 6, 8, 15, 16, 17, 20, 23, 24, 27, 32, 33, 50])
@pytest.mark.parametrize("narrow", [np.float32, np.float64])
@pytest.mark.parametrize("wide", [np.float32, np.float64])
def test_neighbours_are_added(types, narrow, wide) -> None:
    random = np.random.default_rng(types)
    spots = 50
    graph = sparse.random_array((spots, spots), density=0.1, rng=random)
    graph = sparse.csr_array(graph + graph.T)
    precision = sparse.csr_array(sparse.diags_array(graph.sum(axis=1) + 0.1) - graph)
    precision.sort_indices()
    values = random.standard_normal((spots, types)).astype(narrow)
    before = random.standard_normal((20, types)).astype(wide)
    out = before.copy()
    add_sparse_rows(
        precision.indptr.astype(np.int32),
        precision.indices.astype(np.int32),
        precision.data.astype(wide),
        np.asarray(precision.sum(axis=1)).astype(wide),
        wide(3),
        values,
        out,
        10,
        30,
    )
    wanted = before + 3 * (precision @ values.astype(np.float64))[10:30]
    np.testing.assert_allclose(out, wanted, atol=1e-13 if wide == np.float64 else 2e-5)
