"""Lattices are seen through rounding to whole pixels; scattered cells are not lattices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata
import numpy as np
import pytest

from napari_smoother.weights.lattice import spacing_of
from napari_smoother.weights.neighbours import TIE, nearest_neighbours

if TYPE_CHECKING:
    from pathlib import Path


def hexagonal(rows: int, columns: int, pitch: float) -> np.ndarray:
    row, column = np.mgrid[:rows, :columns]
    x = pitch * (column + 0.5 * (row % 2))
    y = pitch * np.sqrt(0.75) * row
    return np.stack([x.ravel(), y.ravel()], axis=1)


@pytest.mark.parametrize("pitch", [21.4, 137.9])
def test_rounded_hexagonal_lattice_has_only_the_ring(pitch: float) -> None:
    positions = np.round(hexagonal(14, 17, pitch))
    spacing = spacing_of(positions)
    assert spacing.is_lattice
    assert spacing.distance == pytest.approx(pitch, rel=0.05)
    graph = nearest_neighbours(positions, 6, tie_tolerance=spacing.tie_tolerance)
    assert graph.distances.data.max() < 1.2 * pitch
    exact = nearest_neighbours(hexagonal(14, 17, pitch), 6)
    assert (graph.weights != exact.weights).nnz == 0


def test_stretched_square_grid_has_only_the_four_next() -> None:
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(7.0)), axis=-1).reshape(-1, 2)
    grid[:, 0] *= 1.06
    spacing = spacing_of(grid)
    assert spacing.is_lattice
    graph = nearest_neighbours(grid, 4, tie_tolerance=spacing.tie_tolerance)
    inside = ((grid > grid.min(axis=0)) & (grid < grid.max(axis=0))).all(axis=1)
    assert (np.diff(graph.weights.indptr)[inside] == 4).all()
    assert graph.distances.data.max() < 1.07


def test_a_lattice_with_most_spots_taken_away_is_still_seen() -> None:
    positions = np.round(hexagonal(40, 40, 138.0))
    kept = np.random.default_rng(1).random(len(positions)) < 0.4
    assert spacing_of(positions[kept]).is_lattice


def test_scattered_cells_are_no_lattice() -> None:
    spacing = spacing_of(np.random.default_rng(0).random((500, 2)))
    assert not spacing.is_lattice
    assert spacing.tie_tolerance == TIE


@pytest.mark.parametrize("positions", [np.zeros((1, 2)), np.zeros((5, 2))])
def test_spots_without_a_distance(positions: np.ndarray) -> None:
    spacing = spacing_of(positions)
    assert spacing.distance == 1.0
    assert not spacing.is_lattice


@pytest.mark.tissue
@pytest.mark.parametrize(
    ("file", "is_lattice"),
    [
        ("visium_dlpfc_151673/visium_dlpfc_151673.h5ad", True),
        ("visium_human_lymph_node/lymph_node_visium_1000spots.h5ad", True),
        ("visium_mouse_hippocampus/visium_mouse_brain_dg.h5ad", True),
        ("st_mouse_olfactory_bulb/st_mob1.h5ad", True),
        ("osmfish_somatosensory_cortex/osmfish_cells.h5ad", False),
    ],
)
def test_real_sections(tissue: Path, file: str, is_lattice: bool) -> None:
    positions = anndata.read_h5ad(tissue / file).obsm["spatial"].astype(float)
    spacing = spacing_of(positions)
    assert spacing.is_lattice is is_lattice


@pytest.mark.tissue
def test_whole_crop_of_a_slide_has_only_the_ring(tissue: Path) -> None:
    path = tissue / "visium_mouse_hippocampus" / "visium_mouse_brain_dg.h5ad"
    positions = anndata.read_h5ad(path).obsm["spatial"].astype(float)
    spacing = spacing_of(positions)
    graph = nearest_neighbours(positions, 6, tie_tolerance=spacing.tie_tolerance)
    assert graph.distances.data.max() < 1.05 * spacing.distance
    without = nearest_neighbours(positions, 6)
    assert without.distances.data.max() > 1.5 * spacing.distance
