"""Any spatial loss, descended by gradient: against optima found otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_smoother import ContrastiveSpatialLoss, SpatialLoss, SpatialWeightMatrix
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv import NNLS, LinearRegression
from napari_smoother.models.gradient import fit_with_spatial_loss

N = 30


@pytest.fixture
def loss():
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.random.default_rng(0).random((N, 2)))
    return SpatialLoss("icar", weights, rho=0.9)


@pytest.fixture
def data():
    random = np.random.default_rng(1)
    x = random.gamma(1.0, 1.0, (12, 3))
    truth = random.dirichlet(np.full(3, 0.4), N)
    return x, np.maximum(x @ truth.T + 0.3 * random.standard_normal((12, N)), 0)


def test_denoising_has_a_closed_form(loss) -> None:
    noisy = torch.randn(2, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = noisy.clone().requires_grad_()
    fit = fit_with_spatial_loss(lambda: (z - noisy).square().mean(), [z], lambda: z, loss, 2.0)
    q = loss.precisions[0].toarray()
    expected = np.linalg.solve(np.eye(N) + 2 * q, noisy.numpy().T).T
    assert fit.converged
    np.testing.assert_allclose(z.detach().numpy(), expected, atol=2e-3)
    assert fit.loss == pytest.approx(fit.model_loss + fit.spatial_loss)
    assert fit.loss == min(fit.history)


def test_projection_and_cancelling(loss) -> None:
    z = torch.full((1, N), 0.5, requires_grad=True)
    fit_with_spatial_loss(
        lambda: (z + 1).square().mean(), [z], lambda: z, loss, nonnegative=[z], max_epochs=300
    )
    assert (z >= 0).all()
    assert float(z.max().detach()) < 0.01
    epochs = []
    with pytest.raises(Cancelled):
        fit_with_spatial_loss(
            lambda: (z - 1).square().mean(),
            [z],
            lambda: z,
            loss,
            cancelled=lambda: len(epochs) == 5,
            on_epoch=lambda epoch, value: epochs.append(value),
        )
    assert len(epochs) == 5


def test_bad_settings(loss) -> None:
    z = torch.zeros(1, N, requires_grad=True)
    with pytest.raises(InputError, match="lambda is -1"):
        fit_with_spatial_loss(lambda: z.sum(), [z], lambda: z, loss, -1.0)
    with pytest.raises(InputError, match="no parameters"):
        fit_with_spatial_loss(lambda: z.sum(), [], lambda: z, loss)
    with pytest.raises(InputError, match="not a number"):
        fit_with_spatial_loss(lambda: z.sum() * float("nan"), [z], lambda: z, loss)


class Own(torch.nn.Module):
    """A user's loss: the same form, but nothing shows that it is one."""

    def __init__(self, loss):
        super().__init__()
        self.q = torch.tensor(loss.precisions[0].toarray())

    def forward(self, coefs):
        return (coefs * (coefs @ self.q)).sum() / coefs.numel()


@pytest.mark.parametrize("model", [NNLS, LinearRegression])
@pytest.mark.parametrize("bias", [False, True])
def test_a_users_loss_ends_where_the_solver_does(data, loss, model, bias) -> None:
    exact, descended = model(bias=bias), model(bias=bias)
    exact.deconv(*data, loss, 2.0, tolerance=1e-8)
    descended.deconv(*data, Own(loss), 2.0)
    assert descended.report.converged
    assert "not certified" in descended.report.note
    assert descended.report.objective == pytest.approx(exact.report.objective, rel=1e-4)
    np.testing.assert_allclose(descended.abundance, exact.abundance, atol=5e-3)
    np.testing.assert_allclose(descended.intercepts, exact.intercepts, atol=5e-3)
    assert descended.report.kkt_residual < 0.01


def test_contrastive_loss_lowers_its_own_objective(data, loss) -> None:
    x, y = data
    contrastive = ContrastiveSpatialLoss(
        "icar", loss.spatial_weights, rho=0.9, num_perm=None, neg2pos_ratio=0.1
    )

    def objective(model):
        fitted = x @ model.abundance.T + model.intercepts
        spatial = float(contrastive(torch.tensor(model.abundance.T)))
        return ((y - fitted) ** 2).mean() + 3.0 * spatial

    plain, smooth = NNLS(), NNLS()
    plain.deconv(x, y)
    smooth.deconv(x, y, contrastive, 3.0)
    assert smooth.report.objective == pytest.approx(objective(smooth), rel=1e-6)
    assert objective(smooth) < objective(plain)
    assert (smooth.abundance >= 0).all()
    # The exact expectation is a quadratic form too: no direction leads down from here.
    random = np.random.default_rng(3)
    for _ in range(20):
        other = np.maximum(smooth.abundance + 0.01 * random.standard_normal((N, 3)), 0)
        fitted = x @ other.T
        left = y - fitted
        spatial = float(contrastive(torch.tensor(other.T)))
        assert ((left - left.mean(0)) ** 2).mean() + 3.0 * spatial > smooth.report.objective


def test_settings_of_the_descent_are_used(data, loss) -> None:
    model = NNLS()
    model.deconv(*data, Own(loss), 2.0, lr=1e-3, max_epochs=3)
    assert model.report.iterations == 3
    assert not model.report.converged
    with pytest.raises(InputError, match="cannot be called"):
        model.deconv(*data, object(), 2.0)


def test_random_relabelings_are_descended_by_adam(loss) -> None:
    """The loss is another at every call; its mean has a closed form, a little away from here."""
    noisy = torch.randn(2, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settings = {"rho": 0.9, "neg2pos_ratio": 0.1, "lower_bound": -10}
    found = []
    for relabelings in (None, 20):
        contrastive = ContrastiveSpatialLoss(
            "icar", loss.spatial_weights, num_perm=relabelings, **settings
        )
        z = noisy.clone().requires_grad_()
        fit = fit_with_spatial_loss(
            lambda z=z: (z - noisy).square().mean(), [z], lambda z=z: z, contrastive, 1.0
        )
        assert fit.converged
        found.append(z.detach().numpy())
    np.testing.assert_allclose(found[1], found[0], atol=0.1)
    assert np.abs(found[0] - noisy.numpy()).max() > 0.5
