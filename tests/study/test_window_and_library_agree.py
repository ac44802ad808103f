"""What the window shows is what the function on AnnData finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_smoother
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_tumour
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from pathlib import Path

    from napari_smoother.section import Section


def compare(section: Section, reference: Reference) -> None:
    study = Study()
    study.open(section)
    study.set_reference(reference)
    study.update()
    adata = section.adata.copy()
    napari_smoother.deconvolve(adata, reference)
    assert study.composition is not None
    found = adata.obsm["nnls"]
    assert tuple(found.columns) == study.composition.types
    # Both are within 1e-5 of the optimum, by different ways.
    np.testing.assert_allclose(
        np.nan_to_num(study.composition.proportions), found.to_numpy(), atol=2e-4
    )


def test_on_a_simulated_tumour() -> None:
    sample = simulate_tumour(rows=30, n_genes=300, seed=4)
    compare(sample.section, Reference.from_cells(sample.reference, "cell_type", "cells"))


@pytest.mark.tissue
def test_on_a_lymph_node(tissue: Path) -> None:
    folder = tissue / "visium_human_lymph_node"
    compare(
        open_section(folder / "lymph_node_visium_1000spots.h5ad"),
        read_reference(folder / "lymph_node_reference_330cells.h5ad", "cell_type"),
    )
