"""One gene smoothed in a study: the library's numbers, what is run again, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from napari_smoother import impute, predict_at
from napari_smoother.analyses.imputation_settings import ImputationSettings
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.impute import denser_positions
from napari_smoother.models.impute import missing as missing_values
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotated
from napari_smoother.study.imputation import Imputation
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from napari_smoother.section import Section

GENE = "CUX2"


@pytest.fixture(scope="module")
def section() -> Section:
    section = simulate_cortex(rows=22, n_genes=80, seed=5, image_size=400).section
    y = section.positions[:, 1]
    # Wider than high, so that x and y cannot be taken for each other.
    adata = section.adata[y < y.min() + 0.6 * np.ptp(y)].copy()
    adata.obs["in_tissue"] = np.arange(adata.n_obs) % 7 > 0
    adata.obs["area"] = np.linspace(0.0, 1.0, adata.n_obs)
    return replace(section, adata=adata)


@pytest.fixture
def study(section: Section) -> Study:
    study = Study()
    study.open(section)
    return study


@pytest.fixture
def imputation(study: Study) -> Imputation:
    imputation = Imputation(study)
    imputation.settings = ImputationSettings(gene=GENE)
    return imputation


def change(imputation: Imputation, **settings) -> None:
    imputation.settings = replace(imputation.settings, **settings)
    imputation.update()


def log_counts(section: Section):
    """Return the section's AnnData with log1p of counts per ten thousand, worked out anew."""
    adata = section.adata.copy()
    counts = np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X, float)
    adata.layers["log"] = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    return adata


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lambda_": 30.0, "rho": 0.9},
        {"process": "isar", "rho": 0.95, "lambda_": 0.2},
        {"fixed": True, "hidden_column": "in_tissue", "hidden_class": "False"},
        {"hidden_column": "in_tissue", "hidden_class": "False", "nonneg": False},
    ],
)
def test_numbers_are_those_of_the_library(
    imputation: Imputation, section: Section, settings
) -> None:
    change(imputation, **settings)
    adata = log_counts(section)
    adata.obsp["spatial_connectivities"] = imputation.study.graph.weights
    chosen = imputation.settings
    impute(
        adata,
        [GENE],
        layer="log",
        observed="in_tissue" if chosen.hidden_column else None,
        fixed=chosen.fixed,
        nonneg=chosen.nonneg,
        process=chosen.process,
        rho=chosen.rho,
        lambda_=chosen.lambda_,
    )
    result = imputation.result
    np.testing.assert_allclose(result.values, adata.obsm["imputed"][GENE], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(result.raw, adata.layers["log"][:, adata.var_names == GENE][:, 0])
    report = adata.uns["smoother"]["imputed"]["report"]
    assert result.report.objective == pytest.approx(report["objective"], rel=1e-6)
    assert result.report.converged


def test_denser_grid_is_the_librarys_between_the_smoothed_spots(
    imputation: Imputation, section: Section
) -> None:
    change(imputation, denser=True, factor=2.5, lambda_=3.0)
    grid = imputation.result.grid
    adata = section.adata.copy()
    adata.layers["smooth"] = np.tile(imputation.result.values[:, None], adata.n_vars)
    positions = denser_positions(section.positions, 2.5)
    truth = predict_at(adata, positions, [GENE], layer="smooth", fixed=True)
    np.testing.assert_array_equal(grid.positions, positions)
    np.testing.assert_allclose(grid.values, np.asarray(truth.X)[:, 0], atol=1e-6)
    # In x and y, not in y and x: a section is not square.
    extent = section.positions.max(axis=0) - section.positions.min(axis=0)
    assert abs(extent[0] - extent[1]) > 4 * grid.spacing
    apart = np.linalg.norm(grid.positions[:, None] - section.positions[None], axis=2)
    assert apart.min(axis=1).max() < 2 * grid.spacing
    nearest = imputation.result.values[apart.argmin(axis=1)]
    assert np.corrcoef(nearest, grid.values)[0, 1] > 0.95


def test_only_what_changed_is_run_again(imputation: Imputation) -> None:
    change(imputation, denser=True)
    steps = imputation.steps
    stages = (steps.counted, steps.raw, steps.observed, steps.precision)
    stages += (steps.settled, steps.lattice, steps.interpolation)

    def runs() -> list[int]:
        return [stage.runs for stage in stages]

    assert runs() == [1, 1, 1, 1, 1, 1, 1]
    change(imputation, lambda_=5.0)
    assert runs() == [1, 1, 1, 1, 2, 1, 1]
    change(imputation, rho=0.9)
    assert runs() == [1, 1, 1, 2, 3, 1, 1]
    change(imputation, held_out=0.2)
    assert runs() == [1, 1, 2, 2, 4, 1, 1]
    change(imputation, gene="GFAP")
    assert runs() == [1, 2, 2, 2, 5, 1, 1]
    change(imputation, factor=2.0)
    assert runs() == [1, 2, 2, 2, 5, 2, 2]


def test_the_way_of_the_slider_leaves_no_trace(
    imputation: Imputation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing_values, "STARTED", 0)
    change(imputation, lambda_=2.0)
    first = imputation.result
    for lambda_ in (0.1, 40.0, 2.0):
        imputation.settings = replace(imputation.settings, lambda_=lambda_)
        assert imputation.accept(imputation.run(imputation.request(settled=False)))
    moving = imputation.result
    assert moving.report.method == "conjugate gradients"
    assert moving.report.converged
    assert not imputation.is_up_to_date
    np.testing.assert_allclose(moving.values, first.values, atol=1e-3)
    imputation.update()
    assert imputation.is_up_to_date
    np.testing.assert_array_equal(imputation.result.values, first.values)


def test_error_at_held_out_spots(imputation: Imputation) -> None:
    change(imputation, held_out=0.25, seed=3, lambda_=2.0)
    result = imputation.result
    hidden = ~result.observed
    assert hidden.sum() == round(0.25 * len(hidden))
    truth = result.raw[hidden]
    error = np.sqrt(np.mean((result.values[hidden] - truth) ** 2))
    error_of_mean = np.sqrt(np.mean((result.raw[~hidden].mean() - truth) ** 2))
    assert result.hidden.count == hidden.sum()
    assert result.hidden.error == pytest.approx(error)
    assert result.hidden.error_of_mean == pytest.approx(error_of_mean)
    # The gene marks layers, so neighbours tell more about a spot than the mean of all.
    assert error < 0.8 * error_of_mean
    again = result.observed
    change(imputation, seed=4)
    assert not np.array_equal(imputation.result.observed, again)
    change(imputation, seed=3)
    np.testing.assert_array_equal(imputation.result.observed, again)
    np.testing.assert_array_equal(imputation.result.values, result.values)


def test_nothing_hidden_nothing_to_compare(imputation: Imputation) -> None:
    change(imputation)
    result = imputation.result
    assert result.hidden is None
    expected = pd.Series(result.raw).corr(pd.Series(result.values))
    assert result.correlation == pytest.approx(expected)


def test_fixed_values_stay_and_only_hidden_ones_are_filled(imputation: Imputation) -> None:
    change(imputation, fixed=True, held_out=0.1)
    result = imputation.result
    np.testing.assert_array_equal(result.values[result.observed], result.raw[result.observed])
    assert np.isfinite(result.values).all()


def test_a_spot_without_counts_has_no_raw_value_and_is_filled_in(section: Section) -> None:
    adata = section.adata.copy()
    counts = adata.X.tolil()
    counts[40] = 0
    adata.X = counts.tocsr()
    study = Study()
    study.open(replace(section, adata=adata))
    imputation = Imputation(study)
    change(imputation, gene=GENE, fixed=True)
    result = imputation.result
    assert np.flatnonzero(np.isnan(result.raw)).tolist() == [40]
    neighbours = study.graph.weights[[40]].indices
    assert result.values[40] == pytest.approx(result.raw[neighbours].mean())
    assert result.hidden is None


def test_pieces_without_an_observed_spot_are_told(study: Study, imputation: Imputation) -> None:
    x, y = study.section.positions.T
    middle = (np.median(x), np.median(y))
    radius = 0.2 * np.ptp(x)
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + middle
    study.regions = Regions(
        (RegionClass("island", (1.0, 0.0, 0.0)),), (RegionShape("island", circle),)
    )
    inside = study.region_labels == 0
    adata = study.section.adata
    adata.obs["island"] = pd.Categorical(np.where(inside, "yes", "no"))
    change(imputation, hidden_column="island", hidden_class="yes", denser=True)
    result = imputation.result
    assert inside.sum() > 5
    np.testing.assert_array_equal(np.isnan(result.values), inside)
    assert result.n_unreached == inside.sum()
    assert f"{inside.sum()} spots have no value" in imputation.describe(result)
    # Between other spots the grid goes on.
    assert np.isfinite(result.grid.values).all()
    assert "no value" not in imputation.describe(_joined(study, imputation))


def _joined(study: Study, imputation: Imputation):
    study.boundary_connectivity = 0.5
    imputation.update()
    return imputation.result


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"gene": "NOSUCHGENE"}, "no gene 'NOSUCHGENE'"),
        ({"gene": ""}, "No gene is chosen"),
        ({"hidden_column": "nowhere", "hidden_class": "x"}, "no obs column 'nowhere'"),
        ({"hidden_column": "area", "hidden_class": "0.5"}, "holds numbers"),
        ({"hidden_column": "in_tissue", "hidden_class": "maybe"}, "is 'maybe'"),
        ({"denser": True, "factor": 500.0}, "positions"),
    ],
)
def test_what_cannot_be_used_is_refused_and_the_result_stays(
    imputation: Imputation, settings, problem: str
) -> None:
    change(imputation)
    before = imputation.result
    with pytest.raises(InputError, match=problem):
        change(imputation, **settings)
    assert imputation.result is (before if settings.get("gene") != "" else None)


@pytest.mark.parametrize(
    "settings",
    [{"lambda_": -1.0}, {"lambda_": float("nan")}, {"rho": 1.5}, {"held_out": 1.0}, {"factor": 0}],
)
def test_settings_out_of_range_are_refused_by_name(settings) -> None:
    with pytest.raises(InputError, match=next(iter(settings)).rstrip("_")):
        ImputationSettings(**settings)


def test_all_spots_hidden(section: Section, imputation: Imputation) -> None:
    section.adata.obs["all"] = True
    with pytest.raises(InputError, match="No spot with counts is left"):
        change(imputation, hidden_column="all", hidden_class="True")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda x: x - 1.0, "negative"),
        (lambda x: x * np.nan, "not finite"),
        (lambda x: 0 * x, "No spot has any count"),
    ],
)
def test_a_section_without_counts_is_refused(section: Section, spoil, problem: str) -> None:
    adata = section.adata.copy()
    adata.X = spoil(np.asarray(adata.X.todense(), dtype=float))
    study = Study()
    study.open(replace(section, adata=adata))
    imputation = Imputation(study)
    with pytest.raises(InputError, match=problem):
        change(imputation, gene=GENE)
    assert imputation.result is None


def test_cancelling_keeps_what_was_there(imputation: Imputation) -> None:
    change(imputation)
    before, told = imputation.result, []
    imputation.settings = replace(imputation.settings, denser=True)
    with pytest.raises(Cancelled):
        imputation.run(
            imputation.request(settled=True), cancelled=lambda: bool(told), tell=told.append
        )
    assert "interpolating at" in told[0].text
    assert imputation.result is before


def test_what_is_saved(study: Study, imputation: Imputation, tmp_path) -> None:
    import anndata

    change(imputation, denser=True, held_out=0.1, lambda_=0.7)
    annotated(study).write_h5ad(tmp_path / "saved.h5ad")
    saved = anndata.read_h5ad(tmp_path / "saved.h5ad")
    result = imputation.result
    np.testing.assert_array_equal(saved.obsm["imputed"][GENE], result.values)
    grid = saved.uns["imputed_grid"]
    np.testing.assert_array_equal(grid[["x", "y"]], result.grid.positions)
    np.testing.assert_array_equal(grid[GENE], result.grid.values)
    content = saved.uns["smoother"]["imputed"]
    assert content["recipe"]["lambda_"] == 0.7
    assert content["recipe"]["gene"] == GENE
    assert content["report"]["hidden"]["error"] == pytest.approx(result.hidden.error)
    assert "up_to_date" not in content
