"""Signatures from cells and tables, against means taken by hand."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.counts import finding
from napari_smoother.counts.rows import ROWS_PER_CHUNK, csr_chunks
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.reference import Reference

COUNTS = np.array(
    [
        [1, 3, 0],
        [2, 2, 4],
        [0, 5, 5],
        [0, 1, 3],
        [9, 9, 9],
        [0, 0, 0],
    ],
    dtype=np.float32,
)
LABELS = ["a", "a", "b", "b", None, "a"]


def cells(matrix=COUNTS, labels=LABELS) -> ad.AnnData:
    n, g = matrix.shape
    return ad.AnnData(
        X=matrix,
        obs=pd.DataFrame({"type": labels}, index=[f"cell{i}" for i in range(n)]),
        var=pd.DataFrame(
            {"gene_ids": [f"ENSG0000000000{i}.2" for i in range(g)]},
            index=[f"gene{i}" for i in range(g)],
        ),
    )


EXPECTED_COUNTS = (
    np.array(
        [
            [(1 / 4 + 2 / 8) / 2, 0],
            [(3 / 4 + 2 / 8) / 2, (5 / 10 + 1 / 4) / 2],
            [(0 + 4 / 8) / 2, (5 / 10 + 3 / 4) / 2],
        ]
    )
    * 1e4
)
EXPECTED_LOG = np.array(
    [
        [(np.log1p(2500) + np.log1p(2500)) / 2, 0],
        [(np.log1p(7500) + np.log1p(2500)) / 2, (np.log1p(5000) + np.log1p(2500)) / 2],
        [np.log1p(5000) / 2, (np.log1p(5000) + np.log1p(7500)) / 2],
    ]
)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_means_by_type(form) -> None:
    reference = Reference.from_cells(cells(form(COUNTS)), "type", "by hand")
    assert reference.types == ("a", "b")
    np.testing.assert_allclose(reference.mean_counts, EXPECTED_COUNTS, rtol=1e-12)
    np.testing.assert_allclose(reference.mean_log, EXPECTED_LOG, rtol=1e-12)
    np.testing.assert_array_equal(reference.cells_per_type, [2, 2])
    np.testing.assert_allclose(reference.cell_totals, [6, 7])
    assert reference.n_dropped == 2  # one without a label, one without a count
    assert list(reference.genes) == ["gene0", "gene1", "gene2"]
    assert reference.gene_ids[1] == "ENSG00000000001.2"


def test_reading_in_pieces_changes_nothing(monkeypatch, tmp_path) -> None:
    whole = Reference.from_cells(cells(sparse.csr_matrix(COUNTS)), "type", "whole")
    monkeypatch.setattr(finding, "csr_chunks", lambda matrix, rows=0: csr_chunks(matrix, 2))
    path = tmp_path / "cells.h5ad"
    cells(sparse.csr_matrix(COUNTS)).write_h5ad(path)
    backed = ad.read_h5ad(path, backed="r")
    pieces = Reference.from_cells(backed, "type", "pieces")
    backed.file.close()
    np.testing.assert_allclose(pieces.mean_counts, whole.mean_counts, rtol=1e-14)
    np.testing.assert_allclose(pieces.mean_log, whole.mean_log, rtol=1e-14)


@pytest.mark.parametrize("place", ["layer", "raw", "logged"])
def test_counts_are_found_where_scanpy_users_keep_them(place: str) -> None:
    adata = cells(COUNTS[:5], LABELS[:5])
    normalised = np.log1p(COUNTS[:5] / COUNTS[:5].sum(axis=1, keepdims=True) * 1e4)
    if place == "layer":
        adata.layers["counts"] = COUNTS[:5].copy()
        adata.X = normalised - normalised.mean(axis=0)
    elif place == "raw":
        adata.raw = adata.copy()
        adata.X = normalised
    else:
        adata.X = normalised
        adata.uns["log1p"] = {}
    reference = Reference.from_cells(adata, "type", place)
    np.testing.assert_allclose(reference.mean_counts, EXPECTED_COUNTS, rtol=1e-5)
    np.testing.assert_allclose(reference.mean_log, EXPECTED_LOG, rtol=1e-5)
    assert reference.origin is not None
    if place == "logged":
        # Of the third cell, 0 5 5, the logarithm tells 0 1 1: shares hold, this total does not.
        assert reference.origin.describe() == "counts from X, log1p undone"
    else:
        np.testing.assert_allclose(reference.cell_totals, [6, 7])


def test_fractional_counts_are_counts() -> None:
    matrix = 10 * COUNTS[:4] + np.float32(0.25)
    with pytest.warns(UserWarning, match="holds no whole-number counts"):
        reference = Reference.from_cells(cells(matrix, LABELS[:4]), "type", "ambient removed")
    assert reference.cell_totals is None
    share = matrix / matrix.sum(axis=1, keepdims=True) * 1e4
    np.testing.assert_allclose(reference.mean_counts[:, 0], share[:2].mean(axis=0), rtol=1e-6)


def test_missing_labels_in_every_spelling() -> None:
    labels = pd.Categorical(["b", "b", "NA", "a", "a", "nan"], categories=["b", "a", "NA", "nan"])
    matrix = COUNTS + 1
    reference = Reference.from_cells(cells(matrix, labels), "type", "spellings")
    assert reference.types == ("b", "a")  # the order of the categories
    assert reference.n_dropped == 2


def test_rare_types_are_left_out_by_name() -> None:
    labels = ["a", "a", "b", "c", "c", "c"]
    with pytest.warns(UserWarning, match="fewer than 2 cells: b"):
        reference = Reference.from_cells(cells(COUNTS + 1, labels), "type", "rare")
    assert reference.types == ("a", "c")
    assert reference.n_dropped == 1


def test_no_warning_without_cause() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Reference.from_cells(cells(), "type", "quiet")


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_values_that_are_no_counts(bad: float) -> None:
    matrix = COUNTS.copy()
    matrix[0, 0] = bad
    with pytest.raises(InputError, match="No counts were found"):
        Reference.from_cells(cells(matrix), "type", "bad")


def test_negative_value_late_in_a_large_file() -> None:
    matrix = np.full((ROWS_PER_CHUNK + 3, 3), 0.5)
    matrix[:, 1] = np.arange(len(matrix))
    matrix[-1, 0] = -2
    labels = ["a"] * len(matrix)
    with pytest.raises(InputError, match="1 negative values"):
        Reference.from_cells(cells(matrix, labels), "type", "late")


def test_column_that_is_not_there() -> None:
    with pytest.raises(InputError, match='no column "cluster"; there are: type'):
        Reference.from_cells(cells(), "cluster", "absent")


def test_every_cell_its_own_type() -> None:
    with pytest.raises(InputError, match="No cell type has two cells"):
        Reference.from_cells(cells(COUNTS + 1, list("abcdef")), "type", "barcodes")


def test_table_columns_are_brought_to_ten_thousand() -> None:
    table = pd.DataFrame({"a": [1, 3], "b": [10, 0]}, index=["Gad1", "Mbp"])
    reference = Reference.from_table(table, "table")
    np.testing.assert_allclose(reference.mean_counts, [[2500, 10000], [7500, 0]])
    np.testing.assert_allclose(reference.mean_log, np.log1p([[2500, 10000], [7500, 0]]))
    np.testing.assert_allclose(reference.cell_totals, [4, 10])
    assert reference.cells_per_type is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"a": [1, -2]}), "1 values are negative"),
        (pd.DataFrame({"a": [1, np.nan]}), "missing or infinite"),
        (pd.DataFrame({"a": [1, 2], "b": [0, 0]}), "Nothing is expressed in b"),
        (pd.DataFrame({"a": [1, 2], "symbol": ["x", "y"]}), "holds text in symbol"),
        (pd.DataFrame({"a": []}), "holds no signature"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "same name"),
    ],
)
def test_tables_that_are_no_signature(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reference.from_table(table, "table")


@pytest.mark.tissue
def test_signature_table_of_starmap_agrees_with_its_cells(tissue) -> None:
    """The published table holds mean counts of the same cells, so ratios within a type agree."""
    folder = tissue / "starmap_visual_cortex"
    adata = ad.read_h5ad(folder / "starmap_cells_1020genes.h5ad")
    table = pd.read_csv(folder / "starmap_signature_from_same_cells_GPL3.csv", index_col=0)
    from_cells = Reference.from_cells(adata, "cluster_name", "cells")
    from_table = Reference.from_table(table, "table")
    assert from_cells.n_dropped == 342  # labelled "NA"
    shared = from_table.genes.intersection(from_cells.genes)
    for ours, theirs in [("Endo", "Endo"), ("Micro", "Micro"), ("eL5", "ExcitatoryL5")]:
        a = pd.Series(from_cells.mean_counts[:, from_cells.types.index(ours)], from_cells.genes)
        b = pd.Series(from_table.mean_counts[:, from_table.types.index(theirs)], from_table.genes)
        assert np.corrcoef(a[shared], b[shared])[0, 1] > 0.98
