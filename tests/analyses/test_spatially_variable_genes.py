"""Spatially variable genes of an AnnData: what is written, and what is taken into account."""

from __future__ import annotations

import doctest
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy
from numpy.testing import assert_allclose
from scipy import sparse, stats

import napari_smoother as ns
from napari_smoother.analyses import spatially_variable_genes as module
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.io.h5ad import write_h5ad
from napari_smoother.models.spatial_autocorrelation import moran, moran_test
from napari_smoother.weights.annotated import section_graph

SIDE = 20
PATTERNED = 6


def section(seed: int = 0, n_genes: int = 60) -> ad.AnnData:
    """Counts on a square lattice; the first six genes rise along x, and the last is constant."""
    random = np.random.default_rng(seed)
    y, x = (part.ravel() for part in np.indices((SIDE, SIDE)))
    means = np.tile(random.gamma(2, 1.5, n_genes), (x.size, 1))
    means[:, :PATTERNED] = 4 * (x[:, None] / SIDE) ** np.arange(1, PATTERNED + 1)
    counts = random.poisson(means)
    counts[:, -1] = 0
    return ad.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(index=[f"spot {i}" for i in range(x.size)]),
        var=pd.DataFrame(index=[f"gene/{i}" for i in range(n_genes)]),
        obsm={"spatial": np.stack([x, y], axis=1) * 100.0},
    )


def logged(adata: ad.AnnData) -> sparse.csr_matrix:
    copy = adata.copy()
    scanpy.pp.normalize_total(copy, target_sum=1e4)
    scanpy.pp.log1p(copy)
    return copy.X


def test_it_is_the_statistic_of_log_normalised_counts():
    adata = section()
    assert ns.spatially_variable_genes(adata) is None
    expected = moran(logged(adata), section_graph(adata)[0])
    assert_allclose(adata.var["moranI"], expected, atol=1e-6)


def test_the_table_is_that_of_squidpy_and_sorted():
    adata = section()
    ns.spatially_variable_genes(adata)
    table = adata.uns["moranI"]
    assert {"I", "pval_norm", "var_norm", "pval_norm_fdr_bh"} <= set(table)
    assert not any("sim" in column for column in table)
    known = table["I"].dropna()
    assert known.is_monotonic_decreasing
    assert len(known) == adata.n_vars - 1
    assert np.isnan(table.loc["gene/59"].drop("var_norm")).all()
    assert set(table.index[:PATTERNED]) == set(adata.var_names[:PATTERNED])
    assert_allclose(table["I"], adata.var["moranI"][table.index])
    tested = moran_test(logged(adata), section_graph(adata)[0])
    assert_allclose(table.loc[adata.var_names, "pval_norm"], tested.p_normal, rtol=1e-4)
    assert_allclose(table.loc[adata.var_names, "pval_rand"], tested.p_random, rtol=1e-4)
    rates = stats.false_discovery_control(table["pval_norm"].dropna())
    assert_allclose(table["pval_norm_fdr_bh"].dropna(), rates)


def test_genes_with_a_pattern_are_told_from_noise():
    wrong = 0
    for seed in range(10):
        adata = section(seed, 200)
        ns.spatially_variable_genes(adata)
        flags = adata.var["spatially_variable"].to_numpy()
        assert flags[:PATTERNED].all()
        wrong += int(flags[PATTERNED:].sum())
    assert wrong <= 10 * PATTERNED * 0.15  # 5 % of those called, and room for chance


def test_chance_does_not_make_a_gene_of_few_spots_variable():
    """Neighbours among three spots come about in three genes of a hundred."""
    adata = section(n_genes=120)
    counts = adata.X.toarray()
    counts[:, PATTERNED:] = 0
    random = np.random.default_rng(0)
    for gene in range(PATTERNED, 120):
        counts[random.choice(adata.n_obs, 4, replace=False), gene] = 2
    counts[:, 40] = 0
    counts[[0, 1, SIDE * 10], 40] = 2
    adata.X = counts
    ns.spatially_variable_genes(adata)
    assert adata.uns["moranI"].loc["gene/40", "pval_norm_fdr_bh"] < 1e-6
    flags = adata.var["spatially_variable"].to_numpy()
    assert flags[:PATTERNED].all()
    assert not flags[PATTERNED:].any()


def test_permutations_have_columns_of_their_own_and_a_seed():
    found = [
        ns.spatially_variable_genes(section(), n_permutations=50, seed=seed, copy=True)
        for seed in (3, 3, 4)
    ]
    tables = [adata.uns["moranI"] for adata in found]
    columns = {"pval_z_sim", "pval_sim", "var_sim", "pval_z_sim_fdr_bh", "pval_sim_fdr_bh"}
    assert columns <= set(tables[0])
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0]["var_sim"].equals(tables[2]["var_sim"])
    assert tables[0]["I"].equals(tables[2]["I"])
    assert_allclose(tables[0]["pval_sim"].iloc[:PATTERNED], 1 / 51)
    assert found[0].uns["smoother"]["moranI"]["recipe"]["n_permutations"] == 50


def test_spots_without_counts_take_no_part():
    adata = section()
    ns.spatial_weights(adata)
    empty = adata.copy()
    counts = empty.X.toarray()
    counts[: 2 * SIDE] = 0
    empty.X = sparse.csr_matrix(counts)
    ns.spatially_variable_genes(empty)
    rest = adata[2 * SIDE :].copy()
    ns.spatially_variable_genes(rest)
    assert_allclose(empty.var["moranI"], rest.var["moranI"], atol=1e-12)
    assert empty.uns["smoother"]["moranI"]["report"]["n_empty_spots"] == 2 * SIDE


def test_sections_are_kept_apart():
    """Two sections over each other: what joins them would be a pattern of its own."""
    first, second = section(0), section(1)
    both = ad.concat([first, second], keys=["a", "b"], label="sample", index_unique="-")
    with pytest.raises(InputError, match="lie over each other"):
        ns.spatially_variable_genes(both)
    ns.spatially_variable_genes(both, library_key="sample")
    first_graph, second_graph = (section_graph(part)[0] for part in (first, second))
    apart = sparse.block_diag([first_graph, second_graph], format="csr")
    assert_allclose(both.var["moranI"], moran(logged(both), apart), atol=1e-6)


def test_the_graph_that_is_there_is_taken():
    adata = section()
    ns.spatial_weights(adata, radius=250, bandwidth=120)
    ns.spatially_variable_genes(adata)
    expected = moran(logged(adata), adata.obsp["spatial_connectivities"])
    assert_allclose(adata.var["moranI"], expected, atol=1e-6)
    report = adata.uns["smoother"]["moranI"]["report"]
    assert report["graph"] == 'obsp["spatial_connectivities"]'


@pytest.mark.parametrize("kept", ["X", "layer", "raw", "restored"])
def test_counts_are_found_wherever_they_are(kept):
    adata = section()
    expected = ns.spatially_variable_genes(adata, copy=True).var["moranI"]
    if kept == "layer":
        adata.layers["counts"] = adata.X.copy()
    if kept == "raw":
        adata.raw = adata.copy()
    if kept != "X":
        adata.X = logged(adata)
    ns.spatially_variable_genes(adata)
    assert_allclose(adata.var["moranI"], expected, atol=1e-9)


def test_genes_of_raw_find_their_place_by_name():
    adata = section()
    expected = ns.spatially_variable_genes(adata, copy=True).var["moranI"]
    scaled = adata[:, ::-3].copy()
    scaled.X = logged(scaled)
    scaled.raw = adata
    scaled.var_names = [*scaled.var_names[:-1], "of its own"]
    ns.spatially_variable_genes(scaled, layer="raw")
    assert_allclose(scaled.var["moranI"].iloc[:-1], expected[scaled.var_names[:-1]], atol=1e-9)
    assert np.isnan(scaled.var["moranI"].iloc[-1])
    assert len(scaled.uns["moranI"]) == adata.n_vars


def test_a_name_that_comes_twice_in_raw_has_no_place():
    adata = section()
    raw = adata.copy()
    raw.var_names = ["gene/1" if name == "gene/3" else name for name in raw.var_names]
    adata.raw = raw
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ns.spatially_variable_genes(adata, layer="raw")
    lost = adata.var["moranI"].isna()
    assert set(adata.var_names[lost]) == {"gene/1", "gene/3", "gene/59"}


def test_features_that_are_no_genes_stay_out():
    adata = section()
    kinds = np.where(np.arange(adata.n_vars) % 5 == 0, "Antibody Capture", "Gene Expression")
    genes = adata[:, kinds == "Gene Expression"].copy()
    adata.var["feature_types"] = kinds
    with pytest.warns(UserWarning, match="12 Antibody Capture"):
        ns.spatially_variable_genes(adata)
    ns.spatially_variable_genes(genes)
    pd.testing.assert_frame_equal(adata.uns["moranI"], genes.uns["moranI"])
    assert adata.var.loc[kinds != "Gene Expression", "moranI"].isna().all()
    assert not adata.var.loc[kinds != "Gene Expression", "spatially_variable"].any()


def test_a_copy_leaves_the_section_as_it_is():
    adata = section()
    copy = ns.spatially_variable_genes(adata, key_added="pattern", copy=True)
    assert "pattern" in copy.uns
    assert not len(adata.uns)
    assert not len(adata.var.columns)


def test_what_was_written_comes_back_from_a_file(tmp_path):
    adata = section()
    ns.spatially_variable_genes(adata, n_permutations=5)
    for write in (ad.AnnData.write_h5ad, write_h5ad):
        write(adata, tmp_path / "section.h5ad")
        again = ad.read_h5ad(tmp_path / "section.h5ad")
        pd.testing.assert_frame_equal(again.uns["moranI"], adata.uns["moranI"])
        assert_allclose(again.var["moranI"], adata.var["moranI"])
        report = again.uns["smoother"]["moranI"]["report"]
        assert report["n_variable"] == adata.var["spatially_variable"].sum()


def test_cancelled_work_writes_nothing():
    adata = section()
    with pytest.raises(Cancelled):
        ns.spatially_variable_genes(adata, cancelled=lambda: True)
    assert not len(adata.uns)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"layer": "absent"}, "no layer"),
        ({"n_permutations": 0}, "no p-value"),
        ({"library_key": "absent"}, "absent"),
        ({"n_neighbors": 0}, "0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        ns.spatially_variable_genes(section(), **settings)


def test_the_result_says_what_it_found():
    found = module.compute(section(), module.SpatiallyVariableGenesSettings())
    number = found.report["n_variable"]
    assert found.describe() == (
        f"{number} of 60 genes vary over the tissue, at a false discovery rate of 5%"
    )


def test_the_example_runs():
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 5
