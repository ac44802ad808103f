"""Rho and lambda by held-out genes: for an AnnData, in the window, and for a cohort."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

import napari_smoother as ns
from napari_smoother.analyses import choice
from napari_smoother.analyses.choice import ChoiceSettings
from napari_smoother.analyses.context import Context
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.choice import choose
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_tumour
from napari_smoother.weights.annotated import section_graph

pytestmark = pytest.mark.filterwarnings("ignore:(The best of the grid|Little was):UserWarning")

GRID = {"rhos": (0.9, 1.0), "lambdas": (0.02, 0.3, 4.0, 50.0)}


@pytest.fixture(scope="module")
def sample():
    found = simulate_tumour(rows=18, n_genes=120, seed=4, image_size=400)
    return found.section, Reference.from_cells(found.reference, "cell_type", "cells")


def test_library_writes_what_compute_finds(sample, tmp_path) -> None:
    section, reference = sample
    adata = section.adata.copy()
    weights, _ = section_graph(adata)
    told = []
    found = choice.compute(
        SectionCounts.of(section),
        reference,
        weights,
        ChoiceSettings(**GRID),
        Context(None, told.append),
    )
    assert [progress.done for progress in told] == list(range(1, 25))
    assert ns.choose_smoothing(adata, reference, **GRID) is None
    stored = adata.uns["smoother"]["choice"]
    assert stored["report"] == found.report
    assert (found.rho, found.lambda_) == (stored["report"]["rho"], stored["report"]["lambda"])
    assert found.describe().startswith(f"λ {found.lambda_:.3g}, ρ {found.rho:.3g} predict")
    assert json.loads(json.dumps(stored)) == stored
    adata.write_h5ad(tmp_path / "chosen.h5ad")
    again = ad.read_h5ad(tmp_path / "chosen.h5ad").uns["smoother"]["choice"]
    np.testing.assert_array_equal(again["report"]["errors"], stored["report"]["errors"])
    assert again["recipe"]["model"] == "nnls"
    assert again["recipe"]["graph"] == "mutual 6 nearest neighbours"
    by_arrays = choose(section.adata.X, section.adata.var, reference, weights, **GRID)
    np.testing.assert_allclose(found.choice.mean, by_arrays.mean, rtol=1e-9)


def test_settings_are_those_of_the_deconvolution() -> None:
    assert ChoiceSettings.of(DeconvolutionSettings()) == ChoiceSettings()
    line = replace(DeconvolutionSettings().with_model("linear_regression"), process="car", rho=0.1)
    chosen = ChoiceSettings.of(line)
    assert (chosen.model, chosen.process) == ("linear_regression", "car")
    for model, process in (("poisson", "icar"), ("nnls", "sma")):
        with pytest.raises(InputError, match="cannot choose for"):
            ChoiceSettings(model=model, process=process)


def test_given_weights_of_genes_and_copy(sample) -> None:
    section, reference = sample
    adata = section.adata.copy()
    weights = np.linspace(0.1, 3.0, adata.n_vars)
    given = ns.choose_smoothing(adata, reference, gene_weights=weights, **GRID, copy=True)
    assert "smoother" not in adata.uns
    named = ns.choose_smoothing(adata, reference, **GRID, key_added="mine", copy=True)
    assert given.uns["smoother"]["choice"]["recipe"]["gene_weights"] == "given"
    assert (
        given.uns["smoother"]["choice"]["report"]["errors"]
        != named.uns["smoother"]["mine"]["report"]["errors"]
    )
    with pytest.raises(Cancelled):
        ns.choose_smoothing(adata, reference, cancelled=lambda: True)


def test_a_cohort_of_the_same_section_twice_is_that_section(sample) -> None:
    section, reference = sample
    counts, (weights, _) = SectionCounts.of(section), section_graph(section.adata)
    settings = ChoiceSettings(**GRID)
    once = choice.compute(counts, reference, weights, settings)
    twice = choice.choose_over_sections([(counts, weights)] * 2, reference, settings)
    assert (twice.rho, twice.lambda_) == (once.rho, once.lambda_)
    np.testing.assert_allclose(twice.choice.errors, once.choice.errors, rtol=1e-12)
    assert twice.sections == (counts, counts)


def test_two_sections_are_chosen_for_together(sample) -> None:
    section, reference = sample
    other = simulate_tumour(rows=24, n_genes=120, seed=5, image_size=400).section
    settings = ChoiceSettings(**GRID)
    pairs = [(SectionCounts.of(each), section_graph(each.adata)[0]) for each in (section, other)]
    alone = [choice.compute(counts, reference, weights, settings) for counts, weights in pairs]
    both = choice.choose_over_sections(pairs, reference, settings)
    sizes = [section.n_spots, other.n_spots]
    expected = np.average([each.choice.mean for each in alone], axis=0, weights=sizes)
    np.testing.assert_allclose(both.choice.mean, expected, rtol=1e-9)
    row, column = np.unravel_index(expected.argmin(), expected.shape)
    assert (both.rho, both.lambda_) == (GRID["rhos"][row], GRID["lambdas"][column])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_examples() -> None:
    found = doctest.testmod(choice)
    assert found.failed == 0
    assert found.attempted > 5
