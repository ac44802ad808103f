"""A saved section opens as it was: settings, regions, what is shown, and results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
import pytest

from napari_smoother.analyses.autoencoder import Trained
from napari_smoother.analyses.comparison_settings import ComparisonSettings
from napari_smoother.analyses.embedding_settings import DomainSettings
from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.analyses.shown import ComparisonShown, Shown, View
from napari_smoother.errors import InputError
from napari_smoother.io.h5ad import read_h5ad_section, write_h5ad
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotate, findings_of
from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.study.imputation import Imputation
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:Results stand beside")

ODD = 'a/b "µ" \u2028 <i>'


@pytest.fixture(scope="module")
def sample():
    return simulate_cortex(rows=16, n_genes=120, seed=7, image_size=400)


@pytest.fixture
def study(sample) -> Study:
    """A study in which something was changed everywhere."""
    study = Study()
    study.open(sample.section)
    study.set_reference(Reference.from_cells(sample.reference, "cell_type", "cells"))
    far = np.median(sample.section.positions, axis=0)
    study.regions = study.regions.with_class(RegionClass(ODD, (0.1, 0.2, 1 / 3))).with_shapes(
        [RegionShape(ODD, np.array([(0, 0), (far[0], 0), far, (0, far[1])]))]
    )
    study.graph_settings = replace(study.graph_settings, neighbours=5, boundary_connectivity=0.3)
    study.deconvolution = replace(study.deconvolution, lambda_=0.00183, rho=0.9995, deviation=True)
    view = View("gene", sample.section.adata.var_names[3], low=2.5)
    study.recipe = replace(
        study.recipe,
        comparison=ComparisonSettings("column", "layer", True, ((ODD, ""),), blocks=7, level=0.9),
        shown=Shown(
            "composition", view, spot_size=1.25, comparison=ComparisonShown("genes", ODD, 1.5)
        ),
    )
    study.update()
    return study


def saved(study: Study, path: Path) -> Path:
    write_h5ad(annotate(findings_of(study)), path)
    return path


def reopened(path: Path) -> Study:
    study = Study()
    study.open(read_h5ad_section(path))
    return study


def test_everything_is_back_and_nothing_is_solved(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = reopened(saved(study, tmp_path / "a.h5ad"))
    assert again.recipe == study.recipe
    assert not again.can_undo
    np.testing.assert_array_equal(again.region_labels, study.region_labels)
    assert again.reference.types == study.reference.types
    assert again.reference.name == "cells"

    def never(*inputs, **named):
        raise AssertionError("it was kept")

    monkeypatch.setattr(type(again.composition_analysis), "compute", never)
    again.update()
    before, after = study.composition, again.composition
    np.testing.assert_array_equal(after.abundance, before.abundance)
    np.testing.assert_array_equal(after.proportions, before.proportions)
    np.testing.assert_array_equal(after.misfit, before.misfit)
    np.testing.assert_array_equal(
        after.deviation.proportion_deviation, before.deviation.proportion_deviation
    )
    assert after.report == before.report
    assert again.is_up_to_date
    assert (again.graph.weights != study.graph.weights).nnz == 0


@pytest.mark.parametrize("model", ["nnls", "dwls", "poisson", "nusvr"])
def test_the_reference_in_the_file_finds_the_same_anew(
    study: Study, tmp_path: Path, model: str
) -> None:
    again = reopened(saved(study, tmp_path / "a.h5ad"))
    again.update()
    for each in (study, again):
        each.deconvolution = replace(each.deconvolution.with_model(model), lambda_=0.7)
        each.update()
    np.testing.assert_array_equal(again.composition.abundance, study.composition.abundance)


def test_a_change_taken_back_finds_what_was_kept(study: Study, tmp_path: Path) -> None:
    again = reopened(saved(study, tmp_path / "a.h5ad"))
    again.deconvolution = replace(again.deconvolution, lambda_=1.0)
    assert not again.composition_analysis.has_kept
    again.undo()
    assert again.composition_analysis.has_kept


def test_the_file_is_read_by_anyone(study: Study, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(saved(study, tmp_path / "a.h5ad"))
    np.testing.assert_allclose(adata.obsm["nnls"].sum(axis=1), 1.0, atol=1e-5)
    session = adata.uns["smoother"]["session"]
    assert json.loads(session["recipe"])["deconvolution"]["lambda_"] == 0.00183
    assert session["version"] == "0.1.0"


def test_results_of_other_counts_or_spots_are_not_taken_for_these(
    study: Study, tmp_path: Path
) -> None:
    path = saved(study, tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(path)
    adata.X[5, 3] += 1.0
    adata.write_h5ad(path)
    again, told = Study(), []
    again.remarked.connect(told.append)
    again.open(read_h5ad_section(path))
    assert again.recipe == study.recipe
    assert not again.composition_analysis.has_kept
    assert "found anew" in told[0]
    again.update()
    assert (again.composition.abundance != study.composition.abundance).any()

    anndata.read_h5ad(path)[10:].write_h5ad(path)
    fewer, told = Study(), []
    fewer.remarked.connect(told.append)
    fewer.open(read_h5ad_section(path))
    assert not fewer.composition_analysis.has_kept
    assert fewer.regions == study.regions
    assert told


def test_a_newer_form_is_refused_by_name(study: Study, tmp_path: Path) -> None:
    path = saved(study, tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(path)
    adata.uns["smoother"]["session"]["format"] = 2
    adata.uns["smoother"]["session"]["version"] = "3.1"
    adata.write_h5ad(path)
    with pytest.raises(InputError, match=r"version 3\.1"):
        read_h5ad_section(path)


@pytest.mark.parametrize("damage", ["recipe", "reference", "unknown"])
def test_a_session_that_was_changed_is_told_and_the_section_opens(
    study: Study, tmp_path: Path, damage: str
) -> None:
    path = saved(study, tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(path)
    session = adata.uns["smoother"]["session"]
    if damage == "recipe":
        session["recipe"] = session["recipe"][:-20]
    elif damage == "unknown":
        session["recipe"] = session["recipe"].replace('"rho"', '"rhu"')
    else:
        del session["reference"]["mean_log"]
    adata.write_h5ad(path)
    again, told = Study(), []
    again.remarked.connect(told.append)
    again.open(read_h5ad_section(path))
    assert "cannot be read" in told[0]
    assert again.section.n_spots == study.section.n_spots
    assert not again.regions.classes


def test_a_result_that_was_changed_is_found_anew(study: Study, tmp_path: Path) -> None:
    path = saved(study, tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(path)
    del adata.uns["smoother"]["session"]["results"]["composition"]["tree"]
    adata.write_h5ad(path)
    again = reopened(path)
    with pytest.warns(UserWarning, match="found anew"):
        again.update()
    np.testing.assert_array_equal(again.composition.abundance, study.composition.abundance)


def test_files_of_version_0_1_bring_settings_and_regions(study: Study, tmp_path: Path) -> None:
    path = saved(study, tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(path)
    smoother = adata.uns["smoother"]
    recipe = json.loads(smoother.pop("session")["recipe"])
    graph, deconvolution, regions = (
        recipe[name] for name in ("graph", "deconvolution", "regions")
    )
    del graph["radius"], deconvolution["deviation"], deconvolution["shares"]
    connectivity = graph.pop("boundary_connectivity")
    deconvolution["lambda_spatial_loss"] = deconvolution.pop("lambda_")
    smoother["settings"] = {
        "graph": graph,
        "boundary_connectivity": connectivity,
        "deconvolution": deconvolution,
    }
    smoother["regions"] = {
        "names": [each["name"] for each in regions["classes"]],
        "colours": [each["colour"] for each in regions["classes"]],
        "shapes": {
            f"{order:04d}": {
                "region": shape["region"],
                "vertices": np.array(shape["vertices"]),
            }
            for order, shape in enumerate(regions["shapes"])
        },
    }
    adata.write_h5ad(path)
    again = reopened(path)
    assert again.graph_settings == study.graph_settings
    assert again.deconvolution == replace(study.deconvolution, deviation=False)
    assert again.regions.classes == study.regions.classes
    np.testing.assert_array_equal(again.region_labels, study.region_labels)
    assert again.reference is None


def test_saving_again_and_again_is_the_same(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    saved(study, path)
    for _ in range(2):
        again = reopened(path)
        again.update()
        saved(again, path)
    last = reopened(path)
    assert last.recipe == study.recipe
    assert last.composition_analysis.has_kept
    last.update()
    np.testing.assert_array_equal(last.composition.abundance, study.composition.abundance)


def test_components_domains_and_genes_are_back_without_finding_them_again(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduction, imputation = Reduction(study), Imputation(study)
    reduction.settings = replace(reduction.settings, components=5, domains=DomainSettings(True, 4))
    imputation.settings = replace(
        imputation.settings, gene=study.section.adata.var_names[3], held_out=0.2, denser=True
    )
    reduction.update()
    imputation.update()
    path = saved(study, tmp_path / "a.h5ad")

    again = reopened(path)
    for kind in (Reduction, Imputation):
        monkeypatch.setattr(kind, "compute", lambda *inputs: pytest.fail("it was kept"))
    after, gene = Reduction(again), Imputation(again)
    assert after.active
    assert after.has_kept
    after.update()
    gene.update()
    before = reduction.result
    for name in ("scores", "shares", "loadings"):
        np.testing.assert_array_equal(getattr(after.result, name), getattr(before, name))
    assert after.result.report == before.report
    assert after.result.describe() == before.describe()
    np.testing.assert_array_equal(after.result.chosen.genes, before.chosen.genes)
    for name in ("labels", "probabilities", "embedding", "kept"):
        np.testing.assert_array_equal(
            getattr(after.result.domains, name), getattr(before.domains, name)
        )
    assert after.result.domains.smoothing.errors == before.domains.smoothing.errors
    pd.testing.assert_frame_equal(after.result.table(), before.table())
    for name in ("raw", "values", "observed"):
        np.testing.assert_array_equal(getattr(gene.result, name), getattr(imputation.result, name))
    np.testing.assert_array_equal(gene.result.grid.values, imputation.result.grid.values)
    assert gene.result.describe() == imputation.result.describe()
    assert gene.result.hidden.error == imputation.result.hidden.error
    assert not again.is_unsaved
    second = anndata.read_h5ad(saved(again, tmp_path / "b.h5ad"))
    first = anndata.read_h5ad(path)
    np.testing.assert_array_equal(second.obsm["X_spatial_pca"], first.obsm["X_spatial_pca"])
    assert (second.obs["domain"] == first.obs["domain"]).all()


def test_a_training_is_not_lost(study: Study, tmp_path: Path) -> None:
    trained = []

    def train(values, weights, settings, on_epoch, cancelled):
        trained.append(values.shape)
        latent = np.random.default_rng(len(trained)).normal(size=(values.shape[0], 3))
        return Trained(latent, (3.0, 2.0), 0.1)

    before = Autoencoder(study, train)
    before.settings = replace(before.settings, components=3, epochs=2)
    before.update()
    again = reopened(saved(study, tmp_path / "a.h5ad"))
    after = Autoencoder(again, train)
    after.update()
    assert len(trained) == 1
    np.testing.assert_array_equal(after.result.scores, before.result.scores)
    assert after.result.losses == (3.0, 2.0)
