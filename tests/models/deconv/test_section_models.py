"""Every model on a whole section: what `deconvolve` does, against the model's own class."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import xlogy

import napari_smoother
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv import (
    DWLS,
    LinearRegression,
    LogNormReg,
    NuSVR,
    PoissonRegression,
    Reference,
)
from napari_smoother.models.deconv.catalogue import MODELS, ModelName
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.models.deconv.section_expression import express_section, unexplained_share
from napari_smoother.models.deconv.section_fit import KnownPrecision, fit_section
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.precision import precision

PASSING = ("dwls", "nusvr", "lognormreg", "poisson")


@pytest.fixture(scope="module")
def sample():
    return simulate_cortex(rows=16, n_genes=150, seed=11)


@pytest.fixture(scope="module")
def reference(sample) -> Reference:
    return Reference.from_cells(sample.reference, "cell_type", "cells")


def truth_of(sample, reference: Reference) -> np.ndarray:
    return sample.section.adata.obsm["proportions"][list(reference.types)].to_numpy()


@pytest.mark.parametrize("model", get_args(ModelName))
def test_every_model_finds_the_composition(model, sample, reference) -> None:
    adata = sample.section.adata.copy()
    napari_smoother.deconvolve(adata, reference, model=model)
    found, truth = adata.obsm[model].to_numpy(), truth_of(sample, reference)
    spread = np.sqrt(((truth.mean(axis=0) - truth) ** 2).mean())
    assert np.sqrt(((found - truth) ** 2).mean()) < 0.6 * spread
    kept = adata.uns["smoother"][model]
    assert kept["recipe"]["model"] == model
    assert kept["recipe"]["scale"] == MODELS[model].scales[0]
    assert kept["report"]["converged"]
    # Abundances are on one scale in every model.
    assert adata.obsm[f"{model}_abundance"].sum(axis=1).mean() == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("model", PASSING)
def test_section_is_given_to_the_class_as_it_says(model, sample, reference) -> None:
    adata = sample.section.adata.copy()
    napari_smoother.deconvolve(adata, reference, model=model, gene_weights="none", lambda_=0.5)
    match = match_genes(adata.var, reference)
    counts = adata.X[:, match.section_index].toarray().astype(float)
    means = reference.mean_counts[match.reference_index]
    logs = reference.mean_log[match.reference_index]
    total = means.sum(axis=0).mean()
    scale = MODELS[model].scales[0]
    if scale == "raw":
        x, y = means * counts.sum(axis=1).mean() / total, counts
    else:
        y = total * counts / counts.sum(axis=1, keepdims=True)
        x, y = (logs, np.log1p(y)) if scale == "log1p" else (means, y)
    mean = y.mean(axis=0)
    bend = {
        "lognormreg": 1 / (mean + 1) ** 2,
        "poisson": 1 / (mean + 0.05 * mean.mean()),
    }.get(model, np.ones(mean.size))
    weight = (logs**2).sum() / (bend[:, None] * x**2).sum()
    kinds = {
        "dwls": DWLS(),
        "nusvr": NuSVR(nonneg=True),
        "lognormreg": LogNormReg(),
        "poisson": PoissonRegression(),
    }
    q = precision(section_graph(adata)[0], "icar", 0.99)
    kinds[model].deconv(x, y.T, KnownPrecision(q), 0.5, gene_weights=np.full(mean.size, weight))
    np.testing.assert_allclose(
        adata.obsm[f"{model}_abundance"].to_numpy(), kinds[model].abundance, atol=1e-3
    )


def test_linear_regression_may_go_below_zero(sample, reference) -> None:
    adata = sample.section.adata.copy()
    napari_smoother.deconvolve(adata, reference, model="linear_regression")
    assert (adata.obsm["linear_regression_abundance"].to_numpy() < 0).any()
    assert LinearRegression.nonneg is False


@pytest.mark.parametrize(("tube_loss", "nonneg"), [("l1", True), ("l1", False), ("l2", False)])
def test_forms_of_nu_svr(tube_loss, nonneg, sample, reference) -> None:
    adata = sample.section.adata.copy()
    napari_smoother.deconvolve(adata, reference, model="nusvr", tube_loss=tube_loss, nonneg=nonneg)
    recipe = adata.uns["smoother"]["nusvr"]["recipe"]
    assert (recipe["tube_loss"], recipe["nonneg"]) == (tube_loss, nonneg)
    assert (adata.obsm["nusvr_abundance"].to_numpy() < 0).any() == (not nonneg)


@pytest.mark.parametrize("model", [*PASSING, "nnls"])
def test_moving_average_and_range_of_rho(model, sample, reference) -> None:
    for process in ("car", "sar", "sma"):
        adata = sample.section.adata.copy()
        napari_smoother.deconvolve(adata, reference, model=model, process=process, rho=0.1)
        assert adata.uns["smoother"][model]["report"]["converged"]
    with pytest.raises(InputError, match="valid below"):
        napari_smoother.deconvolve(adata, reference, model=model, process="car", rho=0.9)


@pytest.mark.parametrize("model", PASSING)
def test_spots_without_counts_take_no_part(model, sample, reference) -> None:
    adata = sample.section.adata.copy()
    counts = adata.X.toarray()
    counts[5] = 0
    adata.X = sparse.csr_matrix(counts)
    napari_smoother.deconvolve(adata, reference, model=model)
    alone = sample.section.adata[np.arange(adata.n_obs) != 5].copy()
    weights = section_graph(adata)[0]
    others = np.flatnonzero(np.arange(adata.n_obs) != 5)
    alone.obsp["spatial_connectivities"] = weights[others][:, others]
    napari_smoother.deconvolve(alone, reference, model=model)
    assert adata.obsm[model].iloc[5].isna().all()
    np.testing.assert_allclose(
        np.delete(adata.obsm[model].to_numpy(), 5, axis=0), alone.obsm[model].to_numpy(), atol=1e-6
    )


@pytest.mark.parametrize("model", PASSING)
def test_progress_is_told_and_cancelling_acts(model, sample, reference) -> None:
    adata = sample.section.adata
    given = express_section(
        adata.X,
        adata.var,
        reference,
        model=model,
        scale=MODELS[model].scales[0],
        gene_weights="none",
    )
    q = precision(section_graph(adata)[0], "icar", 0.99)
    told = []
    found = fit_section(
        given,
        q,
        1.0,
        intercept=MODELS[model].intercept,
        report=lambda values, residual: told.append((values, residual)),
    )
    assert told[-1][1] == found.report.kkt_residual
    np.testing.assert_array_equal(told[-1][0], found.abundance)
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(Cancelled):
        fit_section(given, q, 1.0, intercept=MODELS[model].intercept, cancelled=cancelled)


@pytest.mark.parametrize("model", PASSING)
def test_what_is_left_unexplained(model, sample, reference) -> None:
    adata = sample.section.adata
    given = express_section(
        adata.X,
        adata.var,
        reference,
        model=model,
        scale=MODELS[model].scales[0],
        gene_weights="inverse_mean",
    )
    truth = truth_of(sample, reference)
    intercepts = np.full(adata.n_obs, 0.01)
    weights, seen = given.gene_weights, given.expression.toarray()
    fitted = given.signature @ truth.T + intercepts
    flat = np.broadcast_to(weights @ seen / weights.sum(), seen.shape)
    if model == "poisson":
        fitted = fitted * seen.sum(axis=0) / seen.sum(axis=0).mean()
        left, before = (weights @ (xlogy(seen, seen / m) - seen + m) for m in (fitted, flat))
    else:
        if model == "lognormreg":
            seen, fitted = np.log(seen + 1), np.log(fitted + 1)
            flat = np.broadcast_to(weights @ seen / weights.sum(), seen.shape)
        left, before = (weights @ (seen - m) ** 2 for m in (fitted, flat))
    np.testing.assert_allclose(
        unexplained_share(given, truth, intercepts), np.sqrt(left / before), rtol=1e-6
    )


def test_scales_that_a_model_does_not_take_are_refused(sample, reference) -> None:
    adata = sample.section.adata
    for model, scale in (("poisson", "log1p"), ("nnls", "raw"), ("dwls", "raw")):
        with pytest.raises(InputError, match="scale"):
            napari_smoother.deconvolve(adata, reference, model=model, scale=scale)
    with pytest.raises(InputError, match="magic"):
        napari_smoother.deconvolve(adata, reference, model="magic")


def test_without_counted_cells_noise_goes_with_the_mean(sample, reference) -> None:
    adata = sample.section.adata
    known = Reference.from_table(
        pd.DataFrame(reference.mean_counts, index=reference.genes, columns=list(reference.types)),
        "table",
    )

    def weights(model: ModelName, gene_weights: str) -> np.ndarray:
        return express_section(
            adata.X,
            adata.var,
            known,
            model=model,
            scale=MODELS[model].scales[0],
            gene_weights=gene_weights,
        ).gene_weights

    # A Poisson count has its mean for a variance already.
    np.testing.assert_allclose(weights("poisson", "within_type"), weights("poisson", "none"))
    np.testing.assert_allclose(weights("dwls", "within_type"), weights("dwls", "inverse_mean"))


@pytest.mark.parametrize("model", get_args(ModelName))
def test_figures_of_a_model_are_those_of_the_report(model) -> None:
    report = (Path(__file__).parents[3] / "docs" / "accuracy.md").read_text(encoding="utf-8")
    heading = next(line for line in report.splitlines() if "| lowest on |" in line)
    row = next(
        line for line in report.splitlines() if line.startswith(f"| {MODELS[model].title} |")
    )
    figures = dict(zip(heading.split(" | "), row.split(" | "), strict=True))
    assert f"mean error {figures['error']}" in MODELS[model].accuracy.lower()
    n_sections = report.split("## The default against")[0].count("\n| ") - 1
    assert f"on {n_sections} sections" in MODELS[model].accuracy


def test_shares_of_cells_are_rna_over_what_a_cell_holds() -> None:
    random = np.random.default_rng(2)
    genes, types, held = 60, ["large", "small"], np.array([400.0, 100.0])
    signature = random.gamma(0.5, 1.0, (2, genes))
    signature /= signature.sum(axis=1, keepdims=True)
    code = np.repeat([0, 1], 200)
    cells = ad.AnnData(
        sparse.csr_matrix(random.poisson(held[code, None] * signature[code]).astype(float)),
        obs=pd.DataFrame({"cell_type": np.array(types)[code]}, index=np.arange(400).astype(str)),
        var=pd.DataFrame(index=[f"g{gene}" for gene in range(genes)]),
    )
    truth = random.uniform(0.2, 0.8, 50)
    mixed = np.column_stack([truth, 1 - truth]) * held @ signature
    spots = ad.AnnData(sparse.csr_matrix(random.poisson(20 * mixed).astype(float)), var=cells.var)
    spots.obs_names = np.arange(50).astype(str)
    spots.obsm["spatial"] = random.uniform(0, 100, (50, 2))

    def found(reference, **settings) -> np.ndarray:
        adata = napari_smoother.deconvolve(spots, reference, lambda_=0, copy=True, **settings)
        recipes.append(adata.uns["smoother"]["nnls"]["recipe"]["shares"])
        return adata.obsm["nnls"]["large"].to_numpy()

    recipes: list[str] = []
    rna = 4 * truth / (4 * truth + 1 - truth)
    np.testing.assert_allclose(found(cells), truth, atol=0.06)
    np.testing.assert_allclose(found(cells, shares="rna"), rna, atol=0.06)
    # A table tells nothing of its cells.
    table = pd.DataFrame(1e4 * signature.T, index=cells.var_names, columns=types)
    np.testing.assert_allclose(found(table), rna, atol=0.06)
    assert recipes == ["cells", "rna", "rna"]
