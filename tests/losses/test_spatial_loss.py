from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.errors import InputError

PROCESSES = [("car", 0.1), ("sar", 0.1), ("icar", 0.97), ("isar", 0.9), ("sma", 0.1)]


def section(seed=0, n=50):
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.random.default_rng(seed).uniform(size=(n, 2)), k=5)
    return weights


def dense_precision(weights, process, rho):
    """Straight from the definitions, dense."""
    matrix = weights.scaled.toarray()
    sums = matrix.sum(axis=1)
    identity = np.eye(len(matrix))
    if process == "car":
        return identity - rho * matrix
    if process == "icar":
        return np.diag(np.where(sums > 0, sums, 1)) - rho * matrix
    if process == "sma":
        effect = identity + rho * matrix
        return np.linalg.inv(effect @ effect.T)
    if process == "isar":
        matrix = matrix / np.where(sums > 0, sums, 1)[:, None]
    residual = identity - rho * matrix
    return residual.T @ residual


@pytest.mark.parametrize("use_sparse", [True, False])
@pytest.mark.parametrize(("process", "rho"), PROCESSES)
def test_value_and_gradient_are_those_of_the_form(process, rho, use_sparse):
    weights = section()
    precision = dense_precision(weights, process, rho)
    loss = SpatialLoss(process, weights, rho=rho, use_sparse=use_sparse)
    x = torch.randn(3, 50, dtype=torch.float64, requires_grad=True)
    values = x.detach().numpy()
    loss(x).backward()
    expected = np.einsum("ki,ij,kj->", values, precision, values) / 150
    assert loss(x).item() == pytest.approx(expected, rel=1e-12)
    assert loss(x, normalize=False).item() == pytest.approx(150 * expected, rel=1e-12)
    np.testing.assert_allclose(x.grad, 2 * values @ precision / 150, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(loss.inv_cov[0].to_dense(), precision, rtol=1e-5, atol=1e-5)
    assert loss.inv_cov.shape == (1, 50, 50)
    assert loss.inv_cov.is_sparse


@pytest.mark.parametrize(("process", "rho"), PROCESSES)
def test_gradient_by_finite_differences(process, rho):
    loss = SpatialLoss(process, section(n=12), rho=rho)
    x = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (x,))


def test_gradient_by_confidences():
    loss = SpatialLoss("icar", section(n=12), rho=0.9)
    loss.confidences = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 12, dtype=torch.float64)
    loss(x).backward()
    precision = loss.precisions[0].toarray()
    shares = np.einsum("ki,ij,kj->k", x.numpy(), precision, x.numpy()) / 24
    np.testing.assert_allclose(loss.confidences.grad, shares)
    # One for all dims.
    loss.confidences = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    loss(x).backward()
    np.testing.assert_allclose(loss.confidences.grad, [shares.sum()])


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float16, 1e-3), (torch.bfloat16, 1e-2), (torch.float32, 1e-5), (torch.float64, 1e-12)],
)
def test_any_floating_type(dtype, tolerance):
    weights = section()
    loss = SpatialLoss("icar", weights, rho=0.97)
    x = torch.randn(3, 50).to(dtype).requires_grad_()
    value = loss(x)
    value.backward()
    exact = x.detach().double().numpy()
    precision = dense_precision(weights, "icar", 0.97)
    expected = np.einsum("ki,ij,kj->", exact, precision, exact) / 150
    assert value.dtype == x.grad.dtype == dtype
    assert value.item() == pytest.approx(expected, rel=tolerance)
    gradient = 2 * exact @ precision / 150
    np.testing.assert_allclose(x.grad.double(), gradient, atol=5 * tolerance * abs(gradient).max())


def test_half_precision_does_not_overflow():
    loss = SpatialLoss("icar", section(n=300), rho=0.9)
    assert torch.isfinite(loss(torch.full((4, 300), 40.0, dtype=torch.float16)))


def test_transposed_and_sliced_tensors():
    loss = SpatialLoss("icar", section(), rho=0.9)
    x = torch.randn(50, 6, dtype=torch.float64)
    assert loss(x.t()[::2]).item() == pytest.approx(
        loss(x.t()[::2].contiguous()).item(), rel=1e-14
    )


def test_arrays_are_taken_too():
    loss = SpatialLoss("icar", section(), rho=0.9)
    x = np.random.default_rng(0).normal(size=(2, 50))
    assert loss(x).item() == pytest.approx(loss(torch.tensor(x)).item())


def test_a_graph_for_each_group():
    cut = section()
    cut.scale_by_identity(np.arange(50) % 2)
    graphs = [section(), cut]
    loss = SpatialLoss("icar", graphs, rho=0.9)
    x = torch.randn(2, 50, dtype=torch.float64, requires_grad=True)
    loss.confidences = torch.tensor([1.0, 0.25])
    loss(x).backward()
    values = x.detach().numpy()
    precisions = [dense_precision(graph, "icar", 0.9) for graph in graphs]
    expected = (
        values[0] @ precisions[0] @ values[0] + values[1] @ precisions[1] @ values[1] / 4
    ) / 100
    assert loss(x).item() == pytest.approx(expected)
    np.testing.assert_allclose(x.grad[1], 2 * values[1] @ precisions[1] / 400, atol=1e-12)
    assert loss.inv_cov.shape == (2, 50, 50)
    for group in range(2):
        np.testing.assert_allclose(loss.inv_cov[group].to_dense(), precisions[group], rtol=1e-6)
    with pytest.raises(InputError, match="2 graphs for 3 dims"):
        loss(torch.zeros(3, 50))


def test_confidences_follow_the_spread_of_each_group():
    random = np.random.default_rng(0)
    signature = random.uniform(size=(40, 3))
    abundance = random.normal(size=(3, 50)) * np.array([[1.0], [4.0], [2.0]])
    expression = signature @ abundance
    spread = abundance.std(axis=1, ddof=1)
    for form in (np.asarray, torch.tensor, csr_array):
        loss = SpatialLoss("icar", section(), rho=0.9)
        loss.estimate_confidence(signature, form(expression))
        np.testing.assert_allclose(loss.confidences, spread / spread.max(), rtol=1e-5)
    with pytest.raises(InputError, match="genes"):
        loss.estimate_confidence(signature[:10], expression)
    with pytest.raises(InputError, match="varies"):
        loss.estimate_confidence(signature, 0 * expression)
    with pytest.raises(InputError, match="method"):
        loss.estimate_confidence(signature, expression, method="svr")


def test_indefinite_precision_is_refused_with_its_range():
    with pytest.raises(InputError, match=r"indefinite.*rho between -0\.\d+ and 0\.\d+"):
        SpatialLoss("car", section(), rho=0.99)
    with pytest.raises(InputError, match=r"between -\S+ and 1"):
        SpatialLoss("icar", section(), rho=1.01)


def test_singular_precision_is_reported_and_works():
    with pytest.warns(UserWarning, match="singular"):
        loss = SpatialLoss("icar", section(), rho=1)
    linked = torch.from_numpy(loss.spatial_weights.scaled.sum(axis=1) > 0)
    assert loss(linked.double()[None]).item() == pytest.approx(0, abs=1e-14)


def test_a_proper_precision_is_not_worth_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for process, rho in PROCESSES:
            SpatialLoss(process, section(), rho=rho)(torch.randn(2, 50))


@pytest.mark.parametrize("process", ["car", "sar", "icar", "isar", "sma"])
def test_spots_alone_are_pulled_to_zero(process):
    weights = SpatialWeightMatrix.from_graph(np.zeros((3, 3)))
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert SpatialLoss(process, weights, rho=0.9)(x).item() == pytest.approx(14 / 3)


def test_one_spot():
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn([[0.0, 0.0]])
    assert SpatialLoss("icar", weights)(torch.tensor([[3.0], [1.0]])).item() == pytest.approx(5)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(PROCESSES), st.floats(0.1, 10))
def test_invariances(seed, process_and_rho, factor):
    process, rho = process_and_rho
    random = np.random.default_rng(seed)
    positions = random.uniform(size=(30, 2))
    order = random.permutation(30)
    first, second = SpatialWeightMatrix(), SpatialWeightMatrix()
    first.calc_weights_knn(positions, k=4)
    second.calc_weights_knn(factor * positions[order], k=4)
    x = torch.from_numpy(random.normal(size=(2, 30)))
    value = SpatialLoss(process, first, rho=rho)(x).item()
    assert value >= 0
    turned = SpatialLoss(process, second, rho=rho)(factor * x[:, order]).item()
    assert turned == pytest.approx(factor**2 * value, rel=1e-9)


def test_standardised_precision_has_unit_variances():
    loss = SpatialLoss("icar", section(), rho=0.95, standardize_cov=True)
    inverse = np.linalg.inv(loss.precisions[0].toarray())
    np.testing.assert_allclose(inverse.diagonal(), 1)


def test_weights_are_read_once():
    weights = section()
    loss = SpatialLoss("icar", weights, rho=0.9)
    x = torch.randn(2, 50)
    before = loss(x).item()
    weights.scale_by_identity(np.arange(50))
    assert loss(x).item() == before


def test_copies_and_pickles_agree():
    loss = SpatialLoss("icar", section(), rho=0.9)
    x = torch.randn(2, 50)
    value = loss(x).item()
    assert copy.deepcopy(loss)(x).item() == value
    assert pickle.loads(pickle.dumps(loss))(x).item() == value
    assert "rho=0.9" in repr(loss)


def test_the_gradient_reaches_through_a_model():
    loss = SpatialLoss("icar", section(), rho=0.9)
    network = torch.nn.Linear(4, 2).double()
    features = torch.randn(50, 4, dtype=torch.float64)
    loss(network(features).t()).backward()
    output, precision = network(features), torch.tensor(loss.precisions[0].toarray())
    form = ((precision @ output) * output).sum() / 100
    other = torch.autograd.grad(form, network.weight)[0]
    np.testing.assert_allclose(network.weight.grad, other, rtol=1e-9)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="process 'kl'"):
        SpatialLoss("kl", section())
    with pytest.raises(InputError, match="no spatial weights"):
        SpatialLoss("icar", [])
    with pytest.raises(InputError, match="different numbers"):
        SpatialLoss("icar", [section(n=10), section(n=11)])
    loss = SpatialLoss("icar", section(), rho=0.9)
    with pytest.raises(InputError, match="for 50 spots"):
        loss(torch.zeros(50, 3))
    loss.confidences = torch.ones(4)
    with pytest.raises(InputError, match="4 confidences for 3 dims"):
        loss(torch.zeros(3, 50))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_graphics_card_agrees_with_the_processor():
    loss = SpatialLoss("icar", section(), rho=0.9)
    x = torch.randn(3, 50)
    there = x.cuda().requires_grad_()
    value = loss(there)
    value.backward()
    here = x.clone().requires_grad_()
    loss(here).backward()
    assert value.device.type == "cuda"
    assert value.item() == pytest.approx(loss(x).item(), rel=1e-5)
    np.testing.assert_allclose(there.grad.cpu(), here.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n", [50, 8300])
@pytest.mark.parametrize("dims", [1, 2, 6, 13])
def test_every_way_to_multiply_gives_the_same(n, dims):
    """Short rows and long ones, whole fours of dims and the rest, one thread and two."""
    loss = SpatialLoss("icar", section(n=n), 0.9)
    q = loss.precisions[0]
    x = torch.randn(dims, n)
    product = (q @ x.double().numpy().T).T
    for values in (x.clone(), x.t().contiguous().t()):
        values.requires_grad_()
        value = loss(values, normalize=False)
        value.backward()
        assert value.item() == pytest.approx(np.vdot(x.numpy(), product), rel=1e-5)
        np.testing.assert_allclose(values.grad, 2 * product, atol=1e-4)
        with torch.no_grad():
            assert loss(values, normalize=False).item() == pytest.approx(value.item(), rel=1e-6)


def test_a_graph_can_be_passed_twice():
    loss = SpatialLoss("icar", section(), 0.9)
    x = torch.randn(3, 50, requires_grad=True)
    value = (x * 2).square().sum() * 0.1 + loss(x * 2)
    (first,) = torch.autograd.grad(value, x, retain_graph=True)
    (second,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("process", ["icar", "sma"])
@pytest.mark.parametrize("groups", [1, 3])
def test_second_derivatives(process, groups):
    weights = [section(seed, 12) for seed in range(groups)]
    loss = SpatialLoss(process, weights, rho=0.8)
    random = np.random.default_rng(3)
    confidences = torch.tensor(random.uniform(0.5, 2, groups), requires_grad=True)
    values = torch.tensor(random.standard_normal((3, 12)), requires_grad=True)

    def of(x, s):
        loss.confidences = s
        return loss(x)

    assert torch.autograd.gradcheck(of, (values, confidences))
    assert torch.autograd.gradgradcheck(of, (values, confidences))


def test_a_step_of_newton_ends_at_the_optimum():
    # Curvature times a direction is what differentiating the gradient gives.
    loss = SpatialLoss("icar", section(n=30), rho=0.9)
    x = torch.zeros(2, 30, dtype=torch.float64, requires_grad=True)
    target = torch.tensor(np.random.default_rng(0).standard_normal((2, 30)))

    def of(values):
        return (values - target).square().sum() + loss(values, normalize=False)

    (gradient,) = torch.autograd.grad(of(x), x)
    curvature = torch.autograd.functional.hessian(of, x).reshape(60, 60)
    y = x.detach() - torch.linalg.solve(curvature, gradient.reshape(-1)).reshape(2, 30)
    y.requires_grad_()
    (left,) = torch.autograd.grad(of(y), y)
    assert float(left.abs().max()) < 1e-12
