"""Graphs that squidpy wrote are read, kept, and mean the same in every analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial import KDTree

import napari_smoother as ns
from napari_smoother.errors import InputError
from napari_smoother.keys import own_entries
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.linking import MOST_EDGES, link

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture
def adata() -> AnnData:
    """A section with the six nearest of each cell, as squidpy 1.8 writes them: one direction."""
    found = simulate_cortex(rows=20, n_genes=60, seed=2, image_size=400).section.adata
    n = found.n_obs
    cells = np.asarray(found.obsm["spatial"]) + np.random.default_rng(0).normal(0, 30, (n, 2))
    found.obsm["spatial"] = cells
    far, nearest = KDTree(cells).query(cells, k=7)
    rows = np.arange(0, 6 * n + 1, 6)
    shape = (n, n)
    ones = np.ones(6 * n, dtype=np.float32)
    found.obsp["spatial_connectivities"] = sparse.csr_matrix(
        (ones, nearest[:, 1:].ravel(), rows), shape
    )
    found.obsp["spatial_distances"] = sparse.csr_matrix(
        (far[:, 1:].ravel(), nearest[:, 1:].ravel(), rows), shape
    )
    found.uns["spatial_neighbors"] = {
        "connectivities_key": "spatial_connectivities",
        "distances_key": "spatial_distances",
        "params": {"coord_type": "generic", "n_neighbors": 6, "transform": None},
    }
    return found


def test_edges_of_one_direction_are_half_an_edge(adata: AnnData) -> None:
    given = adata.obsp["spatial_connectivities"].toarray()
    assert (given != given.T).any()
    weights, graph = section_graph(adata)
    np.testing.assert_array_equal(weights.toarray(), (given + given.T) / 2)
    assert graph == 'obsp["spatial_connectivities"]'


def test_nearest_neighbours_of_squidpy_serve_an_analysis(adata: AnnData) -> None:
    ns.spatial_pca(adata, n_latent=3)
    one = adata.obsm["X_spatial_pca"]
    given = adata.obsp["spatial_connectivities"]
    adata.obsp["spatial_connectivities"] = sparse.csr_matrix((given + given.T) / 2)
    ns.spatial_pca(adata, n_latent=3)
    np.testing.assert_array_equal(adata.obsm["X_spatial_pca"], one)


def test_a_graph_under_another_key_does_not_make_that_of_squidpy_ours(adata: AnnData) -> None:
    ns.spatial_neighbors(adata, key_added="tissue", delaunay=True)
    ours = own_entries(adata.uns)
    assert ours["obsp"] == {"tissue_connectivities", "tissue_distances"}
    assert ours["uns"] == {"tissue_neighbors"}


def test_a_graph_of_version_0_1_is_ours_and_what_squidpy_says_of_it_is_not() -> None:
    uns = {"smoother": {"weights": {"recipe": {"k": 6}, "report": {"n_spots": 5}}}}
    ours = own_entries(uns)
    assert ours["obsp"] == {"spatial_connectivities", "spatial_distances"}
    assert ours["uns"] == set()


@pytest.mark.parametrize("delaunay", [False, True])
def test_an_interval_of_radii_is_refused_in_words(adata: AnnData, delaunay: bool) -> None:
    with pytest.raises(InputError, match="not a number"):
        ns.spatial_neighbors(adata, radius=(0.0, 200.0), delaunay=delaunay)


@pytest.mark.parametrize("n_spots", [3_600, 5_000, 20_000])
def test_a_radius_over_a_whole_slide_is_refused_and_the_one_proposed_is_not(n_spots: int) -> None:
    side = int(np.sqrt(n_spots))
    row, column = np.divmod(np.arange(n_spots), side)
    slide = np.column_stack([(column + 0.5 * (row % 2)) * 137, row * 137 * np.sqrt(3) / 2])
    with pytest.raises(InputError, match="million edges") as refused:
        link(slide, radius=20_000.0)
    proposed = float(str(refused.value.remedy).split("about ")[1].split(" ")[0].replace(",", ""))
    found = link(slide, radius=0.95 * proposed)
    assert MOST_EDGES / 4 < found.weights.nnz / 2 < 1.2 * max(MOST_EDGES, 100 * n_spots)
