"""Groups of spots compared in a study: as the library does, and up to date or away."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import napari_smoother as ns
from napari_smoother.analyses.embedding_settings import DomainSettings
from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.errors import InputError
from napari_smoother.io.h5ad import read_h5ad_section, write_h5ad
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotate, annotated, findings_of
from napari_smoother.study.comparison import Comparison
from napari_smoother.study.ranked_genes import RankedGenes
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def sample():
    """A cortex whose true layers are in the column "layer"."""
    sample = simulate_cortex(rows=16, n_genes=80, seed=7, image_size=400)
    adata = sample.section.adata.copy()
    adata.obs = adata.obs.rename(columns={"region": "layer"})
    return replace(sample, section=replace(sample.section, adata=adata))


@pytest.fixture
def study(sample) -> Study:
    """A study with composition and two regions, and spots in neither."""
    study = Study()
    study.open(sample.section)
    study.set_reference(Reference.from_cells(sample.reference, "cell_type", "cells"))
    regions = study.regions.with_class(RegionClass("left", (1.0, 0.0, 0.0)))
    regions = regions.with_class(RegionClass("right", (0.0, 0.0, 1.0)))
    (low, bottom), (high, top) = (
        limit(sample.section.positions, axis=0) for limit in (np.min, np.max)
    )
    third = (high - low) / 3
    study.regions = regions.with_shapes(
        RegionShape(name, np.array([(a, bottom), (a + third, bottom), (a + third, top), (a, top)]))
        for name, a in (("left", low), ("right", high - third))
    )
    study.update()
    return study


def choose(study: Study, **settings: object) -> None:
    study.recipe = replace(study.recipe, comparison=replace(study.recipe.comparison, **settings))


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, {}),
        ({"unassigned": True, "pairs": (("left", ""),)}, {"pairs": [("left", None)]}),
        ({"pairs": (("left", "right"),), "blocks": 6, "level": 0.8}, {"reference": "right"}),
        ({"groups": "reduction"}, {"groupby": "domain"}),
        ({"groups": "column", "column": "layer"}, {"groupby": "layer"}),
    ],
)
def test_tables_are_those_of_the_library(study: Study, settings, arguments) -> None:
    choose(study, **settings)
    if settings.get("groups") == "reduction":
        reduction = Reduction(study)
        domains = DomainSettings(find=True, number=3)
        reduction.settings = replace(reduction.settings, components=3, domains=domains)
        reduction.update()
    study.deconvolution = replace(study.deconvolution, deviation=True)
    study.update()
    comparison = Comparison(study)
    comparison.update()
    adata = annotated(study)
    found = {key: adata.uns.pop(key) for key in ("region_comparison", "region_comparison_regions")}
    ns.compare_regions(
        adata,
        **{"groupby": "region", **arguments},
        unassigned=settings.get("unassigned", False),
        n_blocks=settings.get("blocks", 4),
        level=settings.get("level", 0.95),
    )
    for key, table in found.items():
        pd.testing.assert_frame_equal(table, adata.uns[key], check_exact=True)
    assert comparison.is_up_to_date


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, {}),
        ({"pairs": (("left", ""),), "unassigned": True}, {"groups": ["left"], "unassigned": True}),
        ({"pairs": (("left", "right"),)}, {"groups": ["left"], "reference": "right"}),
    ],
)
def test_genes_are_those_of_the_library(study: Study, settings, arguments) -> None:
    sc = pytest.importorskip("scanpy", reason="the extra genes is not installed")
    choose(study, **settings)
    ranking = RankedGenes(study)
    ranking.update()
    adata = annotated(study)
    names = ranking.result.ranked
    found = [sc.get.rank_genes_groups_df(adata, name) for name in names]
    del adata.uns["rank_genes_groups"]
    ns.rank_genes(adata, "region", **arguments)
    for name, table in zip(names, found, strict=True):
        pd.testing.assert_frame_equal(
            table, sc.get.rank_genes_groups_df(adata, name), check_exact=True
        )


def test_it_follows_what_it_depends_on_and_nothing_else(study: Study) -> None:
    comparison = Comparison(study)
    outdated: list[bool] = []
    comparison.outdated.connect(lambda: outdated.append(True))
    comparison.update()
    study.recipe = replace(study.recipe, figure=replace(study.recipe.figure, width_mm=99.0))
    study.graph_settings = replace(study.graph_settings, neighbours=5)
    assert comparison.is_up_to_date, "there is no other composition yet"
    assert not outdated
    study.update()
    assert not comparison.is_up_to_date
    assert outdated
    comparison.update()
    choose(study, level=0.5)
    assert not comparison.is_up_to_date
    study.undo()
    assert comparison.is_up_to_date
    study.regions = study.regions.with_renamed("left", "west")
    assert not comparison.is_up_to_date
    comparison.update()
    assert "west" in set(comparison.result.regions["region"])


def test_blocks_and_level_leave_a_ranking_alone(study: Study) -> None:
    pytest.importorskip("scanpy", reason="the extra genes is not installed")
    ranking = RankedGenes(study)
    ranking.update()
    choose(study, level=0.5, blocks=7)
    study.graph_settings = replace(study.graph_settings, neighbours=5)
    assert ranking.is_up_to_date
    choose(study, pairs=(("left", ""),))
    assert not ranking.is_up_to_date
    assert ranking.result is not None, "it stays on screen until it is asked for anew"


def test_without_two_groups_there_is_no_result_and_saving_works(study: Study) -> None:
    comparison = Comparison(study)
    assert comparison.obstacle is None
    comparison.update()
    study.regions = study.regions.without_class("left")
    assert comparison.result is None
    assert "1 region with values (right)" in str(comparison.obstacle)
    with pytest.raises(InputError, match="two are the least"):
        comparison.update()
    study.update()
    findings_of(study)
    choose(study, unassigned=True)
    assert comparison.obstacle is None
    study.regions = type(study.regions)()
    assert "no regions yet" in str(comparison.obstacle)
    choose(study, groups="reduction")
    assert "Reduce page" in str(comparison.obstacle)
    choose(study, groups="column", column="absent")
    assert "absent" in str(comparison.obstacle)
    choose(study, groups="column", column="layer")
    assert comparison.obstacle is None
    study.set_reference(None)
    assert "no composition" in str(comparison.obstacle)


def test_reports_name_the_column_that_regions_are_saved_in(study: Study) -> None:
    pytest.importorskip("scanpy", reason="the extra genes is not installed")
    study.section.adata.obs["region"] = "of others"
    for analysis in (Comparison(study), RankedGenes(study)):
        analysis.update()
    with pytest.warns(UserWarning, match="region_smoother"):
        adata = annotated(study)
    assert adata.uns["rank_genes_groups"]["params"]["groupby"] == "region_smoother"
    reports = adata.uns["smoother"]
    for key in ("region_comparison", "rank_genes_groups"):
        assert reports[key]["report"]["groupby"] == "region_smoother"
    choose(study, groups="column", column="layer")
    study.analyses["region_comparison"].update()
    del study.section.adata.obs["region"]
    report = annotated(study).uns["smoother"]["region_comparison"]["report"]
    assert report["groupby"] == "layer"


@pytest.mark.filterwarnings("ignore:Results stand beside")
def test_looking_at_a_comparison_is_no_unsaved_work(study: Study, tmp_path: Path) -> None:
    write_h5ad(annotate(findings_of(study)), tmp_path / "a.h5ad")
    again = Study()
    again.open(read_h5ad_section(tmp_path / "a.h5ad"))
    again.update()
    comparison = Comparison(again)
    comparison.update()
    assert comparison.result is not None
    assert not again.is_unsaved
    choose(again, level=0.5)
    assert again.is_unsaved


@pytest.mark.filterwarnings("ignore:Results stand beside")
def test_a_ranking_comes_back_with_the_session(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scanpy", reason="the extra genes is not installed")
    choose(study, pairs=(("left", "right"),), level=0.9)
    ranking = RankedGenes(study)
    ranking.update()
    write_h5ad(annotate(findings_of(study)), tmp_path / "a.h5ad")
    again = Study()
    again.open(read_h5ad_section(tmp_path / "a.h5ad"))
    assert again.recipe == study.recipe

    def never(*inputs, **named):
        raise AssertionError("it was kept")

    monkeypatch.setattr(RankedGenes, "compute", never)
    other = RankedGenes(again)
    assert other.has_kept
    other.update()
    pd.testing.assert_frame_equal(other.result.table(), ranking.result.table())
    again.regions = again.regions.with_shapes(again.regions.shapes[:1])
    assert not other.has_kept
