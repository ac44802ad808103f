"""One path: what the window finds is what the function on AnnData writes."""

from __future__ import annotations

import doctest
import gc
import json
import threading
import weakref
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, get_args

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import napari_smoother as ns
from napari_smoother.analyses import deconvolution, deviation
from napari_smoother.analyses.context import Context
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.deconvolution_steps import DeconvolutionSteps
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv.catalogue import ModelName
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_tumour
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from napari_smoother.analyses.composition import Composition
    from napari_smoother.section import Section
    from napari_smoother.weights.precision import Process

EMPTY = 20


@pytest.fixture(scope="module")
def sample() -> tuple[Section, Reference]:
    """A section whose spot 20 has no count."""
    found = simulate_tumour(rows=18, n_genes=120, seed=4, image_size=400)
    adata = found.section.adata.copy()
    counts = adata.X.toarray()
    counts[EMPTY] = 0
    adata.X = sparse.csr_matrix(counts)
    reference = Reference.from_cells(found.reference, "cell_type", "cells")
    return replace(found.section, adata=adata), reference


def studied(section: Section, reference: Reference, regions: Regions | None = None) -> Study:
    study = Study()
    study.open(section)
    study.set_reference(reference)
    if regions is not None:
        study.regions = regions
    return study


def with_graph_of(study: Study) -> ad.AnnData:
    adata = study.section.adata.copy()
    adata.obsp["spatial_connectivities"] = study.graph.weights.copy()
    return adata


def half(section: Section) -> Regions:
    low, high = section.positions.min(axis=0) - 1.0, section.positions.max(axis=0) + 1.0
    middle = (low[0] + high[0]) / 2 + 0.01
    corners = np.array([low, (middle, low[1]), (middle, high[1]), (low[0], high[1])])
    return Regions((RegionClass("left", (1.0, 0.0, 0.0)),), (RegionShape("left", corners),))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(("process", "rho"), [("icar", 0.99), ("sma", 0.1)])
@pytest.mark.parametrize("model", get_args(ModelName))
def test_window_and_library_agree_to_the_bit(
    model: ModelName, process: Process, rho: float, cut: bool, sample: tuple[Section, Reference]
) -> None:
    section, reference = sample
    study = studied(section, reference, half(section) if cut else None)
    chosen = study.deconvolution.with_model(model)
    deviates = model in ("nnls", "linear_regression") and process != "sma"
    study.deconvolution = replace(chosen, process=process, rho=rho, deviation=deviates)
    study.update()
    adata, composition = with_graph_of(study), study.composition
    assert (composition.deviation is not None) == deviates
    ns.deconvolve(adata, reference, model=model, process=process, rho=rho, deviation=deviates)
    written = section.adata.copy()
    composition.write(written)
    keys = [model, f"{model}_abundance"] + [f"{model}_deviation"] * deviates
    for key in keys:
        pd.testing.assert_frame_equal(written.obsm[key], adata.obsm[key], check_exact=True)
    assert adata.obsm[model].iloc[EMPTY].isna().all()
    assert adata.obsm[model].isna().any(axis=1).sum() == 1
    ours, theirs = (each.uns["smoother"][model] for each in (written, adata))
    assert without_time(ours["report"]) == without_time(theirs["report"])
    assert json.loads(json.dumps(theirs)) == theirs
    apart = {"graph", "n_neighbors"}  # the window keeps its graph elsewhere
    assert {k: v for k, v in theirs["recipe"].items() if k not in apart} == {
        k: v for k, v in ours["recipe"].items() if k not in apart
    }


def without_time(report: dict) -> dict:
    return {name: value for name, value in report.items() if name != "seconds"}


def test_defaults_are_those_of_the_record(sample) -> None:
    section, reference = sample
    adata = section.adata.copy()
    for model in get_args(ModelName):
        ns.deconvolve(adata, reference, model=model)
        recipe = adata.uns["smoother"][model]["recipe"]
        own = asdict(DeconvolutionSettings().with_model(model))
        assert own.items() >= {k: v for k, v in recipe.items() if k in own}.items()
        assert recipe["counts"] == "counts from X"


def test_deviation_afterwards_is_that_found_together(sample, tmp_path) -> None:
    section, reference = sample
    given = np.linspace(0.5, 2.0, section.adata.n_vars)
    for settings in (
        {},
        {"model": "linear_regression", "key_added": "line", "intercept": False, "shares": "rna"},
        {"scale": "log1p", "process": "car", "rho": 0.1, "key_added": "far", "n_neighbors": 4},
        {"gene_weights": given, "key_added": "given", "tolerance": 1e-7},
    ):
        key = settings.get("key_added", "nnls")
        weights = settings.get("gene_weights")
        adata = section.adata.copy()
        ns.deconvolve(adata, reference, **settings)
        together = ns.deconvolve(adata, reference, **settings, deviation=True, copy=True)
        adata.write_h5ad(tmp_path / "found.h5ad")
        for found in (adata, ad.read_h5ad(tmp_path / "found.h5ad")):
            assert f"{key}_deviation" not in found.obsm
            after = ns.posterior_deviation(
                found, reference, key=key, gene_weights=weights, copy=True
            )
            for name in (key, f"{key}_deviation"):
                pd.testing.assert_frame_equal(
                    after.obsm[name], together.obsm[name], check_exact=True
                )
            assert f"{key}_deviation" not in found.obsm


def test_deviation_is_refused_where_it_is_not_defined(sample) -> None:
    section, reference = sample
    adata = section.adata.copy()
    with pytest.raises(InputError, match="no composition with a recipe"):
        ns.posterior_deviation(adata, reference)
    ns.deconvolve(adata, reference, model="poisson")
    with pytest.raises(InputError, match="not defined for poisson"):
        ns.posterior_deviation(adata, reference, key="poisson")
    with pytest.raises(InputError, match="not defined for nnls under sma"):
        ns.deconvolve(adata, reference, process="sma", rho=0.1, deviation=True)
    ns.deconvolve(adata, reference, gene_weights=np.ones(adata.n_vars))
    with pytest.raises(InputError, match="with weights of genes that were given"):
        ns.posterior_deviation(adata, reference)
    ns.deconvolve(adata, reference)
    adata.obsm["nnls"] = adata.obsm["nnls"][::-1].set_axis(adata.obs_names)
    with pytest.raises(InputError, match="do not give the proportions"):
        ns.posterior_deviation(adata, reference)
    del adata.obsm["nnls"]
    with pytest.raises(InputError, match="no composition with a recipe"):
        ns.posterior_deviation(adata, reference)


def test_recipe_of_version_0_1_is_understood(sample) -> None:
    section, reference = sample
    adata = section.adata.copy()
    ns.deconvolve(adata, reference, lambda_=3.0)
    expected = ns.posterior_deviation(adata, reference, copy=True).obsm["nnls_deviation"]
    recipe = adata.uns["smoother"]["nnls"]["recipe"]
    recipe["lambda"] = recipe.pop("lambda_")
    for name in ("deviation", "n_neighbors"):
        del recipe[name]
    # Spots without a value had shares of zero.
    adata.obsm["nnls"] = adata.obsm["nnls"].fillna(0.0)
    ns.posterior_deviation(adata, reference)
    pd.testing.assert_frame_equal(adata.obsm["nnls_deviation"], expected, check_exact=True)


def test_iterates_are_told_as_compositions(sample) -> None:
    section, reference = sample
    study = studied(section, reference)
    study.update()
    told: list[Composition] = []
    settings = study.deconvolution.with_model("poisson")
    found = deconvolution.compute(
        SectionCounts.of(section),
        reference,
        study.graph.weights,
        settings,
        Context(None, told.append),
    )
    assert told
    assert not any(each.settled or each.converged for each in told)
    assert found.settled
    assert found.converged
    assert np.isfinite(told[0].residual)
    assert told[0].table().shape == found.table().shape
    assert "Poisson" in found.describe()
    assert "stationary" not in found.describe()


def test_cancelled_leaves_steps_that_still_work(sample) -> None:
    section, reference = sample
    study = studied(section, reference)
    study.update()
    steps, counts = DeconvolutionSteps(), SectionCounts.of(section)
    given = (counts, reference, study.graph.weights, study.deconvolution)
    with pytest.raises(Cancelled):
        deconvolution.compute(*given, Context(lambda: True), steps)
    found = deconvolution.compute(*given, Context(), steps)
    np.testing.assert_array_equal(found.abundance, study.composition.abundance)
    again = deconvolution.compute(*given, Context(lambda: True), steps)
    assert again.fit is found.fit  # nothing was left to cancel


@pytest.mark.parametrize("model", ["nnls", "poisson"])
def test_a_kept_fit_is_the_same_composition_without_solving(sample, model) -> None:
    section, reference = sample
    study = studied(section, reference)
    study.deconvolution = study.deconvolution.with_model(model)
    study.update()
    found, steps = study.composition, DeconvolutionSteps()
    again = deconvolution.restored(
        SectionCounts.of(section), reference, found.settings, found.fit, steps=steps
    )
    assert steps.settled.runs == 0
    assert again.settled
    np.testing.assert_array_equal(again.proportions, found.proportions)
    np.testing.assert_array_equal(again.misfit, found.misfit)
    wrong = replace(found.fit, abundance=found.abundance[1:])
    with pytest.raises(InputError, match="as spots x types"):
        deconvolution.restored(SectionCounts.of(section), reference, found.settings, wrong)


def test_threads_share_steps(sample) -> None:
    section, reference = sample
    study = studied(section, reference)
    study.update()
    steps, counts = DeconvolutionSteps(), SectionCounts.of(section)
    results: dict[float, np.ndarray] = {}

    def run(lambda_: float) -> None:
        settings = replace(study.deconvolution, lambda_=lambda_)
        found = deconvolution.compute(
            counts, reference, study.graph.weights, settings, steps=steps
        )
        results[lambda_] = found.abundance

    threads = [threading.Thread(target=run, args=(lambda_,)) for lambda_ in (0.1, 0.2, 5.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert steps.prepared.runs == 1
    np.testing.assert_array_equal(results[0.2], study.composition.abundance)
    assert np.abs(results[0.1] - results[5.0]).max() > 0.01


def test_counts_of_a_section_are_one_object_and_go_with_it(sample) -> None:
    section, _ = sample
    assert SectionCounts.of(section) is SectionCounts.of(section)
    other = replace(section)
    counts = weakref.ref(SectionCounts.of(other).genes)
    assert SectionCounts.of(other) is not SectionCounts.of(section)
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
    assert counts() is section.adata.var  # which the section that is left still has


def test_examples() -> None:
    for module in (deconvolution, deviation):
        found = doctest.testmod(module)
        assert found.failed == 0
        assert found.attempted > 5
