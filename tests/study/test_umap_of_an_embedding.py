"""UMAP as an analysis of a study: what it belongs to, undo, sessions and saved files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_smoother.analyses import umap_layout
from napari_smoother.analyses.embedding_settings import DomainSettings
from napari_smoother.analyses.embedding_source import EmbeddingSource
from napari_smoother.analyses.kept_spots import KeptSpots
from napari_smoother.analyses.quality_settings import QualitySettings
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings
from napari_smoother.analyses.regions import RegionClass
from napari_smoother.analyses.umap_settings import UmapSettings
from napari_smoother.batch.task import evaluate
from napari_smoother.io.h5ad import write_h5ad
from napari_smoother.io.opening import open_section
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotate, annotated, findings_of
from napari_smoother.study.plotted_embedding import plotted, sources_of
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.study.study import Study
from napari_smoother.study.umap import Umap

if TYPE_CHECKING:
    from pathlib import Path

    from napari_smoother.section import Section


@pytest.fixture(scope="module")
def section() -> Section:
    section = simulate_cortex(rows=16, n_genes=120, seed=7, image_size=400).section
    section.adata.obsm["X_brought"] = np.random.default_rng(0).normal(size=(section.n_spots, 4))
    return section


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Stand in for UMAP by the first two dims, and note what it is given."""
    given: list[np.ndarray] = []

    def in_two(points: np.ndarray, **settings: Any) -> np.ndarray:
        given.append(points)
        return np.array(points[:, :2], dtype=np.float64)

    monkeypatch.setattr(umap_layout, "lay_out", in_two)
    return given


@pytest.fixture
def study(section: Section, runs: list[np.ndarray]) -> Study:
    study = Study()
    study.open(section)
    Reduction(study)
    Umap(study)
    return study


def test_it_lays_out_what_the_reduction_finds(study: Study) -> None:
    reduction, umap = study.analyses[Reduction.name], study.analyses[Umap.name]
    umap.update()
    assert umap.is_up_to_date
    reduction.update()
    assert umap.is_up_to_date, "the same embedding"
    np.testing.assert_array_equal(umap.result.places, reduction.result.scores[:, :2])
    reduction.settings = replace(reduction.settings, domains=DomainSettings(find=True))
    assert umap.is_up_to_date, "domains do not matter"
    reduction.settings = replace(reduction.settings, components=5)
    assert not umap.is_up_to_date
    study.undo()
    assert umap.is_up_to_date


def test_regions_and_graph_do_not_matter_to_what_came_with_the_section(study: Study) -> None:
    umap = study.analyses[Umap.name]
    told: list[int] = []
    umap.settings = UmapSettings(EmbeddingSource("obsm", "X_brought"))
    umap.update()
    umap.outdated.connect(lambda: told.append(1))
    spots = np.arange(study.section.n_spots) < 40
    study.regions = study.regions.with_class(RegionClass("a", (1, 0, 0))).with_spots("a", spots)
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    assert umap.is_up_to_date
    assert told == []
    umap.settings = replace(umap.settings, seed=1)
    assert not umap.is_up_to_date
    assert told == [1]


def test_a_saved_session_brings_it_back_without_laying_out_again(
    study: Study, section: Section, runs: list[np.ndarray], tmp_path: Path
) -> None:
    umap, reduction = study.analyses[Umap.name], study.analyses[Reduction.name]
    umap.settings = replace(umap.settings, seed=3)
    study.update()
    reduction.update()
    umap.update()
    write_h5ad(annotate(findings_of(study)), tmp_path / "saved.h5ad")
    del runs[:]
    again = Study()
    again.open(open_section(tmp_path / "saved.h5ad"))
    Reduction(again)
    brought = Umap(again)
    assert brought.has_kept
    brought.update()
    assert runs == []
    np.testing.assert_array_equal(brought.result.places, umap.result.places)
    assert brought.settings.seed == 3
    saved = again.section.adata
    np.testing.assert_array_equal(saved.obsm["X_umap"], umap.result.places)
    again.analyses[Reduction.name].settings = replace(reduction.settings, components=4)
    assert not brought.has_kept, "of another embedding"


def test_a_layout_of_others_is_not_replaced(
    study: Study, section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = np.zeros((section.n_spots, 2))
    monkeypatch.setitem(section.adata.obsm, "X_umap", theirs)
    study.update()
    study.analyses[Umap.name].update()
    with pytest.warns(UserWarning, match="X_umap_smoother"):
        adata = annotated(study)
    np.testing.assert_array_equal(adata.obsm["X_umap"], theirs)
    ours = adata.obsm["X_umap_smoother"]
    np.testing.assert_array_equal(ours, study.analyses[Umap.name].result.places)


def test_a_recipe_that_wants_it_finds_the_same(
    study: Study, section: Section, runs: list[np.ndarray]
) -> None:
    study.analyses[Umap.name].update()
    content = RecipeFile(study.recipe, RunSettings(analyses=("umap",)))
    found = evaluate(section, content)
    np.testing.assert_array_equal(
        found.analyses[Umap.name].result.places, study.analyses[Umap.name].result.places
    )


def test_embeddings_to_choose_from(study: Study, section: Section) -> None:
    adata = section.adata
    adata.obsm["one"] = np.ones((section.n_spots, 1))
    adata.obsm["texts"] = np.full((section.n_spots, 2), "a", dtype=object)
    try:
        names = list(sources_of(section).values())
    finally:
        del adata.obsm["one"], adata.obsm["texts"]
    assert names[:3] == ["Spatial components", "Spatial autoencoder", "UMAP"]
    assert "X_brought" in names
    assert not {"one", "texts", "spatial"} & set(names)
    assert plotted(study, EmbeddingSource("reduction")) is None
    study.analyses[Reduction.name].update()
    found = plotted(study, EmbeddingSource("reduction"))
    assert found.dims[:2] == ("1", "2")
    assert found.axis(1) == "spatial component 2"
    brought = plotted(study, EmbeddingSource("obsm", "X_brought"))
    assert [brought.axis(dim) for dim in (0, 3)] == ["X_brought 1", "X_brought 4"]
    assert plotted(study, EmbeddingSource("obsm", "X_gone")) is None


def test_spots_that_are_left_out_have_no_place_and_move_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []

    def first_two(points: np.ndarray, **chosen: object) -> np.ndarray:
        seen.append(points)
        return points[:, :2]

    monkeypatch.setattr(umap_layout, "lay_out", first_two)
    section = simulate_cortex(rows=18, n_genes=150, seed=4, image_size=400).section
    totals = np.asarray(section.adata.X.sum(axis=1)).ravel()
    limit = float(np.quantile(totals, 0.2))
    kept = totals >= limit
    limited = Recipe(quality=QualitySettings(min_counts=limit))
    places = []
    for opened, recipe in (
        (section, limited),
        (KeptSpots.of(section, kept).section, Recipe()),
    ):
        study = Study()
        study.open(opened, SessionRecord(recipe))
        layout = Umap(study)
        layout.update()
        places.append(layout.result.places)
    assert np.isnan(places[0][~kept]).all()
    np.testing.assert_array_equal(places[0][kept], places[1])
    np.testing.assert_array_equal(*seen)
