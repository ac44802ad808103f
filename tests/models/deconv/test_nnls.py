"""The NNLS class against a convex solver, and against scipy without a prior."""

from __future__ import annotations

from types import SimpleNamespace

import cvxpy
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, sparse

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv import NNLS

N_SPOTS, N_GENES, N_TYPES = 16, 9, 3


@pytest.fixture
def data():
    random = np.random.default_rng(11)
    x = random.gamma(1.0, 1.0, (N_GENES, N_TYPES))
    truth = random.dirichlet(np.full(N_TYPES, 0.4), N_SPOTS)
    y = np.maximum(x @ truth.T + 0.3 * random.standard_normal((N_GENES, N_SPOTS)), 0)
    return x, y


def chain_precision(rho=0.99) -> sparse.csr_array:
    """Precision of the intrinsic process on a chain of spots."""
    weights = np.diag(np.ones(N_SPOTS - 1), 1)
    weights += weights.T
    return sparse.csr_array(np.diag(weights.sum(1)) - rho * weights)


def loss_of(precision, confidences=None) -> SimpleNamespace:
    """Stand-in with what a spatial loss shows: a sparse tensor, and confidences."""
    coo = precision.tocoo()
    tensor = torch.sparse_coo_tensor(
        np.stack([coo.row, coo.col]), coo.data, precision.shape, dtype=torch.float64
    )
    if confidences is None:
        return SimpleNamespace(inv_cov=tensor)
    return SimpleNamespace(inv_cov=tensor, confidences=torch.tensor(confidences))


def optimum(x, y, q, lambda_, bias, weights=None, confidences=None):
    """Objective of the published form and its minimiser by CLARABEL."""
    weights = np.ones(N_GENES) if weights is None else weights
    confidences = np.ones(N_TYPES) if confidences is None else confidences
    b = cvxpy.Variable((N_TYPES, N_SPOTS), nonneg=True)
    g = cvxpy.Variable(N_SPOTS)
    fitted = x @ b + (np.ones((N_GENES, 1)) @ cvxpy.reshape(g, (1, N_SPOTS), "C") if bias else 0)
    data = cvxpy.sum_squares(cvxpy.multiply(np.sqrt(weights)[:, None], y - fitted))
    objective = data / (N_GENES * N_SPOTS)
    if q is not None:
        each = q if isinstance(q, list) else [q] * N_TYPES
        prior = sum(
            s * cvxpy.quad_form(b[k], cvxpy.psd_wrap(each[k].toarray()))
            for k, s in enumerate(confidences)
        )
        objective = objective + lambda_ * prior / (N_TYPES * N_SPOTS)
    problem = cvxpy.Problem(cvxpy.Minimize(objective))
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return problem.value, b.value.T, g.value


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("lambda_", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("rho", [0.99, 1.0])
def test_optimum_with_a_prior(data, bias, lambda_, rho) -> None:
    x, y = data
    q = chain_precision(rho)
    value, abundance, constants = optimum(x, y, q, lambda_, bias)
    model = NNLS(bias=bias)
    model.deconv(x, y, spatial_loss=loss_of(q), lambda_spatial_loss=lambda_, tolerance=1e-7)
    assert model.report.converged
    assert model.report.objective == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(model.abundance, abundance, atol=2e-5)
    if bias:
        np.testing.assert_allclose(model.intercepts, constants, atol=2e-5)
    assert (model.abundance >= 0).all()


def test_confidences_and_given_weights(data) -> None:
    x, y = data
    q = chain_precision()
    weights = np.linspace(0.2, 3, N_GENES)
    confidences = np.array([0.3, 1.0, 2.0])
    value, abundance, _ = optimum(x, y, q, 2.0, True, weights, confidences)
    model = NNLS()
    model.deconv(x, y, loss_of(q, confidences), 2.0, gene_weights=weights, tolerance=1e-7)
    assert model.report.objective == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(model.abundance, abundance, atol=2e-5)


@pytest.mark.parametrize("lambda_", [0.0, 1.0])
def test_without_a_loss_every_spot_is_its_own_problem(data, lambda_) -> None:
    x, y = data
    model = NNLS(bias=False)
    model.deconv(x, y, lambda_spatial_loss=lambda_)
    expected = np.stack([optimize.nnls(x, column)[0] for column in y.T])
    np.testing.assert_allclose(model.abundance, expected, atol=1e-5)
    left = ((y.T - expected @ x.T) ** 2).sum() / (N_GENES * N_SPOTS)
    assert model.report.objective == pytest.approx(left, rel=1e-6)


@pytest.mark.parametrize("gene_weights", ["inverse_mean", "inverse_variance"])
def test_named_weights_keep_the_mean_diagonal(data, gene_weights) -> None:
    x, y = data
    spread = y.mean(1) if gene_weights == "inverse_mean" else y.var(1)
    weights = 1 / (spread + 0.05 * spread.mean())
    weights *= (x**2).sum() / (weights[:, None] * x**2).sum()
    _, abundance, _ = optimum(x, y, chain_precision(), 1.0, False, weights)
    model = NNLS(bias=False)
    model.deconv(x, y, loss_of(chain_precision()), gene_weights=gene_weights, tolerance=1e-7)
    np.testing.assert_allclose(model.abundance, abundance, atol=2e-5)


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, torch.tensor, pd.DataFrame])
def test_every_form_of_data(data, form) -> None:
    x, y = data
    plain, other = NNLS(), NNLS()
    plain.deconv(x, y, loss_of(chain_precision()))
    other.deconv(torch.tensor(x), form(y), loss_of(chain_precision()))
    np.testing.assert_allclose(other.abundance, plain.abundance, atol=1e-6)


@pytest.mark.parametrize(
    "form",
    [
        lambda q: q,
        lambda q: q.toarray()[None],
        lambda q: loss_of(q).inv_cov.to_sparse_csr(),
        lambda q: loss_of(q).inv_cov.to_dense(),
        lambda q: loss_of(q).inv_cov.unsqueeze(0),
    ],
)
def test_every_form_of_precision(data, form) -> None:
    x, y = data
    plain, other = NNLS(), NNLS()
    plain.deconv(x, y, loss_of(chain_precision()))
    other.deconv(x, y, SimpleNamespace(inv_cov=form(chain_precision()), confidences=[1.0]))
    np.testing.assert_array_equal(other.abundance, plain.abundance)


@pytest.mark.parametrize("process", ["car", "sar", "icar", "isar", "sma"])
def test_losses_of_this_package(data, process) -> None:
    """The objective that was minimised is mean square error plus lambda times the loss itself."""
    x, y = data
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.column_stack([np.arange(N_SPOTS) % 4, np.arange(N_SPOTS) // 4]))
    rho = 0.2 if process in ("car", "sar", "sma") else 0.95
    loss = SpatialLoss(process, weights, rho=rho)
    loss.confidences = torch.tensor([0.5, 1.0, 2.0])
    model = NNLS()
    model.deconv(x, y, spatial_loss=loss, lambda_spatial_loss=3.0, tolerance=1e-7)
    assert model.report.converged
    fitted = x @ model.abundance.T + model.intercepts
    value = ((y - fitted) ** 2).mean() + 3.0 * float(loss(torch.tensor(model.abundance.T)))
    assert model.report.objective == pytest.approx(value, rel=1e-5)
    q = sparse.csr_array(loss.inv_cov[0].to_dense().double().numpy())
    best, _, _ = optimum(x, y, (q + q.T) / 2, 3.0, True, confidences=np.array([0.5, 1.0, 2.0]))
    assert model.report.objective == pytest.approx(best, rel=1e-5)


def test_precisions_for_another_number_of_types(data) -> None:
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.random.default_rng(0).random((N_SPOTS, 2)))
    with pytest.raises(InputError, match="2 precisions for 3 types"):
        NNLS().deconv(*data, SpatialLoss("icar", [weights] * 2, rho=0.9))


@pytest.mark.parametrize("bias", [False, True])
def test_a_precision_for_every_type(data, bias) -> None:
    x, y = data
    each = [chain_precision(0.9), chain_precision(1.0), sparse.csr_array(np.eye(N_SPOTS))]
    confidences = np.array([0.5, 1.0, 3.0])
    value, abundance, _ = optimum(x, y, each, 2.0, bias, confidences=confidences)
    stacked = np.stack([q.toarray() for q in each])
    for inv_cov in (stacked, torch.tensor(stacked).to_sparse_coo()):
        model = NNLS(bias=bias)
        loss = SimpleNamespace(inv_cov=inv_cov, confidences=confidences)
        model.deconv(x, y, loss, 2.0, tolerance=1e-7)
        assert model.report.converged
        assert model.report.objective == pytest.approx(value, rel=1e-6)
        np.testing.assert_allclose(model.abundance, abundance, atol=2e-5)
    with pytest.raises(Cancelled):
        NNLS().deconv(x, y, loss, 2.0, cancelled=lambda: True)


def test_the_same_precision_given_for_every_type_is_shared(data) -> None:
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.random.default_rng(0).random((N_SPOTS, 2)))
    one, many = NNLS(), NNLS()
    one.deconv(*data, SpatialLoss("icar", weights, rho=0.9))
    many.deconv(*data, SpatialLoss("icar", [weights] * N_TYPES, rho=0.9))
    np.testing.assert_array_equal(many.abundance, one.abundance)


def test_names_come_back(data) -> None:
    x, y = data
    genes = [f"gene{i}" for i in range(N_GENES)]
    spots = [f"spot{i}" for i in range(N_SPOTS)]
    model = NNLS()
    model.deconv(
        pd.DataFrame(x, index=genes, columns=["a", "b", "c"]),
        pd.DataFrame(y, index=genes, columns=spots),
    )
    props = model.get_props()
    assert list(props.columns) == ["a", "b", "c"]
    assert list(props.index) == spots
    np.testing.assert_allclose(props.sum(axis=1), 1)
    with pytest.raises(InputError, match="different names"):
        model.deconv(
            pd.DataFrame(x, index=genes), pd.DataFrame(y, index=genes[::-1], columns=spots)
        )


def test_props_of_plain_arrays_are_an_array(data) -> None:
    model = NNLS()
    model.deconv(*data)
    assert isinstance(model.get_props(), np.ndarray)
    assert model.get_props().shape == (N_SPOTS, N_TYPES)


def test_spots_and_genes_of_zeros(data) -> None:
    x, y = data
    y[:, 3] = 0
    y[4] = 0
    x[4] = 0
    model = NNLS(bias=False)
    model.deconv(x, y)
    np.testing.assert_array_equal(model.abundance[3], 0)
    np.testing.assert_array_equal(model.get_props()[3], 0)
    model.deconv(x, np.zeros_like(y), loss_of(chain_precision()))
    assert not model.abundance.any()


def test_settings_of_gradient_descent(data) -> None:
    model = NNLS()
    model.deconv(*data, verbose=False, quiet=True)
    with pytest.warns(UserWarning, match="lr, max_epochs is ignored"):
        model.deconv(*data, lr=1e-3, max_epochs=1000)
    with pytest.raises(TypeError, match="learning_rate"):
        model.deconv(*data, learning_rate=1e-3)


def test_cancelling_keeps_the_last_result(data) -> None:
    model = NNLS()
    model.deconv(*data)
    before = model.abundance.copy()
    with pytest.raises(Cancelled):
        model.deconv(*data, loss_of(chain_precision()), 10.0, cancelled=lambda: True)
    np.testing.assert_array_equal(model.abundance, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: {"x": x[:4], "y": y}, "x has 4 genes and y 9"),
        (lambda x, y: {"x": x * np.nan, "y": y}, "values of x are missing"),
        (lambda x, y: {"x": x, "y": sparse.csr_matrix(y * np.inf)}, "values of y are missing"),
        (lambda x, y: {"x": x[:, 0], "y": y}, "x has 1 dimensions"),
        (lambda x, y: {"x": x, "y": y, "gene_weights": np.ones(2)}, "shape"),
        (lambda x, y: {"x": x, "y": -y, "gene_weights": "inverse_mean"}, "negative means"),
    ],
)
def test_bad_input(data, change, message) -> None:
    with pytest.raises(InputError, match=message):
        NNLS().deconv(**change(*data))


def test_bad_spatial_loss(data) -> None:
    small = sparse.csr_array(np.eye(4))
    with pytest.raises(InputError, match=r"shape \(4, 4\) for 16 spots"):
        NNLS().deconv(*data, loss_of(small))
    with pytest.raises(InputError, match="The confidences are"):
        NNLS().deconv(*data, loss_of(chain_precision(), [1.0, 0.0, 1.0]))
    each = SimpleNamespace(inv_cov=np.stack([np.eye(N_SPOTS)] * 2))
    with pytest.raises(InputError, match="2 precisions for 3 types"):
        NNLS().deconv(*data, each)
    with pytest.raises(InputError, match="lambda is -1"):
        NNLS().deconv(*data, loss_of(chain_precision()), -1.0)


def test_no_result_before_a_fit() -> None:
    with pytest.raises(InputError, match="no result yet"):
        NNLS().get_props()
