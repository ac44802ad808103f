"""An analysis that hangs on a study's graph: what is computed, kept, dropped and restored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from napari_smoother.analyses.context import Progress
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.analyses.stage import ComparedByValue, Stage
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.keys import with_report
from napari_smoother.sample_data import simulate_cortex, simulate_tumour
from napari_smoother.study.analysis import Analysis, Outcome
from napari_smoother.study.annotated import annotated
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.study.study import Study


@dataclass(frozen=True, slots=True)
class Factor(ComparedByValue):
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class RecipeWithFactor(Recipe):
    factor: Factor = Factor()


class Degrees(Analysis[Factor, np.ndarray]):
    """The degree of every spot, times a factor."""

    name = "degrees"
    field = "factor"

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self.degrees = Stage(lambda weights: np.asarray(weights.sum(axis=1)).ravel())

    def compute(self, request, context):
        degrees = self.degrees(request.graph.weights)
        context.say("halfway", 1, 2)
        context.look_up()
        return request.settings.factor * degrees

    def describe(self, result) -> str:
        return f"{result.mean():.3g} on average"

    def describe_settings(self, settings: Factor) -> str:
        return f"the result for a factor of {settings.factor:g}"

    def write(self, adata, result) -> None:
        adata.obs["degree"] = result
        entry = {"recipe": {"factor": self.shown.request.settings.factor}, "report": {}}
        adata.uns = with_report(adata.uns, {self.name: entry})


@pytest.fixture
def study() -> Study:
    study = Study()
    section = simulate_cortex(rows=16, n_genes=60, seed=1, image_size=400).section
    study.open(section, SessionRecord(RecipeWithFactor()))
    return study


@pytest.fixture
def degrees(study: Study) -> Degrees:
    return Degrees(study)


def test_update_makes_the_graph_it_needs(study: Study, degrees: Degrees) -> None:
    assert study.analyses["degrees"] is degrees
    assert degrees.request(settled=True) is None, "nobody has asked for it"
    degrees.update()
    np.testing.assert_array_equal(degrees.result, study.graph.weights.sum(axis=1))
    assert degrees.is_up_to_date


def test_without_a_section_the_error_says_so() -> None:
    with pytest.raises(InputError, match="No section is open"):
        Degrees(Study()).update()


def test_only_what_changed_is_run_again(study: Study, degrees: Degrees) -> None:
    degrees.update()
    degrees.settings = Factor(2.0)
    assert not degrees.is_up_to_date
    degrees.update()
    assert degrees.degrees.runs == 1
    np.testing.assert_allclose(degrees.result, 2 * np.asarray(study.graph.weights.sum(axis=1)))
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    degrees.update()
    assert degrees.degrees.runs == 2


def test_a_new_graph_is_told_and_so_is_wanting_the_result(study: Study, degrees: Degrees) -> None:
    calls = []
    degrees.outdated.connect(lambda: calls.append(degrees.active))
    degrees.active = True
    assert calls == [True]
    degrees.update()
    study.regions = Regions(
        (RegionClass("half", (1.0, 0.0, 0.0)),),
        (RegionShape("half", np.array([(0, 0), (0, 1e6), (1e3, 1e6), (1e3, 0)], float)),),
    )
    assert calls[1:] == [True]
    assert not degrees.is_up_to_date


def test_results_of_a_section_that_is_gone_are_dropped(study: Study, degrees: Degrees) -> None:
    degrees.update()
    late = degrees.run(degrees.request(settled=True))
    announced = []
    degrees.result_changed.connect(announced.append)
    study.open(simulate_tumour(rows=16, n_genes=60, seed=1, image_size=400).section)
    assert announced == [None]
    assert not degrees.accept(late)
    assert degrees.result is None
    assert not degrees.active


def test_results_older_than_those_shown_are_dropped(degrees: Degrees) -> None:
    degrees.update()
    older = degrees.request(settled=True)
    degrees.settings = Factor(3.0)
    degrees.update()
    shown = degrees.result
    assert not degrees.accept(degrees.run(older))
    assert degrees.result is shown


def test_a_warm_result_is_not_the_last_word(degrees: Degrees) -> None:
    degrees.update()
    degrees.settings = Factor(3.0)
    assert degrees.request(settled=False).start is degrees.result
    assert degrees.accept(degrees.run(degrees.request(settled=False)))
    assert not degrees.is_up_to_date
    degrees.update()
    assert degrees.is_up_to_date


def test_cancelling_keeps_what_was_there(degrees: Degrees) -> None:
    degrees.update()
    before = degrees.result
    degrees.settings = Factor(5.0)
    news = []
    with pytest.raises(Cancelled):
        degrees.run(degrees.request(settled=True), cancelled=lambda: bool(news), tell=news.append)
    assert news == [Progress("halfway", 1, 2)]
    assert degrees.result is before
    degrees.update()
    assert degrees.result is not before


def test_unfinished_outcomes_are_announced_but_not_kept(degrees: Degrees) -> None:
    degrees.update()
    kept, announced = degrees.result, []
    degrees.result_changed.connect(announced.append)
    degrees.settings = Factor(2.0)
    outcome = degrees.run(degrees.request(settled=True))
    assert degrees.accept(Outcome(outcome.request, outcome.result, finished=False))
    assert announced == [outcome.result]
    assert degrees.result is kept
    degrees.restore()
    assert announced[-1] is kept


def test_what_is_saved_has_the_settings_it_belongs_to(study: Study, degrees: Degrees) -> None:
    degrees.settings = Factor(2.0)
    degrees.update()
    saved = annotated(study)
    np.testing.assert_array_equal(saved.obs["degree"], degrees.result)
    assert saved.uns["smoother"]["degrees"]["recipe"] == {"factor": 2.0}
    degrees.settings = Factor(3.0)
    with pytest.raises(InputError, match="Wait for the optimum"):
        annotated(study)
    degrees.follows = False
    entry = annotated(study).uns["smoother"]["degrees"]
    assert (entry["recipe"], entry["up_to_date"]) == ({"factor": 2.0}, False)
