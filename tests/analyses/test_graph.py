"""The graph: one for window and library, in squidpy's layout, and never larger than is known."""

from __future__ import annotations

import time
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial import ConvexHull, Delaunay
from scipy.spatial.distance import cdist

import napari_smoother as ns
from napari_smoother.analyses.graph import compute
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.errors import InputError
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.section import Section
from napari_smoother.study.annotated import annotated
from napari_smoother.study.study import Study
from napari_smoother.weights.delaunay import delaunay_neighbours
from napari_smoother.weights.linking import expected_edges, link


@pytest.fixture(scope="module")
def section() -> Section:
    found = simulate_cortex(rows=20, n_genes=60, seed=2, image_size=400).section
    del found.adata.obs["region"]
    return found


def half(section: Section) -> Regions:
    low, high = section.positions.min(axis=0) - 1, section.positions.max(axis=0) + 1
    middle = (low[0] + high[0]) / 2 + 0.3
    corners = np.array([low, (middle, low[1]), (middle, high[1]), (low[0], high[1])])
    return Regions((RegionClass("left", (1.0, 0.0, 0.0)),), (RegionShape("left", corners),))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, {}),
        ({"neighbours": 9, "mutual": False}, {"n_neighs": 9, "mutual": False}),
        ({"rule": "radius", "radius": 260.0}, {"radius": 260.0}),
        ({"rule": "delaunay"}, {"delaunay": True}),
        ({"rule": "delaunay", "radius": 260.0}, {"delaunay": True, "radius": 260.0}),
        ({"by_expression": True}, {"scale_by_expression": "logged"}),
    ],
)
def test_window_and_library_make_one_graph(section, settings, arguments, cut) -> None:
    # The window's radius is in micrometres where the scale is known.
    section = replace(section, micrometres_per_pixel=None)
    study = Study()
    study.open(section)
    study.graph_settings = replace(study.graph_settings, boundary_connectivity=0.3, **settings)
    if cut:
        study.regions = half(section)
    study.update()
    window = annotated(study)
    adata = section.adata.copy()
    totals = np.asarray(adata.X.sum(axis=1))
    adata.layers["logged"] = sparse.csr_matrix(np.log1p(adata.X.toarray() / totals * 1e4))
    if cut:
        adata.obs["region"] = pd.Series(study.region_labels, index=adata.obs_names).astype(str)
        arguments = {**arguments, "scale_by_obs": "region", "boundary_connectivity": 0.3}
    ns.spatial_neighbors(adata, **arguments)
    for key in ("spatial_connectivities", "spatial_distances"):
        ours, theirs = window.obsp[key], adata.obsp[key]
        np.testing.assert_array_equal(ours.indptr, theirs.indptr)
        np.testing.assert_array_equal(ours.indices, theirs.indices)
        np.testing.assert_allclose(
            ours.data, theirs.data, rtol=1e-4 if "by_expression" in settings else 0
        )
    if "by_expression" not in settings:
        assert (
            window.obsp["spatial_connectivities"] != adata.obsp["spatial_connectivities"]
        ).nnz == 0
    reports = [each.uns["smoother"]["weights"]["report"] for each in (window, adata)]
    assert reports[0] == reports[1]


def test_keys_are_those_of_squidpy(section) -> None:
    adata = section.adata.copy()
    ns.spatial_neighbors(adata, key_added="tissue", n_neighs=4)
    named = adata.uns["tissue_neighbors"]
    assert named["connectivities_key"] == "tissue_connectivities"
    assert named["distances_key"] == "tissue_distances"
    assert named["params"]["neighbours"] == 4
    weights, distances = adata.obsp["tissue_connectivities"], adata.obsp["tissue_distances"]
    assert isinstance(weights, sparse.csr_matrix)
    assert (weights.data == 1).all()
    truth = cdist(section.positions, section.positions)
    rows, columns = distances.nonzero()
    np.testing.assert_allclose(distances[rows, columns].A1, truth[rows, columns])


def test_a_graph_of_squidpy_under_another_key_is_used(section) -> None:
    adata = section.adata.copy()
    n = adata.n_obs
    ring = sparse.csr_matrix((np.ones(n), (np.arange(n), np.roll(np.arange(n), 1))), shape=(n, n))
    adata.obsp["mine_connectivities"] = (ring + ring.T).tocsr()
    adata.uns["spatial_neighbors"] = {"connectivities_key": "mine_connectivities", "params": {}}
    ns.spatially_variable_genes(adata)
    assert "mine_connectivities" in str(adata.uns["smoother"]["moranI"])


def test_what_squidpy_has_written_stays_beside_what_is_saved(section) -> None:
    adata = section.adata.copy()
    theirs = sparse.csr_matrix(np.eye(adata.n_obs))
    adata.obsp["spatial_connectivities"] = adata.obsp["spatial_distances"] = theirs
    named = {
        "connectivities_key": "spatial_connectivities",
        "distances_key": "spatial_distances",
        "params": {"n_neighbors": 6},
    }
    adata.uns["spatial_neighbors"] = named
    study = Study()
    study.open(replace(section, adata=adata))
    study.update()
    with pytest.warns(UserWarning, match="spatial_neighbors_smoother"):
        saved = annotated(study)
    assert saved.uns["spatial_neighbors"] == named
    assert (saved.obsp["spatial_connectivities"] != theirs).nnz == 0
    ours = saved.uns["spatial_neighbors_smoother"]
    assert ours["connectivities_key"] == "spatial_connectivities_smoother"
    assert saved.obsp[ours["connectivities_key"]].nnz > adata.n_obs


def test_the_old_spelling_still_works_and_says_so(section) -> None:
    old, new = section.adata.copy(), section.adata.copy()
    with pytest.warns(DeprecationWarning, match="spatial_neighbors"):
        ns.spatial_weights(old, k=8)
    ns.spatial_neighbors(new, n_neighs=8)
    assert (old.obsp["spatial_connectivities"] != new.obsp["spatial_connectivities"]).nnz == 0


# Delaunay


def test_delaunay_has_the_edges_of_the_triangles() -> None:
    points = np.random.default_rng(0).normal(size=(300, 2))
    found = delaunay_neighbours(points)
    truth = np.zeros((300, 300))
    for triangle in Delaunay(points).simplices:
        for one, other in ((0, 1), (1, 2), (2, 0)):
            truth[triangle[one], triangle[other]] = truth[triangle[other], triangle[one]] = 1
    np.testing.assert_array_equal(found.weights.toarray(), truth)
    np.testing.assert_allclose(found.distances.toarray(), truth * cdist(points, points))
    hull = len(ConvexHull(points).vertices)
    assert found.weights.nnz // 2 == 3 * 300 - 3 - hull, "Euler's formula"


def test_long_edges_of_a_triangulation_can_be_left_out() -> None:
    points = np.random.default_rng(1).normal(size=(200, 2))
    every, short = delaunay_neighbours(points), delaunay_neighbours(points, longest=0.2)
    kept = every.distances.toarray()
    kept[kept > 0.2] = 0
    np.testing.assert_array_equal(short.distances.toarray(), kept)


def test_spots_at_one_place_are_linked_in_a_triangulation() -> None:
    points = np.array([(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5), (0.5, 0.5)], dtype=float)
    found = delaunay_neighbours(points)
    assert (found.weights != found.weights.T).nnz == 0
    assert found.weights[4, 5] == 1
    assert found.distances[4, 5] == 0
    assert (np.diff(found.weights.indptr) > 0).all()


@pytest.mark.parametrize(
    "points", [np.zeros((2, 2)), np.arange(20.0).reshape(-1, 2), np.full((5, 2), np.nan)]
)
def test_what_cannot_be_triangulated_is_told(points) -> None:
    with pytest.raises(InputError, match=r"triangulat|finite"):
        delaunay_neighbours(points)


# Size


@pytest.mark.parametrize("radius", [0.02, 0.1, 0.2])
def test_edges_are_known_before_they_are_made(radius: float) -> None:
    points = np.random.default_rng(0).uniform(size=(5000, 2))
    expected = expected_edges(points, radius)
    assert link(points, radius=radius).weights.nnz / 2 == pytest.approx(expected, rel=0.05)


def test_a_radius_that_takes_in_everything_is_refused_at_once() -> None:
    points = np.random.default_rng(0).uniform(size=(20_000, 2)) * 20_000
    adata = anndata.AnnData(sparse.csr_matrix((20_000, 1)), obsm={"spatial": points})
    began = time.process_time()
    for attempt in (
        lambda: ns.spatial_neighbors(adata, radius=20_000.0),
        lambda: compute(
            Section("large", adata),
            np.full(20_000, -1),
            GraphSettings(rule="radius", radius=20_000.0),
        ),
    ):
        with pytest.raises(InputError) as refused:
            attempt()
        assert "million edges" in str(refused.value)
        assert "GB" in str(refused.value)
        smaller = float(refused.value.remedy.split("about ")[1].split(" ")[0].replace(",", ""))
        assert 500 < smaller < 20_000
        link(points, radius=smaller / 10)
    assert time.process_time() - began < 30, "minutes and gigabytes are spared"


def test_very_many_nearest_neighbours_are_refused_at_once() -> None:
    points = np.random.default_rng(0).uniform(size=(20_000, 2))
    with pytest.raises(InputError, match="million edges") as refused:
        link(points, k=15_000)
    assert refused.value.remedy == "Take up to 200"
    assert link(points[:300], k=15_000).weights.nnz == 300 * 299


def test_few_spots_may_all_be_neighbours() -> None:
    points = np.random.default_rng(0).uniform(size=(600, 2))
    assert link(points, radius=5.0).weights.nnz == 600 * 599


# The automatic radius


def hexagonal(rows: int = 20) -> np.ndarray:
    row, column = np.divmod(np.arange(rows * rows), rows)
    return np.column_stack([137 * (column + 0.5 * (row % 2)), 137 * np.sqrt(0.75) * row]).round()


def square(rows: int = 20) -> np.ndarray:
    return 50.0 * np.column_stack(np.divmod(np.arange(rows * rows), rows))


def degrees(points: np.ndarray, **settings) -> np.ndarray:
    adata = anndata.AnnData(sparse.csr_matrix((len(points), 1)), obsm={"spatial": points})
    labels = np.full(len(points), -1)
    graph = compute(Section("made", adata), labels, GraphSettings(rule="radius", **settings))
    return np.diff(graph.weights.indptr)


def test_automatic_radius_takes_the_ring_of_a_lattice() -> None:
    assert np.bincount(degrees(hexagonal())).argmax() == 6
    assert degrees(hexagonal()).max() == 6
    assert np.bincount(degrees(square())).argmax() == 8
    assert degrees(square()).max() == 8


@pytest.mark.parametrize("kept", [1.0, 0.25])
def test_automatic_radius_gives_cells_about_six_neighbours(kept: float) -> None:
    rng = np.random.default_rng(0)
    scattered = rng.uniform(size=(3000, 2)) * 1000
    pairs = np.repeat(rng.uniform(size=(1500, 2)) * 1000, 2, axis=0) + rng.normal(size=(3000, 2))
    gaps = hexagonal(40)
    for points in (scattered, pairs, gaps[rng.random(len(gaps)) < 0.25]):
        some = degrees(points[rng.random(len(points)) < kept])
        assert 5 < some.mean() < 8
        assert (some == 0).mean() < 0.02


def test_automatic_radius_of_few_spots() -> None:
    assert (degrees(np.array([[0.0, 0.0], [3.0, 0.0]])) == 1).all()
    assert (degrees(np.array([[5.0, 5.0]])) == 0).all()
    assert (degrees(np.zeros((9, 2))) == 8).all()


def test_the_radius_that_was_used_is_told(section) -> None:
    labels = np.full(section.n_spots, -1)
    for settings in (GraphSettings(rule="delaunay"), GraphSettings()):
        graph = compute(section, labels, settings)
        assert graph.radius == graph.neighbourhood.distances.data.max()
    pixel = section.micrometres_per_pixel
    told = compute(section, labels, GraphSettings(rule="radius", radius=260.0))
    assert told.radius == pytest.approx(260.0 / pixel)
