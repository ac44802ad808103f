from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv import (
    PreparedDeconvolution,
    Reference,
    prepare_deconvolution,
    proportions,
)
from napari_smoother.models.deconv.cell_spread import CellSpread
from napari_smoother.models.deconv.noise_model import NoiseModel
from napari_smoother.models.deconv.preparation import lambda_to_weight
from napari_smoother.models.uncertainty import posterior_deviation, residual_of
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

WEIGHT = 30.0


def prepared_from(x, y, intercept=False):
    """Reduce genes by hand, with weights of 1."""
    if intercept:
        x, y = x - x.mean(axis=0), y - y.mean(axis=1, keepdims=True)
    return PreparedDeconvolution(
        gram=x.T @ x,
        linear=y @ x,
        types=tuple("abcdefgh"[: x.shape[1]]),
        genes=pd.Index([f"g{i}" for i in range(len(x))]),
        intercept=intercept,
        gene_weights=np.ones(len(x)),
        spot_norm=(y**2).sum(axis=1),
        empty=np.zeros(len(y), dtype=bool),
        spot_total=1.0,
        signature=x,
        signature_error=np.zeros(x.shape[1]),
    )


def gaussian(n, noise, seed, intercept=False, mean=0.0):
    """Abundances drawn from the prior, expression drawn from them; `noise` is a deviation."""
    random = np.random.default_rng(seed)
    graph = nearest_neighbours(random.uniform(size=(n, 2)), 6, mutual=False).weights
    q = precision(graph, "icar", 0.9)
    x = random.gamma(1.0, 1.0, (80, 4))
    root = np.linalg.cholesky(np.linalg.inv(WEIGHT * q.toarray()))
    typical = float(np.mean(noise))
    truth = mean + typical * root @ random.standard_normal((n, 4))
    y = truth @ x.T + np.reshape(noise, (-1, 1)) * random.standard_normal((n, 80))
    if intercept:
        y += random.normal(0, 5, (n, 1))
    return prepared_from(x, y, intercept), q, truth


def unbounded(prepared, q, weight=WEIGHT):
    return solve_bounded_quadratic(
        DataTerm.prepare(prepared.gram, prepared.linear),
        PriorTerm.prepare(q),
        weight,
        bounded=False,
        tolerance=1e-9,
    ).values


def drawn_together(noise, common, free):
    """Noise of spots as the deviations count it, less what chance scatters it."""
    scatter, chance = ((noise - common) ** 2).mean(), (2 * noise**2 / free).mean()
    return common + max(0, 1 - chance / scatter) * (noise - common)


@pytest.mark.parametrize("weight", [0.0, 2.0, 10.0])
def test_deviations_are_those_of_the_dense_inverse(weight):
    prepared, q, _ = gaussian(60, 0.5, 0, intercept=True, mean=2.0)
    abundance = np.maximum(unbounded(prepared, q), 0)
    totals = np.array([1.0, 2.0, 0.5, 1.5])
    found = posterior_deviation(prepared, q, weight, abundance, cell_totals=totals)
    system = np.kron(np.eye(60), prepared.gram) + weight * np.kron(q.toarray(), np.eye(4))
    inverse = np.linalg.inv(system)
    blocks = np.array([inverse[4 * i : 4 * i + 4, 4 * i : 4 * i + 4] for i in range(60)])
    assert found.roughness == 1
    decided = np.einsum("ikl,lk->i", blocks, prepared.gram)
    noise = prepared.residual_squares(abundance) / (80 - 1 - decided)
    np.testing.assert_allclose(found.degrees_of_freedom, decided, rtol=1e-8)
    np.testing.assert_allclose(found.noise_variance, noise, rtol=1e-8)
    # The noise of all, and what a spot's own noise is above or below it.
    common = prepared.residual_squares(abundance).sum() / (80 - 1 - decided).sum()
    noise = drawn_together(noise, common, 80 - 1 - decided)
    own = blocks @ prepared.gram @ blocks
    blocks = common * blocks + (noise - common)[:, None, None] * own
    variance = np.einsum("ikk->ik", blocks)
    np.testing.assert_allclose(found.deviation, np.sqrt(variance), rtol=1e-8)
    # The derivative of the shares by central differences.
    step = 1e-6
    for spot in (0, 17, 59):
        slopes = [
            (
                proportions(abundance[spot : spot + 1] + step * direction, totals)
                - proportions(abundance[spot : spot + 1] - step * direction, totals)
            )[0]
            / (2 * step)
            for direction in np.eye(4)
        ]
        slope = np.array(slopes).T
        covariance = slope @ blocks[spot] @ slope.T
        np.testing.assert_allclose(
            found.proportion_deviation[spot], np.sqrt(np.diag(covariance)), rtol=1e-5, atol=1e-9
        )


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_intervals_cover_the_truth_where_the_model_holds(intercept, seed):
    prepared, q, truth = gaussian(600, 0.5, seed, intercept)
    abundance = unbounded(prepared, q)
    found = posterior_deviation(prepared, q, WEIGHT, abundance)
    covered = np.abs(abundance - truth) < 1.6449 * found.deviation
    assert 0.88 < covered.mean() < 0.92
    assert found.noise_variance.mean() == pytest.approx(0.25, rel=0.03)
    # Least squares alone would claim more than the prior leaves open.
    alone = posterior_deviation(prepared, q, 0.0, abundance)
    assert (found.deviation < alone.deviation).all()


@pytest.mark.parametrize("stronger", [4.0, 30.0])
def test_too_strong_a_prior_widens_the_intervals(stronger):
    prepared, q, truth = gaussian(600, 0.5, 16)
    abundance = unbounded(prepared, q, stronger * WEIGHT)
    found = posterior_deviation(prepared, q, stronger * WEIGHT, abundance)
    # Left alone, the weight would say that the abundances are as smooth as it makes them.
    assert found.roughness == pytest.approx(stronger, rel=0.15)
    covered = np.abs(abundance - truth) < 1.6449 * found.deviation
    assert 0.88 < covered.mean() < 0.94


def test_roughness_is_that_of_the_fit():
    prepared, q, _ = gaussian(60, 0.5, 17, mean=2.0)
    weight = 10 * WEIGHT
    abundance = unbounded(prepared, q, weight)
    found = posterior_deviation(prepared, q, weight, abundance)
    values, basis = np.linalg.eigh(prepared.gram)
    along = (abundance - abundance.mean(axis=0)) @ basis
    left = prepared.residual_squares(abundance).sum()
    common = left / (80 * 60 - found.degrees_of_freedom.sum())
    solved = [np.linalg.inv(value * np.eye(60) + weight * q.toarray()) for value in values]
    of_noise = sum(
        common * value * np.trace(solve @ (weight * q) @ solve)
        for value, solve in zip(values, solved, strict=True)
    )
    of_prior = sum(
        common * value**2 * np.trace(solve @ solve)
        for value, solve in zip(values, solved, strict=True)
    )
    expected = (weight * np.einsum("ik,ik->", along, q @ along) - of_noise) / of_prior
    assert found.roughness == pytest.approx(expected, rel=1e-3)
    assert found.roughness > 2


def test_noisy_spots_are_told_from_quiet_ones():
    noise = np.where(np.arange(600) % 2 == 0, 0.2, 0.8)
    prepared, q, truth = gaussian(600, noise, 3)
    abundance = unbounded(prepared, q)
    found = posterior_deviation(prepared, q, WEIGHT, abundance)
    np.testing.assert_allclose(
        [np.mean(found.noise_variance[part::2]) for part in (0, 1)], [0.04, 0.64], rtol=0.1
    )
    covered = np.abs(abundance - truth) < 1.6449 * found.deviation
    assert 0.85 < covered[::2].mean() < 0.95
    assert 0.85 < covered[1::2].mean() < 0.95


def with_noise_model(prepared, random, *, cells_per_spot=6.0, errors=0.002):
    """As if the reference's cells had told of everything that deviations count in."""
    n_genes, n_types = prepared.signature.shape
    variance = errors * random.gamma(2.0, 1.0, (n_genes, n_types))
    error = variance.sum(axis=0)
    model = NoiseModel(
        signature=prepared.signature,
        signature_variance=variance,
        noise=np.ones(n_genes),
        cells_per_spot=cells_per_spot,
        unexplained=0.0,
        gene_factors=np.ones(n_genes),
        residuals=random.gamma(4.0, 1.0, n_genes),
        spread=CellSpread(
            variance=np.ones(n_genes),
            counting=0.0,
            cells_per_type=np.arange(5, 5 + n_types),
            random_sums=random.normal(0, 0.1, (128, n_genes)).astype(np.float32),
            total_variation=0.3,
        ),
    )
    return replace(
        prepared,
        gram=prepared.gram - np.diag(error),
        signature_error=error,
        noise_model=model,
        gene_residuals=model.residuals,
    )


@pytest.mark.parametrize("weight", [0.0, 5.0, 10.0])
def test_what_makes_scores_noisier_passes_through_the_solve(weight):
    random = np.random.default_rng(11)
    plain, q, _ = gaussian(60, 0.5, 0, mean=2.0)
    prepared = with_noise_model(plain, random)
    abundance = np.maximum(unbounded(prepared, q), 0)
    found = posterior_deviation(prepared, q, weight, abundance)
    system = np.kron(np.eye(60), prepared.gram) + weight * np.kron(q.toarray(), np.eye(4))
    inverse = np.linalg.inv(system)
    residual = prepared.residual_squares(abundance)
    assert found.roughness == 1
    blocks = inverse.reshape(60, 4, 60, 4)
    own = np.einsum("ikil->ikl", blocks)
    free = 80 - np.einsum("ikl,lk->i", own, prepared.gram)
    common = residual.sum() / free.sum()
    noise = drawn_together(residual / free, common, free)
    model, x = prepared.noise_model, prepared.signature
    genes = np.diag(common * 80 * model.residuals / model.residuals.sum())
    told = model.spread.random_sums.T @ model.spread.random_sums
    genes += (told - np.diag(np.diag(told))) / 6
    scores = x.T @ genes @ x
    covariance = np.einsum("ikjl,lm,jmin->ikn", blocks, scores, blocks)
    # What the field of abundances has not decided: the prior's share of the covariance.
    covariance += common * (own - np.einsum("ikjl,lm,jmin->ikn", blocks, prepared.gram, blocks))
    whole = prepared.gram + np.diag(prepared.signature_error)
    covariance += (noise - common)[:, None, None] * (own @ whole @ own)
    for k in range(4):
        errors = x.T @ (x * model.signature_variance[:, [k]])
        values = abundance[:, k]
        rough = values @ q @ values / (values @ values)
        passed = np.linalg.inv(prepared.gram + weight * rough * np.eye(4))
        covariance += values[:, None, None] ** 2 * (passed @ errors @ passed)
    expected = np.sqrt(np.einsum("ikk->ik", covariance))
    np.testing.assert_allclose(found.deviation, expected, rtol=1e-5)


def test_unequal_cells_widen_shares_of_cells_only():
    random = np.random.default_rng(12)
    plain, q, _ = gaussian(60, 0.5, 0, mean=2.0)
    prepared, totals = with_noise_model(plain, random), np.array([1.0, 2.0, 0.5, 1.5])
    found = posterior_deviation(prepared, q, WEIGHT, cell_totals=totals)
    spread = replace(prepared.noise_model.spread, total_variation=0.0)
    equal = replace(prepared, noise_model=replace(prepared.noise_model, spread=spread))
    expected = posterior_deviation(equal, q, WEIGHT, cell_totals=totals)
    np.testing.assert_array_equal(found.deviation, expected.deviation)
    added = found.proportion_deviation**2 - expected.proportion_deviation**2
    abundance = unbounded(prepared, q)
    shares = proportions(abundance, totals)
    drawn = shares * 0.3 / 1.3 / 6 + shares**2 * 0.3 / np.arange(5, 9)
    slopes = np.eye(4) - shares[:, :, None]
    positive = (abundance > 0).all(axis=1)
    assert positive.any()
    np.testing.assert_allclose(
        added[positive], np.einsum("ikl,il->ik", slopes**2, drawn)[positive], rtol=1e-3
    )
    np.testing.assert_array_equal(
        posterior_deviation(prepared, q, WEIGHT).proportion_deviation,
        posterior_deviation(equal, q, WEIGHT).proportion_deviation,
    )


def test_cells_that_explain_nothing_add_nothing():
    prepared, q, _ = gaussian(40, 0.5, 4, mean=3.0)
    told = with_noise_model(prepared, np.random.default_rng(13), cells_per_spot=np.inf, errors=0.0)
    alike = replace(told, gene_residuals=None)
    found = posterior_deviation(alike, q, WEIGHT)
    expected = posterior_deviation(prepared, q, WEIGHT)
    np.testing.assert_allclose(found.deviation, expected.deviation, rtol=1e-10)


@pytest.mark.parametrize("with_residuals", [False, True])
def test_noisy_genes_that_the_weights_do_not_know_of(with_residuals):
    random = np.random.default_rng(14)
    prepared, q, truth = gaussian(600, 1e-9, 14)
    truth = truth * 0.5e9
    x = prepared.signature
    # The noisiest genes are those of one type, and weigh as much as all.
    noise = np.where(x[:, 0] > np.quantile(x[:, 0], 0.8), 2.0, 0.5)
    left = random.standard_normal((600, 80)) * noise
    told = prepared_from(x, truth @ x.T + left)
    if with_residuals:
        told = replace(told, gene_residuals=noise**2)
    abundance = unbounded(told, q, 0.0)
    found = posterior_deviation(told, q, 0.0, abundance)
    covered = (np.abs(abundance - truth) < 1.6449 * found.deviation)[:, 0]
    if with_residuals:
        assert 0.88 < covered.mean() < 0.92
    else:
        assert covered.mean() < 0.8


def test_a_perfect_fit_has_no_deviation():
    prepared, q, truth = gaussian(30, 0.5, 15)
    exact = replace(
        prepared_from(prepared.signature, truth @ prepared.signature.T),
        gene_residuals=np.zeros(80),
    )
    found = posterior_deviation(exact, q, 0.0, truth)
    assert (found.deviation < 1e-6).all()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("platform", [0.0, 0.4])
def test_intervals_cover_shares_of_few_unequal_cells(seed, platform):
    random = np.random.default_rng(seed)
    n_genes, n_types, n = 300, 5, 400
    level = random.gamma(0.6, 1.0, (n_types, n_genes)) + 0.05
    factors = 0.4 * random.standard_normal((3, n_genes))

    def cells_of(types):
        together = random.standard_normal((len(types), 3)) @ factors
        mean = level[types] * np.exp(together + random.normal(0, 0.3, together.shape))
        total = 1500 * np.exp(random.normal(0, 0.5, len(types)))
        return mean * (total / mean.sum(axis=1))[:, None]

    of_reference = np.repeat(np.arange(n_types), 100)
    cells = AnnData(
        sparse.csr_matrix(random.poisson(cells_of(of_reference)).astype(float)),
        obs=pd.DataFrame({"type": [f"t{k}" for k in of_reference]}),
    )
    cells.obs_names = [f"cell {i}" for i in range(len(of_reference))]
    positions = random.uniform(size=(n, 2))
    graph = nearest_neighbours(positions, 6, mutual=False).weights
    field = 2 * np.sin(positions @ random.normal(0, 5, (2, n_types)) + np.arange(n_types))
    chance = np.exp(field) / np.exp(field).sum(axis=1, keepdims=True)
    spot = np.repeat(np.arange(n), 8)
    types = np.concatenate([random.choice(n_types, 8, p=p) for p in chance])
    on_platform = random.lognormal(0, platform, n_genes)
    rates = np.add.reduceat(cells_of(types), np.arange(0, len(spot), 8)) * on_platform
    counts = sparse.csr_matrix(random.poisson(rates * 3000 / rates.sum(axis=1).mean()))
    truth = np.stack([np.bincount(of, minlength=n_types) for of in types.reshape(n, 8)]) / 8

    reference = Reference.from_cells(cells, "type", "cells")
    prepared = prepare_deconvolution(
        counts.astype(float),
        cells.var,
        reference,
        scale="counts",
        gene_weights="within_type",
        intercept=True,
    )
    q, weight = precision(graph, "icar", 0.99), lambda_to_weight(0.2, n_genes, n_types)
    abundance = solve_bounded_quadratic(
        DataTerm.prepare(prepared.gram, prepared.linear), PriorTerm.prepare(q), weight
    ).values
    found = posterior_deviation(prepared, q, weight, abundance, cell_totals=reference.cell_totals)
    off = np.abs(proportions(abundance, reference.cell_totals) - truth)
    covered = off < 1.6449 * found.proportion_deviation
    # Where platforms differ, the cells that a spot is worth are told less well.
    least = 0.88 if platform == 0 else 0.86
    assert least < covered[~found.at_bound].mean() < 0.92
    assert covered[found.at_bound].mean() > 0.9
    # Without what the cells tell, intervals are far too short.
    alone = replace(prepared, noise_model=None, gene_residuals=None)
    less = posterior_deviation(alone, q, weight, abundance, cell_totals=reference.cell_totals)
    assert (off < 1.6449 * less.proportion_deviation)[~found.at_bound].mean() < 0.8


def test_spots_without_counts_have_no_deviation():
    prepared, q, _ = gaussian(40, 0.5, 4, mean=3.0)
    expected = posterior_deviation(prepared, q, WEIGHT)
    more = replace(
        prepared,
        linear=np.insert(prepared.linear, 7, 0, axis=0),
        spot_norm=np.insert(prepared.spot_norm, 7, 0),
        empty=np.insert(prepared.empty, 7, True),
    )
    found = posterior_deviation(more, q, WEIGHT)
    assert np.isnan(found.deviation[7]).all()
    assert np.isnan(found.proportion_deviation[7]).all()
    assert np.isnan(found.noise_variance[7])
    np.testing.assert_array_equal(np.delete(found.deviation, 7, axis=0), expected.deviation)
    np.testing.assert_array_equal(
        np.delete(found.proportion_deviation, 7, axis=0), expected.proportion_deviation
    )
    with pytest.raises(InputError, match=r"\(40, 40\) for 41 spots"):
        posterior_deviation(replace(more, empty=np.zeros(41, dtype=bool)), q, WEIGHT)


def test_entries_at_the_bound_are_flagged():
    prepared, q, _ = gaussian(50, 0.5, 5)  # about half of the abundances are negative
    found = posterior_deviation(prepared, q, WEIGHT)
    bounded = solve_bounded_quadratic(
        DataTerm.prepare(prepared.gram, prepared.linear), PriorTerm.prepare(q), WEIGHT
    ).values
    np.testing.assert_array_equal(found.at_bound, bounded == 0)
    assert 0 < found.at_bound.mean() < 1
    assert "cannot be negative is ignored" in found.assumptions


def test_what_cannot_be_told():
    prepared, q, _ = gaussian(30, 0.5, 6)
    twins = replace(prepared, gram=np.ones((4, 4)))
    with pytest.raises(InputError, match="singular"):
        posterior_deviation(twins, q, 0.0, np.ones((30, 4)))
    few = replace(prepared, gene_weights=np.array([1.0] * 4 + [0.0] * 76))
    with pytest.raises(InputError, match="4 free genes cannot tell noise from 4 abundances"):
        posterior_deviation(few, q, 0.0)
    with pytest.raises(InputError, match="30 spots and 4 types"):
        posterior_deviation(prepared, q, 1.0, np.ones((29, 4)))
    with pytest.raises(Cancelled):
        posterior_deviation(prepared, q, 1.0, np.ones((30, 4)), cancelled=lambda: True)


def test_residuals_are_the_share_left():
    random = np.random.default_rng(8)
    x, truth = random.gamma(1.0, 1.0, (50, 3)), random.gamma(1.0, 1.0, (6, 3))
    y = truth @ x.T
    y[5] = 0
    prepared = replace(prepared_from(x, y), empty=np.arange(6) == 5)
    exact = residual_of(prepared, truth)
    np.testing.assert_allclose(exact[:5], 0, atol=1e-6)
    assert np.isnan(exact[5])
    np.testing.assert_allclose(residual_of(prepared, 0 * truth)[:5], 1)
    np.testing.assert_allclose(residual_of(prepared, 0.7 * truth)[:5], 0.3)
    with pytest.raises(InputError, match="6 spots and 3 types"):
        residual_of(prepared, truth[:4])


def test_a_graph_in_pieces_and_single_spots():
    prepared, q, _ = gaussian(30, 0.5, 9)
    blocks = sparse.block_diag([q[:15][:, :15], sparse.eye_array(15)], format="csr")
    found = posterior_deviation(prepared, blocks, WEIGHT, np.ones((30, 4)))
    alone = np.linalg.inv(prepared.gram + WEIGHT * np.eye(4))
    left = 80 - found.degrees_of_freedom
    common = (found.noise_variance * left).sum() / left.sum()
    noise = drawn_together(found.noise_variance, common, left)
    above = noise[15:, None] - common
    expected = common * np.diag(alone) + above * np.diag(alone @ prepared.gram @ alone)
    np.testing.assert_allclose(found.deviation[15:], np.sqrt(expected))
