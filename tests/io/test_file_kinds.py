"""What a dropped file is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
import pytest

from napari_smoother.io.file_kinds import kind_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cells(tmp_path: Path) -> anndata.AnnData:
    table = anndata.AnnData(np.ones((3, 2), dtype=np.float32))
    table.obs["cell_type"] = ["a", "b", "c"]
    return table


def test_cells_without_positions_are_a_reference(cells: anndata.AnnData, tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    cells.obsm["X_umap"] = np.ones((3, 2))
    cells.write_h5ad(path)
    assert kind_of(path) == "reference"


@pytest.mark.parametrize("where", ["obsm", "obs"])
def test_spots_with_positions_are_a_section(
    cells: anndata.AnnData, tmp_path: Path, where: str
) -> None:
    path = tmp_path / "spots.h5ad"
    if where == "obsm":
        cells.obsm["spatial"] = np.ones((3, 2))
    else:
        cells.obs[["x_centroid", "y_centroid"]] = 1.0
    cells.write_h5ad(path)
    assert kind_of(path) == "section"


def test_a_damaged_file_is_opened_as_a_section_which_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "torn.h5ad"
    path.write_bytes(b"\x89HDF")
    assert kind_of(path) == "section"


def test_tables_and_texts(tmp_path: Path) -> None:
    signature = tmp_path / "signature.csv.gz"
    pd.DataFrame({"a": [1.0]}, index=["GENE"]).to_csv(signature)
    loupe = tmp_path / "follicles.csv"
    loupe.write_text("\ufeffBarcode,follicles\nAAAC-1,dark\n", encoding="utf-8")
    names = {
        "outlines.geojson": "regions",
        "recipe.toml": "recipe",
        "picture.png": None,
        "notes.docx": None,
    }
    for name in names:
        (tmp_path / name).write_text("", encoding="utf-8")
    assert kind_of(signature) == "reference"
    assert kind_of(loupe) == "regions"
    assert {name: kind_of(tmp_path / name) for name in names} == names
    assert kind_of(tmp_path / "nowhere.csv") is None
    assert kind_of(tmp_path) is None
