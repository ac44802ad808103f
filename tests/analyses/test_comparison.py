"""Comparison of regions: intervals hold the truth as often as they say, though spots are alike."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

import napari_smoother as ns
from napari_smoother.analyses.comparison import compute
from napari_smoother.analyses.comparison_settings import ComparisonSettings
from napari_smoother.analyses.group_means import FEWEST, blocks_of
from napari_smoother.analyses.spot_groups import Groups
from napari_smoother.errors import Cancelled, InputError

SIDE = 40
TRUTH = 0.05


def positions_of_grid(side: int = SIDE) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 1.0


def two_regions(side: int = SIDE) -> pd.Series:
    return pd.Series(np.where(positions_of_grid(side)[:, 0] < side // 2, "left", "right"))


def coherent_shares(generator: np.random.Generator, reach: float) -> pd.DataFrame:
    """A share that is alike over `reach` spots, and `TRUTH` larger on the left."""
    # Cut from a larger field: its ends are not neighbours of each other.
    margin = 2 * SIDE
    field = gaussian_filter(generator.normal(size=(margin, margin)), reach)
    share = 0.4 + 0.3 * field[:SIDE, :SIDE] + TRUTH * (np.arange(SIDE) < SIDE // 2)
    return pd.DataFrame({"a": share.ravel(), "b": 1 - share.ravel()})


def small_section(**obs: object) -> ad.AnnData:
    positions = positions_of_grid(12)
    adata = ad.AnnData(np.ones((len(positions), 2), dtype=np.float32))
    adata.obsm["spatial"] = positions
    adata.obs["region"] = pd.Categorical(
        np.select([positions[:, 0] < 4, positions[:, 0] < 8], ["a", "b"], "c")
    )
    for name, values in obs.items():
        adata.obs[name] = values
    share = np.random.default_rng(0).uniform(0.2, 0.6, len(positions)) + 0.03 * positions[:, 0]
    adata.obsm["nnls"] = pd.DataFrame(
        {"neuron": share, "glia/astro": 1 - share}, index=adata.obs_names
    )
    return adata


@pytest.mark.parametrize("reach", [0.0, 1.5, 3.0])
def test_intervals_hold_the_truth_about_as_often_as_they_say(reach: float) -> None:
    generator = np.random.default_rng(1)
    positions, labels = positions_of_grid(), two_regions()
    groups = Groups.of(labels)
    settings = ComparisonSettings(pairs=(("left", "right"),))
    held, held_if_independent, repeats = 0, 0, 400
    for _ in range(repeats):
        shares = coherent_shares(generator, reach)
        row = compute(shares, groups, positions, settings).differences.iloc[0]
        held += row["lower"] <= TRUTH <= row["upper"]
        left = labels.to_numpy() == "left"
        of = shares["a"].to_numpy()
        error = np.sqrt(of[left].var() / left.sum() + of[~left].var() / (~left).sum())
        held_if_independent += abs(of[left].mean() - of[~left].mean() - TRUTH) < 1.96 * error
    # Said are 0.95; blocks that are next to each other are a little alike, which costs 0.02.
    assert 0.93 - 2 * np.sqrt(0.93 * 0.07 / repeats) < held / repeats < 0.99
    if reach > 1:
        assert held_if_independent / repeats < 0.7


def test_numbers_by_hand() -> None:
    # Blocks of one value each: the interval is Welch's of these.
    from scipy import stats

    generator = np.random.default_rng(2)
    of_blocks = generator.normal(0.4, 0.1, (2, 8))
    values = np.repeat(of_blocks, 10, axis=1).ravel()
    positions = np.stack([np.tile(np.arange(80), 2), np.repeat([0, 500], 80)], axis=1) * 1.0
    found = compute(
        pd.DataFrame({"t": values}),
        Groups.of(pd.Series(np.repeat(["x", "y"], 80))),
        positions,
        ComparisonSettings(pairs=(("x", "y"),), blocks=8),
    )
    row = found.differences.iloc[0]
    interval = stats.ttest_ind(*of_blocks, equal_var=False).confidence_interval(0.95)
    assert row["lower"] == pytest.approx(interval.low)
    assert row["upper"] == pytest.approx(interval.high)
    spread = np.sqrt(np.mean([values[:80].var(ddof=1), values[80:].var(ddof=1)]))
    assert row["effect_size"] == pytest.approx(row["difference"] / spread)


def test_each_is_compared_to_all_others_together() -> None:
    adata = small_section()
    ns.compare_regions(adata)
    table = adata.uns["region_comparison"]
    assert list(table["region"].unique()) == ["a", "b", "c"]
    shares, region = adata.obsm["nnls"]["neuron"], adata.obs["region"]
    row = table[(table["region"] == "b") & (table["cell_type"] == "neuron")].iloc[0]
    assert row["mean_reference"] == pytest.approx(shares[region != "b"].mean())
    assert row["difference"] == pytest.approx(
        shares[region == "b"].mean() - shares[region != "b"].mean()
    )
    assert row["n_spots"] == 48
    assert row["n_spots_reference"] == 96


def test_posterior_deviation_widens_intervals() -> None:
    adata = small_section()
    bare = ns.compare_regions(adata, copy=True)
    adata.obsm["nnls_deviation"] = adata.obsm["nnls"] * 0 + 0.1
    ns.compare_regions(adata)
    width = [
        (table["upper"] - table["lower"]).to_numpy()
        for table in (bare.uns["region_comparison"], adata.uns["region_comparison"])
    ]
    assert (width[1] > width[0]).all()
    assert adata.uns["smoother"]["region_comparison"]["report"]["deviation"] is True


def test_spots_without_value_or_region_are_left_out() -> None:
    adata = small_section()
    adata.obsm["nnls"].iloc[0] = np.nan
    adata.obs["region"] = adata.obs["region"].cat.remove_categories("c")
    ns.compare_regions(adata)
    report = adata.uns["smoother"]["region_comparison"]["report"]
    assert report["n_spots"] == 95
    assert report["n_left_out"] == 49
    assert set(adata.uns["region_comparison"]["region"]) == {"a", "b"}


def test_a_region_too_small_has_no_interval() -> None:
    adata = small_section()
    region = adata.obs["region"].astype(str)
    region.iloc[:FEWEST] = "tiny"
    adata.obs["region"] = region
    with pytest.warns(UserWarning, match="tiny"):
        ns.compare_regions(adata, pairs=[("tiny", "c"), ("b", "c")])
    table = adata.uns["region_comparison"].set_index("region")
    assert table.loc["tiny", "lower"].isna().all()
    assert table.loc["tiny", "difference"].notna().all()
    assert table.loc["b", "lower"].notna().all()


def test_blocks_do_not_reach_over_sections() -> None:
    positions = np.concatenate([positions_of_grid(10)] * 2)
    groups = Groups.of(pd.Series(np.tile(two_regions(10), 2)))
    sections = np.repeat([0, 1], 100)
    shares = pd.DataFrame({"t": np.random.default_rng(3).uniform(size=200)})
    found = compute(shares, groups, positions, sections=sections)
    assert found.report["n_blocks"] == [8, 8]


def test_sections_over_each_other_are_refused() -> None:
    one = small_section()
    both = ad.concat([one, one], label="library", index_unique="-")
    with pytest.raises(InputError, match="library"):
        ns.compare_regions(both)
    ns.compare_regions(both, library_key="library")
    assert len(both.uns["region_comparison"]) == 6


@pytest.mark.parametrize("n", [1, 4, 9, 10, 37, 400])
def test_blocks_are_of_one_size(n: int) -> None:
    positions = np.random.default_rng(n).uniform(size=(n, 2))
    sizes = np.bincount(blocks_of(positions, 8))
    assert len(sizes) == max(min(8, n // FEWEST), 1)
    assert sizes.sum() == n
    assert np.ptp(sizes) <= 2


def test_results_come_back_from_a_file(tmp_path) -> None:
    adata = small_section()
    ns.compare_regions(adata, reference="b", level=0.9)
    adata.write_h5ad(tmp_path / "section.h5ad")
    back = ad.read_h5ad(tmp_path / "section.h5ad")
    for key in ("region_comparison", "region_comparison_regions"):
        pd.testing.assert_frame_equal(
            back.uns[key].reset_index(drop=True),
            adata.uns[key],
            check_dtype=False,
            check_categorical=False,
            check_index_type=False,
        )
    recipe = back.uns["smoother"]["region_comparison"]["recipe"]
    assert [list(pair) for pair in recipe["pairs"]] == [["a", "b"], ["c", "b"]]
    assert recipe["level"] == 0.9


def test_table_and_line(tmp_path) -> None:
    adata = small_section()
    found = compute(adata.obsm["nnls"], Groups.of(adata.obs["region"]), adata.obsm["spatial"])
    assert found.describe().startswith("3 regions of 144 spots")
    found.to_csv(tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    np.testing.assert_allclose(table["difference"], found.differences["difference"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"key": "absent"}, "absent"),
        ({"groupby": "absent"}, "absent"),
        ({"reference": "d"}, "d"),
        ({"pairs": [("a", "a")]}, "itself"),
        ({"pairs": [("a", "b")], "reference": "b"}, "pairs"),
        ({"n_blocks": 1}, "blocks"),
        ({"level": 95}, "level"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: dict[str, object], said: str) -> None:
    adata = small_section()
    with pytest.raises(InputError, match=said):
        ns.compare_regions(adata, **arguments)
    assert "region_comparison" not in adata.uns


def test_one_region_is_refused() -> None:
    adata = small_section()
    adata.obs["region"] = "all"
    with pytest.raises(InputError, match="two are the least"):
        ns.compare_regions(adata)


def test_cancelled_writes_nothing() -> None:
    adata = small_section()
    with pytest.raises(Cancelled):
        ns.compare_regions(adata, cancelled=lambda: True)
    assert "region_comparison" not in adata.uns


def test_one_region_is_compared_to_the_spots_in_none() -> None:
    adata = small_section()
    adata.obs["region"] = adata.obs["region"].cat.remove_categories(["b", "c"])
    with pytest.raises(InputError, match="spots in no region"):
        ns.compare_regions(adata)
    ns.compare_regions(adata, pairs=[("a", None)], unassigned=True)
    row = adata.uns["region_comparison"].iloc[0]
    assert (row["region"], row["reference"]) == ("a", "rest")
    assert (row["n_spots"], row["n_spots_reference"]) == (48, 96)
    there = adata.obs["region"].isna().to_numpy()
    assert row["mean_reference"] == pytest.approx(adata.obsm["nnls"]["neuron"][there].mean())


def test_spread_of_the_rest_is_that_of_its_spots() -> None:
    adata = small_section()
    ns.compare_regions(adata)
    table = adata.uns["region_comparison"]
    shares, region = adata.obsm["nnls"]["neuron"], adata.obs["region"]
    for name in "abc":
        row = table[(table["region"] == name) & (table["cell_type"] == "neuron")].iloc[0]
        assert row["spread"] == pytest.approx(shares[region == name].std())
        assert row["spread_reference"] == pytest.approx(shares[region != name].std())


def test_classes_of_a_column() -> None:
    numbers = Groups.of(pd.Series([10, 2, 1, 2], name="cluster"))
    assert numbers.names == ("1", "2", "10")
    assert list(numbers.codes) == [2, 1, 0, 1]
    texts = Groups.of(pd.Series(["b", "NA", None, " nan ", "", "a"], name="layer"))
    assert texts.names == ("a", "b")
    assert list(texts.codes) == [1, -1, -1, -1, -1, 0]
    assert texts.with_unassigned().names == ("a", "b", "no region")
    ordered = pd.Categorical(["y", "x", None], categories=["y", "unused", "x"])
    groups = Groups.of(pd.Series(ordered, name="c"))
    assert groups.names == ("y", "unused", "x")
    assert groups.among(np.array([True, True, True])).names == ("y", "x")
    taken = Groups.of(pd.Series(["no region", None])).with_unassigned()
    assert taken.names == ("no region", "no region 2")
    with pytest.raises(InputError, match="300"):
        Groups.of(pd.Series(np.arange(300)))
