"""The same section through smoother-omics 1.1.0: our objective, by its formula, is no higher."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from deconv_cases import loss_of

from napari_smoother.models import deconv as ours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("smoother.models.deconv", reason="needs smoother-omics")
    peer_losses = pytest.importorskip("smoother.losses", reason="needs smoother-omics")
    peer_weights = pytest.importorskip("smoother.weights", reason="needs smoother-omics")

pytestmark = pytest.mark.filterwarnings("ignore")
N, GENES, TYPES = 60, 40, 3


@pytest.fixture(scope="module")
def section():
    random = np.random.default_rng(4)
    positions = random.random((N, 2)) * 10
    weights = peer_weights.SpatialWeightMatrix()
    weights.calc_weights_knn(positions, k=6, verbose=False)
    x = random.gamma(0.5, 6.0, (GENES, TYPES))
    share = random.dirichlet(np.full(TYPES, 0.5), N)
    counts = random.poisson(x @ share.T).astype(float)
    return peer_losses.SpatialLoss("icar", weights, rho=0.99), x, counts


def to_tensors(x, y):
    return torch.tensor(x).float(), torch.tensor(y).float()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("LinearRegression", {}),
        ("NNLS", {}),
        ("NNLS", {"bias": False}),
        ("DWLS", {}),
        ("DWLS", {"nonneg": False, "max_weights": 4}),
        ("NuSVR", {}),
        ("NuSVR", {"nonneg": True, "loss_mode": "l1"}),
        ("LogNormReg", {"bias": False}),
    ],
)
def test_no_worse_than_a_long_descent(section, name, settings) -> None:
    loss, x, counts = section
    x, y = (x, counts) if name == "LogNormReg" else (np.log1p(x), np.log1p(counts))
    x, y = to_tensors(x, y)
    torch.manual_seed(0)
    theirs = getattr(peer, name)(**settings)
    training = {"lr": 1e-2, "max_epochs": 1000, "patience": 100, "tol": -1.0, "quiet": True}
    theirs.deconv(x, y, spatial_loss=loss, lambda_spatial_loss=1.0, **training)

    def objective() -> float:
        with torch.no_grad():
            return (theirs.get_model_loss() + theirs.get_sp_loss()).item()

    reached = objective()
    model = getattr(ours, name)(**settings)
    model.deconv(x, y, loss_of(loss.inv_cov.double()), 1.0)
    assert model.report.converged
    # Our answer put into their model gives our objective, by their code.
    with torch.no_grad():
        theirs.lr.weight.copy_(torch.tensor(model.abundance))
        if theirs.use_bias:
            theirs.lr.bias.copy_(torch.tensor(model.intercepts))
        if name == "NuSVR":
            theirs.epsilon.fill_(model.epsilon)
    assert objective() == pytest.approx(model.report.objective, rel=2e-5)
    assert model.report.objective <= reached * (1 + 1e-5)
    assert reached <= model.report.objective * 1.05
