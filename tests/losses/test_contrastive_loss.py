from __future__ import annotations

import warnings
from itertools import permutations

import numpy as np
import pytest
import torch

from napari_smoother import ContrastiveSpatialLoss, SpatialLoss, SpatialWeightMatrix
from napari_smoother.errors import InputError


def section(n=6, seed=0):
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.random.default_rng(seed).uniform(size=(n, 2)), k=3)
    return weights


SETTINGS = [("icar", 1.0, True), ("icar", 0.9, False), ("sar", 0.2, False), ("sma", 0.2, True)]


@pytest.mark.parametrize(("process", "rho", "standard"), SETTINGS)
def test_expectation_is_the_mean_over_every_relabeling(process, rho, standard):
    loss = ContrastiveSpatialLoss(
        process, section(), rho, standardize_cov=standard, num_perm=None, lower_bound=-100
    )
    x = torch.randn(2, 6, dtype=torch.float64)
    precision = loss.inv_cov[0].to_dense().double().numpy()
    forms = [
        np.einsum("ki,ij,kj->", v, precision, v) / 12
        for v in (x.numpy()[:, list(order)] for order in permutations(range(6)))
    ]
    own = np.einsum("ki,ij,kj->", x.numpy(), precision, x.numpy()) / 12
    assert loss(x).item() == pytest.approx(own - 0.5 * np.mean(forms), rel=1e-5)


def test_expectation_by_groups_with_confidences():
    cut = section()
    cut.scale_by_identity([0, 0, 0, 1, 1, 1])
    loss = ContrastiveSpatialLoss("icar", [section(), cut], 0.9, num_perm=None, lower_bound=-100)
    loss.confidences = torch.tensor([1.0, 0.5])
    x = torch.randn(2, 6, dtype=torch.float64)
    alone = [
        ContrastiveSpatialLoss("icar", graph, 0.9, num_perm=None, lower_bound=-100)
        for graph in (section(), cut)
    ]
    expected = (alone[0](x[:1]) + 0.5 * alone[1](x[1:])) / 2
    assert loss(x).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("num_perm", [None, 3])
def test_gradient_by_finite_differences(num_perm):
    def value(x):
        loss = ContrastiveSpatialLoss(
            "icar", section(12), num_perm=num_perm, lower_bound=-100, seed=4
        )
        return loss(x)

    x = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (x,))


def test_samples_average_to_the_expectation():
    x = torch.randn(3, 20, dtype=torch.float64)
    exact = ContrastiveSpatialLoss("icar", section(20), num_perm=None, lower_bound=-100)(x).item()
    loss = ContrastiveSpatialLoss("icar", section(20), num_perm=20, lower_bound=-100)
    drawn = np.array([loss(x).item() for _ in range(100)])
    error = drawn.std(ddof=1) / np.sqrt(100)
    assert abs(drawn.mean() - exact) < 4 * error
    assert drawn.std() > 0


def test_samples_by_groups_average_to_the_expectation_too():
    cut = section(20)
    cut.scale_by_identity(np.arange(20) % 2)
    graphs = [section(20), cut]
    x = torch.randn(2, 20, dtype=torch.float64)
    exact = ContrastiveSpatialLoss("icar", graphs, 0.9, num_perm=None, lower_bound=-100)
    loss = ContrastiveSpatialLoss("icar", graphs, 0.9, num_perm=4000, lower_bound=-100)
    exact.confidences = loss.confidences = torch.tensor([1.0, 0.3])
    assert loss(x).item() == pytest.approx(exact(x).item(), abs=0.02)


def test_a_seed_repeats_the_sequence():
    x = torch.randn(3, 20)
    first, second, other = (
        ContrastiveSpatialLoss("icar", section(20), num_perm=5, lower_bound=-100, seed=seed)
        for seed in (1, 1, 2)
    )
    drawn = [first(x).item() for _ in range(3)]
    assert drawn == [second(x).item() for _ in range(3)]
    assert drawn != [other(x).item() for _ in range(3)]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("num_perm", [None, 4])
def test_lower_bound_stops_value_and_gradient(num_perm):
    weights = section(20)
    loss = ContrastiveSpatialLoss(
        spatial_weights=weights, num_perm=num_perm, neg2pos_ratio=5, lower_bound=-0.5
    )
    degree = weights.scaled.sum(axis=1)
    # Smooth over the normalised Laplacian: the positive part is 0.
    x = torch.from_numpy(np.sqrt(degree))[None].requires_grad_()
    value = loss(x)
    value.backward()
    assert value.item() == -0.5
    assert loss(x, normalize=False).item() == pytest.approx(-10)
    assert (x.grad == 0).all()


def test_without_negatives_it_is_the_spatial_loss():
    x = torch.randn(3, 20)
    plain = SpatialLoss("icar", section(20), 0.9)(x)
    loss = ContrastiveSpatialLoss(
        "icar", section(20), 0.9, standardize_cov=False, num_perm=None, neg2pos_ratio=0
    )
    assert loss(x).item() == pytest.approx(plain.item())


def test_defaults_are_the_normalised_laplacian_without_a_warning():
    weights = section(20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = ContrastiveSpatialLoss(
            spatial_weights=weights, num_perm=20, neg2pos_ratio=0.1, lower_bound=-1
        )
    dense = weights.scaled.toarray()
    degree = np.where(dense.sum(axis=1) > 0, dense.sum(axis=1), 1)
    expected = np.eye(20) - dense / np.sqrt(np.outer(degree, degree))
    np.testing.assert_allclose(loss.inv_cov[0].to_dense(), expected, atol=1e-6)


@pytest.mark.parametrize("n", [20, 250])
def test_definiteness_is_checked_on_the_expected_precision(n):
    with pytest.warns(UserWarning, match="lowest eigenvalue"):
        ContrastiveSpatialLoss(spatial_weights=section(n), check_positive_definite=True)
    proper = ContrastiveSpatialLoss("icar", section(n), 0.5, neg2pos_ratio=0.01)
    precision = proper.inv_cov[0].to_dense().double().numpy()
    own = np.trace(precision) / n
    other = (precision.sum() - np.trace(precision)) / (n * (n - 1))
    mean = own * np.eye(n) + other * (np.ones((n, n)) - np.eye(n))
    assert np.linalg.eigvalsh(precision - 0.01 * mean).min() > 0
    assert proper.check_positive_definite()


def test_half_precision():
    loss = ContrastiveSpatialLoss(spatial_weights=section(20), num_perm=None)
    value = loss(torch.randn(3, 20).half())
    assert value.dtype == torch.float16
    assert torch.isfinite(value)


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="num_perm is 0"):
        ContrastiveSpatialLoss(spatial_weights=section(), num_perm=0)
    with pytest.raises(InputError, match="no spatial weights"):
        ContrastiveSpatialLoss()


@pytest.mark.parametrize("process", ["icar", "sma"])
@pytest.mark.parametrize(("n", "dims"), [(12, 2), (300, 40)])
def test_relabelings_are_those_drawn_from_the_seed(process, n, dims):
    loss = ContrastiveSpatialLoss(
        process, section(n), 0.2, standardize_cov=False, num_perm=3, lower_bound=-100, seed=4
    )
    plain = SpatialLoss(process, section(n), 0.2)
    x = torch.randn(dims, n, dtype=torch.float64, requires_grad=True)
    random = np.random.default_rng(4)
    negative = sum(plain(x[:, random.permutation(n)]) for _ in range(3)) / 3
    expected = plain(x) - 0.5 * negative
    (by_hand,) = torch.autograd.grad(expected, x)
    found = loss(x)
    (gradient,) = torch.autograd.grad(found, x)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(gradient, by_hand)
