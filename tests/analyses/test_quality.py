"""Quality of spots against scanpy, and spots that are left out against a section without them."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import napari_smoother as ns
from napari_smoother.analyses.autoencoder import Trained
from napari_smoother.analyses.embedding_settings import DomainSettings
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.kept_spots import KeptSpots
from napari_smoother.analyses.quality import judge, spot_metrics
from napari_smoother.analyses.quality_settings import QualitySettings
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings, from_toml, to_toml
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.batch.task import evaluate, run_recipe
from napari_smoother.errors import InputError
from napari_smoother.io.h5ad import write_h5ad
from napari_smoother.io.opening import open_section
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.analysis import Outcome
from napari_smoother.study.annotated import annotated
from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.study.imputation import Imputation
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from napari_smoother.sample_data import Sample
    from napari_smoother.section import Section


@pytest.fixture(scope="module")
def sample() -> Sample:
    """A section with mitochondrial genes, and one spot without counts."""
    sample = simulate_cortex(rows=16, n_genes=80, seed=4, image_size=400)
    adata = sample.section.adata
    adata.var_names = [*adata.var_names[:-3], "MT-CO1", "MT-ND4", "Mt-Cytb"]
    counts = sparse.lil_matrix(adata.X)
    counts[7] = 0
    adata.X = counts.tocsr()
    return sample


@pytest.fixture(scope="module")
def section(sample: Sample) -> Section:
    return sample.section


@pytest.fixture(scope="module")
def limited(section: Section) -> QualitySettings:
    """Limits of which each takes some spots out."""
    found = spot_metrics(SectionCounts.of(section), "MT-")
    low, high = np.percentile(found.counts, (15, 95))
    share = np.nanpercentile(found.mitochondrial, 90)
    return QualitySettings(
        min_counts=float(low), max_counts=float(high), max_mitochondrial=float(share)
    )


def without(section: Section, kept: np.ndarray) -> Section:
    return replace(section, adata=section.adata[kept].copy())


def kept_by(section: Section, limits: QualitySettings) -> np.ndarray:
    return judge(spot_metrics(SectionCounts.of(section), limits.mitochondrial_prefix), limits).kept


def by_sums(values: Any, spots: int, scores: int) -> Trained:
    """Stand in for a training: what it is given decides what it leaves, to the bit."""
    latent = np.asarray(values.sum(axis=1)).ravel()[:, None] * np.arange(1.0, scores + 1)
    return Trained(np.log1p(latent), (1.0,), 0.0)


# Metrics


def test_metrics_are_those_of_scanpy(section: Section) -> None:
    scanpy = pytest.importorskip("scanpy")
    mine, theirs = section.adata.copy(), section.adata.copy()
    ns.spot_quality(mine)
    theirs.var["mt"] = theirs.var_names.str.upper().str.startswith("MT-")
    scanpy.pp.calculate_qc_metrics(theirs, qc_vars=["mt"], inplace=True, percent_top=None)
    assert mine.var["mt"].tolist() == theirs.var["mt"].tolist()
    for column in ("total_counts", "n_genes_by_counts", "pct_counts_mt"):
        counted = theirs.obs["total_counts"].to_numpy() > 0
        np.testing.assert_allclose(
            mine.obs[column].to_numpy()[counted],
            theirs.obs[column].to_numpy()[counted],
            rtol=1e-6,  # scanpy sums single precision
        )
    assert np.isnan(mine.obs["pct_counts_mt"].iloc[7])


def test_dense_and_sparse_counts_are_counted_alike(section: Section) -> None:
    adata = section.adata.copy()
    adata.X = adata.X.toarray()
    ns.spot_quality(adata)
    other = ns.spot_quality(section.adata, copy=True)
    for column in ("total_counts", "n_genes_by_counts", "pct_counts_mt"):
        pd.testing.assert_series_equal(adata.obs[column], other.obs[column])


def test_explicit_zeros_are_no_genes() -> None:
    counts = sparse.csr_matrix(np.array([[1.0, 2.0], [3.0, 0.0]]))
    counts.data[1] = 0
    adata = anndata.AnnData(counts, var=pd.DataFrame(index=["MT-A", "B"]))
    ns.spot_quality(adata, layer="X")
    assert adata.obs["n_genes_by_counts"].tolist() == [1, 1]
    assert adata.obs["pct_counts_mt"].tolist() == [100, 100]


def test_mitochondrial_genes_are_found_by_their_symbols_where_rows_are_identifiers() -> None:
    var = pd.DataFrame(
        {"gene_symbols": ["MT-CO1", "GAD1", "SNAP25"]},
        index=["ENSG00000198804", "ENSG00000128683", "ENSG00000132639"],
    )
    adata = anndata.AnnData(sparse.csr_matrix([[1.0, 1, 2], [0, 1, 1]]), var=var)
    ns.spot_quality(adata)
    assert adata.obs["pct_counts_mt"].tolist() == [25, 0]
    assert adata.var["mt"].tolist() == [True, False, False]


def test_an_unknown_share_is_said_and_never_zero(section: Section) -> None:
    adata = section.adata.copy()
    with pytest.warns(UserWarning, match='begins with "mito:".*not known'):
        ns.spot_quality(adata, mitochondrial_prefix="mito:")
    assert "pct_counts_mt" not in adata.obs
    with pytest.raises(InputError, match="no gene of the section has a symbol"):
        ns.spot_quality(adata, mitochondrial_prefix="mito:", max_mitochondrial=10)


def test_values_that_are_no_counts_are_refused(section: Section) -> None:
    adata = section.adata.copy()
    adata.X = -adata.X
    with pytest.raises(InputError):
        ns.spot_quality(adata, layer="X")


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"min_counts": 5.0, "max_counts": 4.0}, "min_counts"),
        ({"max_genes": -1}, "genes"),
        ({"min_counts": float("nan")}, "min_counts"),
        ({"mitochondrial_prefix": " "}, "mitochondrial_prefix"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        QualitySettings(**limits)


def test_limits_are_inclusive_and_counted_each(section: Section) -> None:
    metrics = spot_metrics(SectionCounts.of(section), "MT-")
    low, high = np.sort(metrics.counts)[[10, -10]]
    found = judge(metrics, QualitySettings(min_counts=low, max_counts=high, min_genes=1))
    expected = (metrics.counts >= low) & (metrics.counts <= high) & (metrics.genes >= 1)
    np.testing.assert_array_equal(found.kept, expected)
    assert found.removed == {
        "min_counts": int((metrics.counts < low).sum()),
        "max_counts": int((metrics.counts > high).sum()),
        "min_genes": int((metrics.genes < 1).sum()),
    }
    assert found.n_removed == int((~expected).sum())


def test_a_spot_without_counts_has_no_share_to_be_left_out_by(section: Section) -> None:
    metrics = spot_metrics(SectionCounts.of(section), "MT-")
    found = judge(metrics, QualitySettings(min_mitochondrial=0.0, max_mitochondrial=0.0))
    assert found.kept[7]
    assert not found.kept.all()


# One mechanism through everything


def decided(limits: QualitySettings, section: Section) -> Recipe:
    middle = section.positions.mean(axis=0)
    outline = np.array([[-1, -1], [-1, 1e5], [middle[0], 1e5], [middle[0], -1]], dtype=float)
    return Recipe(
        quality=limits,
        graph=GraphSettings(neighbours=6, boundary_connectivity=0.2, by_expression=True),
        regions=Regions()
        .with_class(RegionClass("left", (1.0, 0.0, 0.0)))
        .with_shapes([RegionShape("left", outline)]),
    )


def studied(section: Section, recipe: Recipe, reference: Reference | None = None) -> Study:
    study = Study()
    study.open(section, SessionRecord(recipe, reference))
    return study


@pytest.fixture(scope="module")
def reference(sample: Sample) -> Reference:
    return Reference.from_cells(sample.reference, "cell_type", "cells")


def pair(
    section: Section, limits: QualitySettings, recipe: Recipe, reference: Reference | None = None
) -> tuple[Study, Study, np.ndarray]:
    """Return a study of the section with limits, one of the section without those spots."""
    kept = kept_by(section, limits)
    assert 0 < (~kept).sum() < len(kept) / 2
    return (
        studied(section, recipe, reference),
        studied(without(section, kept), replace(recipe, quality=QualitySettings()), reference),
        kept,
    )


def assert_same(value: Any, expected: Any, kept: np.ndarray, missing: Any = np.nan) -> None:
    np.testing.assert_array_equal(np.asarray(value)[kept], np.asarray(expected))
    others = np.asarray(value)[~kept]
    np.testing.assert_array_equal(others, np.full_like(others, missing))


def test_the_graph_is_that_of_the_kept_spots(section: Section, limited: QualitySettings) -> None:
    mine, theirs, kept = pair(section, limited, decided(limited, section))
    for study in (mine, theirs):
        study.graph_analysis.update()
    mine_whole, expected = mine.graph, theirs.graph
    places = np.flatnonzero(kept)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(
            getattr(mine_whole.weights[places][:, places], name), getattr(expected.weights, name)
        )
    assert mine_whole.weights.nnz == expected.weights.nnz
    assert mine_whole.weights.has_sorted_indices
    np.testing.assert_array_equal(mine_whole.edges, places[expected.edges])
    np.testing.assert_array_equal(mine_whole.edge_weights, expected.edge_weights)
    np.testing.assert_array_equal(mine_whole.crossing, expected.crossing)
    assert mine_whole.crossing.any()
    assert mine_whole.describe() == expected.describe()
    written = annotated(mine)
    distances = written.obsp["spatial_distances"]
    assert (distances[places][:, places] != annotated(theirs).obsp["spatial_distances"]).nnz == 0


@pytest.mark.parametrize(
    ("model", "scale"),
    [
        ("nnls", "counts"),
        ("linear_regression", "counts"),
        ("dwls", "counts"),
        ("poisson", "raw"),
        ("nusvr", "log1p"),
    ],
)
def test_the_composition_is_that_of_the_kept_spots(
    section: Section, limited: QualitySettings, reference: Reference, model: Any, scale: Any
) -> None:
    recipe = decided(limited, section)
    least_squares = model in ("nnls", "linear_regression")
    chosen = replace(
        recipe.deconvolution, model=model, scale=scale, deviation=least_squares, lambda_=0.3
    )
    recipe = replace(recipe, deconvolution=chosen)
    mine, theirs, kept = pair(section, limited, recipe, reference)
    for study in (mine, theirs):
        study.update()
    found, expected = mine.composition, theirs.composition
    assert_same(found.proportions, expected.proportions, kept)
    assert_same(found.table("abundance"), expected.table("abundance"), kept)
    assert_same(found.misfit, expected.misfit, kept)
    assert_same(found.dominant, expected.dominant, kept, -1)
    np.testing.assert_allclose(found.mean_proportions, expected.mean_proportions, rtol=1e-12)
    if least_squares:
        assert_same(found.table("deviation"), expected.table("deviation"), kept)
    assert found.report.kkt_residual == expected.report.kkt_residual


def test_components_and_domains_are_those_of_the_kept_spots(
    section: Section, limited: QualitySettings
) -> None:
    recipe = decided(limited, section)
    domains = DomainSettings(find=True, number=3)
    reduction = replace(recipe.reduction, components=4, lambda_=0.2, domains=domains)
    mine, theirs, kept = pair(section, limited, replace(recipe, reduction=reduction))
    found, expected = [], []
    for study, into in ((mine, found), (theirs, expected)):
        analysis = Reduction(study)
        analysis.update()
        into.append(analysis.result)
    (one,), (other,) = found, expected
    assert_same(one.scores, other.scores, kept)
    np.testing.assert_array_equal(one.loadings, other.loadings)
    assert_same(one.domains.labels, other.domains.labels, kept, -1)
    assert_same(one.domains.probabilities, other.domains.probabilities, kept)
    assert_same(one.domains.embedding, other.domains.embedding, kept)
    np.testing.assert_array_equal(
        one.spots[one.chosen.spots], other.spots[other.chosen.spots], "places among all"
    )
    assert list(one.table().index) == list(section.adata.obs_names)


def test_an_autoencoder_sees_the_kept_spots_only(
    section: Section, limited: QualitySettings
) -> None:
    seen = []

    def train(values, weights, settings, on_epoch, cancelled) -> Trained:
        seen.append((values, weights))
        return by_sums(values, values.shape[0], settings.components)

    recipe = decided(limited, section)
    recipe = replace(recipe, autoencoder=replace(recipe.autoencoder, components=3))
    mine, theirs, kept = pair(section, limited, recipe)
    results = []
    for study in (mine, theirs):
        analysis = Autoencoder(study, train)
        analysis.update()
        results.append(analysis.result)
    (values, weights), (other_values, other_weights) = seen
    assert (values != other_values).nnz == 0
    assert (weights != other_weights).nnz == 0
    assert_same(results[0].scores, results[1].scores, kept)
    np.testing.assert_array_equal(results[0].shares, results[1].shares)


@pytest.mark.parametrize("fixed", [False, True])
def test_an_imputed_gene_is_that_of_the_kept_spots(
    section: Section, limited: QualitySettings, fixed: bool
) -> None:
    recipe = decided(limited, section)
    gene = str(section.adata.var_names[5])
    how = replace(recipe.imputation, gene=gene, held_out=0.2, denser=True, factor=1.5, fixed=fixed)
    mine, theirs, kept = pair(section, limited, replace(recipe, imputation=how))
    results = []
    for study in (mine, theirs):
        analysis = Imputation(study)
        analysis.update()
        results.append(analysis.result)
    found, expected = results
    assert_same(found.values, expected.values, kept)
    assert_same(found.raw, expected.raw, kept)
    assert_same(found.observed, expected.observed, kept, False)
    np.testing.assert_array_equal(found.grid.positions, expected.grid.positions)
    np.testing.assert_array_equal(found.grid.values, expected.grid.values)
    assert found.correlation == expected.correlation
    assert astuple(found.hidden) == astuple(expected.hidden)


def test_lambda_is_chosen_from_the_kept_spots(
    section: Section, limited: QualitySettings, reference: Reference
) -> None:
    from napari_smoother.analyses.choice import ChoiceSettings, compute

    mine, theirs, _ = pair(section, limited, decided(limited, section), reference)
    found = []
    for study in (mine, theirs):
        study.graph_analysis.update()
        graph = study.analysed_graph
        settings = ChoiceSettings.of(study.deconvolution)
        found.append(
            compute(SectionCounts.of(graph.section), reference, graph.weights, settings).choice
        )
    np.testing.assert_array_equal(found[0].mean, found[1].mean)
    assert found[0].lambda_ == found[1].lambda_


def test_undo_brings_all_spots_back(
    section: Section, limited: QualitySettings, reference: Reference
) -> None:
    study = studied(section, Recipe(), reference)
    study.update()
    before = study.composition
    study.quality_analysis.settings = limited
    assert not study.is_up_to_date
    study.update()
    assert np.isnan(study.composition.proportions).any()
    study.undo()
    assert study.recipe.quality == QualitySettings()
    study.update()
    np.testing.assert_array_equal(study.composition.proportions, before.proportions)
    np.testing.assert_array_equal(study.graph.weights.indices, study.graph.weights.indices)
    assert study.graph.section is section
    study.redo()
    assert study.recipe.quality == limited


def test_limits_that_take_no_other_spot_find_nothing_anew(
    section: Section, limited: QualitySettings, reference: Reference
) -> None:
    study = studied(section, decided(limited, section), reference)
    study.update()
    runs = study.composition_analysis.steps.settled.runs
    study.quality_analysis.settings = replace(limited, min_counts=limited.min_counts - 1e-6)
    assert not study.is_up_to_date
    study.update()
    assert study.is_up_to_date
    assert study.composition_analysis.steps.settled.runs == runs


def test_a_moved_lambda_starts_from_the_kept_spots(
    section: Section, limited: QualitySettings, reference: Reference
) -> None:
    study = studied(section, decided(limited, section), reference)
    study.update()
    analysis = study.composition_analysis
    analysis.settings = replace(analysis.settings, lambda_=0.7)
    request = analysis.request(settled=False)
    assert len(request.start.abundance) == kept_by(section, limited).sum()
    heard: list[Any] = []
    outcome = analysis.run(request, tell=heard.append)
    assert len(outcome.result.abundance) == section.n_spots
    passing = [each for each in heard if isinstance(each, Outcome)]
    assert passing
    assert all(len(each.result.abundance) == section.n_spots for each in passing)
    study.quality_analysis.settings = QualitySettings()
    assert analysis.request(settled=False).start is None, "they are of other spots"


def test_no_spot_left_is_said(section: Section) -> None:
    study = studied(section, decided(QualitySettings(min_counts=1e9), section))
    with pytest.raises(InputError, match=r"None of .* within the limits"):
        study.graph_analysis.update()


def test_an_analysis_that_cannot_leave_spots_out_refuses(
    section: Section, limited: QualitySettings
) -> None:
    from napari_smoother.study.analysis import Analysis

    class Unaware(Analysis):
        name, field = "unaware", "graph"

        def compute(self, request, context):
            assert len(request.kept.among(section.positions)) == request.section.n_spots
            return request.section.n_spots

        def describe(self, result) -> str:
            return str(result)

        def describe_settings(self, settings) -> str:
            return ""

    study = studied(section, decided(limited, section))
    with pytest.raises(InputError, match="left out"):
        Unaware(study).update()


# Files


def test_recipe_files_keep_the_limits(limited: QualitySettings) -> None:
    content = RecipeFile(Recipe(quality=limited))
    assert from_toml(to_toml(content)) == content
    with pytest.raises(InputError, match=r"line 2, quality\.min_counts"):
        from_toml("[quality]\nmin_counts = 5.0\nmax_counts = 4.0\n")


def test_a_run_leaves_the_same_spots_out_and_says_which(
    tmp_path: Path, sample: Sample, limited: QualitySettings
) -> None:
    section, cells = tmp_path / "section.h5ad", tmp_path / "cells.h5ad"
    sample.section.adata.write_h5ad(section)
    sample.reference.write_h5ad(cells)
    opened = open_section(section)
    recipe = replace(decided(limited, opened), regions=Regions())
    content = RecipeFile(recipe, RunSettings(analyses=("deconvolution", "reduction")))
    adata = run_recipe(to_toml(content), section, reference=cells, cell_type="cell_type")
    kept = kept_by(opened, limited)
    assert adata.obs["passes_quality"].tolist() == kept.tolist()
    subset = opened.adata[kept].copy()
    subset.write_h5ad(tmp_path / "subset.h5ad")
    plain = replace(content, recipe=replace(recipe, quality=QualitySettings()))
    other = run_recipe(
        to_toml(plain), tmp_path / "subset.h5ad", reference=cells, cell_type="cell_type"
    )
    for key in ("nnls", "nnls_abundance", "X_spatial_pca"):
        assert_same(adata.obsm[key], other.obsm[key], kept)
    report = adata.uns["smoother"]["quality"]["report"]
    assert report["n_removed"] == int((~kept).sum())
    assert json.dumps(report)


def test_a_session_comes_back_with_the_spots_it_was_saved_with(
    tmp_path: Path, section: Section, limited: QualitySettings, reference: Reference
) -> None:
    study = studied(section, decided(limited, section), reference)
    study.quality_analysis.update()
    study.update()
    reduction = Reduction(study)
    reduction.update()
    path = tmp_path / "saved.h5ad"
    write_h5ad(annotated(study), path)
    again = Study()
    again.open(open_section(path))
    assert again.recipe.quality == limited
    assert again.composition_analysis.has_kept
    again.update()
    assert again.composition_analysis.shown.is_kept
    np.testing.assert_array_equal(again.composition.proportions, study.composition.proportions)
    back = Reduction(again)
    back.update()
    assert back.shown.is_kept
    np.testing.assert_array_equal(back.result.scores, reduction.result.scores)
    np.testing.assert_array_equal(back.result.chosen.spots, reduction.result.chosen.spots)
    again.quality_analysis.settings = QualitySettings()
    assert not again.composition_analysis.has_kept, "it is of other spots"


def test_columns_of_others_that_say_the_same_are_left_alone(section: Section) -> None:
    adata = section.adata.copy()
    ns.spot_quality(adata)
    adata.obs["total_counts"] = adata.obs["total_counts"].astype(np.float32)
    adata.obs["n_genes_by_counts"] += 1
    del adata.obs["passes_quality"], adata.uns["smoother"]
    study = studied(replace(section, adata=adata), Recipe())
    study.quality_analysis.update()
    study.graph_analysis.update()
    with pytest.warns(UserWarning, match="n_genes_by_counts"):
        written = annotated(study)
    assert "total_counts_smoother" not in written.obs
    assert written.obs["total_counts"].dtype == np.float32
    assert written.obs["passes_quality"].all()
    np.testing.assert_array_equal(
        written.obs["n_genes_by_counts_smoother"], adata.obs["n_genes_by_counts"] - 1
    )


def test_having_counted_is_no_unsaved_work(section: Section) -> None:
    study = studied(section, Recipe())
    study.quality_analysis.update()
    assert not study.is_unsaved


def test_a_comparison_leaves_the_same_spots_out(
    section: Section, limited: QualitySettings, reference: Reference
) -> None:
    study = evaluate(section, RecipeFile(decided(limited, section)), reference)
    adata: AnnData = annotated(study)
    adata.obs["side"] = np.where(section.positions[:, 0] < 600, "left", "right")
    ns.compare_regions(adata, "nnls", "side")
    kept = kept_by(section, limited)
    valued = ~np.isnan(adata.obsm["nnls"].to_numpy()[:, 0])
    assert adata.uns["smoother"]["region_comparison"]["report"]["n_spots"] == valued.sum()
    assert not valued[~kept].any()


def test_kept_spots_share_nothing_that_changes_the_section(section: Section) -> None:
    mask = np.ones(section.n_spots, dtype=bool)
    assert KeptSpots.of(section, mask).are_all
    mask[:5] = False
    before = section.adata.copy()
    kept = KeptSpots.of(section, mask)
    kept.section.adata.obs["new"] = 1
    kept.section.adata.uns["new"] = 1
    assert list(section.adata.obs.columns) == list(before.obs.columns)
    assert "new" not in section.adata.uns
