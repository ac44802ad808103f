from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from napari_smoother import _core
from napari_smoother.errors import InputError
from napari_smoother.weights.neighbours import (
    MOST_EDGES,
    nearest_neighbours,
    neighbours_within,
)


def hexagonal(rows, columns, spacing=100.0):
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    x = (column + 0.5 * (row % 2)) * spacing
    return np.column_stack([x.ravel(), row.ravel() * spacing * np.sqrt(3) / 2])


def square(rows, columns):
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return np.column_stack([column.ravel(), row.ravel()]).astype(float)


def edges(neighbourhood):
    return neighbourhood.weights.toarray() > 0


def plain_lists(positions, k):
    """The k nearest others of each spot, from all distances; no ties expected."""
    far = cdist(positions, positions)
    np.fill_diagonal(far, np.inf)
    listed = np.zeros(far.shape, bool)
    nearest = np.argsort(far, axis=1)[:, :k]
    np.put_along_axis(listed, nearest, True, axis=1)
    return listed & np.isfinite(far)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("mutual", [True, False])
@pytest.mark.parametrize(("n", "k"), [(200, 6), (200, 1), (7, 6), (4, 6), (2, 3)])
def test_irregular_positions_have_the_plain_nearest_neighbours(n, k, mutual, dims):
    positions = np.random.default_rng(n + k).normal(size=(n, dims)) * 30
    listed = plain_lists(positions, k)
    expected = listed & listed.T if mutual else listed | listed.T
    found = nearest_neighbours(positions, k, mutual=mutual)
    np.testing.assert_array_equal(edges(found), expected)
    far = cdist(positions, positions)
    np.testing.assert_allclose(found.distances.toarray(), np.where(expected, far, 0), atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_hexagonal_lattice_has_its_ring_and_nothing_else(k):
    positions = hexagonal(20, 17)
    ring = np.isclose(cdist(positions, positions), 100)
    np.testing.assert_array_equal(edges(nearest_neighbours(positions, k)), ring)
    assert np.diff(nearest_neighbours(positions, 6).weights.indptr).max() == 6


def test_hexagonal_lattice_with_a_hole_and_a_ragged_border_has_only_ring_edges():
    positions = hexagonal(30, 30)
    centre = positions.mean(axis=0)
    radius = np.linalg.norm(positions - centre, axis=1)
    positions = positions[(radius < 1200) & (radius > 250)]
    ring = np.isclose(cdist(positions, positions), 100)
    np.testing.assert_array_equal(edges(nearest_neighbours(positions, 6)), ring)


def test_lattice_rounded_to_pixels_is_seen_with_a_wider_tolerance():
    positions = np.round(hexagonal(20, 17, spacing=137.3))
    ring = cdist(positions, positions) < 150
    np.fill_diagonal(ring, False)
    np.testing.assert_array_equal(
        edges(nearest_neighbours(positions, 6, tie_tolerance=0.02)), ring
    )


def test_float32_lattice_far_from_the_origin_is_a_lattice_still():
    positions = (hexagonal(12, 12) + 20_000).astype(np.float32)
    ring = np.isclose(cdist(positions, positions), 100, rtol=1e-3)
    np.testing.assert_array_equal(edges(nearest_neighbours(positions, 6)), ring)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_square_lattice_has_the_four_next(k):
    positions = square(9, 8)
    ring = np.isclose(cdist(positions, positions), 1)
    np.testing.assert_array_equal(edges(nearest_neighbours(positions, k)), ring)


def test_square_lattice_takes_eight_when_asked():
    positions = square(9, 9)
    found = edges(nearest_neighbours(positions, 8))
    inside = ((positions > 1.5) & (positions < 6.5)).all(axis=1)
    assert (found[inside].sum(axis=1) == 8).all()


def test_spots_at_one_place_are_neighbours_at_distance_zero():
    positions = np.array([[0, 0], [0, 0], [5, 0], [5, 1.0], [5.5, 0.5]])
    found = nearest_neighbours(positions, 1)
    assert found.weights[0, 1] == 1
    assert found.distances[0, 1] == 0
    stored = found.distances.indices[found.distances.indptr[0] : found.distances.indptr[1]]
    np.testing.assert_array_equal(stored, [1])


def test_more_spots_at_one_place_than_k_are_all_linked():
    positions = np.vstack([np.zeros((9, 2)), np.random.default_rng(0).normal(10, 1, (5, 2))])
    found = edges(nearest_neighbours(positions, 3))
    np.testing.assert_array_equal(found[:9, :9], ~np.eye(9, dtype=bool))
    assert not found[:9, 9:].any()


def test_all_spots_at_one_place():
    found = edges(nearest_neighbours(np.ones((12, 2)), 2))
    np.testing.assert_array_equal(found, ~np.eye(12, dtype=bool))


@pytest.mark.parametrize("dims", [2, 3])
def test_crowds_and_far_spots_have_the_plain_nearest_neighbours(dims):
    random = np.random.default_rng(5)
    even = random.uniform(size=(600, dims)) * 100
    crowd = random.normal(size=(300, dims)) * 1e-3 + 50
    far = random.uniform(size=(4, dims)) * 1e5
    for positions in (
        np.vstack([even, crowd]),
        np.vstack([even, far]),
        even * [1, *[1e-4] * (dims - 1)],
        np.vstack([even[:300], even[300:] + 3000 * np.eye(dims)[0]]),
    ):
        listed = plain_lists(positions, 5)
        np.testing.assert_array_equal(edges(nearest_neighbours(positions, 5)), listed & listed.T)


def test_many_spots_and_many_neighbours():
    """Enough for several threads."""
    positions = np.random.default_rng(6).uniform(size=(21_000, 2))
    tree = cKDTree(positions)
    for k in (6, 70):
        listed = tree.query(positions, k + 1)[1][:, 1:]
        found = nearest_neighbours(positions, k, mutual=False, tie_tolerance=0).weights
        rows = np.repeat(np.arange(len(positions)), k)
        expected = csr_array((np.ones(rows.size), (rows, listed.ravel())), shape=found.shape)
        either = expected.maximum(expected.T)
        assert abs(found - either).sum() == 0
        both = expected.minimum(expected.T)
        found = nearest_neighbours(positions, k, tie_tolerance=0).weights
        assert abs(found - both).sum() == 0


def test_one_spot_has_no_edges():
    for found in (nearest_neighbours([[3.0, 4.0]]), neighbours_within([[3.0, 4.0]], 1)):
        assert found.weights.shape == (1, 1)
        assert found.weights.nnz == 0
        assert found.n_spots == 1


def test_a_spot_nobody_chose_in_return_is_isolated():
    positions = np.array([[0, 0], [0, 1], [0.9, 0.1], [40, 40.0]])
    assert not edges(nearest_neighbours(positions, 2))[3].any()
    assert edges(nearest_neighbours(positions, 2, mutual=False))[3].sum() == 2


spots = arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.just(2)),
    elements=st.integers(0, 12).map(float),
)


@settings(deadline=None, max_examples=60)
@given(spots, st.integers(1, 8), st.booleans(), st.randoms(use_true_random=False))
def test_order_of_spots_does_not_matter(positions, k, mutual, random):
    order = np.array(random.sample(range(len(positions)), len(positions)))
    first = nearest_neighbours(positions, k, mutual=mutual)
    second = nearest_neighbours(positions[order], k, mutual=mutual)
    np.testing.assert_array_equal(edges(first)[np.ix_(order, order)], edges(second))


@settings(deadline=None, max_examples=60)
@given(spots, st.integers(1, 8), st.booleans(), st.sampled_from([1e-6, 0.37, 1e6]))
def test_graph_is_symmetric_and_free_of_units(positions, k, mutual, unit):
    found = nearest_neighbours(positions, k, mutual=mutual)
    matrix = found.weights
    assert matrix.indices.dtype == np.int32
    assert matrix.has_sorted_indices
    dense = edges(found)
    np.testing.assert_array_equal(dense, dense.T)
    assert not dense.diagonal().any()
    moved = nearest_neighbours(positions * unit, k, mutual=mutual)
    np.testing.assert_array_equal(dense, edges(moved))
    np.testing.assert_allclose(moved.distances.data, found.distances.data * unit, rtol=1e-9)


@settings(deadline=None, max_examples=60)
@given(spots, st.integers(1, 8))
def test_rule_of_equal_distances(positions, k):
    """Nearest groups whole, while they fit; the first always: from all distances, by hand."""
    far = np.sqrt(((positions[:, None] - positions[None]) ** 2).sum(axis=2))
    listed = np.zeros(far.shape, bool)
    for spot in range(len(positions)):
        others = np.delete(np.arange(len(positions)), spot)
        for at in np.unique(far[spot, others]):
            group = others[far[spot, others] == at]
            if listed[spot].any() and listed[spot].sum() + len(group) > k:
                break
            listed[spot, group] = True
            if listed[spot].sum() >= k:
                break
    np.testing.assert_array_equal(edges(nearest_neighbours(positions, k)), listed & listed.T)


@pytest.mark.parametrize("norm", [1, 1.5, 2, 4, np.inf])
def test_band_by_brute_force(norm):
    positions = np.random.default_rng(3).uniform(size=(150, 3))
    far = np.linalg.norm(positions[:, None] - positions[None], ord=norm, axis=2)
    near = (far <= 0.3) & ~np.eye(150, dtype=bool)
    found = neighbours_within(positions, 0.3, bandwidth=0.1, norm=norm)
    np.testing.assert_allclose(
        found.weights.toarray(), near * np.exp(-(far**2) / 0.02), rtol=1e-12
    )
    np.testing.assert_allclose(found.distances.toarray(), near * far, rtol=1e-12)
    flat = neighbours_within(positions, 0.3, norm=norm)
    np.testing.assert_array_equal(flat.weights.toarray(), near)


def test_a_band_of_crowds_far_apart_and_of_long_rows():
    random = np.random.default_rng(7)
    crowds = (
        random.uniform(size=(500, 2))
        + np.repeat([[0, 0], [9e4, 0], [0, 9e4]], 500, axis=0)[random.integers(0, 1500, 500)]
    )
    crowds = np.vstack([crowds, random.uniform(size=(3, 2)) * 1e5])
    for positions, radius in ((crowds, 0.05), (random.uniform(size=(500, 2)), 0.4)):
        far = cdist(positions, positions)
        near = (far <= radius) & ~np.eye(len(far), dtype=bool)
        found = neighbours_within(positions, radius)
        np.testing.assert_array_equal(edges(found), near)
        assert found.weights.has_sorted_indices
        np.testing.assert_allclose(found.distances.toarray(), near * far, rtol=1e-9)


def test_a_pair_at_the_radius_counts():
    positions = hexagonal(10, 10)
    ring = np.isclose(cdist(positions, positions), 100)
    np.testing.assert_array_equal(edges(neighbours_within(positions, 100)), ring)


@settings(deadline=None, max_examples=40)
@given(spots, st.randoms(use_true_random=False))
def test_band_does_not_depend_on_order_or_unit(positions, random):
    order = np.array(random.sample(range(len(positions)), len(positions)))
    first = neighbours_within(positions, 2.5, bandwidth=1.5).weights.toarray()
    second = neighbours_within(positions[order] * 7, 17.5, bandwidth=10.5).weights.toarray()
    np.testing.assert_allclose(first[np.ix_(order, order)], second, rtol=1e-12)
    np.testing.assert_array_equal(first, first.T)


@pytest.mark.parametrize(
    ("positions", "problem"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((4, 4)), "shape"),
        (np.zeros((0, 2)), "shape"),
        ([[0, 0], [np.nan, 1]], "finite"),
        (np.broadcast_to(0.0, (MOST_EDGES + 1, 2)), "memory"),
    ],
)
def test_bad_positions_are_named(positions, problem):
    with pytest.raises(InputError, match=problem):
        nearest_neighbours(positions)
    with pytest.raises(InputError, match=problem):
        neighbours_within(positions, 1)


def test_bad_settings_are_named():
    positions = np.random.default_rng(0).uniform(size=(10, 2))
    with pytest.raises(InputError, match="k is 0"):
        nearest_neighbours(positions, 0)
    with pytest.raises(InputError, match="more than fit in memory"):
        nearest_neighbours(np.random.default_rng(0).uniform(size=(20_000, 2)), 15_000)
    for tolerance in (-0.1, 1, np.nan):
        with pytest.raises(InputError, match="tie_tolerance"):
            nearest_neighbours(positions, tie_tolerance=tolerance)
    for norm in (0.5, np.nan):
        with pytest.raises(InputError, match="norm"):
            neighbours_within(positions, 1, norm=norm)
    with pytest.raises(InputError, match="radius"):
        neighbours_within(positions, -1)
    with pytest.raises(InputError, match="bandwidth"):
        neighbours_within(positions, 1, bandwidth=0)


def test_a_radius_that_takes_in_everything_is_refused_before_memory_runs_out():
    positions = np.random.default_rng(0).uniform(size=(20_000, 2))
    with pytest.raises(InputError, match="memory"):
        neighbours_within(positions, 10)


def test_crowds_at_few_places_are_refused_before_memory_runs_out():
    places = np.random.default_rng(0).uniform(size=(20_000, 2))
    positions = np.vstack([places, np.repeat(places[:3], 30_000, axis=0)])
    for mutual in (True, False):
        with pytest.raises(InputError, match="memory"):
            nearest_neighbours(positions, mutual=mutual)
    with pytest.raises(InputError, match="memory"):
        neighbours_within(positions, 1e-6)


def test_any_number_of_threads_finds_the_same():
    positions = np.random.default_rng(4).integers(0, 150, (30_000, 2)).astype(float)
    before = _core.thread_count()
    found = []
    try:
        for threads in (1, 2, 7):
            _core.set_thread_count(threads)
            found.append(
                [nearest_neighbours(positions, 6, mutual=mutual) for mutual in (True, False)]
                + [neighbours_within(positions, 1.5, bandwidth=1.0)]
            )
    finally:
        _core.set_thread_count(before)
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            for name in ("indptr", "indices", "data"):
                for matrix in ("weights", "distances"):
                    np.testing.assert_array_equal(
                        getattr(getattr(one, matrix), name), getattr(getattr(other, matrix), name)
                    )


def test_a_job_stops_when_it_is_told_to():
    class Stopped(Exception):
        pass

    def watch(step, residual, iterate):
        raise Stopped

    positions = np.random.default_rng(4).uniform(size=(400_000, 2))
    with pytest.raises(Stopped):
        _core.nearest_neighbours(positions, 6, 1e-8, 0.0, True, MOST_EDGES, watch)
    with pytest.raises(Stopped):
        _core.neighbours_within(positions, 0.003, 2.0, 0.0, MOST_EDGES, watch)
