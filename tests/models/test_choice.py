from __future__ import annotations

import json
import warnings
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import nnls

from napari_smoother import deconvolve
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.models.choice import (
    LAMBDAS,
    GraphedCounts,
    choose,
    choose_over_sections,
)
from napari_smoother.models.deconv import (
    Reference,
    lambda_to_weight,
    prepare_deconvolution,
)
from napari_smoother.models.held_out_genes import split_genes
from napari_smoother.models.judged_choice import judge
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

QUIET = pytest.mark.filterwarnings("ignore:The best of the grid:UserWarning")


@pytest.fixture
def small():
    """Twenty spots on a line, thirty genes, three types."""
    random = np.random.default_rng(3)
    genes = [f"g{i}" for i in range(30)]
    signature = random.gamma(1.0, 1.0, (30, 3))
    share = np.linspace(0, 1, 20)
    mixture = np.stack([share, 1 - share, 0.3 + 0 * share], axis=1)
    counts = sparse.csr_matrix(random.poisson(mixture @ signature.T * 8).astype(float))
    reference = Reference.from_table(pd.DataFrame(signature, index=genes), "table")
    weights = sparse.csr_array(np.eye(20, k=1) + np.eye(20, k=-1))
    return counts, pd.Index(genes), reference, weights


def by_hand(small, folds, seed, intercept, scale, fit):
    """Errors of a fit that sees the kept genes themselves, judged on the others themselves."""
    counts, var, reference, _ = small
    prepared = prepare_deconvolution(
        counts, var, reference, scale=scale, gene_weights="inverse_mean", intercept=intercept
    )
    signature = reference.mean_counts if scale == "counts" else reference.mean_log
    y = counts.toarray()
    y = y / y.sum(axis=1, keepdims=True) * prepared.spot_total
    y = y if scale == "counts" else np.log1p(y)
    root = np.sqrt(prepared.gene_weights)
    fold_of = split_genes(signature, prepared.gene_weights, folds, seed)
    x = np.column_stack([signature, np.ones(len(root))]) if intercept else signature
    errors = []
    for fold in range(folds):
        out = fold_of == fold
        kept_x, kept_y = x[~out] * root[~out, None], y[:, ~out] * root[~out]
        answer = fit(kept_x, kept_y, prepared)
        left = (y[:, out] - answer @ x[out].T) * root[out]
        errors.append((left**2).sum() / (len(y) * out.sum()))
    return np.array(errors)


@QUIET
@pytest.mark.parametrize("scale", ["counts", "log1p"])
@pytest.mark.parametrize("intercept", [True, False])
def test_errors_are_those_of_dense_fits_on_the_genes_themselves(small, scale, intercept):
    counts, var, reference, weights = small
    rhos, lambdas = (0.8, 1.0), (0.05, 2.0)
    chosen = choose(
        counts, var, reference, weights, rhos=rhos, lambdas=lambdas, folds=4, scale=scale,
        intercept=intercept, bounded=False, seed=5, tolerance=1e-9,
    )  # fmt: skip
    for row, rho in enumerate(rhos):
        q = precision(weights, "icar", rho).toarray()
        for column, lambda_ in enumerate(lambdas):

            def ridge(x, y, prepared, q=q, lambda_=lambda_):
                strength = lambda_to_weight(lambda_, prepared.n_genes, 3)
                prior = np.diag([1.0, 1.0, 1.0, 0.0][: x.shape[1]])
                system = np.kron(np.eye(20), x.T @ x) + strength * np.kron(q, prior)
                return np.linalg.solve(system, (y @ x).ravel()).reshape(20, -1)

            expected = by_hand(small, 4, 5, intercept, scale, ridge)
            np.testing.assert_allclose(chosen.errors[row, column], expected, rtol=1e-6)


@QUIET
def test_errors_without_a_prior_are_those_of_nnls(small):
    counts, var, reference, weights = small
    chosen = choose(
        counts, var, reference, weights, rhos=[1.0], lambdas=[0.0], folds=3, intercept=False,
        tolerance=1e-9,
    )  # fmt: skip

    def fit(x, y, prepared):
        return np.array([nnls(x, row)[0] for row in y])

    expected = by_hand(small, 3, 0, False, "counts", fit)
    np.testing.assert_allclose(chosen.errors[0, 0], expected, rtol=1e-6)
    assert not chosen.on_edge  # nothing lies below a lambda of 0


@QUIET
def test_an_empty_spot_changes_nothing(small):
    counts, var, reference, weights = small
    settings = {"rhos": [0.9], "lambdas": [0.1, 1.0], "tolerance": 1e-8}
    expected = choose(counts, var, reference, weights, **settings)
    with_empty = sparse.vstack([counts, sparse.csr_matrix((1, 30))], format="csr")
    graph = np.zeros((21, 21))
    graph[:20, :20] = weights.toarray()
    graph[20, :20] = graph[:20, 20] = 1
    # Gene means are over all spots, so the weights are given here.
    given = np.arange(1.0, 31)
    expected = choose(counts, var, reference, weights, gene_weights=given, **settings)
    found = choose(with_empty, var, reference, graph, gene_weights=given, **settings)
    np.testing.assert_allclose(found.errors, expected.errors, rtol=1e-6)


def test_the_lowest_mean_and_its_neighbours_within_one_error():
    rhos, lambdas = np.array([0.5, 1.0]), np.array([0.1, 1.0, 10.0, 100.0])
    noise = np.array([5.0, -5.0])  # what a fold adds to all settings alike
    errors = np.full((2, 4, 2), 9.0) + noise
    errors[1] = np.array([[4.0, 5.0], [3.4, 3.0], [3.0, 3.2], [4.0, 4.0]]) + noise
    chosen = judge(errors, rhos, lambdas, "icar", 1.0)
    assert (chosen.rho, chosen.lambda_) == (1.0, 10.0)
    # Differences of 0.4 and -0.2: their mean is 0.1, the standard error 0.6 / 2.
    assert chosen.standard_error[1, 1] == pytest.approx(0.3)
    assert chosen.standard_error[1, 2] == 0
    assert chosen.cautious_lambda == 1.0
    assert chosen.edges == ()  # rho = 1 is the end of the process, not of the grid
    assert judge(errors, rhos, lambdas, "car", 2.0).edges == ("highest rho",)
    assert judge(errors[:, :3], rhos, lambdas[:3], "icar", 1.0).edges == ("highest lambda",)
    turned = judge(errors[::-1], rhos, lambdas, "icar", 1.0)
    assert turned.edges == ("lowest rho",)


def test_the_edge_is_named(small):
    with pytest.warns(UserWarning, match=r"lowest lambda tried \(rho 1, lambda 50\)"):
        chosen = choose(*small, rhos=[1.0], lambdas=[500.0, 50.0])
    assert chosen.on_edge
    assert chosen.edges == ("lowest lambda",)
    assert chosen.lambdas.tolist() == [50.0, 500.0]


@QUIET
def test_two_sections_are_judged_by_the_mean_over_all_their_spots(small):
    counts, var, reference, weights = small
    settings = {"rhos": [0.5, 0.9], "lambdas": [0.1, 1.0, 10.0], "gene_weights": "none"}
    part = slice(0, 12)
    sections = [
        GraphedCounts(counts, var, weights),
        GraphedCounts(counts[part], var, weights[part][:, part]),
    ]
    told = []
    found = choose_over_sections(
        sections, reference, **settings, report=lambda done, total: told.append((done, total))
    )
    alone = [
        choose(section.counts, section.var, reference, section.weights, **settings)
        for section in sections
    ]
    np.testing.assert_allclose(
        found.errors, (20 * alone[0].errors + 12 * alone[1].errors) / 32, rtol=1e-12
    )
    assert told == [(done, 36) for done in range(1, 37)]
    with pytest.raises(InputError, match="no section"):
        choose_over_sections([], reference)


@QUIET
def test_the_same_section_twice_is_chosen_for_as_once(small):
    counts, var, reference, weights = small
    for process in ("icar", "car"):
        once = choose(*small, process=process)
        twice = choose_over_sections(
            [GraphedCounts(counts, var, weights)] * 2, reference, process=process
        )
        assert (twice.rho, twice.lambda_, twice.edges) == (once.rho, once.lambda_, once.edges)
        np.testing.assert_allclose(twice.errors, once.errors, rtol=1e-12)
        np.testing.assert_allclose(twice.variances, once.variances, rtol=1e-12)


@QUIET
@pytest.mark.parametrize("process", ["car", "sar", "icar", "isar"])
def test_every_process_has_rhos_of_its_own(small, process):
    chosen = choose(*small, process=process, lambdas=[0.1, 1.0])
    assert chosen.errors.shape == (5, 2, 3)
    assert np.isfinite(chosen.errors).all()
    # The path's largest eigenvalue is 2 cos(pi / 21); icar and isar are free up to 1.
    limit = 1.0 if process[0] == "i" else 0.5 / np.cos(np.pi / 21)
    assert 0.998 * limit < chosen.rhos[-1] <= limit
    assert "highest rho" not in chosen.edges
    assert json.loads(json.dumps(chosen.as_dict()))["process"] == process


@QUIET
@pytest.mark.parametrize("bounded", [True, False])
def test_variances_are_those_of_fits_on_all_genes(small, bounded):
    counts, var, reference, weights = small
    chosen = choose(
        *small, rhos=[0.5, 0.9], lambdas=[0.01, 0.3, 30.0], bounded=bounded, tolerance=1e-9
    )
    adata = anndata.AnnData(counts, var=pd.DataFrame(index=var))
    adata.obsp["spatial_connectivities"] = weights
    adata.obsm["spatial"] = np.column_stack([np.arange(20.0), np.zeros(20)])

    def variance(lambda_):
        found = deconvolve(
            adata, reference, model="nnls" if bounded else "linear_regression", rho=chosen.rho,
            lambda_=lambda_, tolerance=1e-9, copy=True,
        )  # fmt: skip
        return found.obsm["nnls" if bounded else "linear_regression"].to_numpy().var(axis=0)

    before, after = variance(0.01), variance(chosen.lambda_)
    assert chosen.types == reference.types
    np.testing.assert_allclose(chosen.variances, [before, after], rtol=1e-4)
    np.testing.assert_allclose(chosen.variance_kept, after / before, rtol=1e-4)
    assert chosen.total_variance_kept == pytest.approx(after.sum() / before.sum(), rel=1e-4)
    row, column = list(chosen.rhos).index(chosen.rho), list(chosen.lambdas).index(chosen.lambda_)
    least, best = chosen.errors[row, 0], chosen.errors[row, column]
    assert chosen.gain == pytest.approx(1 - best.mean() / least.mean())
    error = (least - best).std(ddof=1) / np.sqrt(3) / least.mean()
    assert chosen.gain_standard_error == pytest.approx(error)


def judged(variances, errors=((4.0, 4.1), (3.9, 3.95))):
    """A choice between lambda 0.1 and 10 by errors, types named A to C."""
    chosen = judge(np.array([errors]), np.array([1.0]), np.array([0.1, 10.0]), "icar", 1.0)
    return replace(chosen, types=("A", "B", "<C>"), variances=np.array(variances, dtype=float))


def test_what_is_gained_and_what_is_left_is_said():
    chosen = judged([[0.01, 0.04, 0.0], [0.0002, 0.001, 0.0]])
    assert chosen.gain == pytest.approx(0.125 / 4.05)
    assert chosen.gain_standard_error == pytest.approx(0.025 / 4.05)
    assert chosen.describe() == (
        "λ 10, ρ 1 predict held-out genes best. Against λ 0.1 the error is lower by 3.1 ± 0.62 %, "
        "and 2.4 % of the variance over spots is left (least of A 2 %, B 2.5 %)."
    )
    assert chosen.caveat == (
        "Little was gained and much was smoothed: compare the map with that at a smaller λ before "
        "you trust it."
    )
    assert chosen.describe_at(0.1) == "λ 0.1: error higher by 3.2 ± 0.64 %"
    assert chosen.describe_at(9.0) == "λ 10: error lowest"
    said = json.loads(json.dumps(chosen.as_dict()))
    assert said["gain"] == pytest.approx(chosen.gain)
    assert said["variance_kept"] == {
        "A": pytest.approx(0.02), "B": pytest.approx(0.025), "<C>": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variances", "errors", "wary"),
    [
        ([[1, 1, 1], [0.2, 0.2, 0.2]], ((4.0, 4.1), (3.9, 3.95)), True),
        ([[1, 1, 1], [0.3, 0.3, 0.3]], ((4.0, 4.1), (3.9, 3.95)), False),
        ([[1, 1, 1], [0.2, 0.2, 0.2]], ((4.0, 4.1), (2.0, 2.1)), False),  # much was gained
        ([[1, 1, 1], [1, 1, 0.05]], ((4.0, 4.1), (3.9, 3.95)), True),  # one type is gone
        ([[1, 1, 0.01], [1, 1, 0]], ((4.0, 4.1), (3.9, 3.95)), False),  # it was never seen
        ([[1, 1, 1], [1, 1, 1]], ((3.9, 3.95), (4.0, 4.1)), False),
        ([[0, 0, 0], [0, 0, 0]], ((4.0, 4.1), (3.9, 3.95)), False),
    ],
)
def test_little_gained_and_much_smoothed_is_warned_of(variances, errors, wary):
    assert bool(judged(variances, errors).caveat) == wary


def test_a_setting_within_one_standard_error_is_named():
    chosen = judged([[1, 1, 1], [0.1, 0.1, 0.1]], ((4.0, 4.1), (3.5, 4.2)))
    assert chosen.cautious_lambda == 0.1
    assert chosen.caveat.endswith("trust it. λ 0.1 is within one standard error of the best.")


def test_nothing_is_claimed_where_the_smallest_lambda_is_best():
    chosen = judged([[1, 1, 1], [1, 1, 1]], ((3.9, 3.95), (4.0, 4.1)))
    assert (chosen.gain, chosen.gain_standard_error) == (0, 0)
    assert chosen.describe() == "λ 0.1, ρ 1 predict held-out genes best."


@pytest.mark.tissue
@QUIET
def test_the_lymph_node_is_warned_of(tissue):
    folder = tissue / "visium_human_lymph_node"
    section = open_section(folder / "lymph_node_visium_1000spots.h5ad")
    reference = read_reference(folder / "lymph_node_reference_330cells.h5ad")
    graph = nearest_neighbours(section.positions).weights
    with pytest.warns(UserWarning, match=r"^Little was gained and much was smoothed") as remarks:
        chosen = choose(section.adata.X, section.adata.var, reference, graph)
    assert [str(each.message) for each in remarks].count(
        f"{chosen.caveat} {chosen.describe()}"
    ) == 1
    assert chosen.gain < 0.03
    assert chosen.gain > 2 * chosen.gain_standard_error
    assert chosen.total_variance_kept < 0.25
    assert chosen.lambda_ < 1


def test_progress_seed_and_cancel(small):
    seen = []
    settings = {"rhos": [0.5, 1.0], "lambdas": [0.1, 1.0, 10.0], "folds": 2}
    first = choose(*small, **settings, report=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 12) for done in range(1, 13)]
    np.testing.assert_array_equal(choose(*small, **settings).errors, first.errors)
    assert (choose(*small, **settings, seed=1).errors != first.errors).any()
    asked = iter([False] * 8)
    with pytest.raises(Cancelled):
        choose(*small, **settings, cancelled=lambda: next(asked, True))


def test_refusals(small):
    counts, var, reference, weights = small
    with pytest.raises(InputError, match="31 folds of 30 genes"):
        choose(*small, folds=31)
    with pytest.raises(InputError, match="grid of lambdas"):
        choose(*small, lambdas=[1.0, 1.0])
    with pytest.raises(InputError, match="grid of rhos"):
        choose(*small, rhos=[])
    with pytest.raises(InputError, match="indefinite"):
        choose(*small, rhos=[1.5])
    with pytest.raises(InputError, match=r"\(20, 20\) for 19 spots"):
        choose(counts[:19], var, reference, weights)
    alone = np.zeros(30)
    alone[4] = 1
    with pytest.raises(InputError, match="no gene with a weight"):
        choose(*small, gene_weights=alone)


@pytest.mark.parametrize("low", [False, True])
def test_the_chosen_prior_is_close_to_the_best(low):
    sample = simulate_cortex(rows=24, n_genes=600, seed=7, median_counts=500 if low else 4000)
    adata = sample.section.adata
    reference = Reference.from_cells(sample.reference, "cell_type", "cells")
    graph = nearest_neighbours(sample.section.positions).weights
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = choose(adata.X.tocsr(), adata.var, reference, graph)
    truth = sample.proportions.to_numpy()

    def error(lambda_):
        found = deconvolve(adata, reference, rho=chosen.rho, lambda_=lambda_, copy=True)
        return float(np.sqrt(((found.obsm["nnls"].to_numpy() - truth) ** 2).mean()))

    best = min(error(lambda_) for lambda_ in LAMBDAS[2::2])
    assert error(chosen.lambda_) < 1.1 * best
    assert error(chosen.lambda_) < error(0.0)
