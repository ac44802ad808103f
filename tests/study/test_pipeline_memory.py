"""Nothing is computed again that did not change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest

from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.catalogue import ModelName
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from napari_smoother.weights.precision import Process

STAGES = (
    "neighbours",
    "pairs",
    "factors",
    "weights",
    "summary",
    "weakening",
    "crossing",
    "precision",
    "prior",
    "prepared",
    "data",
    "settled",
)


@pytest.fixture(scope="module")
def sample():
    return simulate_cortex(rows=20, n_genes=200, seed=5, image_size=400)


@pytest.fixture
def study(sample) -> Study:
    study = Study()
    study.open(sample.section)
    study.set_reference(Reference.from_cells(sample.reference, "cell_type", "cells"))
    study.update()
    return study


def stage_of(study: Study, name: str) -> Stage:
    steps = study.composition_analysis.steps
    holders = (study.graph_steps, steps, steps.graph)
    return next(stage for each in holders if (stage := getattr(each, name, None)) is not None)


def runs(study: Study) -> dict[str, int]:
    return {name: stage_of(study, name).runs for name in STAGES}


def rerun(study: Study) -> set[str]:
    """Update the study and return the stages that ran."""
    before = runs(study)
    study.update()
    after = runs(study)
    assert all(after[name] - before[name] <= 1 for name in STAGES)
    return {name for name in STAGES if after[name] > before[name]}


def square(section, share: float) -> Regions:
    lowest, highest = section.positions.min(axis=0), section.positions.max(axis=0)
    corner = lowest + share * (highest - lowest) + 0.01
    lowest = lowest - 1.0  # no spot lies on the outline
    vertices = np.array([lowest, (corner[0], lowest[1]), corner, (lowest[0], corner[1])])
    return Regions(
        classes=(RegionClass("corner", (1.0, 0.0, 0.0)),),
        shapes=(RegionShape("corner", vertices),),
    )


def test_first_update_runs_each_stage_once(study: Study) -> None:
    assert set(runs(study).values()) == {1}


def test_nothing_changed_runs_nothing(study: Study) -> None:
    assert rerun(study) == set()


def test_lambda_touches_only_the_last_stage(study: Study) -> None:
    study.deconvolution = replace(study.deconvolution, lambda_=3.0)
    assert rerun(study) == {"settled"}


def test_rho_touches_the_last_three(study: Study) -> None:
    study.deconvolution = replace(study.deconvolution, rho=0.5)
    assert rerun(study) == {"precision", "prior", "settled"}


def test_regions_start_at_scaled_weights(study: Study, sample) -> None:
    study.regions = square(sample.section, 0.5)
    assert rerun(study) == {
        "factors",
        "weights",
        "summary",
        "weakening",
        "crossing",
        "precision",
        "prior",
        "settled",
    }


def test_boundary_connectivity_leaves_the_crossings_alone(study: Study, sample) -> None:
    study.regions = square(sample.section, 0.5)
    study.update()
    study.boundary_connectivity = 0.4
    assert rerun(study) == {
        "factors",
        "weights",
        "summary",
        "weakening",
        "precision",
        "prior",
        "settled",
    }


def test_outline_that_moves_no_spot_changes_nothing(study: Study, sample) -> None:
    study.regions = square(sample.section, 0.5)
    study.update()
    outlines = [replace(s, vertices=s.vertices - 1e-3) for s in study.regions.shapes]
    asked = []
    study.graph_analysis.outdated.connect(lambda: asked.append(1))
    study.regions = study.regions.with_shapes(outlines)
    assert not asked
    assert rerun(study) == set()


def test_neighbours_touch_everything_but_the_data(study: Study) -> None:
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    assert rerun(study) == set(STAGES) - {"prepared", "data"}


def test_gene_weights_leave_the_graph_alone(study: Study) -> None:
    weights = "none" if study.deconvolution.gene_weights != "none" else "inverse_mean"
    study.deconvolution = replace(study.deconvolution, gene_weights=weights)
    assert rerun(study) == {"prepared", "data", "settled"}


def test_the_same_settings_give_the_same_numbers_whatever_came_between(study: Study) -> None:
    first = study.composition
    assert first is not None
    chosen = study.deconvolution
    for lambda_ in (30.0, 0.2):
        study.deconvolution = replace(chosen, lambda_=lambda_)
        analysis = study.composition_analysis
        analysis.accept(analysis.run(analysis.request(settled=False)))
    study.deconvolution = chosen
    study.update()
    again = study.composition
    assert again is not None
    assert again is not first
    np.testing.assert_array_equal(again.abundance, first.abundance)


@pytest.mark.parametrize("model", get_args(ModelName))
@pytest.mark.parametrize("process", ["icar", "sma"])
def test_in_every_model_too(study: Study, model: ModelName, process: Process) -> None:
    chosen = replace(study.deconvolution.with_model(model), process=process, rho=0.12)
    study.deconvolution = chosen
    study.update()
    first = study.composition
    assert first is not None
    assert first.settled
    for lambda_ in (30.0, 0.2):
        study.deconvolution = replace(chosen, lambda_=lambda_)
        analysis = study.composition_analysis
        warm = analysis.run(analysis.request(settled=False))
        assert not warm.result.settled
        analysis.accept(warm)
    study.deconvolution = chosen
    study.update()
    again = study.composition
    assert again is not None
    assert again is not first
    np.testing.assert_array_equal(again.abundance, first.abundance)


def test_a_fit_that_does_not_converge_is_not_tried_for_ever(study: Study, monkeypatch) -> None:
    fit = study.composition.fit
    short = replace(fit, report=replace(fit.report, converged=False, kkt_residual=1e-2))
    monkeypatch.setattr(study.composition_analysis.steps, "fit", lambda *inputs: short)
    study.deconvolution = replace(study.deconvolution, lambda_=5.0)
    study.update()
    assert not study.composition.converged
    assert study.is_up_to_date


@pytest.mark.parametrize(("process", "rho"), [("car", 0.4), ("sar", 0.4), ("sma", 0.9)])
def test_rho_beyond_the_spectrum_of_the_graph_is_refused(study, process, rho) -> None:
    before = study.composition
    spectrum = np.linalg.eigvalsh(study.graph.weights.toarray())
    end = -1 / spectrum[0] if process == "sma" else 1 / spectrum[-1]
    study.deconvolution = replace(study.deconvolution, process=process, rho=rho)
    with pytest.raises(InputError, match="valid below") as refusal:
        study.update()
    told = float(refusal.value.problem.rsplit(" ", 1)[1])
    assert told == pytest.approx(end, rel=2e-3)
    assert study.composition is before
    study.deconvolution = replace(study.deconvolution, rho=0.98 * end)
    study.update()
    assert study.composition.converged or process == "sma"


def test_changing_the_model_leaves_the_graph_alone(study: Study) -> None:
    study.deconvolution = study.deconvolution.with_model("poisson")
    assert rerun(study) == {"settled"}
    study.deconvolution = study.deconvolution.with_model("nnls")
    assert rerun(study) == {"settled"}


def test_warm_and_canonical_starts_reach_the_same_optimum(study: Study) -> None:
    study.deconvolution = replace(study.deconvolution, lambda_=2.0)
    analysis = study.composition_analysis
    live = analysis.run(analysis.request(settled=False)).result
    settled = analysis.run(analysis.request(settled=True)).result
    assert live.converged
    assert settled.converged
    assert max(live.residual, settled.residual) <= 1e-5
    np.testing.assert_allclose(live.proportions, settled.proportions, atol=2e-3)


def test_stage_compares_data_by_identity_and_settings_by_value() -> None:
    stage = Stage(lambda values, factor: values * factor)
    values = np.arange(3.0)
    first = stage(values, 2.0)
    assert stage(values, 2.0) is first
    assert stage(values.copy(), 2.0) is not first
    assert stage.runs == 2
    stage(values, 3.0)
    assert stage.runs == 3
