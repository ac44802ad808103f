"""Recipes as TOML and back, and what is said of those that cannot be read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_smoother.analyses.comparison_settings import ComparisonSettings
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.field_descriptions import describe_fields
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.quality_settings import QualitySettings
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings, from_toml, to_toml
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.analyses.shown import Shown, View
from napari_smoother.errors import InputError

numbers = st.floats(0, 1e6, allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@st.composite
def recipes(draw) -> RecipeFile:
    names = draw(st.lists(texts.filter(lambda text: text.strip()), unique=True, max_size=3))
    corners = st.lists(st.tuples(numbers, numbers), min_size=3).map(np.array)
    classes = tuple(
        RegionClass(
            name, (0.1, draw(st.floats(0, 1)), 1 / 3), draw(st.booleans()), draw(st.booleans())
        )
        for name in names
    )
    shapes = tuple(
        RegionShape(
            name,
            draw(corners),
            tuple(draw(st.lists(corners, max_size=2))),
            draw(texts),
            draw(texts),
        )
        for name in names
    )
    codes = st.lists(st.integers(-2, 2), min_size=4, max_size=4)
    imported, assigned = (
        None if each is None else np.array(each, dtype=np.int32)
        for each in (draw(st.none() | codes), draw(st.none() | codes))
    )
    regions = Regions(classes, shapes, imported, assigned)
    graph = GraphSettings(
        neighbours=draw(st.integers(1, 50)), radius=draw(st.none() | st.floats(1e-9, 1e9))
    )
    deconvolution = DeconvolutionSettings(lambda_=draw(numbers), rho=draw(st.floats(0, 1)))
    view = draw(st.none() | st.builds(View, st.just("gene"), texts, texts))
    comparison = ComparisonSettings(
        groups=draw(st.sampled_from(["regions", "reduction", "autoencoder", "column"])),
        column=draw(texts),
        unassigned=draw(st.booleans()),
        pairs=tuple(draw(st.lists(st.tuples(texts, texts), max_size=3))),
        blocks=draw(st.integers(2, 99)),
    )
    limit = st.none() | numbers
    counts = sorted([draw(limit), draw(limit)], key=lambda value: value is None)
    if None not in counts:
        counts.sort()
    quality = QualitySettings(counts[0], counts[1], max_genes=draw(st.none() | st.integers(0, 99)))
    recipe = Recipe(
        quality,
        graph,
        regions,
        deconvolution,
        comparison=comparison,
        shown=Shown(view=view, cell_type=draw(texts)),
    )
    run = RunSettings(reference=draw(st.none() | texts), cell_type=draw(st.none() | texts))
    return RecipeFile(recipe, run)


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_every_recipe_comes_back(content: RecipeFile) -> None:
    assert from_toml(to_toml(content)) == content


def test_every_setting_is_written_with_what_it_means() -> None:
    text = to_toml(RecipeFile())
    values = tomllib.loads(text)

    def check(record: object, table: dict) -> None:
        for field in fields(record):  # type: ignore[arg-type]
            value = getattr(record, field.name)
            if is_dataclass(value):
                check(value, table[field.name])
            elif value is not None:
                assert field.name in table
            else:
                assert f"# {field.name} =" in text
            described = describe_fields(type(record))[field.name]
            assert described, f"{type(record).__name__}.{field.name} is not described"
            assert " ".join(described.split()[:4]) in text or is_dataclass(value)

    check(Recipe(), values)
    check(RunSettings(), values["run"])


@dataclass(frozen=True)
class Together:
    """Settings that go together.

    Parameters
    ----------
    process, rho
        The process and its ``rho``,
        over two lines.
    seed
        Of the draw.

    Notes
    -----
    process
        Not this.
    """

    process: str = "icar"
    rho: float = 0.5
    seed: int = 0
    told: bool = False


def test_fields_described_together_and_in_a_class_above() -> None:
    together = "The process and its rho, over two lines."
    assert describe_fields(Together) == {
        "process": together,
        "rho": together,
        "seed": "Of the draw.",
        "told": "",
    }
    from napari_smoother.analyses.embedding_settings import ReductionSettings

    texts = describe_fields(ReductionSettings)
    assert texts["seed"].endswith("of starts that are drawn."), "described in the class above"
    assert texts["lambda_"]


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("[graph]\n\n# of spots\nneighbors = 3", "line 4, graph.neighbors", "neighbours"),
        ("[graph]\nneighbours = 'x'", "line 2, graph.neighbours", "whole number"),
        ("[graph]\nneighbours = 0", "line 2, graph.neighbours", "0 neighbours"),
        ("[deconvolution]\nrho = 0.5\nlambda_ = -1", "line 3, deconvolution.lambda_", "weight"),
        ("[deconvolution]\nmodel = 'magic'", "line 2, deconvolution.model", "'nnls'"),
        ("[reduction]\n[reduction.data]\nn_genes = 0", "line 3, reduction.data.n_genes", "genes"),
        ("[[regions.classes]]\nname = 'a'\ncolour = [1, 2]", "line 3, regions.classes", "of 3"),
        ("[run]\nanalyses = ['magic']", "line 2, run.analyses", "'imputation'"),
        ("[nothing]\na = 1", "line 1, nothing", "There is no setting"),
        ("[graph\n", "recipe", "line 1"),
        ("format = 2\nversion = '9.1'", "recipe", "version 9.1"),
    ],
)
def test_errors_have_line_and_key(text: str, place: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        from_toml(text)
    assert place in refused.value.where
    assert told in str(refused.value)


def test_settings_that_are_missing_have_their_defaults() -> None:
    content = from_toml("[deconvolution]\nlambda_ = 0.00183")
    expected = DeconvolutionSettings(lambda_=0.00183)
    assert content == replace(RecipeFile(), recipe=Recipe(deconvolution=expected))
