"""The recipe of the window in files and scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
import pytest
from qtpy.QtGui import QGuiApplication

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.study.annotated import annotated
from napari_smoother.widgets import opening, recipes
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.reduce_page import ReducePage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


@pytest.fixture
def worked_on(
    dock: SmootherDock, session: Session, sample: Sample, settle: Settle, tmp_path: Path
) -> Session:
    """A session on files, with something changed and found everywhere."""
    section, cells = tmp_path / "se'ction \\.h5ad", tmp_path / "cells.h5ad"
    sample.section.adata.write_h5ad(section)
    sample.reference.write_h5ad(cells)
    opening.open_path(session, section)
    settle(session)
    opening.open_reference(session, cells, "cell_type")
    settle(session)
    study = session.study
    far = np.median(study.section.positions, axis=0)
    corner = RegionShape("T/NK", np.array([(0, 0), (far[0], 0), far, (0, far[1])]))
    study.regions = study.regions.with_class(RegionClass("T/NK", (1.0, 0, 0))).with_shapes(
        [corner]
    )
    study.deconvolution = replace(study.deconvolution, lambda_=0.00183, rho=0.9995)
    settle(session)
    dock.turn_to(ReducePage)
    settle(session)
    return session


def test_the_script_of_the_window_finds_the_same_to_the_bit(
    dock: SmootherDock, worked_on: Session, tmp_path: Path
) -> None:
    page = dock.page(DataPage)
    page._copy_as_python()
    script = QGuiApplication.clipboard().text()
    assert script == recipes.as_python(worked_on.study)
    file = tmp_path / "script.py"
    file.write_text(script + "\nadata.write_h5ad('found.h5ad')\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, str(file)], check=True, cwd=tmp_path, env=environment)
    found = anndata.read_h5ad(tmp_path / "found.h5ad")
    with pytest.warns(UserWarning, match="Results stand beside"):
        window = annotated(worked_on.study)
    pd.testing.assert_frame_equal(found.obsm["nnls"], window.obsm["nnls"], check_exact=True)
    np.testing.assert_array_equal(found.obsm["X_spatial_pca"], window.obsm["X_spatial_pca"])
    connectivities = found.obsp["spatial_connectivities"]
    assert (connectivities != window.obsp["spatial_connectivities"]).nnz == 0


def test_a_recipe_is_taken_for_another_section_in_one_step(
    worked_on: Session, settle: Settle, tmp_path: Path
) -> None:
    study, path = worked_on.study, tmp_path / "recipe.toml"
    saved = study.recipe
    recipes.save_recipe(worked_on, path)
    study.deconvolution = replace(study.deconvolution, lambda_=5.0)
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    study.regions = study.regions.without_class("T/NK")
    before = study.recipe
    recipes.open_recipe(worked_on, path)
    settle(worked_on)
    assert replace(study.recipe, shown=saved.shown) == saved
    study.undo()
    assert study.recipe == before
    settle(worked_on)


def test_a_recipe_that_is_wrong_is_told_and_changes_nothing(
    worked_on: Session, told: list[str], tmp_path: Path, settle: Settle
) -> None:
    path, before = tmp_path / "recipe.toml", worked_on.study.recipe
    path.write_text("[graph]\nneighbours = 0\n", encoding="utf-8")
    recipes.open_recipe(worked_on, path)
    settle(worked_on)
    assert "line 2, graph.neighbours" in told[-1]
    recipes.open_recipe(worked_on, tmp_path / "nothing.toml")
    settle(worked_on)
    assert "cannot be read" in told[-1]
    assert worked_on.study.recipe == before


def test_a_section_without_a_file_cannot_be_a_script(
    dock: SmootherDock, solved: Session, told: list[str]
) -> None:
    dock.page(DataPage)._copy_as_python()
    assert "came from no file" in told[-1]


def test_the_script_reads_the_counts_that_were_chosen(
    worked_on: Session, settle: Settle, tmp_path: Path
) -> None:
    study = worked_on.study
    adata = anndata.read_h5ad(study.section.source)
    adata.layers["turned"] = adata.X[::-1].copy()
    adata.write_h5ad(tmp_path / "layers.h5ad")
    cells = anndata.read_h5ad(study.reference.source)
    cells.layers["doubled"] = cells.X * 2
    cells.layers["doubled"][: cells.n_obs // 2] *= 3
    cells.write_h5ad(tmp_path / "cells.h5ad")
    opening.open_path(worked_on, tmp_path / "layers.h5ad")
    settle(worked_on)
    opening.choose_counts(worked_on, 'layers["turned"]')
    settle(worked_on)
    opening.open_reference(worked_on, tmp_path / "cells.h5ad", "cell_type")
    settle(worked_on)
    opening.choose_reference_counts(worked_on, 'layers["doubled"]')
    settle(worked_on)
    study = worked_on.study
    assert study.section.origin.place == 'layers["turned"]'
    assert study.reference.origin.place == 'layers["doubled"]'
    content = recipes.recipe_of(study)
    assert content.run.counts == 'layers["turned"]'
    assert content.run.reference_counts == 'layers["doubled"]'
    script: dict[str, object] = {}
    exec(recipes.as_python(study), script)
    window = study.composition.proportions
    np.testing.assert_array_equal(script["adata"].obsm["nnls"].to_numpy(), window)
