"""Genes ranked between groups of spots: as scanpy ranks them, with its layout."""

from __future__ import annotations

import sys
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

import napari_smoother as ns
from napari_smoother.analyses.comparison_settings import RankingSettings
from napari_smoother.analyses.context import Context, Progress
from napari_smoother.analyses.ranked_genes import compute
from napari_smoother.analyses.spot_groups import Groups
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.io.h5ad import read_h5ad_section, write_h5ad

pytestmark = pytest.mark.filterwarnings("ignore:The regions 'T/NK'")

sc = pytest.importorskip("scanpy", reason="the extra genes is not installed")

NAMES = ("T/NK", "rest", "white matter")
"""One cannot be a key of a file, and one is scanpy's word for all others."""


@pytest.fixture(scope="module")
def section() -> ad.AnnData:
    random = np.random.default_rng(0)
    codes = random.integers(3, size=150)
    means = random.gamma(0.5, 2, size=(3, 60))
    means[:, :5] = 0.02  # seen in few spots, or in none
    counts = random.poisson(means[codes]).astype(np.float32)
    counts[:, 59] = 0
    adata = ad.AnnData(sparse.csr_matrix(counts))
    adata.var_names = [f"gene {number}" for number in range(60)]
    adata.obs["region"] = pd.Categorical(np.array(NAMES)[codes], categories=NAMES)
    adata.obsm["spatial"] = random.uniform(size=(150, 2))
    return adata


def by_scanpy(adata: ad.AnnData, reference: str = "rest", **options: object) -> ad.AnnData:
    adata = adata.copy()
    names = [f"{code}" for code in range(3)]
    adata.obs["region"] = adata.obs["region"].cat.rename_categories(names)
    adata.X = adata.X.astype(np.float64)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    with np.errstate(all="ignore"):
        sc.tl.rank_genes_groups(
            adata, "region", method="wilcoxon", reference=reference, pts=True, **options
        )
    return adata


@pytest.mark.parametrize("tie_correct", [True, False])
@pytest.mark.parametrize("reference", [None, "rest"])
def test_numbers_are_those_of_scanpy(
    section: ad.AnnData, tie_correct: bool, reference: str | None
) -> None:
    groups = None if reference is None else ["T/NK", "white matter"]
    found = ns.rank_genes(
        section, groups=groups, reference=reference, tie_correct=tie_correct, copy=True
    )
    other = by_scanpy(
        section,
        "rest" if reference is None else "1",
        groups="all" if reference is None else ["0", "2"],
        tie_correct=tie_correct,
    )
    for code, name in enumerate(NAMES):
        if groups is not None and name not in groups:
            continue
        with np.errstate(all="ignore"):
            ours = sc.get.rank_genes_groups_df(found, name).set_index("names").sort_index()
            theirs = sc.get.rank_genes_groups_df(other, f"{code}").set_index("names").sort_index()
        for column in ("scores", "logfoldchanges", "pvals", "pvals_adj", "pct_nz_group"):
            np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-5, err_msg=column)
        if reference is None:
            np.testing.assert_allclose(ours["pct_nz_reference"], theirs["pct_nz_reference"])
        order = found.uns["rank_genes_groups"]["scores"][name]
        assert (np.diff(order) <= 0).all()
    params = found.uns["rank_genes_groups"]["params"]
    assert params["reference"] == "rest"
    assert params["groupby"] == "region"


def test_a_score_is_that_of_mann_and_whitney(section: ad.AnnData) -> None:
    found = compute(section, Groups.of(section.obs["region"]))
    counts = section.X.toarray().astype(float)
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    inside = (section.obs["region"] == "T/NK").to_numpy()
    test = stats.mannwhitneyu(values[inside, 9], values[~inside, 9], use_continuity=False)
    assert found.p_values[0, 9] == pytest.approx(test.pvalue, rel=1e-4)
    assert found.shares[0, 9] == pytest.approx((values[inside, 9] > 0).mean())
    assert found.shares_reference[0, 9] == pytest.approx((values[~inside, 9] > 0).mean())
    assert found.p_values[0, 59] == 1.0, "a gene that nothing expresses"
    assert found.log_fold_changes[0, 59] == 0.0


def test_pieces_do_not_matter(section: ad.AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_smoother.analyses import ranked_genes

    groups = Groups.of(section.obs["region"])
    whole = compute(section, groups)
    monkeypatch.setattr(ranked_genes, "ENTRIES_AT_ONCE", 7 * 150)
    told: list[Progress] = []
    pieces = compute(section, groups, context=Context(tell=told.append))
    np.testing.assert_array_equal(pieces.scores, whole.scores)
    np.testing.assert_array_equal(pieces.adjusted, whole.adjusted)
    done = [news.done for news in told if news.total == 60]
    assert done == [0, 7, 14, 21, 28, 35, 42, 49, 56, 60]
    stopped: list[int] = []
    with pytest.raises(Cancelled):
        compute(section, groups, context=Context(lambda: len(stopped) > 4, stopped.append))
    assert len(stopped) == 5


def test_spots_without_counts_or_region_are_left_out(section: ad.AnnData) -> None:
    fewer = section.copy()
    fewer.X[3] = 0
    fewer.obs.iloc[5, 0] = np.nan
    found = compute(fewer, Groups.of(fewer.obs["region"]))
    assert found.groups.sizes.sum() == 148
    kept = np.setdiff1d(np.arange(150), [3, 5])
    again = compute(section[kept].copy(), Groups.of(section.obs["region"].iloc[kept]))
    np.testing.assert_array_equal(found.scores, again.scores)


def test_one_region_against_the_spots_in_none(section: ad.AnnData) -> None:
    alone = section.copy()
    alone.obs["region"] = alone.obs["region"].cat.remove_categories(["rest", "white matter"])
    found = ns.rank_genes(alone, groups=["T/NK"], unassigned=True, copy=True)
    other = compute(section, Groups.of(section.obs["region"]))
    table = sc.get.rank_genes_groups_df(found, "T/NK").set_index("names")
    np.testing.assert_allclose(
        table.loc[list(section.var_names), "scores"], other.scores[0], rtol=1e-6
    )


def test_tables(section: ad.AnnData, tmp_path) -> None:
    found = compute(section, Groups.of(section.obs["region"]))
    found.to_csv(tmp_path / "genes.csv")
    table = pd.read_csv(tmp_path / "genes.csv")
    assert len(table) == 3 * 60
    assert list(table["region"].unique()) == list(NAMES)
    of_one = found.table("rest")
    assert list(of_one["gene"]) == list(table.loc[table["region"] == "rest", "gene"])
    np.testing.assert_allclose(
        table["share_difference"], table["share"] - table["share_reference"], atol=1e-12
    )
    assert "180" not in found.describe()
    assert "independent" in found.describe()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_it_comes_back_from_a_file(section: ad.AnnData, tmp_path) -> None:
    written = ns.rank_genes(section, copy=True)
    write_h5ad(written, tmp_path / "section.h5ad")
    back = read_h5ad_section(tmp_path / "section.h5ad").adata
    for name in NAMES:
        pd.testing.assert_frame_equal(
            sc.get.rank_genes_groups_df(back, name)[["names", "scores", "pvals_adj"]],
            sc.get.rank_genes_groups_df(written, name)[["names", "scores", "pvals_adj"]],
        )
    assert "independent" in back.uns["smoother"]["rank_genes_groups"]["report"]["caveat"]


def test_what_others_ranked_stays(section: ad.AnnData) -> None:
    adata = by_scanpy(section)
    adata.X, before = section.X, adata.uns["rank_genes_groups"]
    with pytest.warns(UserWarning, match="was there before"):
        ns.rank_genes(adata)
    assert adata.uns["rank_genes_groups"] is before
    assert "rank_genes_groups_smoother" in adata.uns
    ours = section.copy()
    ns.rank_genes(ours)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*was there before", UserWarning)
        ns.rank_genes(ours, tie_correct=False)
    assert ours.uns["rank_genes_groups"]["params"]["tie_correct"] is False
    # Scanpy itself in the place of ours.
    ours.uns["rank_genes_groups"] = before
    with pytest.warns(UserWarning, match="was there before"):
        ns.rank_genes(ours)
    assert ours.uns["rank_genes_groups"] is before


def test_without_scanpy_the_extra_is_named(
    section: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scanpy", None)
    adata = section.copy()
    with pytest.raises(InputError, match=r"napari-smoother\[genes\]"):
        ns.rank_genes(adata)
    assert "rank_genes_groups" not in adata.uns


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"groupby": "absent"}, "absent"),
        ({"groups": ["b"]}, "'b'"),
        ({"groups": ["T/NK"], "reference": "T/NK"}, "itself"),
        ({"reference": "b"}, "'b'"),
    ],
)
def test_what_cannot_be_used_is_refused(
    section: ad.AnnData, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        ns.rank_genes(section, **arguments)


def test_regions_of_one_spot_and_several_references_are_refused(section: ad.AnnData) -> None:
    lone = section.obs["region"].astype(str)
    lone.iloc[0] = "lone"
    groups = Groups.of(lone)
    with pytest.raises(InputError, match="lone"):
        compute(section, groups)
    pairs = (("T/NK", "rest"), ("rest", "white matter"))
    with pytest.raises(InputError, match="one reference"):
        compute(section, groups, RankingSettings(pairs=pairs))


def test_small_regions_are_told(section: ad.AnnData) -> None:
    small = section.copy()
    small.obs.iloc[:10, 0] = "T/NK"
    small.obs.iloc[10:, 0] = "rest"
    with pytest.warns(UserWarning, match="T/NK"):
        ns.rank_genes(small)
