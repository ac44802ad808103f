"""Window, library, run and cluster find the same, to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest

import napari_smoother as ns
from napari_smoother.analyses.comparison_settings import ComparisonSettings
from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings, to_toml
from napari_smoother.batch.run import Cluster, run_here, run_on_cluster
from napari_smoother.batch.task import Task
from napari_smoother.errors import InputError
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotated
from napari_smoother.study.imputation import Imputation
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from napari_smoother.analyses.recipe import Recipe

LAMBDA = 0.00183


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("one path")
    sample = simulate_cortex(rows=16, n_genes=80, seed=4, image_size=400)
    section, cells = folder / "section.h5ad", folder / "cells.h5ad"
    sample.section.adata.write_h5ad(section)
    sample.reference.write_h5ad(cells)
    return section, cells


def changed(recipe: Recipe, gene: str) -> Recipe:
    return replace(
        recipe,
        deconvolution=replace(recipe.deconvolution, lambda_=LAMBDA, deviation=True),
        reduction=replace(recipe.reduction, components=4, lambda_=LAMBDA),
        imputation=replace(recipe.imputation, gene=gene, lambda_=LAMBDA),
    )


def by_library(wanted: str, section: Path, cells: Path, gene: str) -> AnnData:
    adata = ns.read(section)
    ns.spatial_neighbors(adata)
    if wanted == "deconvolution":
        reference = read_reference(cells, "cell_type")
        ns.deconvolve(adata, reference, lambda_=LAMBDA, deviation=True)
    elif wanted == "reduction":
        ns.spatial_pca(adata, n_latent=4, lambda_=LAMBDA)
    else:
        ns.impute(adata, genes=[gene], lambda_=LAMBDA, rho=1.0)
    return adata


KEYS = {
    "deconvolution": ("nnls", "nnls_abundance", "nnls_deviation"),
    "reduction": ("X_spatial_pca",),
    "imputation": ("imputed",),
}


@pytest.mark.parametrize("wanted", list(KEYS))
def test_window_library_run_and_cluster_agree(
    files: tuple[Path, Path], tmp_path: Path, wanted: Any
) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    section, cells = files
    opened = open_section(section)
    gene = str(opened.adata.var_names[5])
    content = RecipeFile(changed(RecipeFile().recipe, gene), RunSettings(analyses=(wanted,)))

    study = Study()
    study.open(opened, SessionRecord(content.recipe))
    analysis: Any = study.composition_analysis
    if wanted == "deconvolution":
        study.set_reference(read_reference(cells, "cell_type"))
    else:
        analysis = {"reduction": Reduction, "imputation": Imputation}[wanted](study)
    analysis.update()
    found = {"window": annotated(study), "library": by_library(wanted, section, cells, gene)}

    tasks = [
        Task(
            sample=name,
            path=str(section),
            recipe=to_toml(content),
            recipe_folder=str(tmp_path),
            output=str(tmp_path),
            reference=str(cells),
            cell_type="cell_type",
        )
        for name in ("run", "cluster")
    ]
    run_here(tasks[:1], lambda progress: None)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        run_on_cluster(tasks[1:], lambda progress: None, Cluster(cluster.scheduler_address))
    found |= {task.sample: anndata.read_h5ad(task.section_file) for task in tasks}

    for key in KEYS[wanted]:
        expected = found["window"].obsm[key]
        for who, adata in found.items():
            value = adata.obsm[key]
            assert type(value) is type(expected), who
            if isinstance(expected, pd.DataFrame):
                pd.testing.assert_frame_equal(value, expected, check_exact=True)
            else:
                np.testing.assert_array_equal(value, expected, err_msg=who)


def test_comparisons_of_a_run_are_those_of_the_library(files: tuple[Path, Path]) -> None:
    sc = pytest.importorskip("scanpy", reason="the extra genes is not installed")
    section, cells = files
    recipe = replace(
        RecipeFile().recipe, comparison=ComparisonSettings(groups="column", column="region")
    )
    # In whatever order they are wanted: the composition is found first.
    content = RecipeFile(recipe, RunSettings(analyses=("genes", "comparison", "deconvolution")))
    ran = ns.run_recipe(to_toml(content), section, reference=cells, cell_type="cell_type")
    adata = ns.read(section)
    ns.spatial_neighbors(adata)
    ns.deconvolve(adata, read_reference(cells, "cell_type"))
    ns.compare_regions(adata)
    ns.rank_genes(adata)
    pd.testing.assert_frame_equal(
        ran.uns["region_comparison"], adata.uns["region_comparison"], check_exact=True
    )
    for name in adata.obs["region"].cat.categories:
        pd.testing.assert_frame_equal(
            *(sc.get.rank_genes_groups_df(each, name) for each in (ran, adata)), check_exact=True
        )
    wanted = RunSettings(analyses=("comparison",))
    with pytest.raises(InputError, match="composition"):
        ns.run_recipe(to_toml(replace(content, run=wanted)), section)
