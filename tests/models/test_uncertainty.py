from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv import PreparedDeconvolution, proportions
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


@pytest.mark.parametrize("weight", [0.0, 2.0, 1e4])
def test_deviations_are_those_of_the_dense_inverse(weight):
    prepared, q, _ = gaussian(60, 0.5, 0, intercept=True, mean=2.0)
    abundance = np.maximum(unbounded(prepared, q), 0)
    totals = np.array([1.0, 2.0, 0.5, 1.5])
    found = posterior_deviation(prepared, q, weight, abundance, cell_totals=totals)
    system = np.kron(np.eye(60), prepared.gram) + weight * np.kron(q.toarray(), np.eye(4))
    inverse = np.linalg.inv(system)
    blocks = np.array([inverse[4 * i : 4 * i + 4, 4 * i : 4 * i + 4] for i in range(60)])
    decided = np.einsum("ikl,lk->i", blocks, prepared.gram)
    noise = prepared.residual_squares(abundance) / (80 - 1 - decided)
    np.testing.assert_allclose(found.degrees_of_freedom, decided, rtol=1e-8)
    np.testing.assert_allclose(found.noise_variance, noise, rtol=1e-8)
    # The noise of all, and what a spot's own noise is above or below it.
    common = prepared.residual_squares(abundance).sum() / (80 - 1 - decided).sum()
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
    above = found.noise_variance[15:, None] - common
    expected = common * np.diag(alone) + above * np.diag(alone @ prepared.gram @ alone)
    np.testing.assert_allclose(found.deviation[15:], np.sqrt(expected))
