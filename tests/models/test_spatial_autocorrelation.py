"""Moran's I against its textbook formulas and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models import spatial_autocorrelation
from napari_smoother.models.spatial_autocorrelation import moran


def random_graph(n: int, seed: int = 0) -> sparse.csr_array:
    """Weights that are not symmetric, and a spot without neighbours."""
    random = np.random.default_rng(seed)
    dense = random.random((n, n)) * (random.random((n, n)) < 0.15)
    np.fill_diagonal(dense, 0)
    dense[3] = dense[:, 3] = 0
    return sparse.csr_array(dense)


def counts(n: int, n_features: int, seed: int = 1) -> sparse.csr_array:
    random = np.random.default_rng(seed)
    return sparse.csr_array(random.poisson(random.gamma(1, 0.5, n_features), (n, n_features)))


def textbook(x: np.ndarray, w: np.ndarray) -> float:
    z = x - x.mean()
    n = len(x)
    total = sum(w[i, j] * z[i] * z[j] for i in range(n) for j in range(n))
    return float(n / w.sum() * total / (z**2).sum())


def standardised(w: np.ndarray) -> np.ndarray:
    sums = w.sum(axis=1, keepdims=True)
    return np.divide(w, sums, out=np.zeros_like(w), where=sums > 0)


@pytest.mark.parametrize("row_standardise", [True, False])
def test_it_is_the_textbook_formula(row_standardise):
    graph, values = random_graph(40), counts(40, 7)
    weights = standardised(graph.toarray()) if row_standardise else graph.toarray()
    expected = [textbook(x, weights) for x in values.toarray().T.astype(float)]
    assert_allclose(moran(values, graph, row_standardise=row_standardise), expected, atol=1e-13)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "array", "fortran", "float32"])
def test_values_may_be_stored_in_any_way(kind, monkeypatch):
    graph, values = random_graph(40), counts(40, 50)
    expected = moran(values, graph)
    monkeypatch.setattr(spatial_autocorrelation, "BLOCK", 400)  # ten features a block
    dense = values.toarray()
    stored = {"array": dense, "fortran": np.asfortranarray(dense), "float32": dense.astype("f4")}
    given = stored[kind] if kind in stored else values.asformat(kind)
    assert_allclose(moran(given, graph), expected, atol=1e-14)


def test_stored_twice_is_the_sum():
    graph, values = random_graph(30), counts(30, 5).tocoo()
    twice = [np.concatenate([part, part]) for part in (values.data, *values.coords)]
    doubled = sparse.coo_array((twice[0], (twice[1], twice[2])), shape=values.shape)
    assert_allclose(moran(doubled, graph), moran(values, graph), atol=1e-14)


def test_shift_and_scale_make_no_difference():
    graph, values = random_graph(40), counts(40, 9).toarray()
    expected = moran(values, graph)
    assert_allclose(moran(-3e-5 * values, graph), expected, atol=1e-13)
    assert_allclose(moran(values + 1e6, graph), expected, atol=1e-9)


def test_a_constant_feature_has_none():
    graph, values = random_graph(40), counts(40, 4).toarray().astype(float)
    values[:, 1], values[:, 2] = 0, 0.1
    for given in (values, sparse.csr_array(values)):
        found = moran(given, graph)
        assert np.isnan(found[1:3]).all()
        assert np.isfinite(found[[0, 3]]).all()


def test_the_input_stays_as_it_is():
    graph, values = random_graph(40), counts(40, 4)
    before = graph.copy(), values.copy()
    moran(values, graph)
    assert abs(graph - before[0]).max() == 0
    assert abs(values - before[1]).max() == 0


@pytest.mark.parametrize(
    ("values", "graph"),
    [
        (np.ones(30), random_graph(30)),
        (np.ones((29, 2)), random_graph(30)),
        (np.full((30, 2), np.nan), random_graph(30)),
        (np.full((30, 2), "high"), random_graph(30)),
        (np.ones((30, 2)), sparse.csr_array((30, 30))),
        (np.ones((30, 2)), -random_graph(30)),
    ],
)
def test_what_cannot_be_used_is_refused(values, graph):
    with pytest.raises(InputError):
        moran(values, graph)


def test_it_stops_between_blocks_and_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr(spatial_autocorrelation, "BLOCK", 400)
    graph, values = random_graph(40), counts(40, 40)
    told: list[float] = []
    moran(values, graph, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        moran(values, graph, cancelled=lambda: next(asked))
