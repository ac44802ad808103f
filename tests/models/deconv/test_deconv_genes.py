"""Matching genes across spellings."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.models.deconv.reference import Reference

SYMBOLS = [f"Gene{letter}" for letter in "abcdefghijkl"]
IDENTIFIERS = [f"ENSMUSG{i:011d}" for i in range(12)]


def reference(genes, gene_ids=None) -> Reference:
    values = np.arange(1.0, 2 * len(genes) + 1).reshape(-1, 2)
    return Reference(
        name="atlas",
        types=("a", "b"),
        genes=pd.Index(genes),
        mean_counts=values,
        mean_log=np.log1p(values),
        gene_ids=None if gene_ids is None else pd.Index(gene_ids),
    )


def test_row_names_in_another_order() -> None:
    match = match_genes(pd.Index([*SYMBOLS, "OnlyHere"]), reference(SYMBOLS[::-1]))
    assert list(match.names) == SYMBOLS
    np.testing.assert_array_equal(match.section_index, np.arange(12))
    np.testing.assert_array_equal(match.reference_index, np.arange(12)[::-1])
    assert (match.n_section, match.n_reference, match.n_shared) == (13, 12, 12)


@pytest.mark.parametrize("column", ["gene_ids", "gene_id", "feature_id", "ensembl_id"])
def test_symbols_here_identifiers_there(column: str) -> None:
    var = pd.DataFrame({column: IDENTIFIERS}, index=SYMBOLS)
    match = match_genes(var, reference([f"{name}.7" for name in IDENTIFIERS]))
    assert list(match.names) == SYMBOLS
    np.testing.assert_array_equal(match.reference_index, np.arange(12))


@pytest.mark.parametrize("column", ["SYMBOL", "gene_symbols", "gene_name", "feature_name"])
def test_identifiers_here_symbols_there(column: str) -> None:
    var = pd.DataFrame({column: pd.Categorical(SYMBOLS)}, index=IDENTIFIERS)
    assert match_genes(var, reference(SYMBOLS)).n_shared == 12


def test_other_names_of_the_reference() -> None:
    match = match_genes(pd.Index(IDENTIFIERS), reference(SYMBOLS, IDENTIFIERS))
    assert list(match.names) == IDENTIFIERS


def test_version_is_taken_from_identifiers_only() -> None:
    """AC010608.1 is a symbol: its suffix is part of the name."""
    names = [f"AC0106{i:02d}.1" for i in range(12)]
    assert match_genes(pd.Index(names), reference(names)).n_shared == 12
    with pytest.raises(InputError):
        match_genes(pd.Index([name[:-2] for name in names]), reference(names))


def test_first_of_duplicates_is_used_on_both_sides() -> None:
    match = match_genes(
        pd.Index([SYMBOLS[0], *SYMBOLS]), reference([*SYMBOLS, SYMBOLS[3], SYMBOLS[0]])
    )
    np.testing.assert_array_equal(match.section_index, [0, *range(2, 13)])
    np.testing.assert_array_equal(match.reference_index, np.arange(12))


def test_missing_names_do_not_match_each_other() -> None:
    var = pd.DataFrame({"gene_ids": [*IDENTIFIERS[:10], None, None]}, index=SYMBOLS)
    match = match_genes(var, reference([*IDENTIFIERS[:10], "", ""]))
    assert match.n_shared == 10


def test_too_few_shows_both_spellings() -> None:
    with pytest.raises(InputError) as caught:
        match_genes(pd.Index(IDENTIFIERS), reference(SYMBOLS))
    message = str(caught.value)
    assert "share 0 genes; at least 10 are needed" in message
    assert ", ".join(IDENTIFIERS[:3]) in message
    assert ", ".join(SYMBOLS[:3]) in message
    assert "species" not in message


def test_too_few_names_the_species() -> None:
    with pytest.raises(InputError, match=r"12 match when upper and lower case .* species differ"):
        match_genes(pd.Index([name.upper() for name in SYMBOLS]), reference(SYMBOLS))


def test_more_genes_than_types_are_needed() -> None:
    values = np.ones((12, 13))
    many = Reference("many", tuple("abcdefghijklm"), pd.Index(SYMBOLS), values, values)
    with pytest.raises(InputError, match="at least 13 are needed"):
        match_genes(pd.Index(SYMBOLS), many)


@pytest.mark.tissue
def test_lymph_node(tissue) -> None:
    folder = tissue / "visium_human_lymph_node"
    section = ad.read_h5ad(folder / "lymph_node_visium_1000spots.h5ad")
    cells = ad.read_h5ad(folder / "lymph_node_reference_330cells.h5ad")
    atlas = Reference.from_cells(cells, "cell_type", "lymph node")
    match = match_genes(section.var, atlas)
    assert atlas.n_types == 11
    assert match.n_shared == 558
    np.testing.assert_array_equal(
        section.var_names[match.section_index], atlas.genes[match.reference_index]
    )
