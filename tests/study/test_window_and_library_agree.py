"""What the window shows is what the function on AnnData finds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest

import napari_smoother
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.models.deconv.catalogue import ModelName
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_tumour
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from pathlib import Path

    from napari_smoother.section import Section
    from napari_smoother.weights.precision import Process


def compare(
    section: Section,
    reference: Reference,
    model: ModelName = "nnls",
    process: Process = "icar",
    rho: float = 0.99,
) -> None:
    study = Study()
    study.open(section)
    study.set_reference(reference)
    chosen = study.deconvolution.with_model(model)
    study.deconvolution = replace(chosen, process=process, rho=rho)
    study.update()
    adata = section.adata.copy()
    napari_smoother.deconvolve(adata, reference, model=model, process=process, rho=rho)
    composition = study.composition
    assert composition is not None
    assert composition.converged
    found = adata.obsm[model]
    assert tuple(found.columns) == composition.types
    # Both are within 1e-5 of the optimum, by different ways.
    np.testing.assert_allclose(np.nan_to_num(composition.proportions), found.to_numpy(), atol=2e-4)
    report = adata.uns["smoother"][model]["report"]
    assert composition.report.objective == pytest.approx(report["objective"], rel=1e-4)


@pytest.fixture(scope="module")
def small() -> tuple[Section, Reference]:
    sample = simulate_tumour(rows=18, n_genes=150, seed=4, image_size=400)
    return sample.section, Reference.from_cells(sample.reference, "cell_type", "cells")


@pytest.mark.parametrize("model", get_args(ModelName))
def test_in_every_model(model: ModelName, small: tuple[Section, Reference]) -> None:
    compare(*small, model)


@pytest.mark.parametrize(
    ("process", "rho"),
    [("car", 0.15), ("sar", 0.15), ("icar", 1.0), ("isar", 0.9), ("sma", 0.2)],
)
@pytest.mark.parametrize("model", ["nnls", "linear_regression", "dwls", "poisson"])
def test_under_every_process(
    model: ModelName, process: Process, rho: float, small: tuple[Section, Reference]
) -> None:
    compare(*small, model, process, rho)


def test_on_a_simulated_tumour() -> None:
    sample = simulate_tumour(rows=30, n_genes=300, seed=4, image_size=400)
    compare(sample.section, Reference.from_cells(sample.reference, "cell_type", "cells"))


@pytest.mark.tissue
def test_on_a_lymph_node(tissue: Path) -> None:
    folder = tissue / "visium_human_lymph_node"
    compare(
        open_section(folder / "lymph_node_visium_1000spots.h5ad"),
        read_reference(folder / "lymph_node_reference_330cells.h5ad", "cell_type"),
    )
