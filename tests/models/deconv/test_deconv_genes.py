"""Matching genes across spellings."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.gene_names import GeneNames, alternative_names
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.models.deconv.named_genes import named_var
from napari_smoother.models.deconv.reference import Reference

SYMBOLS = [f"Gene{letter}" for letter in "abcdefghijkl"]
IDENTIFIERS = [f"ENSMUSG{i:011d}" for i in range(12)]
HUMAN_IDENTIFIERS = [f"ENSG{i:011d}" for i in range(12)]


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


def test_a_name_of_several_genes_is_left_out_on_both_sides() -> None:
    match = match_genes(pd.Index([SYMBOLS[0], *SYMBOLS]), reference([*SYMBOLS, SYMBOLS[3]]))
    assert list(match.names) == [*SYMBOLS[1:3], *SYMBOLS[4:]]
    np.testing.assert_array_equal(match.section_index, [2, 3, *range(5, 13)])
    np.testing.assert_array_equal(match.reference_index, [1, 2, *range(4, 12)])


def test_missing_names_do_not_match_each_other() -> None:
    var = pd.DataFrame({"gene_ids": [*IDENTIFIERS[:10], None, None]}, index=SYMBOLS)
    match = match_genes(var, reference([*IDENTIFIERS[:10], "", ""]))
    assert match.n_shared == 10


@pytest.mark.parametrize("column", ["Symbol", "SYMBOL", "hgnc", "Unnamed: 0", "feature name", "x"])
def test_columns_are_found_by_what_is_in_them(column: str) -> None:
    """DropletUtils#101 names them "ID" and "Symbol"; others as they like."""
    decoys = {
        "chromosome": ["1", "2", "X"] * 4,
        "length": range(12),
        "description": [f"family member {name}" for name in SYMBOLS],
        "feature_types": "Gene Expression",
    }
    var = pd.DataFrame({**decoys, column: SYMBOLS}, index=IDENTIFIERS)
    assert list(alternative_names(var)) == [column]
    assert match_genes(var, reference(SYMBOLS)).n_shared == 12


def test_every_other_name_of_the_reference_is_tried() -> None:
    var = pd.DataFrame(
        {"symbol": SYMBOLS, "ID": IDENTIFIERS, "probe": [f"DA{i:07d}" for i in range(12)]},
        index=[f"row{i}" for i in range(12)],
    )
    cells = ad.AnnData(np.tile(np.arange(1, 13), (4, 1)), var=var)
    cells.obs["cell_type"] = ["a", "a", "b", "b"]
    atlas = Reference.from_cells(cells, "cell_type", "atlas")
    assert list(atlas.gene_ids) == IDENTIFIERS
    for names in (var.index, var["symbol"], var["ID"], var["probe"]):
        np.testing.assert_array_equal(
            match_genes(pd.Index(names), atlas).reference_index, np.arange(12)
        )


@pytest.mark.parametrize("human", ["GRCh38_", "GRCh38-", "hg19_", "GRCh38.p13_", "human_"])
@pytest.mark.parametrize("mouse", ["mm10___", "GRCm39_", "mm10---", "mouse_"])
def test_a_reference_of_one_species_matches_its_part_of_two_genomes(human, mouse) -> None:
    """scanpy#2246: C3 is a gene of both, and must not be taken for the other's."""
    ours = [f"{mouse}{name}" for name in ["C3", *SYMBOLS]]
    theirs = [f"{human}{name.upper()}" for name in ["C3", *SYMBOLS]]
    match = match_genes(pd.Index([*ours, *theirs]), reference(["C3", *SYMBOLS]))
    np.testing.assert_array_equal(match.section_index, np.arange(13))
    upper = reference(["C3", *(name.upper() for name in SYMBOLS)])
    match = match_genes(pd.Index([*ours, *theirs]), upper)
    np.testing.assert_array_equal(match.section_index, np.arange(13, 26))
    assert match.names[0] == f"{human}C3"


def test_identifiers_bear_a_genome_too() -> None:
    names = [f"mm10___{name}.3" for name in IDENTIFIERS]
    assert match_genes(pd.Index(names), reference(IDENTIFIERS)).n_shared == 12


def test_symbols_with_underscores_are_no_genomes() -> None:
    names = [f"{name}_RNA" for name in SYMBOLS]
    with pytest.raises(InputError, match="share 0 genes"):
        match_genes(pd.Index([f"RNA_{name}" for name in SYMBOLS]), reference(SYMBOLS))
    assert match_genes(pd.Index(names), reference(names)).n_shared == 12


def test_the_few_symbols_that_two_species_spell_alike_are_not_enough() -> None:
    """C2, C3, F2, ... are genes of mouse and man; a fit on these alone looks right."""
    alike = [f"C{i}" for i in range(12)]
    mouse = [f"Gene{i}x" for i in range(60)]
    with pytest.raises(InputError, match=r"share 12 genes.*72 match .* species differ"):
        match_genes(
            pd.Index([*alike, *(name.upper() for name in mouse)]), reference([*alike, *mouse])
        )


def test_a_column_in_another_case_is_no_name() -> None:
    """A table of orthologues beside mouse symbols does not make a human reference fit."""
    mouse = pd.DataFrame({"human": [name.upper() for name in SYMBOLS]}, index=SYMBOLS)
    assert alternative_names(mouse) == {}
    with pytest.raises(InputError, match="species differ"):
        match_genes(mouse, reference([name.upper() for name in SYMBOLS]))


@pytest.mark.parametrize(
    ("identifiers", "species"), [(IDENTIFIERS, "mouse"), (HUMAN_IDENTIFIERS, "human")]
)
def test_identifiers_tell_which_case_is_right(identifiers, species) -> None:
    symbols = {"mouse": SYMBOLS, "human": [name.upper() for name in SYMBOLS]}
    for order in (("human", "mouse"), ("mouse", "human")):
        var = pd.DataFrame({title: symbols[title] for title in order}, index=identifiers)
        assert list(alternative_names(var)) == [species]


def test_a_bare_table_borrows_names_from_another() -> None:
    """single-cell-curation#202: symbols are in var, not in raw.var, and only of some genes."""
    var = pd.DataFrame({"feature_name": SYMBOLS[5:2:-1]}, index=IDENTIFIERS[5:2:-1])
    raw = pd.DataFrame(index=IDENTIFIERS)
    named = named_var(raw, var)
    assert list(named["feature_name"]) == ["", "", "", *SYMBOLS[3:6], *[""] * 6]
    assert list(raw.columns) == []


def test_a_reference_takes_names_from_raw_too() -> None:
    cells = ad.AnnData(
        np.tile(np.arange(1, 13), (4, 1)), var=pd.DataFrame({"symbol": SYMBOLS}, index=IDENTIFIERS)
    )
    cells.obs["cell_type"] = ["a", "a", "b", "b"]
    cells.raw = cells.copy()
    cells.var = pd.DataFrame(index=IDENTIFIERS)
    atlas = Reference.from_cells(cells, "cell_type", "atlas")
    assert match_genes(pd.Index(SYMBOLS), atlas).n_shared == 12


def test_a_bare_table_is_joined_by_a_column_of_identifiers() -> None:
    var = pd.DataFrame({"ID": [f"{name}.2" for name in IDENTIFIERS[::-1]]}, index=SYMBOLS[::-1])
    named = named_var(pd.DataFrame(index=IDENTIFIERS), var)
    assert list(named["symbol"]) == SYMBOLS


def test_names_are_not_borrowed_by_place() -> None:
    """Rows that are only counted are no names: gene 0 here is not gene 0 there."""
    counted = [str(i) for i in range(12)]
    raw, var = pd.DataFrame(index=counted), pd.DataFrame({"symbol": SYMBOLS}, index=counted)
    assert named_var(raw, var) is raw
    raw = pd.DataFrame({"symbol": SYMBOLS}, index=IDENTIFIERS)
    var = pd.DataFrame({"symbol": SYMBOLS[::-1]}, index=IDENTIFIERS)
    assert named_var(raw, var) is raw
    other = pd.DataFrame({"ID": IDENTIFIERS}, index=[name.upper() for name in SYMBOLS])
    raw = pd.DataFrame(index=SYMBOLS)
    assert named_var(raw, other) is raw


def test_symbols_are_shown_and_identifiers_found() -> None:
    """cellxgene#2605: rows are identifiers; a gene is looked for by its symbol."""
    symbols = [*SYMBOLS[:10], "", SYMBOLS[0]]
    var = pd.DataFrame(
        {"place": [f"chr1:{i}-{i + 9}" for i in range(12)], "feature_name": symbols},
        index=IDENTIFIERS,
    )
    names = GeneNames.of(var)
    first, last = (f"{SYMBOLS[0]} ({IDENTIFIERS[place]})" for place in (0, 11))
    assert list(names.shown) == [first, *SYMBOLS[1:10], IDENTIFIERS[10], last]
    for name in (SYMBOLS[4], IDENTIFIERS[4], "chr1:4-13"):
        assert names.find(name) == IDENTIFIERS[4]
    assert names.find(last) == IDENTIFIERS[11]
    for name in (SYMBOLS[0], SYMBOLS[4].lower(), "", "nothing"):
        assert names.find(name) is None
    assert names.label(IDENTIFIERS[4]) == SYMBOLS[4]


def test_symbols_in_the_rows_are_shown_as_they_are() -> None:
    names = GeneNames.of(pd.DataFrame({"gene_ids": IDENTIFIERS}, index=SYMBOLS))
    assert list(names.shown) == SYMBOLS
    assert names.find(IDENTIFIERS[3]) == SYMBOLS[3]


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
