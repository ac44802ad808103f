"""Edges of DWLS, nu-SVR, log-normal and Poisson regression, against a convex solver.

Every case has a graph in two pieces, rho = 1 and one of: no prior, a strong one, spots and genes
without counts, equal signatures, one spot, one type.
"""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest
from deconv_cases import grid, loss_of
from test_local_models import dampened, roughness, solve, variables

from napari_smoother.models.deconv import DWLS, LogNormReg, NuSVR, PoissonRegression


def plain(x, y):
    return x, y


def empty_spots_and_genes(x, y):
    x, y = x.copy(), y.copy()
    y[:, [3, 9]] = 0
    y[4] = x[4] = 0
    return x, y


def equal_signatures(x, y):
    return np.column_stack([x, x[:, 1]]), y


def one_type(x, y):
    return x[:, :1], y


def one_spot(x, y):
    return x, y[:, :1]


EDGES = [
    (plain, 0.0),
    (plain, 1e5),
    (empty_spots_and_genes, 0.0),
    (empty_spots_and_genes, 1.0),
    (equal_signatures, 0.0),
    (equal_signatures, 1.0),
    (one_type, 1.0),
    (one_spot, 1.0),
]
NAMES = [f"{change.__name__}-{lambda_:g}" for change, lambda_ in EDGES]


@pytest.fixture
def problem(counted, request):
    change, lambda_ = request.param
    x, y, _ = counted
    x, y = change(x / 4, y / 4)
    if y.shape[1] == 1:
        return x, y, grid(1), lambda_
    return x, y, grid(4, 1.0, cut=2), lambda_


edges = pytest.mark.parametrize("problem", EDGES, ids=NAMES, indirect=True)
free_and_bounded = pytest.mark.parametrize("nonneg", [False, True])
with_and_without_bias = pytest.mark.parametrize("bias", [False, True])


def fitted(model, x, y, q, lambda_):
    model.deconv(x, y, loss_of(q), lambda_, tolerance=1e-7)
    assert model.report.converged
    assert np.isfinite(model.abundance).all()
    return model.abundance, x @ model.abundance.T + model.intercepts


@edges
@free_and_bounded
@with_and_without_bias
def test_dwls(problem, nonneg, bias) -> None:
    x, y, q, lambda_ = problem
    b, _, found = variables(x, y, nonneg, bias)
    weights = dampened(y, 8)
    data = cvxpy.sum(cvxpy.multiply(weights, cvxpy.square(y - found))) / y.size
    value = solve(data + roughness(b, q, lambda_))
    model = DWLS(bias=bias, nonneg=nonneg)
    abundance, near = fitted(model, x, y, q, lambda_)
    reached = (weights * (y - near) ** 2).mean() + roughness(abundance.T, q, lambda_)
    assert model.report.objective == pytest.approx(reached, rel=1e-6, abs=1e-9)
    assert reached == pytest.approx(value, rel=1e-5, abs=1e-7)


@edges
@free_and_bounded
@with_and_without_bias
@pytest.mark.parametrize("mode", ["l1", "l2"])
def test_nusvr(problem, nonneg, bias, mode) -> None:
    x, y, q, lambda_ = problem
    power = 1 if mode == "l1" else 2
    b, _, found = variables(x, y, nonneg, bias)
    width = cvxpy.Variable(nonneg=True)
    over = cvxpy.pos(cvxpy.abs(y - found) - width)
    loss = cvxpy.sum(over**power if power == 2 else over) / y.size
    ridge = cvxpy.sum_squares(b) / (2 * b.size)
    value = solve(0.1 * width + loss + ridge + roughness(b, q, lambda_))
    model = NuSVR(bias=bias, nonneg=nonneg, loss_mode=mode)
    abundance, near = fitted(model, x, y, q, lambda_)
    left = np.maximum(np.abs(y - near) - model.epsilon, 0) ** power
    reached = 0.1 * model.epsilon + left.mean() + (abundance**2).mean() / 2
    reached += roughness(abundance.T, q, lambda_)
    assert model.report.objective == pytest.approx(reached, rel=1e-6)
    assert value * (1 - 1e-6) <= reached <= value * (1 + 1e-5)


@edges
@with_and_without_bias
def test_poisson(problem, bias) -> None:
    x, y, q, lambda_ = problem
    total = y.sum(axis=0)
    depth = total / total.mean()
    n_spots = y.shape[1]
    b = cvxpy.Variable((x.shape[1], n_spots), nonneg=True)
    g = cvxpy.Variable((1, n_spots), nonneg=True)
    rate = x @ b + (np.ones((len(x), 1)) @ g if bias else 0)
    expected = rate @ np.diag(depth)
    # A gene that no type has says nothing, nor a spot of depth zero.
    used = (x.any(axis=1) | bias)[:, None] * (depth > 0)[None]
    known = np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0) - y
    where = np.nonzero(used & (y > 0))
    loss = cvxpy.sum(cvxpy.multiply(used, expected)) + known[used].sum()
    loss -= cvxpy.sum(cvxpy.multiply(y[where], cvxpy.log(expected[where])))
    value = solve(2 * loss / y.size + roughness(b, q, lambda_))
    model = PoissonRegression(bias=bias)
    fitted(model, x, y, q, lambda_)
    assert model.report.objective == pytest.approx(value, rel=1e-5, abs=1e-6)


@edges
@with_and_without_bias
def test_log_normal_is_stationary(problem, bias) -> None:
    x, y, q, lambda_ = problem
    model = LogNormReg(bias=bias)
    abundance, near = fitted(model, x, y, q, lambda_)
    left = np.log(near + 1) - np.log(y + 1)
    value = (left**2).mean() + roughness(abundance.T, q, lambda_)
    assert model.report.objective == pytest.approx(value, rel=1e-6, abs=1e-9)
    slope = 2 * left / (near + 1) / y.size
    by_abundance = slope.T @ x + 2 * lambda_ / abundance.size * (q @ abundance)
    held = abundance <= 0
    size = np.abs(slope).sum() + 1e-3
    assert np.abs(by_abundance[~held]).max(initial=0) < 1e-5 * size
    assert by_abundance[held].min(initial=0) > -1e-5 * size
    if bias:
        assert np.abs(slope.sum(axis=0)).max() < 1e-5 * size
