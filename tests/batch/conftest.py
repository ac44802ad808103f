"""Small sections in files, a reference, and a recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings, to_toml
from napari_smoother.sample_data import simulate_cortex

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Cohort:
    folder: Path
    sections: tuple[Path, ...]
    cells: Path
    recipe: Path
    content: RecipeFile


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Three sections, of which the second is broken."""
    folder = tmp_path / "sections"
    folder.mkdir()
    sections = []
    for number in range(3):
        sample = simulate_cortex(rows=16, n_genes=80, seed=number, image_size=400)
        sections.append(folder / f"s{number}.h5ad")
        sample.section.adata.write_h5ad(sections[-1])
    sections[1].write_bytes(sections[1].read_bytes()[:5000])
    cells = tmp_path / "cells.h5ad"
    sample.reference.write_h5ad(cells)
    content = RecipeFile(run=RunSettings(reference="cells.h5ad", regions_column="region"))
    settings = replace(content.recipe.deconvolution, lambda_=0.00183)
    content = replace(content, recipe=replace(content.recipe, deconvolution=settings))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(to_toml(content), encoding="utf-8")
    return Cohort(folder, tuple(sections), cells, recipe, content)
