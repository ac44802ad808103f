"""The state of a study: what is taken over, dropped, undone and saved."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.region_columns import regions_from_column
from napari_smoother.analyses.regions import (
    RegionClass,
    Regions,
    RegionShape,
)
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex, simulate_tumour
from napari_smoother.study.annotated import annotate, annotated, findings_of
from napari_smoother.study.study import Study


@pytest.fixture(scope="module")
def sample():
    return simulate_cortex(rows=16, n_genes=200, seed=7, image_size=400)


@pytest.fixture
def study(sample) -> Study:
    study = Study()
    study.open(sample.section)
    study.set_reference(Reference.from_cells(sample.reference, "cell_type", "cells"))
    return study


def test_results_of_a_section_that_is_gone_are_dropped(study: Study) -> None:
    analysis = study.composition_analysis
    late = analysis.run(analysis.request(settled=True))
    study.open(simulate_tumour(rows=16, n_genes=200, seed=1, image_size=400).section)
    assert not analysis.accept(late)
    assert study.composition is None
    assert study.graph is None


def test_results_older_than_those_shown_are_dropped(study: Study) -> None:
    analysis = study.composition_analysis
    older = analysis.request(settled=True)
    study.deconvolution = replace(study.deconvolution, lambda_=9.0)
    study.update()
    shown = study.composition
    assert not analysis.accept(analysis.run(older))
    assert study.composition is shown


def test_a_composition_left_behind_by_its_graph_is_not_up_to_date(study: Study) -> None:
    study.update()
    study.graph_settings = replace(study.graph_settings, neighbours=4)
    study.graph_analysis.update()
    assert study.graph_analysis.is_up_to_date
    assert not study.is_up_to_date
    with pytest.raises(InputError, match="press Solve"):
        annotated(study)


def test_unfinished_outcomes_are_announced_but_not_kept(study: Study) -> None:
    study.update()
    kept = study.composition
    announced = []
    study.composition_changed.connect(announced.append)
    study.deconvolution = replace(study.deconvolution, lambda_=0.5)
    analysis = study.composition_analysis
    outcome = analysis.run(analysis.request(settled=False))
    assert analysis.accept(replace(outcome, finished=False))
    assert announced == [outcome.result]
    assert study.composition is kept
    analysis.restore()
    assert announced[-1] is kept


def test_a_reference_without_shared_genes_leaves_the_one_before(study: Study) -> None:
    import pandas as pd

    before = study.reference
    strange = Reference.from_table(
        pd.DataFrame(np.ones((30, 2)), index=[f"X{i}" for i in range(30)], columns=["a", "b"]),
        "strange",
    )
    with pytest.raises(InputError, match="X0"):
        study.set_reference(strange)
    assert study.reference is before
    study.update()
    assert study.composition is not None


def test_reference_stays_over_sections_that_share_its_genes(study: Study, sample) -> None:
    study.open(sample.section)
    assert study.reference is not None
    assert study.gene_match is not None


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: GraphSettings(neighbours=0), "neighbours"),
        (lambda: GraphSettings(radius=-1.0), "radius"),
        (lambda: GraphSettings(radius=float("nan")), "radius"),
        (lambda: GraphSettings(rule="magic"), "rule"),
        (lambda: DeconvolutionSettings(rho=1.01), "rho"),
        (lambda: DeconvolutionSettings(rho=float("nan")), "rho"),
        (lambda: DeconvolutionSettings(process="car", rho=-0.1), "rho"),
        (lambda: DeconvolutionSettings(process="magic"), "process"),
        (lambda: DeconvolutionSettings(model="magic"), "magic"),
        (lambda: DeconvolutionSettings(model="poisson"), "scale"),
        (lambda: DeconvolutionSettings(scale="raw"), "scale"),
        (lambda: DeconvolutionSettings(tube_loss="l3"), "tube_loss"),
        (lambda: DeconvolutionSettings(gene_weights="magic"), "gene_weights"),
        (lambda: DeconvolutionSettings(lambda_=-1.0), "lambda"),
        (lambda: DeconvolutionSettings(lambda_=float("inf")), "lambda"),
        (lambda: GraphSettings(boundary_connectivity=2.0), "boundary_connectivity"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, field: str) -> None:
    with pytest.raises(InputError) as refusal:
        make()
    assert field in str(refusal.value)


def corner(positions, share: float, region: str) -> RegionShape:
    lowest, highest = positions.min(axis=0), positions.max(axis=0)
    far = lowest + share * (highest - lowest)
    vertices = np.array([lowest, (far[0], lowest[1]), far, (lowest[0], far[1])])
    return RegionShape(region, vertices)


def test_regions_rename_recolour_remove_undo(study: Study, sample) -> None:
    positions = sample.section.positions
    red, blue = RegionClass("red", (1.0, 0.0, 0.0)), RegionClass("blue", (0.0, 0.0, 1.0))
    regions = Regions().with_class(red).with_class(blue)
    study.regions = regions.with_shapes(
        [corner(positions, 0.8, "red"), corner(positions, 0.4, "blue")]
    )
    within = (positions <= positions.min(0) + 0.4 * np.ptp(positions, axis=0)).all(axis=1)
    np.testing.assert_array_equal(study.region_labels == 1, within)
    sizes = study.region_sizes.tolist()
    assert sum(sizes) < sample.section.n_spots

    study.regions = study.regions.with_renamed("red", "tumour").with_recoloured(
        "tumour", (0.2, 0.3, 0.4)
    )
    assert study.regions.classes[0] == RegionClass("tumour", (0.2, 0.3, 0.4))
    assert study.region_sizes.tolist() == sizes
    study.regions = study.regions.without_class("tumour")
    assert [shape.region for shape in study.regions.shapes] == ["blue"]
    np.testing.assert_array_equal(study.region_labels == 0, within)
    study.undo()
    study.undo()
    assert [region.name for region in study.regions.classes] == ["red", "blue"]
    assert study.region_sizes.tolist() == sizes
    study.redo()
    assert study.regions.classes[0].name == "tumour"


@pytest.mark.parametrize("name", ["", "  ", "red"])
def test_region_names_must_be_new_and_not_empty(name: str) -> None:
    regions = Regions().with_class(RegionClass("red", (1.0, 0.0, 0.0)))
    with pytest.raises(InputError):
        regions.with_class(RegionClass(name, (0.0, 0.0, 0.0)))


def test_region_names_are_kept_letter_by_letter() -> None:
    names = ["Tumor", "Tumor ", " Tumor", "T/NK", "/X", "<b>", "a.b", "a\0b", "x" * 10_000]
    regions = Regions()
    for name in names:
        regions = regions.with_class(RegionClass(name, (1.0, 0.0, 0.0)))
    assert [region.name for region in regions.classes] == names
    outline = RegionShape("Tumor ", np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    renamed = regions.with_shapes([outline]).with_renamed("Tumor ", "Tumor  ")
    assert renamed.classes[1].name == renamed.shapes[0].region == "Tumor  "
    with pytest.raises(InputError, match="already"):
        regions.with_renamed("Tumor", "Tumor ")


def test_classes_of_a_column_keep_order_and_names() -> None:
    values = ["b", "a ", "a", None, "NA", " nan ", ""]
    colours = [(1.0, 0.0, 0.0)]
    text = regions_from_column(pd.Series(values, name="c"), colours)
    assert [region.name for region in text.classes] == ["a", "a ", "b"]
    assert text.imported.tolist() == [2, 1, 0, -1, -1, -1, -1]
    ordered = pd.Series(pd.Categorical(values, ["unused", "b", "", " nan ", "NA", "a", "a "]))
    found = regions_from_column(ordered, colours)
    assert [region.name for region in found.classes] == ["b", "a", "a "]
    assert found.imported.tolist() == [0, 2, 1, -1, -1, -1, -1]
    whole = regions_from_column(pd.Series([2, 1, 2], name="c"), colours)
    assert [region.name for region in whole.classes] == ["1", "2"]


def test_what_is_saved_is_what_was_found(study: Study, sample) -> None:
    study.regions = Regions(
        classes=(RegionClass("corner", (1.0, 0.5, 0.0)),),
        shapes=(corner(sample.section.positions, 0.5, "corner"),),
    )
    with pytest.raises(InputError, match="press Solve"):
        annotated(study)
    study.update()
    # The sample has a column of that name, which is not ours to replace.
    with pytest.warns(UserWarning, match=r'obs\["region_smoother"\]'):
        saved = annotated(study)
    assert saved is not sample.section.adata
    assert "nnls" not in sample.section.adata.obsm
    assert saved.obs["region"].equals(sample.section.adata.obs["region"])
    regions = saved.obs["region_smoother"]
    assert (regions == "corner").sum() == study.region_sizes[0]
    assert regions.isna().sum() == sample.section.n_spots - study.region_sizes[0]
    np.testing.assert_allclose(saved.obsm["nnls"].sum(axis=1), 1.0, atol=1e-5)
    beside = annotate(findings_of(study), suffix="_drawn")
    assert "region_drawn" in beside.obs
    assert beside.X is sample.section.adata.X
    assert "smoother" not in sample.section.adata.uns
    content = saved.uns["smoother"]
    recipe = json.loads(content["session"]["recipe"])
    assert recipe["graph"]["neighbours"] == 6
    assert content["nnls"]["report"]["kkt_residual"] <= 1e-5
    outline = recipe["regions"]["shapes"][0]
    np.testing.assert_array_equal(outline["vertices"], study.regions.shapes[0].vertices)
