"""Where positions are found, and which column is x."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_positions import find_positions, set_positions

X, Y = np.arange(6.0), 100 + np.arange(6.0) ** 2


def bare():
    return anndata.AnnData(np.ones((6, 2), dtype=np.float32))


def found_in(adata):
    return set_positions(adata, where="file")


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("x", "y"),
        ("X", "Y"),
        ("X_centroid", "Y_centroid"),
        ("x_location", "y_location"),
        ("center_x", "center_y"),
        ("CenterX_global_px", "CenterY_global_px"),
        ("x_slide_mm", "y_slide_mm"),
        ("global_x", "global_y"),
        ("array_x", "array_y"),
        ("pxl_col_in_fullres", "pxl_row_in_fullres"),
        ("imagecol", "imagerow"),
        ("ImageCol", "ImageRow"),
        ("coord_x", "coord_y"),
        ("sdimx", "sdimy"),
    ],
)
def test_pairs_of_obs_and_names_of_a_table(x, y):
    adata = bare()
    adata.obs[y], adata.obs[x] = Y, X
    np.testing.assert_array_equal(found_in(adata), np.column_stack([X, Y]))
    table = bare()
    table.obsm["spatial"] = pd.DataFrame({y: Y, x: X}, index=table.obs_names)
    np.testing.assert_array_equal(found_in(table), np.column_stack([X, Y]))
    assert isinstance(table.obsm["spatial"], np.ndarray)


@pytest.mark.parametrize(
    "names", [("row", "col"), ("spatial_2", "spatial_1"), ("pxl_row", "pxl_col")]
)
def test_a_table_with_y_before_x(names):
    adata = bare()
    values = dict(zip(names, (Y, X), strict=True))
    adata.obsm["spatial"] = pd.DataFrame(values, index=adata.obs_names)
    np.testing.assert_array_equal(found_in(adata), np.column_stack([X, Y]))


def test_a_table_of_more_columns():
    adata = bare()
    adata.obsm["spatial"] = pd.DataFrame(
        {"z": 7.0, "array_row": 1, "array_col": 2, "y": Y, "x": X}, index=adata.obs_names
    )
    np.testing.assert_array_equal(found_in(adata), np.column_stack([X, Y]))
    positions, _ = find_positions(adata, where="file")
    assert positions.shape == (6, 2)


def test_a_table_whose_names_do_not_say():
    adata = bare()
    adata.obsm["spatial"] = pd.DataFrame({"one": X, "other": Y}, index=adata.obs_names)
    np.testing.assert_array_equal(found_in(adata), np.column_stack([X, Y]))
    adata.obsm["spatial"] = pd.DataFrame({"y": Y, "other": X}, index=adata.obs_names)
    with pytest.raises(InputError, match="do not say which is x"):
        found_in(adata)


@pytest.mark.parametrize("key", ["spatial", "X_spatial", "Spatial", "coordinates", "X_xy_loc"])
def test_names_in_obsm(key):
    adata = bare()
    adata.obsm[key] = np.column_stack([X, Y])
    np.testing.assert_array_equal(found_in(adata), np.column_stack([X, Y]))


def test_pixels_come_before_counting_and_the_slide_before_its_tiles():
    adata = bare()
    adata.obs["array_row"], adata.obs["array_col"] = range(6), range(6)
    with pytest.raises(InputError, match="array_row and array_col number the spots"):
        found_in(adata)
    for name, x, y in (("local", X + 1, Y), ("global", X, Y)):
        adata.obs[f"CenterX_{name}_px"], adata.obs[f"CenterY_{name}_px"] = x, y
    np.testing.assert_array_equal(found_in(adata), np.column_stack([X, Y]))
    del adata.obsm["spatial"]
    adata.obs["pxl_row_in_fullres"], adata.obs["pxl_col_in_fullres"] = Y + 5, X + 5
    adata.obs["x"], adata.obs["y"] = 0, 0
    assert find_positions(adata, where="file")[1].startswith('obs["pxl_col')


def test_text_is_refused():
    adata = bare()
    adata.obsm["spatial"] = pd.DataFrame({"x": list("abcdef"), "y": Y}, index=adata.obs_names)
    with pytest.raises(InputError, match="Positions are not numbers"):
        found_in(adata)
