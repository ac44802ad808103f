from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from napari_smoother.errors import InputError
from napari_smoother.weights import components
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.scaling import identity_factors, rows_of, similarity_factors


@pytest.fixture
def line():
    """Four spots in a row, linked to the next."""
    return csr_array(np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1))


def matrix_of(graph, factors):
    return csr_array((factors, graph.indices, graph.indptr), shape=graph.shape).toarray()


def test_regions_weaken_only_edges_between_them(line):
    factors = identity_factors(line, ["a", "a", "b", "b"], 0.25)
    expected = [[0, 1, 0, 0], [1, 0, 0.25, 0], [0, 0.25, 0, 1], [0, 0, 1, 0]]
    np.testing.assert_array_equal(matrix_of(line, factors), expected)


@pytest.mark.parametrize(
    "labels",
    [
        [3, 3, 7, 7],
        np.array([True, True, False, False]),
        pd.Categorical(["a", "a", "b", "b"]),
        pd.Series(["a", "a", None, np.nan]),
        np.array([1.5, 1.5, np.nan, np.nan]),
    ],
)
def test_any_labels_will_do(line, labels):
    np.testing.assert_array_equal(identity_factors(line, labels, 0), [1, 1, 0, 0, 1, 1])


def test_bad_regions_are_named(line):
    with pytest.raises(InputError, match="3 labels for 4 spots"):
        identity_factors(line, [1, 2, 3], 0)
    with pytest.raises(InputError, match="connectivity"):
        identity_factors(line, [1, 1, 2, 2], 1.5)


def test_cosine_by_hand(line):
    features = np.array([[1, 0], [1, 1], [-1, 0], [0, 0.0]])
    factors = similarity_factors(line, features, reduce="none")
    # 45 degrees, then an obtuse angle, then a spot without any expression.
    half = np.sqrt(0.5)
    np.testing.assert_allclose(factors, [half, half, 0, 0, 0, 0], rtol=1e-12)


def test_euclidean_by_hand(line):
    features = np.array([[0.0], [1.0], [1.2], [2.0]])
    factors = similarity_factors(line, features, metric="euclidean", reduce="none")
    gaps = np.array([0.5, 0.5, 0.1, 0.1, 0.4, 0.4])
    np.testing.assert_allclose(factors, np.exp(-(gaps**2) / 0.02), rtol=1e-12)


def test_constant_features_are_all_alike_in_distance(line):
    assert (
        similarity_factors(line, np.zeros((4, 2)), metric="euclidean", reduce="none") == 1
    ).all()
    assert (similarity_factors(line, np.ones((4, 2)), metric="euclidean") == 1).all()


@pytest.mark.parametrize("shape", [(60, 6), (60, 20), (20, 60), (500, 330), (330, 500)])
def test_components_are_those_of_a_singular_value_decomposition(shape):
    table = np.random.default_rng(1).poisson(2.0, shape).astype(float)
    table[:, 3] = 4.0
    kept = np.delete(table, 3, axis=1)
    standard = (kept - kept.mean(axis=0)) / kept.std(axis=0, ddof=1)
    left, values, _ = np.linalg.svd(standard, full_matrices=False)
    expected = left[:, :5] * values[:5]
    for given_table in (table, csr_array(table)):
        found = components.principal_components(given_table, 5)
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-6)
        np.testing.assert_allclose((found**2).sum(axis=0), values[:5] ** 2, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 1000),
    st.sampled_from(["cosine", "euclidean"]),
    st.sampled_from(["pca", "none"]),
)
def test_similarity_is_a_symmetric_share_and_has_no_unit(seed, metric, reduce):
    random = np.random.default_rng(seed)
    graph = nearest_neighbours(random.uniform(size=(40, 2)), 4)
    features = random.poisson(2.0, (40, 12)).astype(float)
    factors = similarity_factors(graph, features, metric=metric, reduce=reduce)
    dense = matrix_of(graph.weights, factors)
    np.testing.assert_allclose(dense, dense.T, atol=1e-12)
    assert factors.min() >= 0
    assert factors.max() <= 1
    again = similarity_factors(graph, 1000 * features, metric=metric, reduce=reduce)
    np.testing.assert_allclose(again, factors, atol=1e-9)


def test_bad_features_are_named(line):
    with pytest.raises(InputError, match="shape"):
        similarity_factors(line, np.ones((3, 2)), reduce="none")
    with pytest.raises(InputError, match="finite"):
        similarity_factors(line, np.full((4, 2), np.nan), reduce="none")
    with pytest.raises(InputError, match="Unknown"):
        similarity_factors(line, np.ones((4, 2)), metric="manhattan")


def test_rows_of_counts_along_the_entries(line):
    np.testing.assert_array_equal(rows_of(line), [0, 1, 1, 2, 2, 3])
