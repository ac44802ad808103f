"""Recipes as plain values and back, and what is said of values that cannot be read."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from napari_smoother.analyses.comparison_settings import ComparisonSettings
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.plain import from_plain, to_plain
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.analyses.shown import EmbeddingShown, Shown, View
from napari_smoother.errors import InputError


@pytest.fixture
def recipe() -> Recipe:
    random = np.random.default_rng(0)
    return Recipe(
        graph=GraphSettings(rule="radius", radius=0.1 + 0.2),
        regions=Regions(
            (RegionClass('<b>"\u2028\\', (0.1, 0.2, 1 / 3)), RegionClass("T/NK", (0.0, 0.0, 1.0))),
            (RegionShape("T/NK", random.normal(size=(7, 2)) * 1e4),),
            np.array([0, -1, 1], dtype=np.int32),
        ),
        deconvolution=DeconvolutionSettings(lambda_=0.00183, rho=0.9995, deviation=True),
        comparison=ComparisonSettings(
            "column", "a/b", True, (("T/NK", ""), ('<b>"\u2028\\', "T/NK")), 7, 0.1 + 0.2, False
        ),
        shown=Shown(view=View("gene", "A/b"), reduction=EmbeddingShown("mixture", 3, (2, 1, 0))),
    )


def test_a_recipe_comes_back_from_text_to_the_bit(recipe: Recipe) -> None:
    text = json.dumps(to_plain(recipe))
    again = from_plain(Recipe, json.loads(text))
    assert again == recipe
    assert again.graph.radius == 0.1 + 0.2
    assert again.comparison.pairs[0] == ("T/NK", "")
    assert again.regions.imported is not None
    assert again.regions.imported.dtype == np.int32
    assert (
        again.regions.shapes[0].vertices.tobytes() == recipe.regions.shapes[0].vertices.tobytes()
    )


def test_every_setting_is_in_it() -> None:
    def compare(record: Any, plain: Any) -> None:
        assert set(plain) == {field.name for field in fields(record)}
        for field in fields(record):
            value = getattr(record, field.name)
            if is_dataclass(value):
                compare(value, plain[field.name])

    compare(Recipe(), to_plain(Recipe()))


def test_what_is_missing_has_its_default() -> None:
    assert from_plain(Recipe, {"graph": {"neighbours": 8}}) == Recipe(
        graph=GraphSettings(neighbours=8)
    )


@pytest.mark.parametrize(
    ("values", "place", "told"),
    [
        ({"graph": {"neighbors": 3}}, "recipe.graph.neighbors", 'Is it "neighbours"?'),
        ({"graph": {"neighbours": "six"}}, "recipe.graph.neighbours", "whole number"),
        ({"graph": {"neighbours": 6.5}}, "recipe.graph.neighbours", "whole number"),
        ({"graph": {"mutual": 1}}, "recipe.graph.mutual", "true or false"),
        ({"graph": {"neighbours": True}}, "recipe.graph.neighbours", "whole number"),
        ({"graph": {"neighbours": 0}}, "recipe.graph.neighbours", "neighbours"),
        ({"deconvolution": {"model": "magic"}}, "recipe.deconvolution.model", "'nnls'"),
        ({"deconvolution": {"lambda_": -1}}, "recipe.deconvolution", "not a weight"),
        ({"deconvolution": 3}, "recipe.deconvolution", "table of fields"),
        ({"reduction": {"data": {"n_genes": 0}}}, "recipe.reduction.data.n_genes", "genes"),
        ({"comparison": {"groups": "rings"}}, "recipe.comparison.groups", "'regions'"),
        ({"comparison": {"pairs": [["a"]]}}, "recipe.comparison.pairs[0]", "a list of 2"),
        ({"comparison": {"level": 95}}, "recipe.comparison.level", "0.95"),
        ({"comparison": {"blocks": 1}}, "recipe.comparison.blocks", "2 or more"),
        ({"shown": {"reduction": {"channels": [1, 2]}}}, "channels", "a list of 3"),
        ({"regions": {"classes": [{"name": "a", "colour": [0, 0, "x"]}]}}, "colour[2]", "number"),
        ({"regions": {"imported": ["a"]}}, "recipe.regions.imported", "list of numbers"),
    ],
)
def test_values_that_cannot_be_read_are_refused_by_their_path(
    values: dict[str, Any], place: str, told: str
) -> None:
    with pytest.raises(InputError) as refused:
        from_plain(Recipe, values)
    assert place in refused.value.where
    assert told in str(refused.value)
