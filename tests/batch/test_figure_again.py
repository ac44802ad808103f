"""A figure made again without a window, from nothing but its file and the data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.figure import Figure

import napari_smoother as ns
from napari_smoother.analyses.figure_settings import DOMINANT_TYPE, ON_SCREEN, FigureSettings
from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings, to_toml
from napari_smoother.analyses.shown import Shown
from napari_smoother.batch.task import evaluate
from napari_smoother.errors import InputError
from napari_smoother.figures.save import rendered, save_figure
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.printing.plan import plan

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Cohort


@pytest.fixture
def figure(cohort: Cohort, tmp_path: Path) -> Path:
    """A figure beside the cells, with what is on screen and a panel that is nowhere."""
    recipe = replace(
        cohort.content.recipe,
        shown=Shown(stage="composition", cell_type="Excitatory L4"),
        figure=FigureSettings((ON_SCREEN, DOMINANT_TYPE, "nowhere"), width_mm=89.0),
    )
    content = RecipeFile(recipe, RunSettings(reference="cells.h5ad"))
    return save_figure(Figure(), tmp_path / "figure.pdf", recipe=to_toml(content))


def test_a_figure_is_made_again(cohort: Cohort, figure: Path) -> None:
    with pytest.warns(UserWarning, match='Left out: "nowhere"'):
        again = ns.figure_from_file(figure, cohort.sections[0])
    content = ns.recipe_of_figure(figure)
    study = evaluate(open_section(cohort.sections[0]), content, read_reference(cohort.cells))
    expected = plan(study).compose().figure
    np.testing.assert_array_equal(rendered(again, 100), rendered(expected, 100))
    assert "proportion of Excitatory L4" in [
        text.get_text() for axes in again.axes for text in axes.texts
    ]


def test_the_reference_is_looked_for_beside_the_section_or_given(
    cohort: Cohort, figure: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = shutil.copy(figure, elsewhere)
    with pytest.raises(InputError, match=r"cells\.h5ad is neither beside"):
        ns.figure_from_file(moved, cohort.sections[0])
    with pytest.warns(UserWarning, match="nowhere"):
        given = ns.figure_from_file(moved, cohort.sections[0], reference=cohort.cells)
    shutil.copy(cohort.cells, cohort.folder / "cells.h5ad")
    with pytest.warns(UserWarning, match="nowhere"):
        beside = ns.figure_from_file(moved, cohort.sections[0])
    np.testing.assert_array_equal(rendered(given, 50), rendered(beside, 50))
