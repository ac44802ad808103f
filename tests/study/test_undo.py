"""Undo and redo go through everything that was decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_smoother.analyses.quality_settings import QualitySettings
from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.analyses.shown import Shown, View
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from napari_smoother.analyses.recipe import Recipe


@pytest.fixture(scope="module")
def sample():
    return simulate_cortex(rows=16, n_genes=120, seed=7, image_size=400)


@pytest.fixture
def study(sample) -> Study:
    study = Study()
    study.open(sample.section)
    study.set_reference(Reference.from_cells(sample.reference, "cell_type", "cells"))
    return study


def changed(recipe: Recipe, random: np.random.Generator, extent: np.ndarray) -> Recipe:
    """Return the recipe with one thing changed, anything that a hand can change."""
    kind, number = random.integers(10), random.random()
    shown = recipe.shown
    if kind == 0:
        return replace(recipe, graph=replace(recipe.graph, neighbours=int(random.integers(3, 9))))
    if kind == 1:
        return replace(recipe, graph=replace(recipe.graph, boundary_connectivity=number))
    if kind == 2:
        return replace(recipe, deconvolution=replace(recipe.deconvolution, lambda_=number))
    if kind == 3:
        return replace(recipe, reduction=replace(recipe.reduction, lambda_=number))
    if kind == 4:
        view = View("gene", f"g{random.integers(5)}", low=number)
        return replace(recipe, shown=replace(shown, view=view, stage="data"))
    if kind == 5:
        return replace(recipe, shown=replace(shown, spot_size=1 + number, image_opacity=number))
    if kind == 6:
        return replace(recipe, figure=replace(recipe.figure, width_mm=100 + number))
    if kind == 7:
        pairs = tuple((f"region {pair}", "") for pair in range(random.integers(3)))
        groups = ("regions", "reduction", "column")[random.integers(3)]
        chosen = replace(recipe.comparison, groups=groups, pairs=pairs, level=0.5 + number / 2)
        return replace(recipe, comparison=chosen)
    if kind == 8 or not recipe.regions.classes:
        colour = (float(random.random()), 0.5, 0.5)
        new = RegionClass(f"region {random.random()}", colour)
        return replace(recipe, regions=recipe.regions.with_class(new))
    name = recipe.regions.classes[random.integers(len(recipe.regions.classes))].name
    outline = RegionShape(name, random.random((3, 2)) * extent)
    return replace(
        recipe, regions=recipe.regions.with_shapes([*recipe.regions.shapes, outline][-6:])
    )


def test_a_walk_of_500_changes_is_undone_and_redone_step_by_step(study: Study, sample) -> None:
    random = np.random.default_rng(3)
    extent = sample.section.positions.max(axis=0)
    recipes, labels = [study.recipe], [study.region_labels]
    while len(recipes) <= 500:
        study.recipe = changed(study.recipe, random, extent)
        if study.recipe != recipes[-1]:
            recipes.append(study.recipe)
            labels.append(study.region_labels)
    for recipe, codes in zip(reversed(recipes[:-1]), reversed(labels[:-1]), strict=True):
        study.undo()
        assert study.recipe == recipe
        np.testing.assert_array_equal(study.region_labels, codes)
    assert not study.can_undo
    for recipe, codes in zip(recipes[1:], labels[1:], strict=True):
        study.redo()
        assert study.recipe == recipe
        np.testing.assert_array_equal(study.region_labels, codes)
    assert not study.can_redo


def test_results_say_by_themselves_whether_they_belong_to_the_recipe(study: Study) -> None:
    study.update()
    first = study.composition
    study.deconvolution = replace(study.deconvolution, lambda_=3.0)
    assert not study.is_up_to_date
    study.undo()
    assert study.is_up_to_date, "what is on screen is that of the recipe again"
    assert study.composition is first
    study.redo()
    study.update()
    assert study.composition is not first
    study.undo()
    study.update()
    np.testing.assert_array_equal(study.composition.abundance, first.abundance)


def test_what_the_hand_does_in_one_go_is_one_step(study: Study) -> None:
    before = study.recipe
    study.begin_step()
    for lambda_ in (0.3, 0.5, 0.9):
        study.deconvolution = replace(study.deconvolution, lambda_=lambda_)
    study.end_step()
    study.deconvolution = replace(study.deconvolution, lambda_=2.0)
    study.undo()
    assert study.deconvolution.lambda_ == 0.9
    study.undo()
    assert study.recipe == before
    assert not study.can_undo
    study.redo()
    assert study.deconvolution.lambda_ == 0.9


def test_turning_pages_is_no_step_but_is_gone_back_to(study: Study) -> None:
    study.turn_to("composition")
    assert not study.can_undo
    study.deconvolution = replace(study.deconvolution, lambda_=2.0)
    study.turn_to("data")
    study.undo()
    assert study.recipe.shown.stage == "composition", "where the change was made"
    assert study.can_redo
    study.turn_to("regions")
    assert study.can_redo, "a page was turned, nothing was changed"


def test_another_section_has_no_past_and_keeps_the_settings(study: Study, sample) -> None:
    study.deconvolution = replace(study.deconvolution, lambda_=2.0)
    study.regions = study.regions.with_class(RegionClass("tumour", (1.0, 0.0, 0.0)))
    study.recipe = replace(study.recipe, shown=Shown(cell_type="x"))
    study.open(sample.section)
    assert not study.can_undo
    assert study.deconvolution.lambda_ == 2.0
    assert not study.regions.classes
    assert study.recipe.shown == Shown()


def test_only_analyses_that_a_change_matters_to_are_told(study: Study) -> None:
    reduction = Reduction(study)
    told = dict.fromkeys(study.analyses, 0)
    for name, analysis in study.analyses.items():

        def count(name=name) -> None:
            told[name] += 1

        analysis.outdated.connect(count)
    study.deconvolution = replace(study.deconvolution, lambda_=2.0)
    assert told == {"quality": 0, "graph": 0, "composition": 1, reduction.name: 0}
    study.undo()
    assert told == {"quality": 0, "graph": 0, "composition": 2, reduction.name: 0}
    study.recipe = replace(study.recipe, shown=Shown(spot_size=2.0))
    assert told == {"quality": 0, "graph": 0, "composition": 2, reduction.name: 0}
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    assert told == {"quality": 0, "graph": 1, "composition": 3, reduction.name: 1}
    study.quality_analysis.settings = QualitySettings(min_counts=1)
    assert told == {"quality": 1, "graph": 2, "composition": 4, reduction.name: 2}
