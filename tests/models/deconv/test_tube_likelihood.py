"""The smoothed absolute loss of a tube, against its formula and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_smoother.models.deconv import tube_likelihood
from napari_smoother.models.deconv.inputs import read_inputs
from napari_smoother.models.deconv.tube_likelihood import TubeLikelihood
from napari_smoother.models.deconv.tube_search import Sample, best_length

GENES, SPOTS, TYPES, COST, BAND, TUBE = 40, 150, 5, 2.0, 0.4, 30.0


def _data(seed: int = 0):
    random = np.random.default_rng(seed)
    signature = random.gamma(1.0, 1.0, (GENES, TYPES))
    expression = np.maximum(random.normal(2.0, 1.5, (GENES, SPOTS)), 0)
    state = [
        random.uniform(0, 1, (SPOTS, TYPES)),
        random.normal(size=SPOTS),
        np.array([0.6]),
    ]
    return signature, expression, state


def _likelihood(signature, expression, weights="none", *, bias=True, band=BAND):
    inputs = read_inputs(signature, expression, weights)
    ridge = np.linspace(0.5, 1.5, TYPES)
    return TubeLikelihood(inputs, bias, COST, band, ridge=ridge, tube=TUBE)


def _by_formula(likelihood, signature, expression, state, multipliers, band):
    """Value of the smoothed loss, from the module's docstring."""
    values, width = state[0], state[-1].item()
    constants = state[1] if likelihood.bias else 0
    residuals = signature @ values.T + constants - expression
    over = np.abs(residuals + band * multipliers) - width
    share = np.clip(over / band, 0, 1)
    loss = share * over - band / 2 * (share**2 + multipliers**2)
    cost = COST * likelihood.inputs.weights / 2
    ridge = float((likelihood.ridge * values**2).sum()) / 2
    return float((cost[:, None] * loss).sum()) + ridge + TUBE * width


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("renewed", [False, True])
def test_value_and_gradients_are_those_of_the_formula(bias, renewed):
    signature, expression, state = _data()
    weights = np.random.default_rng(1).uniform(0.5, 2, GENES)
    weights[3] = 0
    likelihood = _likelihood(signature, expression, weights, bias=bias)
    state = state if bias else [state[0], state[2]]
    multipliers, band = np.zeros((GENES, SPOTS)), BAND
    if renewed:
        band = 0.25
        # They are those where every constant has taken its step.
        constants = likelihood.settle(state).state[1] if bias else 0
        left = signature @ state[0].T + constants - expression
        share = np.clip((np.abs(left) - state[-1].item()) / BAND, 0, 1) * np.sign(left)
        multipliers = np.where(weights[:, None] > 0, share, 0)
        likelihood.renew(state, band)
        likelihood.adopt()
    # Multipliers are kept in 16 bits.
    close = 1e-4 if renewed else 1e-12
    here = likelihood.expand(state)
    formula = _by_formula(likelihood, signature, expression, state, multipliers, band)
    assert here.value == pytest.approx(formula, rel=close)
    random = np.random.default_rng(2)
    for part, gradient in enumerate(here.gradients):
        way = random.standard_normal(state[part].shape)
        ends = []
        for step in (-1e-5, 1e-5):
            moved = [p.copy() for p in state]
            moved[part] = moved[part] + step * way
            ends.append(likelihood.expand(moved, curvature=False).value)
        slope = (ends[1] - ends[0]) / 2e-5
        scale = float(np.linalg.norm(gradient) * np.linalg.norm(way))
        assert slope == pytest.approx(float(np.vdot(gradient, way)), abs=1e-5 * scale)


@pytest.mark.parametrize("exact", [True, False])
def test_curvature_value_by_value_and_by_products_is_one(monkeypatch, exact):
    signature, expression, state = _data(3)
    found = []
    for many in (0.0, 2.0):
        monkeypatch.setattr(tube_likelihood, "MANY", many)
        likelihood = _likelihood(signature, expression)
        likelihood.exact = exact
        found.append(likelihood.expand(state).model.term)
    for name in ("blocks", "linear", "coupling"):
        by_products, by_values = (getattr(term, name) for term in found)
        scale = np.abs(by_values).max()
        np.testing.assert_allclose(by_products, by_values, atol=2e-5 * scale, err_msg=name)


@pytest.mark.parametrize("many", [0.0, 2.0])
def test_curvature_is_that_of_the_values_in_the_band(monkeypatch, many):
    monkeypatch.setattr(tube_likelihood, "MANY", many)
    monkeypatch.setattr(tube_likelihood, "FLOOR", 0.0)
    signature, expression, state = _data(4)
    likelihood = _likelihood(signature, expression, bias=False)
    model = likelihood.expand([state[0], state[2]]).model
    over = np.abs(signature @ state[0].T - expression) - state[2].item()
    inside = (over > 0) & (over < BAND)
    assert 0.05 < inside.mean() < 0.5
    lower = np.tril_indices(TYPES)
    for spot in (0, 63, 64, SPOTS - 1):
        bend = COST / 2 / BAND * inside[:, spot]
        expected = (signature * bend[:, None]).T @ signature + np.diag(likelihood.ridge)
        block = model.term.blocks[spot // 64, :, spot % 64]
        np.testing.assert_allclose(block, expected[lower], rtol=1e-4, atol=1e-4)


def _as_stored(expression, form):
    if form == "fortran":
        return np.asfortranarray(expression)
    if form == "single":
        return expression.astype(np.float32)
    return sparse.csc_matrix(expression)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("form", ["fortran", "single", "sparse"])
def test_the_form_of_the_expression_makes_no_difference(form, exact):
    signature, expression, state = _data(5)
    expression = np.round(expression, 1).astype(np.float32).astype(np.float64)
    stored = _as_stored(expression, form)
    found = []
    for given in (expression, stored):
        likelihood = _likelihood(signature, given)
        likelihood.exact = exact
        likelihood.renew(state, BAND)
        likelihood.adopt()
        found.append(likelihood.expand(state))
    close = 1e-12 if exact else 1e-6
    assert found[1].value == pytest.approx(found[0].value, rel=close)
    np.testing.assert_allclose(found[1].reaches, found[0].reaches, rtol=100 * close)
    for one, other in zip(found[0].gradients, found[1].gradients, strict=True):
        np.testing.assert_allclose(other, one, atol=100 * close * np.abs(one).max())


def test_genes_without_weight_are_as_good_as_absent():
    signature, expression, state = _data(6)
    weights = np.ones(GENES)
    weights[::3] = 0
    kept = weights > 0
    whole = _likelihood(signature, expression, weights, bias=False)
    part = _likelihood(signature[kept], expression[kept], bias=False)
    # Given weights keep their mean diagonal; only their ratio is of account here.
    assert np.ptp(whole.inputs.weights[kept]) == 0
    factor = whole.inputs.weights[kept][0] / part.inputs.weights[0]
    part.cost *= factor
    one, other = (like.expand([state[0], state[2]], curvature=False) for like in (whole, part))
    assert one.value == pytest.approx(other.value, rel=1e-12)
    np.testing.assert_allclose(one.gradients[0], other.gradients[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("renewed", [False, True])
def test_constants_settle_where_pushes_are_about_equal(exact, renewed):
    signature, expression, state = _data(7)
    likelihood = _likelihood(signature, expression)
    likelihood.exact = exact
    if renewed:
        likelihood.renew(state, BAND)
        likelihood.adopt()
    before, here = likelihood.expand(state), likelihood.settle(state)
    assert here.value < before.value
    for _ in range(20):
        here = likelihood.settle(here.state)
    apart, at_first = (np.abs(found.gradients[1]) for found in (here, before))
    assert (apart < 1e-3 * at_first.mean()).mean() > 0.9
    # The state that is told is the one that was expanded around.
    again = likelihood.expand(here.state)
    close = 1e-12 if exact else 1e-5
    assert again.value == pytest.approx(here.value, rel=close)
    assert here.before == here.value
    for one, other in zip(here.gradients, again.gradients, strict=True):
        np.testing.assert_allclose(other, one, atol=10 * close * np.abs(one).max())


def test_renewed_multipliers_hold_when_they_are_adopted():
    signature, expression, state = _data(8)
    likelihood = _likelihood(signature, expression)
    first, settled = likelihood.expand(state), likelihood.settle(state)
    tried = likelihood.renew(state, BAND / 2)
    assert tried.before == pytest.approx(settled.value, rel=1e-12)
    assert likelihood.expand(state).value == first.value
    likelihood.adopt()
    assert likelihood.band == BAND / 2
    assert likelihood.expand(tried.state).value == pytest.approx(tried.value, rel=1e-12)
    # A second renewal leaves those in force alone.
    held = likelihood.multipliers(1).copy()
    likelihood.renew(state, BAND / 4)
    np.testing.assert_array_equal(likelihood.multipliers(1), held)
    np.testing.assert_array_equal(likelihood.multipliers(7), held[:, ::7])


@pytest.mark.parametrize("bias", [True, False])
def test_a_sample_of_all_spots_knows_the_slope_along_a_step(bias):
    signature, expression, state = _data(9)
    weights = np.random.default_rng(1).uniform(0.5, 2, GENES)
    likelihood = _likelihood(signature, expression, weights, bias=bias)
    state = state if bias else [state[0], state[2]]
    likelihood.renew(state, BAND)
    likelihood.adopt()
    random = np.random.default_rng(3)
    change = [random.normal(scale=0.2, size=part.shape) for part in state]
    along = Sample(likelihood).slopes(state, change)
    for length in (0.0, 0.3, 1.0):
        there = [part + length * step for part, step in zip(state, change, strict=True)]
        found = likelihood.expand(there, curvature=False)
        slope = sum(float(np.vdot(a, b)) for a, b in zip(found.gradients, change, strict=True))
        apart = float(np.vdot(likelihood.ridge * there[0], change[0])) + TUBE * change[-1].item()
        assert along(length) == pytest.approx(slope - apart, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("slope", [0.0, 1e-9, 2.0])
def test_nothing_is_searched_for_where_the_slope_is_not_down(slope):
    assert best_length(slope, 1.0, lambda t: 3.0 * t) == 1


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (lambda t: -1.0 + 0.9 * t, 1.0),  # still downwards at the end
        (lambda t: -1.0 + 1.2 * t, 1.0),  # a little beyond
        (lambda t: -1.0 + 5 * t, 0.2),
        (lambda t: -1.0 + 50 * max(t - 0.4, 0.0), 0.42),
        (lambda t: -1.0 + 3000 * t**3, 0.0693),
    ],
)
def test_a_length_leaves_little_of_the_slope(left, expected):
    length = best_length(-1.0, 0.5, lambda t: left(t) - 0.5 * t + 7.0)
    assert abs(left(length)) <= 0.3 or length == 1
    assert length == pytest.approx(expected, rel=0.3)
