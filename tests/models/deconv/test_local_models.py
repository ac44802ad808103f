"""DWLS, nu-SVR, log-normal and Poisson regression against independent solvers."""

from __future__ import annotations

import cvxpy
import numpy as np
import pandas as pd
import pytest
import torch
from deconv_cases import chain, grid, loss_of
from scipy import optimize, sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv import (
    DWLS,
    NNLS,
    LinearRegression,
    LogNormReg,
    NuSVR,
    PoissonRegression,
)

CLARABEL = {"solver": "CLARABEL", "tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}


def roughness(b, q, lambda_, confidences=None):
    """The spatial prior of cvxpy variables or arrays, types x spots."""
    each = q if isinstance(q, list) else [q] * b.shape[0]
    strength = np.ones(b.shape[0]) if confidences is None else confidences
    terms = []
    for k in range(b.shape[0]):
        dense = each[k].toarray()
        if isinstance(b, np.ndarray):
            terms.append(strength[k] * b[k] @ dense @ b[k])
        else:
            terms.append(strength[k] * cvxpy.quad_form(b[k], cvxpy.psd_wrap(dense)))
    return lambda_ * sum(terms) / (b.shape[0] * b.shape[1])


def variables(x, y, nonneg, bias):
    b = cvxpy.Variable((x.shape[1], y.shape[1]), nonneg=nonneg)
    g = cvxpy.Variable((1, y.shape[1]))
    fitted = x @ b + (np.ones((x.shape[0], 1)) @ g if bias else 0)
    return b, g, fitted


def solve(objective):
    problem = cvxpy.Problem(cvxpy.Minimize(objective))
    problem.solve(**CLARABEL)
    return problem.value


def dampened(y, most):
    """The weights as they are defined, in another order of operations."""
    with np.errstate(divide="ignore"):
        weights = np.minimum(1 / y**2, most**2)
    return np.minimum(weights / weights.min(axis=0), most)


# --- DWLS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonneg", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("lambda_", "rho"), [(0.0, 0.9), (1.0, 0.99), (1e2, 1.0)])
def test_dwls_is_a_quadratic_programme(small, nonneg, bias, lambda_, rho) -> None:
    x, y, _ = small
    q = grid(4, rho, cut=2)
    b, _, fitted = variables(x, y, nonneg, bias)
    data = cvxpy.sum(cvxpy.multiply(dampened(y, 8), cvxpy.square(y - fitted))) / y.size
    value = solve(data + roughness(b, q, lambda_))
    model = DWLS(bias=bias, nonneg=nonneg)
    model.deconv(x, y, loss_of(q), lambda_, tolerance=1e-8)
    assert model.report.converged
    assert model.report.objective == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(model.abundance, b.value.T, atol=1e-4)


def test_dwls_at_the_largest_lambda_is_one_spot_per_piece(small) -> None:
    """At rho = 1 the prior leaves one composition to every connected piece."""
    x, y, _ = small
    left = np.arange(16) % 4 < 2
    model = DWLS()
    model.deconv(x, y, loss_of(grid(4, 1.0, cut=2)), 1e5)
    assert model.report.converged
    weights = dampened(y, 8)
    for piece in (left, ~left):
        b, g = cvxpy.Variable(3, nonneg=True), cvxpy.Variable(8)
        fitted = cvxpy.outer(x @ b, np.ones(8)) + np.ones((9, 1)) @ cvxpy.reshape(g, (1, 8), "C")
        square = cvxpy.square(y[:, piece] - fitted)
        solve(cvxpy.sum(cvxpy.multiply(weights[:, piece], square)) / y.size)
        np.testing.assert_allclose(model.abundance[piece], np.tile(b.value, (8, 1)), atol=1e-3)


def test_dwls_with_weight_one_is_nnls(small) -> None:
    x, y, _ = small
    plain, damped = NNLS(), DWLS(max_weights=1)
    for model in (plain, damped):
        model.deconv(x, y, loss_of(chain(16)), 2.0, tolerance=1e-7)
    np.testing.assert_allclose(damped.abundance, plain.abundance, atol=1e-5)
    np.testing.assert_allclose(damped.intercepts, plain.intercepts, atol=1e-5)
    assert damped.report.objective == pytest.approx(plain.report.objective, rel=1e-6)


def test_dwls_with_confidences_weights_and_a_precision_for_every_type(small) -> None:
    x, y, _ = small
    each = [chain(16, 0.5), chain(16, 1.0), grid(4)]
    genes, confidences = np.linspace(0.2, 3, 9), np.array([0.3, 1.0, 2.0])
    b, _, fitted = variables(x, y, True, True)
    weights = dampened(y, 8) * genes[:, None]
    data = cvxpy.sum(cvxpy.multiply(weights, cvxpy.square(y - fitted))) / y.size
    for q in (each, chain(16)):
        value = solve(data + roughness(b, q, 2.0, confidences))
        inv_cov = np.stack([m.toarray() for m in q]) if isinstance(q, list) else q
        model = DWLS()
        loss = loss_of(inv_cov, confidences)
        model.deconv(x, y, loss, 2.0, gene_weights=genes, tolerance=1e-7)
        assert model.report.objective == pytest.approx(value, rel=1e-6)
        np.testing.assert_allclose(model.abundance, b.value.T, atol=1e-4)


# --- nu-SVR -------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonneg", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("mode", ["l2", "l1"])
@pytest.mark.parametrize("nu", [0.1, 0.5])
def test_nusvr_is_convex(small, nonneg, bias, mode, nu) -> None:
    x, y, _ = small
    q, cost, lambda_ = grid(4, 1.0, cut=2), 3.0, 0.5
    b, _, fitted = variables(x, y, nonneg, bias)
    width = cvxpy.Variable(nonneg=True)
    over = cvxpy.pos(cvxpy.abs(y - fitted) - width)
    loss = (cvxpy.sum_squares(over) if mode == "l2" else cvxpy.sum(over)) / y.size
    ridge = cvxpy.sum_squares(b) / (2 * 3 * 16)
    value = solve(cost * (nu * width + loss) + ridge + roughness(b, q, lambda_))
    model = NuSVR(bias=bias, C=cost, nu=nu, nonneg=nonneg, loss_mode=mode)
    model.deconv(x, y, loss_of(q), lambda_, tolerance=1e-7)
    assert model.report.converged
    above = 1e-7 if mode == "l2" else 1e-6
    assert value * (1 - 1e-7) <= model.report.objective <= value * (1 + above)
    near = 1e-4 if mode == "l2" else 5e-3
    np.testing.assert_allclose(model.abundance, b.value.T, atol=near)
    assert model.epsilon == pytest.approx(float(width.value), abs=near)
    if mode == "l1":
        assert "at most" in model.report.note
        # The bound that the report states is below the optimum.
        assert model.report.objective * (1 - model.report.kkt_residual) <= value * (1 + 1e-9)


# --- log-normal ---------------------------------------------------------------------------------


def log_normal(x, y, q, lambda_, bias):
    def value_and_gradient(flat):
        b, g = flat[:48].reshape(16, 3), flat[48:] if bias else np.zeros(16)
        moved = np.maximum(x @ b.T + g + 1, 1e-9)
        left = np.log(moved) - np.log(y + 1)
        slope = 2 * left / moved / y.size
        smooth = lambda_ / 48 * (q @ b)
        value = (left**2).mean() + np.vdot(b, smooth)
        by_b = slope.T @ x + 2 * smooth
        return value, np.append(by_b.ravel(), slope.sum(axis=0) if bias else [])

    return value_and_gradient


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("lambda_", [0.0, 1.0, 1e3])
def test_log_normal_ends_where_a_long_descent_does(counted, bias, lambda_) -> None:
    x, y, _ = counted
    q = grid(4, 1.0, cut=2)
    model = LogNormReg(bias=bias)
    model.deconv(x, y, loss_of(q), lambda_, tolerance=1e-8)
    assert model.report.converged
    assert "Not convex" in model.report.note
    function = log_normal(x, y, q, lambda_, bias)
    state = np.append(model.abundance.ravel(), model.intercepts if bias else [])
    value, gradient = function(state)
    assert model.report.objective == pytest.approx(value, rel=1e-9)
    checked = optimize.check_grad(lambda s: function(s)[0], lambda s: function(s)[1], state)
    assert checked < 1e-5
    held = np.append(model.abundance.ravel() <= 0, np.zeros(16 * bias, bool))
    assert np.abs(gradient[~held]).max() < 1e-6
    assert gradient[held].min(initial=0) > -1e-6
    bounds = [(0, None)] * 48 + [(None, None)] * (16 * bias)
    options = {"maxiter": 20000, "maxfun": 100000, "ftol": 1e-15, "gtol": 1e-10}
    start = np.append(np.full(48, 0.3), np.zeros(16 * bias))
    found = optimize.minimize(
        function, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    assert model.report.objective <= found.fun * (1 + 1e-4)


# --- Poisson ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("lambda_", "rho"), [(0.0, 0.9), (1.0, 0.99), (1e3, 1.0)])
def test_poisson_is_convex(counted, bias, lambda_, rho) -> None:
    x, y, _ = counted
    q = grid(4, rho, cut=2)
    depth = y.sum(axis=0) / y.sum(axis=0).mean()
    b = cvxpy.Variable((3, 16), nonneg=True)
    g = cvxpy.Variable((1, 16), nonneg=True)
    rate = x @ b + (np.ones((12, 1)) @ g if bias else 0)
    expected = rate @ np.diag(depth)
    known = np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0).sum() - y.sum()
    loss = cvxpy.sum(expected) - cvxpy.sum(cvxpy.multiply(y, cvxpy.log(expected))) + known
    value = solve(2 * loss / y.size + roughness(b, q, lambda_))
    model = PoissonRegression(bias=bias)
    model.deconv(x, y, loss_of(q), lambda_, tolerance=1e-8)
    assert model.report.converged
    assert model.report.objective == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(model.abundance, b.value.T, atol=2e-4)
    assert (model.intercepts >= 0).all()
    assert len(model.history) > 2
    assert (np.diff(model.history) <= 1e-12 * model.history[0]).all()


def test_poisson_depth_of_a_spot(counted) -> None:
    """Twice the counts at twice the depth say the same about what a spot is made of."""
    x, y, _ = counted
    one, two = PoissonRegression(), PoissonRegression()
    one.deconv(x, y, depth=np.ones(16), tolerance=1e-8)
    two.deconv(x, 2 * y, depth=np.full(16, 2.0), tolerance=1e-8)
    np.testing.assert_allclose(two.abundance, one.abundance, atol=1e-5)
    assert two.report.objective == pytest.approx(2 * one.report.objective, rel=1e-6)
    with pytest.raises(InputError, match="depths have the shape"):
        one.deconv(x, y, depth=np.ones(3))
    with pytest.raises(InputError, match="depth 0 has counts"):
        one.deconv(x, y, depth=np.arange(16.0))


def test_poisson_prior_fills_a_spot_without_counts(counted) -> None:
    """On a chain with rho = 1, a spot that says nothing lies halfway between its neighbours."""
    x, y, _ = counted
    y[:, 7] = 0
    model = PoissonRegression()
    model.deconv(x, y, loss_of(chain(16, 1.0)), 1.0, tolerance=1e-9)
    halfway = (model.abundance[6] + model.abundance[8]) / 2
    np.testing.assert_allclose(model.abundance[7], halfway, atol=1e-5)


# --- all of them --------------------------------------------------------------------------------

MODELS = [DWLS, NuSVR, LogNormReg, PoissonRegression, LinearRegression]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("bias", [False, True])
def test_empty_spots_and_genes_and_equal_signatures(counted, model, bias) -> None:
    x, y, _ = counted
    y[:, 3] = 0
    y[4] = x[4] = 0
    x = np.column_stack([x, x[:, 1]])
    fitted = model(bias=bias)
    fitted.deconv(x, y, loss_of(grid(4, 1.0, cut=2)), 0.5)
    assert fitted.report.converged
    assert np.isfinite(fitted.abundance).all()
    fitted.deconv(x, np.zeros_like(y), loss_of(chain(16)), 0.5)
    assert np.isfinite(fitted.abundance).all()
    np.testing.assert_allclose(fitted.abundance, 0, atol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_one_spot_and_one_type(counted, model) -> None:
    x, y, _ = counted
    one = model(bias=False)
    one.deconv(x[:, :1], y[:, :1])
    assert one.abundance.shape == (1, 1)
    assert one.report.converged
    np.testing.assert_allclose(one.get_props(), [[1.0]])


@pytest.mark.parametrize("model", MODELS)
def test_every_form_of_data_gives_the_same(counted, model) -> None:
    x, y, _ = counted
    plain, other = model(), model()
    given = x.copy(), y.copy()
    plain.deconv(x, y, loss_of(chain(16)))
    np.testing.assert_array_equal(x, given[0])
    np.testing.assert_array_equal(y, given[1])
    for form in (sparse.csr_matrix, sparse.csc_array, torch.tensor, pd.DataFrame):
        other.deconv(torch.tensor(x), form(y), loss_of(chain(16)))
        np.testing.assert_allclose(other.abundance, plain.abundance, atol=1e-4)
    names = pd.DataFrame(x, columns=["a", "b", "c"])
    other.deconv(names, pd.DataFrame(y, columns=[f"s{i}" for i in range(16)]))
    assert list(other.get_props().columns) == ["a", "b", "c"]


@pytest.mark.parametrize("model", MODELS)
def test_cancelling_keeps_the_last_result(counted, model) -> None:
    x, y, _ = counted
    fitted = model()
    with pytest.raises(InputError, match=f"There is no result yet.*{model.__name__}|no result"):
        fitted.get_props()
    fitted.deconv(x, y)
    before = fitted.abundance.copy()
    with pytest.raises(Cancelled):
        fitted.deconv(x, y, loss_of(chain(16)), 10.0, cancelled=lambda: True)
    np.testing.assert_array_equal(fitted.abundance, before)


@pytest.mark.parametrize("model", MODELS)
def test_a_start_does_not_change_the_answer(counted, model) -> None:
    x, y, _ = counted
    cold, warm = model(), model()
    cold.deconv(x, y, loss_of(chain(16)), tolerance=1e-7)
    start = np.random.default_rng(0).random((16, 3))
    warm.deconv(x, y, loss_of(chain(16)), tolerance=1e-7, start=start)
    np.testing.assert_allclose(warm.abundance, cold.abundance, atol=1e-4)


class Own(torch.nn.Module):
    """A quadratic loss that does not show its precision."""

    def __init__(self, q):
        super().__init__()
        self.q = torch.tensor(q.toarray())

    def forward(self, coefs):
        return (coefs * (coefs @ self.q)).sum() / coefs.numel()


@pytest.mark.parametrize("model", [DWLS, NuSVR, LogNormReg, PoissonRegression])
@pytest.mark.parametrize("bias", [False, True])
def test_other_losses_are_descended_to_the_same_point(counted, model, bias) -> None:
    x, y, _ = counted
    q = chain(16)
    exact, descended = model(bias=bias), model(bias=bias)
    exact.deconv(x, y, loss_of(q), 1.0, tolerance=1e-7)
    descended.deconv(x, y, Own(q), 1.0)
    assert descended.report.objective == pytest.approx(exact.report.objective, rel=1e-3)
    assert "not certified" in descended.report.note


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DWLS(max_weights=0.5), "largest weight is 0.5"),
        (lambda: NuSVR(C=0), "C is 0"),
        (lambda: NuSVR(nu=-1), "nu is -1"),
        (lambda: NuSVR(loss_mode="l3"), "no loss 'l3'"),
        (lambda: LogNormReg(epsilon=0), "added count is 0"),
        (lambda: LogNormReg().deconv(np.ones((3, 1)), -np.ones((3, 2))), "y has negative"),
        (lambda: PoissonRegression().deconv(-np.ones((3, 1)), np.ones((3, 2))), "x has negative"),
    ],
)
def test_bad_settings(make, message) -> None:
    with pytest.raises(InputError, match=message):
        make()
