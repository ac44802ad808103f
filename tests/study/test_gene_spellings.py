"""The same section and reference with their genes named as real files name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FEW = 60


@pytest.fixture(scope="module")
def sample():
    return simulate_cortex(rows=16, n_genes=120, seed=5, image_size=400)


@pytest.fixture
def composition(sample, tmp_path: Path) -> Callable[..., np.ndarray]:
    """Return proportions found from files, each of both changed before it is written."""

    def found(section=lambda adata: adata, reference=lambda adata: adata) -> np.ndarray:
        places = tmp_path / "section.h5ad", tmp_path / "reference.h5ad"
        section(sample.section.adata.copy()).write_h5ad(places[0])
        reference(sample.reference.copy()).write_h5ad(places[1])
        study = Study()
        study.open(open_section(places[0]))
        study.set_reference(read_reference(places[1], "cell_type"))
        study.update()
        return study.composition.proportions

    return found


def by_identifier(adata: ad.AnnData, **columns) -> ad.AnnData:
    """Name rows by identifier, and keep only these columns; None stands for the symbols."""
    symbols, identifiers = list(adata.var_names), list(adata.var["gene_ids"])
    filled = {name: symbols if values is None else values for name, values in columns.items()}
    adata.var = pd.DataFrame(filled, index=identifiers)
    return adata


def from_droplet_utils(adata: ad.AnnData) -> ad.AnnData:
    return by_identifier(adata, ID=list(adata.var["gene_ids"]), Symbol=None)


def bare_raw(adata: ad.AnnData) -> ad.AnnData:
    """Keep some scaled genes with symbols, and counts of all in raw without."""
    whole = by_identifier(adata, feature_name=None)
    small = whole[:, :FEW].copy()
    small.X = np.asarray(small.X.todense(), np.float32) - 0.5
    whole.var = whole.var.drop(columns="feature_name")
    small.raw = whole
    return small


def symbols_only(adata: ad.AnnData) -> ad.AnnData:
    adata.var = pd.DataFrame(index=adata.var_names)
    return adata


def two_genomes(adata: ad.AnnData) -> ad.AnnData:
    """Put the genes of a mouse, without a count, before those of the section."""
    mouse = sparse.csr_matrix((adata.n_obs, adata.n_vars), dtype=adata.X.dtype)
    names = [f"mm10___{name.capitalize()}" for name in adata.var_names]
    names += [f"GRCh38_{name}" for name in adata.var_names]
    both = ad.AnnData(
        sparse.hstack([mouse, adata.X]).tocsr(), obs=adata.obs, var=pd.DataFrame(index=names)
    )
    both.obsm["spatial"], both.uns = adata.obsm["spatial"], adata.uns
    return both


@pytest.mark.parametrize(
    ("section", "reference"),
    [
        (
            symbols_only,
            lambda adata: by_identifier(adata, ID=adata.var["gene_ids"].to_numpy(), Symbol=None),
        ),
        (symbols_only, lambda adata: by_identifier(adata, Unnamed=None)),
        (lambda adata: by_identifier(adata, hgnc=None), symbols_only),
    ],
    ids=["DropletUtils#101", "any title", "section by identifier"],
)
def test_a_composition_does_not_depend_on_the_spelling(composition, section, reference) -> None:
    np.testing.assert_array_equal(composition(section, reference), composition())


def test_a_human_reference_finds_the_human_part_of_two_genomes(composition) -> None:
    """scanpy#2246."""
    found = composition(two_genomes, symbols_only)
    np.testing.assert_allclose(found, composition(), atol=1e-6)


@pytest.mark.parametrize("bare", ["section", "reference"])
def test_symbols_of_var_name_the_genes_of_a_bare_raw(composition, bare: str) -> None:
    """single-cell-curation#202: genes that var does not have stay nameless, and are not used."""

    def named_alone(adata: ad.AnnData) -> ad.AnnData:
        symbols = list(adata.var_names)
        adata.var_names = [name if i < FEW else f"none{i}" for i, name in enumerate(symbols)]
        return symbols_only(adata)

    if bare == "section":
        found, wanted = composition(bare_raw, symbols_only), composition(named_alone, symbols_only)
    else:
        found, wanted = composition(symbols_only, bare_raw), composition(symbols_only, named_alone)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
