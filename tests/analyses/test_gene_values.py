"""One gene of an open section is what it is among all genes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import sparse

from napari_smoother.analyses.gene_values import gene_expression, log_expression
from napari_smoother.errors import InputError
from napari_smoother.sample_data import simulate_cortex

if TYPE_CHECKING:
    from napari_smoother.section import Section


@pytest.fixture(scope="module")
def section() -> Section:
    return simulate_cortex(rows=16, n_genes=120, seed=5, image_size=400).section


def held(section: Section, matrix: Any) -> Section:
    adata = section.adata.copy()
    adata.X = matrix
    return replace(section, adata=adata)


@pytest.mark.parametrize(
    "form", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.asarray]
)
def test_one_gene_has_the_bits_it_has_among_all(section: Section, form: Any) -> None:
    counts = np.asarray(section.adata.X.todense(), dtype=np.float32)
    counts[7] = 0  # a spot without counts
    one = held(section, form(counts))
    all_genes = log_expression(one.adata, None, where="section")
    dense = all_genes.toarray() if sparse.issparse(all_genes) else all_genes
    for place in (0, 17, 119):
        found = gene_expression(one, str(one.adata.var_names[place]))
        assert np.array_equal(found, dense[:, place])
        total = counts.sum(axis=1, dtype=np.float64)
        share = np.divide(counts[:, place], total, out=np.zeros(len(total)), where=total > 0)
        np.testing.assert_allclose(found, np.log1p(1e4 * share), rtol=1e-6)


def test_entries_that_are_stored_twice_count_together(section: Section) -> None:
    counts = sparse.csr_matrix(section.adata.X, dtype=np.float64)
    twice = sparse.csr_matrix(
        (np.repeat(counts.data / 2, 2), np.repeat(counts.indices, 2), 2 * counts.indptr),
        shape=counts.shape,
    )
    gene = str(section.adata.var_names[3])
    found = gene_expression(held(section, twice), gene)
    np.testing.assert_allclose(found, gene_expression(held(section, counts), gene), rtol=1e-12)


def test_a_gene_that_is_not_there_and_values_that_are_none_are_refused(section: Section) -> None:
    with pytest.raises(InputError, match="not there"):
        gene_expression(section, "NOSUCHGENE")
    broken = section.adata.X.copy()
    broken.data[3] = np.nan
    with pytest.raises(InputError, match="missing or infinite"):
        gene_expression(held(section, broken), str(section.adata.var_names[0]))
