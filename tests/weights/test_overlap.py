"""Whether sections lie over each other: lattices, scattered cells, tiles, cores and strips."""

from __future__ import annotations

import anndata
import numpy as np
import pytest

from napari_smoother.weights.overlap import (
    are_crossed_lattices,
    lie_over_each_other,
    places_taken_alike,
)


def hexagonal(rows=20, columns=20, pitch=100.0):
    row, column = np.mgrid[:rows, :columns]
    x = pitch * (column + row % 2 / 2)
    return np.column_stack([x.ravel(), pitch * row.ravel() * 3**0.5 / 2]) + 300


def scattered(n=400, seed=0):
    return np.random.default_rng(seed).uniform(0, 2000, (n, 2))


def turned(positions, angle):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = positions.mean(axis=0)
    return (positions - centre) @ turn + centre


def halves(n):
    return np.repeat([0, 1], n)


MOVED = {
    "the same places": lambda p, other: p,
    "shifted": lambda p, other: p + np.array([31, 17]),
    "turned": lambda p, other: turned(p, 0.3),
    "another tissue": lambda p, other: other,
    "half over": lambda p, other: p + np.array([np.ptp(p[:, 0]) / 2, 0]),
}


@pytest.mark.parametrize("how", MOVED)
@pytest.mark.parametrize("make", [hexagonal, scattered])
def test_two_sections_lie_over_each_other(make, how):
    first = make()
    second = MOVED[how](first, scattered(len(first), seed=1))
    assert lie_over_each_other(np.vstack([first, second]), halves(len(first)))


@pytest.mark.parametrize("angle", [0.0, 0.3])
@pytest.mark.parametrize("make", [hexagonal, scattered])
def test_tiles_strips_and_neighbours_do_not(make, angle):
    positions = make()
    x, y = (positions.T // 500).astype(int)
    seen = turned(positions, angle)
    for labels in (x, np.unique(10 * x + y, return_inverse=True)[1]):
        assert len(set(labels)) > 3
        assert not lie_over_each_other(seen, labels)
    beside = np.vstack([positions, positions + np.array([1.02 * np.ptp(positions[:, 0]), 0])])
    assert not lie_over_each_other(turned(beside, angle), halves(len(positions)))


def test_groups_of_different_parts_are_not_compared():
    both = np.vstack([hexagonal(), hexagonal()])
    labels = halves(400)
    assert lie_over_each_other(both, labels, np.zeros(800, dtype=int))
    assert not lie_over_each_other(both, labels, labels)


def test_groups_of_few_spots_prove_nothing():
    positions = hexagonal()
    labels = np.zeros(400, dtype=int)
    labels[[105, 210]] = 1
    assert not lie_over_each_other(positions, labels)


def test_a_place_taken_by_every_section():
    first = scattered()
    assert places_taken_alike(first) == 1
    assert places_taken_alike(np.vstack([first] * 3)) == 3
    assert places_taken_alike(np.vstack([first, first[:120]])) == 2
    assert places_taken_alike(np.vstack([first, first[:30]])) == 1


@pytest.mark.parametrize("mean", [1.0, 3.0, 8.0])
def test_cells_put_to_the_spots_of_one_section_are_no_sections(mean):
    taken = np.random.default_rng(3).poisson(mean, 400)
    assert places_taken_alike(np.repeat(hexagonal(), taken, axis=0)) == 1


@pytest.mark.parametrize("how", ["shifted", "turned", "half over"])
def test_crossed_lattices(how):
    first = hexagonal()
    assert are_crossed_lattices(np.vstack([first, MOVED[how](first, None)]))


def test_one_lattice_is_not_crossed():
    rng = np.random.default_rng(0)
    spots = hexagonal()
    square = np.column_stack([a.ravel() for a in np.mgrid[:20, :20]]).astype(float)
    for positions in (spots, square, turned(spots, 0.4), np.round(spots / 10)):
        assert not are_crossed_lattices(positions)
    assert not are_crossed_lattices(spots[rng.random(400) < 0.6])
    assert not are_crossed_lattices(scattered())
    assert not are_crossed_lattices(spots[:5])


@pytest.mark.tissue
def test_real_sections_one_and_two(tissue):
    lattices = scattered_ones = 0
    for path in sorted(tissue.rglob("*.h5ad")):
        adata = anndata.read_h5ad(path)
        if "spatial" not in adata.obsm:
            continue
        positions = np.asarray(adata.obsm["spatial"], dtype=float)
        assert places_taken_alike(positions) == 1, path.name
        assert not are_crossed_lattices(positions), path.name
        width = np.ptp(positions[:, 0])
        spacing = width / len(positions) ** 0.5
        labels = halves(len(positions))
        for second in (positions, positions + spacing / 3, turned(positions, 0.3)):
            assert lie_over_each_other(np.vstack([positions, second]), labels), path.name
        beside = np.vstack([positions, positions + np.array([1.02 * width, 0])])
        assert not lie_over_each_other(beside, labels), path.name
        assert places_taken_alike(np.vstack([positions, positions])) == 2, path.name
        crossed = are_crossed_lattices(np.vstack([positions, positions + spacing / 3]))
        lattices, scattered_ones = lattices + crossed, scattered_ones + (not crossed)
    assert (lattices, scattered_ones) == (5, 3)
