"""Moran's I against its textbook formulas and its properties."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy
from numpy.testing import assert_allclose
from scipy import sparse, stats

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models import spatial_autocorrelation
from napari_smoother.models.spatial_autocorrelation import (
    FEWEST_SPOTS,
    moran,
    moran_test,
    most_spatial,
)


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


def grid(side: int) -> tuple[np.ndarray, np.ndarray, sparse.csr_array]:
    """x and y of a square lattice, and its edges."""
    y, x = (part.ravel() for part in np.indices((side, side)))
    apart = abs(x[:, None] - x) + abs(y[:, None] - y)
    return x, y, sparse.csr_array((apart == 1).astype(float))


def test_it_is_that_of_scanpy():
    graph, values = random_graph(60), counts(60, 30).astype(float)
    weights = sparse.csr_matrix(standardised(graph.toarray()))
    expected = scanpy.metrics.morans_i(weights, values.toarray().T)
    assert_allclose(moran(values, graph), expected, atol=1e-12)


SQUIDPY = {
    True: (
        [0.888888888889, 0.694360013509, -1.0, -0.177484545887, 0.389705882353],
        [1.10245146345e-13, 3.72737563037e-09, 4.01028107071e-15, 0.116892546835, 0.000412272254],
        0.0156417982608,
    ),
    False: (
        [0.8, 0.663829787234, -1.0, -0.198858773181, 0.288235294118],
        [6.32405239287e-12, 7.58742235707e-09, 1.00847182815e-15, 0.0819761830782, 0.004805399947],
        0.0149674572532,
    ),
}
"""I, pval_norm and var_norm by squidpy 1.8.2, with and without its transformation."""


@pytest.mark.parametrize("row_standardise", [True, False])
def test_statistic_and_p_values_are_those_of_squidpy(row_standardise):
    x, y, graph = grid(6)
    values = np.stack(
        [
            x,
            (x - 3) ** 2 + (y - 2) ** 2,
            (x + y) % 2,
            (7 * x + 11 * y * y) % 5,
            (x == 0) & (y < 2),
        ],
        axis=1,
    )
    found = moran_test(values, graph, row_standardise=row_standardise)
    statistic, p_values, variance = SQUIDPY[row_standardise]
    assert_allclose(found.statistic, statistic, atol=1e-11)
    assert found.variance_normal == pytest.approx(variance, rel=1e-11)
    # Squidpy takes 1 less the distribution, which loses the digits of small ones.
    assert_allclose(found.p_normal, p_values, rtol=1e-5, atol=1e-15)


def test_moments_over_arrangements_are_exact():
    """Every arrangement of seven values, weights that are not symmetric."""
    from itertools import permutations

    random = np.random.default_rng(5)
    graph = sparse.csr_array(random.random((7, 7)) * (1 - np.eye(7)))
    x = np.array([0, 0, 1, 1, 2, 7, 3.0])
    arranged = x[np.array(list(permutations(range(7))))]
    everywhere = moran(arranged.T, graph)
    found = moran_test(x[:, None], graph)
    assert found.expected == pytest.approx(everywhere.mean(), abs=1e-13)
    assert found.variance_random[0] == pytest.approx(everywhere.var(), rel=1e-10)
    assert found.statistic[0] == pytest.approx(everywhere[0], abs=1e-13)


def test_p_values_of_noise_are_uniform():
    _, _, graph = grid(25)
    noise = np.random.default_rng(3).standard_normal((625, 400))
    found = moran_test(noise, graph, n_permutations=199, seed=1)
    assert found.p_permuted is not None
    assert found.p_permuted_normal is not None
    for tail in (found.p_normal, found.p_random, found.p_permuted, found.p_permuted_normal):
        assert tail.max() <= 0.51
        assert stats.kstest(2 * tail, "uniform").pvalue > 0.01


def test_small_p_values_of_skewed_noise_are_as_frequent_as_they_say():
    """Few counts a spot: a normal I would have p-values below .001 five times too often."""
    _, _, graph = grid(20)
    noise = np.random.default_rng(0).poisson(0.05, (400, 20_000)).astype(float)
    found = moran_test(noise, graph)
    above = found.statistic > found.expected
    for level in (0.05, 0.01, 0.001):
        assert (found.p_random[above] < level).sum() / 20_000 == pytest.approx(level, rel=0.5)
    assert (found.p_normal[above] < 0.001).sum() > 60


def test_the_variance_of_permutations_is_the_one_over_arrangements():
    """squidpy 1.8.2 shuffles the rows of the weights alone: its var_sim is half of this."""
    _, _, graph = grid(20)
    noise = np.random.default_rng(4).standard_normal((400, 200))
    found = moran_test(noise, graph, n_permutations=300)
    assert found.variance_permuted is not None
    assert_allclose((found.variance_permuted / found.variance_random).mean(), 1, atol=0.03)
    observed = found.statistic.var()
    assert observed == pytest.approx(found.variance_normal, rel=0.3)


def test_a_pattern_is_found_and_its_opposite_too():
    x, y, graph = grid(12)
    noise = np.random.default_rng(0).standard_normal(x.size)
    values = np.stack([x + noise, (-1) ** (x + y) + 0.1 * noise, np.zeros(x.size)], axis=1)
    found = moran_test(values, graph, n_permutations=99)
    assert found.statistic[0] > 0.5
    assert found.statistic[1] < -0.9
    for tail in (found.p_normal, found.p_random, found.p_permuted_normal):
        assert tail is not None
        assert (tail[:2] < 1e-6).all()
    assert found.p_permuted is not None
    assert_allclose(found.p_permuted[:2], 0.01)
    for tail in (found.statistic, found.p_normal, found.p_random, found.p_permuted):
        assert np.isnan(tail[2])


def test_the_seed_decides():
    graph, values = random_graph(40), counts(40, 6)
    found = [moran_test(values, graph, n_permutations=30, seed=seed) for seed in (1, 1, 2)]
    same, again, other = (test.variance_permuted for test in found)
    assert same is not None
    assert again is not None
    assert other is not None
    assert same.tobytes() == again.tobytes()
    assert not np.array_equal(same, other)


def test_arrangements_that_are_the_same_but_for_rounding_count_as_equal():
    """A gene of one spot has the same I wherever all spots have as many neighbours."""
    ring = sparse.csr_array(np.roll(np.eye(30), 1, axis=0) + np.roll(np.eye(30), -1, axis=0))
    one = np.zeros((30, 1))
    one[4] = 0.7
    found = moran_test(one, ring, n_permutations=50)
    assert found.p_permuted is not None
    assert found.p_permuted[0] == 1


@pytest.mark.parametrize(("n", "n_permutations"), [(3, None), (30, 0), (30, -5)])
def test_too_few_spots_or_permutations_are_refused(n, n_permutations):
    weights = sparse.csr_array(1 - np.eye(n))
    with pytest.raises(InputError, match=f"{n} spots"):
        moran_test(np.arange(n)[:, None], weights, n_permutations=n_permutations)


def test_permutations_stop_and_tell_how_far_they_are(monkeypatch):
    graph, values = random_graph(40), counts(40, 4)
    together = moran_test(values, graph, n_permutations=3)
    monkeypatch.setattr(spatial_autocorrelation, "EDGES", 1)
    told: list[float] = []
    apart = moran_test(values, graph, n_permutations=3, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]
    assert_allclose(apart.variance_permuted, together.variance_permuted, rtol=1e-12)
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        moran_test(values, graph, n_permutations=3, cancelled=lambda: next(asked))


def test_genes_of_few_spots_are_chosen_last():
    x, y, graph = grid(20)
    random = np.random.default_rng(0)
    weak = random.poisson(1 + x / 20)
    strong = random.poisson(1 + (x > 10) * 8)
    few = ((x < 3) & (y < 3)) * 5
    assert (few > 0).sum() < FEWEST_SPOTS
    values = np.stack([few, weak, np.ones(x.size), strong, random.poisson(1, x.size)], axis=1)
    statistic = moran(values, graph)
    assert statistic[0] > statistic[1]
    for given in (values, sparse.csr_array(values)):
        assert most_spatial(given, graph, 1).tolist() == [3]
        assert most_spatial(given, graph, 2).tolist() == [1, 3]
        assert most_spatial(given, graph, 99).tolist() == [0, 1, 3, 4]
