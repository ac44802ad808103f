"""Likelihoods of single values against their formulas, and their quadratic models."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_smoother import _core
from napari_smoother.models.deconv import DWLS, LogNormReg, NuSVR, PoissonRegression
from napari_smoother.models.deconv.inputs import read_inputs
from napari_smoother.models.deconv.likelihood import SHARP, Likelihood

GENES, SPOTS, TYPES = 40, 150, 5
DEPTH = np.linspace(0.5, 2, SPOTS)


def damped(y, m, width):
    with np.errstate(divide="ignore"):
        weights = np.minimum(y**-2.0, 64)
    weights = np.minimum(weights / weights.min(axis=0), 8)
    return weights * (y - m) ** 2 / 2, weights


def tube_square(y, m, width):
    over = np.maximum(np.abs(y - m) - width, 0)
    return over**2 / 2, (over > 0) * 1.0


def tube_absolute(y, m, width):
    return np.maximum(np.abs(y - m) - width, 0), None


def log_square(y, m, width):
    left = np.log((m + 1) / (y + 1))
    return left**2 / 2, np.maximum(1 - left, 0.1) / (m + 1) ** 2


def poisson(y, m, width):
    counted = np.where(y > 0, y, 1)
    loss = y * np.log(counted / (DEPTH * m)) - y + DEPTH * m
    return loss, y / m**2 + 0.02 * DEPTH / (m + 0.3)


LOSSES = {
    "damped square": (damped, (8.0, 0.0)),
    "tube square": (tube_square, (0.0, 0.0)),
    "tube absolute": (tube_absolute, (0.0, 0.0)),
    "log square": (log_square, (1.0, 0.1)),
    "poisson": (poisson, (0.02, 0.3)),
}


def _data():
    random = np.random.default_rng(0)
    signature = random.gamma(1.0, 1.0, (GENES, TYPES)) + 0.05
    expression = random.poisson(3.0, (GENES, SPOTS)).astype(np.float64)
    weights = random.uniform(0.5, 2, GENES)
    weights[3] = 0
    values, constants = random.uniform(0.1, 1, (SPOTS, TYPES)), random.uniform(0.1, 1, SPOTS)
    return signature, expression, weights, values, constants


def _likelihood(loss, bias, signature, expression, weights):
    return Likelihood(
        read_inputs(signature, expression, weights),
        loss,
        bias,
        numbers=LOSSES[loss][1],
        cost=1.5,
        depth=DEPTH,
        ridge=np.linspace(0.5, 1.5, TYPES),
        width_cost=30.0,
    )


def _state(likelihood, values, constants):
    width = [np.array([0.6])] if likelihood.has_width else []
    return [values, *([constants] if likelihood.bias else []), *width]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bias", [False, True])
def test_value_and_gradients_are_those_of_the_formula(loss, bias):
    signature, expression, weights, values, constants = _data()
    likelihood = _likelihood(loss, bias, signature, expression, weights)
    state = _state(likelihood, values, constants)
    mean = signature @ values.T + (constants if bias else 0)
    found, gradients = likelihood.evaluate(state)
    single, _ = LOSSES[loss][0](expression, mean, 0.6)
    formula = 1.5 * (weights[:, None] * single).sum() + 18 * likelihood.has_width
    formula += (np.linspace(0.5, 1.5, TYPES) * values**2).sum() / 2
    close = 1e-12 if loss != "tube absolute" else 10 * SHARP
    assert found == pytest.approx(2 * formula / expression.size, rel=close)
    random = np.random.default_rng(2)
    for part, gradient in enumerate(gradients):
        way = random.standard_normal(state[part].shape)
        ends = []
        for step in (-1e-6, 1e-6):
            moved = [p.copy() for p in state]
            moved[part] = moved[part] + step * way
            ends.append(likelihood.evaluate(moved)[0])
        slope = (ends[1] - ends[0]) / 2e-6
        scale = float(np.linalg.norm(gradient) * np.linalg.norm(way))
        assert slope == pytest.approx(float(np.vdot(gradient, way)), abs=2e-5 * scale)


@pytest.mark.parametrize("loss", ["damped square", "tube square", "log square", "poisson"])
@pytest.mark.parametrize("bias", [False, True])
def test_gram_matrices_are_the_curvatures_with_constants_eliminated(loss, bias):
    signature, expression, weights, values, constants = _data()
    likelihood = _likelihood(loss, bias, signature, expression, weights)
    state = _state(likelihood, values, constants)
    mean = signature @ values.T + (constants if bias else 0)
    _, curvature = LOSSES[loss][0](expression, mean, 0.6)
    curvature = 1.5 * weights[:, None] * curvature
    _, _, packed, linear = likelihood._core.expand(**likelihood._parts(state))
    lower = np.tril_indices(TYPES)
    packed = packed.reshape(-1, lower[0].size, 16).transpose(0, 2, 1).reshape(-1, lower[0].size)
    np.testing.assert_array_equal(packed[SPOTS:], 0)
    for spot in (0, 15, 16, SPOTS - 1):
        whole = signature.T @ (curvature[:, spot, None] * signature)
        if bias:
            cross = signature.T @ curvature[:, spot]
            whole -= np.outer(cross, cross) / curvature[:, spot].sum()
        whole += np.diag(np.linspace(0.5, 1.5, TYPES))
        np.testing.assert_allclose(packed[spot], whole[lower], rtol=1e-5, atol=1e-5)
    assert np.isfinite(linear).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_every_layout_of_expression_gives_the_same(loss):
    signature, expression, weights, values, constants = _data()
    found = []
    for given in (
        expression,
        expression.astype(np.float32),
        np.asfortranarray(expression),
        expression[:, ::-1].copy()[:, ::-1],
        sparse.csc_matrix(expression),
    ):
        likelihood = _likelihood(loss, True, signature, given, weights)
        found.append(likelihood.evaluate(_state(likelihood, values, constants)))
    for value, gradients in found[1:]:
        assert value == found[0][0]
        for one, other in zip(gradients, found[0][1], strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_a_loss_cannot_have_is_infinite():
    signature, expression, weights, values, constants = _data()
    for loss in ("log square", "poisson"):
        likelihood = _likelihood(loss, True, signature, expression, weights)
        low = _state(likelihood, values, constants - 20)
        assert likelihood.evaluate(low)[0] == np.inf


@pytest.mark.parametrize(
    "model",
    [DWLS(), NuSVR(), NuSVR(loss_mode="l1"), LogNormReg(), PoissonRegression()],
    ids=["dwls", "nusvr", "nusvr l1", "log-normal", "poisson"],
)
@pytest.mark.parametrize("types", [9, 37])
def test_fits_have_the_same_bits_whatever_the_threads(model, types):
    random = np.random.default_rng(0)
    x = 4 * random.gamma(0.5, 1.0, (120, types))
    y = random.poisson(x @ random.dirichlet(np.full(types, 0.3), 1000).T).astype(np.float64)
    before, found = _core.thread_count(), []
    try:
        for threads in (1, 2, 8):
            _core.set_thread_count(threads)
            model.deconv(x, y)
            assert model.report.converged
            found.append(model.abundance.tobytes())
    finally:
        _core.set_thread_count(before)
    assert found[0] == found[1] == found[2]
