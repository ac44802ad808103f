"""The same input through smoother-omics 1.1.0 and through us: equal where it is right."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from napari_smoother import ContrastiveSpatialLoss, SpatialLoss, SpatialWeightMatrix

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer_weights = pytest.importorskip("smoother.weights", reason="needs smoother-omics")
    peer_losses = pytest.importorskip("smoother.losses", reason="needs smoother-omics")

pytestmark = pytest.mark.filterwarnings("ignore")
N = 600


@pytest.fixture(scope="module")
def positions():
    """Irregular, so that no distances are equal."""
    return np.random.default_rng(0).uniform(size=(N, 2)) * 30


@pytest.fixture
def both(positions):
    theirs = peer_weights.SpatialWeightMatrix()
    theirs.calc_weights_knn(positions, k=9, verbose=False)
    ours = SpatialWeightMatrix()
    ours.calc_weights_knn(positions, k=9)
    # Spots without neighbours are treated differently, on purpose.
    assert ours.summary().n_isolated == 0
    return theirs, ours


def off_diagonal(matrix):
    dense = matrix.to_dense().clone()
    return dense.fill_diagonal_(0).numpy()


def test_nearest_neighbours(both):
    theirs, ours = both
    np.testing.assert_array_equal(off_diagonal(theirs.swm), ours.swm.to_dense())


@pytest.mark.parametrize(("scale_coords", "band_width"), [(True, 0.05), (False, 0.7)])
def test_distance_band(positions, scale_coords, band_width):
    settings = {"scale_coords": scale_coords, "radius_cutoff": 1.5, "band_width": band_width}
    theirs, ours = peer_weights.SpatialWeightMatrix(), SpatialWeightMatrix()
    theirs.calc_weights_dist(torch.tensor(positions), **settings, verbose=False)
    ours.calc_weights_dist(positions, **settings)
    np.testing.assert_allclose(off_diagonal(theirs.swm), ours.swm.to_dense(), atol=2e-7)


@pytest.mark.parametrize("dist_metric", ["cosine", "euclidean"])
def test_scaling_by_expression(both, dist_metric):
    theirs, ours = both
    expression = np.random.default_rng(1).poisson(3.0, (80, N)).astype(np.float32)
    theirs.scale_by_expr(
        torch.tensor(expression), dist_metric=dist_metric, reduce="none", verbose=False
    )
    ours.scale_by_expr(expression, dist_metric=dist_metric, reduce="none")
    np.testing.assert_allclose(
        off_diagonal(theirs.swm_scaled), ours.swm_scaled.to_dense(), atol=1e-6
    )


def test_scaling_by_components_where_their_approximation_is_good(both, positions):
    """Two strong components; their randomised PCA finds these."""
    theirs, ours = both
    random = np.random.default_rng(2)
    factors = np.stack([np.sin(positions[:, 0] / 5), np.cos(positions[:, 1] / 7)])
    expression = random.normal(size=(60, 2)) @ factors + 0.01 * random.normal(size=(60, N))
    theirs.scale_by_expr(torch.tensor(expression), dim=2, verbose=False)
    ours.scale_by_expr(expression, dim=2)
    np.testing.assert_allclose(
        off_diagonal(theirs.swm_scaled), ours.swm_scaled.to_dense(), atol=1e-4
    )


@pytest.mark.parametrize(("reduce", "tolerance"), [("none", 1e-6), ("mean", 1e-4)])
def test_scaling_by_histology_where_positions_are_turned_for_them(
    both, positions, reduce, tolerance
):
    theirs, ours = both
    coarse = np.random.default_rng(3).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    image = np.kron(coarse, np.ones((25, 25, 1), np.uint8))
    coords = positions * 26 + 100
    factors = {"spot_diameter_fullres": 30.0, "tissue_hires_scalef": 1.0}
    theirs.scale_by_histology(
        coords[:, ::-1].copy(), image.astype(float), factors, reduce=reduce, verbose=False
    )
    ours.scale_by_histology(coords, image, factors, reduce=reduce)
    np.testing.assert_allclose(
        off_diagonal(theirs.swm_scaled), ours.swm_scaled.to_dense(), atol=tolerance
    )


@pytest.mark.parametrize("standard", [False, True])
@pytest.mark.parametrize(
    ("process", "rho"),
    [("car", 0.09), ("sar", 0.09), ("icar", 0.97), ("isar", 0.9), ("sma", 0.09)],
)
def test_losses(both, process, rho, standard):
    theirs, ours = both
    first = torch.randn(5, N, requires_grad=True)
    second = first.detach().clone().requires_grad_()
    # Their sparse form of sma does not exist.
    peer = peer_losses.SpatialLoss(process, theirs, rho, process != "sma", standard)
    value = peer(first)
    value.backward()
    loss = SpatialLoss(process, ours, rho, standardize_cov=standard)
    own = loss(second)
    own.backward()
    assert own.item() == pytest.approx(value.item(), rel=1e-4 if standard else 1e-5)
    scale = float(first.grad.abs().max())
    tolerance = scale * (1e-3 if standard else 1e-5)
    np.testing.assert_allclose(second.grad, first.grad, atol=tolerance)


def test_contrastive_loss_within_its_own_noise(both):
    theirs, ours = both
    x = torch.randn(5, N)
    peer = peer_losses.ContrastiveSpatialLoss(
        "icar", theirs, 0.9, standardize_cov=False, num_perm=20, lower_bound=-9
    )
    drawn = np.array([peer(x).item() for _ in range(60)])
    loss = ContrastiveSpatialLoss(
        "icar", ours, 0.9, standardize_cov=False, num_perm=None, lower_bound=-9
    )
    error = drawn.std(ddof=1) / np.sqrt(len(drawn))
    assert abs(loss(x).item() - drawn.mean()) < 4 * error


def test_correlation_decay(both, positions):
    theirs, ours = both
    expected = peer_losses.SpatialLoss("icar", theirs, 0.97).calc_corr_decay_stats(positions, 0, 5)
    found = SpatialLoss("icar", ours, 0.97).calc_corr_decay_stats(positions, 0, 5)
    np.testing.assert_allclose(found.to_numpy(float), expected.to_numpy(float), atol=1e-4)


def test_confidences(both):
    theirs, ours = both
    random = np.random.default_rng(4)
    signature = torch.from_numpy(random.uniform(size=(80, 5))).float()
    expression = torch.from_numpy(random.poisson(3.0, (80, N))).float()
    peer, loss = peer_losses.SpatialLoss("icar", theirs, 0.9), SpatialLoss("icar", ours, 0.9)
    peer.estimate_confidence(signature, expression)
    loss.estimate_confidence(signature, expression)
    np.testing.assert_allclose(loss.confidences, peer.confidences, rtol=1e-4)
