"""What a map of spots shows: genes by any name, classes in the colours of the file."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from napari_smoother.analyses.observed_spots import class_columns
from napari_smoother.analyses.quantities import Numbers
from napari_smoother.analyses.shown import View
from napari_smoother.errors import InputError
from napari_smoother.section import Section
from napari_smoother.study.view import palette_fault, values_of, viewable

SYMBOLS = ["GAD1", "SLC17A7", "GFAP", "MBP"]
IDENTIFIERS = ["ENSG00000128683", "ENSG00000104888", "ENSG00000131095", "ENSG00000197971"]
COUNTS = np.array([[1, 0, 3, 0], [0, 2, 0, 0], [4, 0, 0, 4], [0, 0, 1, 1]])
RED, BLUE, GREEN = (1, 0, 0, 1), (0, 0, 1, 1), (0, 128 / 255, 0, 1)


def section(var: pd.DataFrame, **obs) -> Section:
    adata = ad.AnnData(COUNTS.astype(np.float32), var=var)
    adata.obsm["spatial"] = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
    for name, values in obs.items():
        adata.obs[name] = values
    return Section("slice", adata)


@pytest.fixture
def by_identifier() -> Section:
    return section(pd.DataFrame({"feature_name": SYMBOLS}, index=IDENTIFIERS))


@pytest.mark.parametrize("name", ["GFAP", "ENSG00000131095"])
def test_a_gene_by_symbol_and_identifier(by_identifier: Section, name: str) -> None:
    """cellxgene#2605: rows are identifiers."""
    assert viewable(by_identifier)["gene"] == tuple(SYMBOLS)
    found = values_of(by_identifier, View("gene", name))
    assert isinstance(found, Numbers)
    assert found.quantity == "GFAP, log1p of counts per 10,000"
    np.testing.assert_allclose(found.values, np.log1p([7500, 0, 0, 5000]), rtol=1e-6)


@pytest.mark.parametrize("name", ["gfap", "GFA", "ENSG0000013109", "", "feature_name"])
def test_a_gene_that_is_not_there_is_no_other(by_identifier: Section, name: str) -> None:
    with pytest.raises(InputError, match="There is no gene"):
        values_of(by_identifier, View("gene", name))


def classes(values, colours):
    opened = section(pd.DataFrame(index=SYMBOLS), cluster=values)
    opened.adata.uns["cluster_colors"] = colours
    return opened, values_of(opened, View("obs", "cluster"))


def test_colours_go_with_categories_that_have_no_spot() -> None:
    """napari-spatialdata#324; scanpy keeps one colour for each category, used or not."""
    order = ["late", "never", "early"]
    values = pd.Categorical(["early", "late", "early", None], categories=order, ordered=True)
    _, found = classes(values, ["red", "blue", "green"])
    assert found.names == ("late", "early")
    np.testing.assert_array_equal(found.codes, [1, 0, 1, -1])
    np.testing.assert_allclose(found.palette, [RED, GREEN], atol=1e-6)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["b", "a", "b", "NA"], ("NA", "a", "b")),
        ([10, 2, 10, 33], ("2", "10", "33")),
        (pd.Categorical([10, 2, 10, 33]), ("2", "10", "33")),
    ],
)
def test_colours_of_text_and_whole_numbers(values, names) -> None:
    _, found = classes(values, ["red", "blue", "green"])
    assert found.names == names
    np.testing.assert_allclose(found.palette, [RED, BLUE, GREEN], atol=1e-6)


def test_truth_values() -> None:
    _, found = classes([True, False, True, True], ["red", "blue"])
    assert found.names == ("False", "True")
    np.testing.assert_allclose(found.palette, [RED, BLUE], atol=1e-6)


@pytest.mark.parametrize("colours", [["red"], ["red", "no colour"]])
def test_colours_that_cannot_be_used_are_told(colours) -> None:
    opened, found = classes(["a", "b", "a", "b"], colours)
    assert found.palette is None
    assert "not used (slice, uns[" in str(palette_fault(opened, View("obs", "cluster")))
    assert class_columns(opened) == {"cluster": ("a", "b")}


def test_numbers_have_no_classes_to_colour() -> None:
    opened, found = classes([0.5, 1.5, 2.5, 3.5], ["red"])
    assert isinstance(found, Numbers)
    assert palette_fault(opened, View("obs", "cluster")) is None
