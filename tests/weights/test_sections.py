"""Spots of several sections: found by names and places, and never linked."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from napari_smoother import deconvolve, impute, predict_at, spatial_pca, spatial_weights
from napari_smoother.errors import InputError
from napari_smoother.weights.sections import (
    may_name_sections,
    overlapping_sections,
    sections_of_column,
    unexplained_overlap,
)

N = 144


def lattice():
    row, column = np.mgrid[:12, :12]
    x = 100 * (column + row % 2 / 2)
    return np.column_stack([x.ravel(), 100 * row.ravel() * 3**0.5 / 2])


def two_sections(second=None, **columns):
    """Two sections of 144 spots over each other, with columns of obs by name."""
    first = lattice()
    positions = np.vstack([first, first + np.array([31, 17]) if second is None else second])
    adata = ad.AnnData(np.random.default_rng(0).poisson(3.0, (2 * N, 5)).astype(np.float32))
    adata.obsm["spatial"] = positions
    adata.obs_names = [f"cell{k}" for k in range(2 * N)]
    for name, (one, two) in columns.items():
        adata.obs[name] = [one] * N + [two] * N
    return adata


def found(adata, **options):
    return overlapping_sections(adata.obs, adata.obsm["spatial"], **options)


@pytest.mark.parametrize(
    ("column", "one", "two"),
    [
        ("library_id", "LA", "LB"),
        ("Sample", "a", "b"),
        ("SampleID", 1, 2),
        ("sample.name", "a", "b"),
        ("Bregma", -0.29, 0.26),
        ("brain_section_label", "C57.001", "C57.002"),
        ("batch", "0", "1"),
        ("fov", 1, 2),
        ("orig.ident", "a", "b"),
        ("TMA core", "A-1", "A-2"),
        ("CoreID", "A-1", "A-2"),
    ],
)
def test_columns_that_name_sections(column, one, two):
    sections = found(two_sections(**{column: (one, two)}))
    assert sections.names == (str(one), str(two))
    assert sections.columns == (column,)
    np.testing.assert_array_equal(sections.labels, np.repeat([0, 1], N))


@pytest.mark.parametrize(
    "column", ["cell_type", "leiden", "n_samples_seen", "core_or_edge", "x", "in_tissue"]
)
def test_columns_that_name_something_else(column):
    assert not may_name_sections(column)
    assert found(two_sections(**{column: ("a", "b")})) is None


def test_a_column_declared_by_the_table_itself():
    adata = two_sections(region=("block_A_spots", "block_B_spots"))
    assert found(adata) is None
    assert found(adata, further=("region",)).names == ("block_A_spots", "block_B_spots")


def test_names_of_sections_side_by_side_are_of_one_slide():
    assert (
        found(two_sections(lattice() + np.array([1400, 0]), fov=(1, 2), sample=("a", "b"))) is None
    )


def test_order_of_categories_and_spots_without_a_name():
    adata = two_sections(sample=("a", "b"))
    adata.obs["sample"] = pd.Categorical(adata.obs["sample"], categories=["b", "unused", "a"])
    assert found(adata).names == ("b", "a")
    adata.obs["sample"] = ["a"] * N + [None] * N
    assert found(adata).names == ("a", "NA")


def test_two_columns_where_neither_suffices():
    """Two animals, two slices of each: all four over each other."""
    adata = ad.concat([two_sections(Bregma=(0.1, 0.2)), two_sections(Bregma=(0.1, 0.2))])
    adata.obs["Animal_ID"] = [1] * 2 * N + [2] * 2 * N
    sections = found(adata)
    assert sections.columns == ("Bregma", "Animal_ID")
    assert sections.names == ("0.1 1", "0.1 2", "0.2 1", "0.2 2")
    adata.obs["section"] = [f"s{k // N}" for k in range(4 * N)]
    assert found(adata).columns == ("section",)
    with pytest.raises(InputError, match="Make one column of obs"):
        spatial_weights(
            ad.AnnData(adata.X, obs=adata.obs.drop(columns="section"), obsm=dict(adata.obsm))
        )


def test_a_coarse_column_gives_way_to_one_that_tells_all_apart():
    adata = ad.concat([two_sections(batch=("b1", "b1")), two_sections(batch=("b2", "b2"))])
    adata.obs["slide"] = [f"s{k // N}" for k in range(4 * N)]
    assert found(adata).columns == ("slide",)


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("AT{:05d}AAAC-{}", 1, 2),  # Cell Ranger's aggregation
        ("AT{:05d}AAAC-1-{}", "block_A", "block_B"),  # AnnData's concat
        ("AT{:05d}AAAC-{}", 1, 11),
        ("{1}_AT{0:05d}AAAC-1", "S1", "S2"),
    ],
)
def test_what_stands_beside_the_barcodes(name, one, two):
    adata = two_sections()
    adata.obs_names = [name.format(k % N, one if k < N else two) for k in range(2 * N)]
    sections = found(adata)
    assert sections.columns == ()
    assert len(sections.names) == 2
    np.testing.assert_array_equal(sections.labels, np.repeat([0, 1], N))
    with pytest.raises(InputError, match="endings of obs_names"):
        spatial_weights(adata)


def test_names_made_unique_tell_nothing():
    adata = two_sections()
    adata.obs_names = [f"AT{k % N:05d}AAAC-1" + ("-1" if k >= N else "") for k in range(2 * N)]
    assert found(adata) is None
    with pytest.raises(InputError, match=r"144 names of spots come more.*library_key"):
        spatial_weights(adata)


@pytest.mark.parametrize("unique", [False, True])
def test_names_that_come_twice_for_scattered_cells(unique):
    rng = np.random.default_rng(4)
    adata = two_sections()
    adata.obsm["spatial"] = rng.uniform(0, 1200, (2 * N, 2))
    assert unexplained_overlap(adata.obs, adata.obsm["spatial"]) is None
    adata.obs_names = [f"cell{k % N}" for k in range(2 * N)]
    if unique:
        adata.obs_names_make_unique()
    with pytest.raises(InputError, match="144 names of spots come more than once"):
        spatial_weights(adata)
    adata.obsm["spatial"][N:, 0] += 1300
    spatial_weights(adata)


def test_running_numbers_are_no_sections():
    adata = two_sections(sample=("a", "a"))
    adata.obs["section_id"] = np.arange(2 * N)
    assert found(adata) is None


def test_overlap_without_a_name():
    same = two_sections(lattice())
    assert "are those of 2 spots each" in unexplained_overlap(same.obs, same.obsm["spatial"])
    moved = two_sections()
    assert "several lattices" in unexplained_overlap(moved.obs, moved.obsm["spatial"])
    apart = two_sections(lattice() + np.array([5000, 0]))
    assert unexplained_overlap(apart.obs, apart.obsm["spatial"]) is None
    apart.obs["array_row"] = np.tile(np.arange(N) // 12, 2)
    apart.obs["array_col"] = np.tile(np.arange(N) % 12, 2)
    assert "array_row" in unexplained_overlap(apart.obs, apart.obsm["spatial"])


def test_a_graph_over_sections_is_refused_by_the_name_of_the_column():
    adata = two_sections(sample=("a", "b"))
    for call in (
        lambda: spatial_weights(adata),
        lambda: spatial_weights(adata, radius=150),
        lambda: impute(adata),
        lambda: spatial_pca(adata, n_latent=2),
        lambda: predict_at(adata, [[5.0, 5.0]]),
    ):
        with pytest.raises(InputError, match=r'2 sections.*library_key="sample"'):
            call()
    assert not adata.obsp


@pytest.mark.parametrize("how", [{"k": 6}, {"radius": 110.0, "bandwidth": 80.0}])
def test_a_graph_block_by_block(how):
    """In any order of the spots, each section's graph is the one it has alone."""
    adata = two_sections(sample=("a", "b"))
    order = np.random.default_rng(1).permutation(2 * N)
    adata = adata[order].copy()
    spatial_weights(adata, library_key="sample", **how)
    for name in "ab":
        here = (adata.obs["sample"] == name).to_numpy()
        alone = adata[here].copy()
        alone.obsp.clear()
        spatial_weights(alone, **how)
        for key in ("spatial_connectivities", "spatial_distances"):
            assert (adata.obsp[key][here][:, here] != alone.obsp[key]).nnz == 0
            assert adata.obsp[key][here][:, ~here].nnz == 0
            assert alone.obsp[key].nnz > 3 * N
    assert adata.uns["smoother"]["weights"]["recipe"]["library_key"] == "sample"
    assert adata.uns["smoother"]["weights"]["report"]["n_components"] == 2


def test_spots_at_the_same_place_keep_their_edge_of_length_nought():
    adata = two_sections(lattice(), sample=("a", "b"))
    adata.obsm["spatial"][1] = adata.obsm["spatial"][0]
    spatial_weights(adata, radius=120.0, library_key="sample")
    assert adata.obsp["spatial_connectivities"][0, 1] == 1
    row = adata.obsp["spatial_distances"][[0]].tocoo()
    assert row.data[row.col == 1].tolist() == [0.0]


def test_models_take_the_key():
    adata = two_sections(sample=("a", "b"))
    impute(adata, library_key="sample")
    alone = adata[:N].copy()
    impute(alone)
    np.testing.assert_allclose(adata.layers["imputed"][:N], alone.layers["imputed"], atol=1e-5)
    recipe = adata.uns["smoother"]["imputed"]["recipe"]
    assert recipe["graph"] == 'mutual 6 nearest neighbours within obs["sample"]'
    spatial_pca(adata, n_latent=2, library_key="sample")


def test_two_sections_are_deconvolved_as_each_alone():
    rng = np.random.default_rng(3)
    signature = pd.DataFrame(rng.gamma(1.0, 5.0, (30, 3)), columns=list("abc"))
    signature.index = [f"Gene{k}" for k in range(30)]
    mixture = signature.to_numpy() @ rng.dirichlet(np.ones(3), 2 * N).T
    adata = two_sections(sample=("a", "b"))
    adata = ad.AnnData(rng.poisson(mixture.T).astype(np.float32), adata.obs, obsm=adata.obsm)
    adata.var_names = signature.index
    with pytest.raises(InputError, match='library_key="sample"'):
        deconvolve(adata, signature)
    # Weights of genes would be those of all spots together.
    options = {"lambda_": 1.0, "tolerance": 1e-9, "scale": "counts", "gene_weights": np.ones(30)}
    deconvolve(adata, signature, library_key="sample", **options)
    assert "within" in adata.uns["smoother"]["nnls"]["recipe"]["graph"]
    for name in "ab":
        alone = adata[adata.obs["sample"] == name].copy()
        deconvolve(alone, signature, key_added="alone", **options)
        np.testing.assert_allclose(alone.obsm["nnls"], alone.obsm["alone"], atol=1e-6)


def test_a_graph_that_joins_sections_is_refused():
    adata = two_sections(library_id=("a", "b"))
    hidden = ad.AnnData(adata.X, obsm={"spatial": np.random.default_rng(0).random((2 * N, 2))})
    spatial_weights(hidden)
    adata.obsp["spatial_connectivities"] = hidden.obsp["spatial_connectivities"]
    for key in (None, "library_id"):
        with pytest.raises(InputError, match=r"edges of the graph join.*library_id"):
            impute(adata, library_key=key)
    spatial_weights(adata, library_key="library_id")
    impute(adata)


def test_a_key_that_is_not_there():
    with pytest.raises(InputError, match='no column "sample"; there are: batch'):
        sections_of_column(two_sections(batch=("a", "b")).obs, "sample")
