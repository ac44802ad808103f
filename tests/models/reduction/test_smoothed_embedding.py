"""The smoothed embedding against dense solves and its limits."""

from __future__ import annotations

import numpy as np
import pytest

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.reduction import smooth_embedding


def made(n: int, prior: str, rho: float) -> tuple[np.ndarray, SpatialLoss]:
    random = np.random.default_rng(0)
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(random.random((n, 2)), k=6)
    return random.standard_normal((n, 7)), SpatialLoss(prior, weights, rho=rho)


@pytest.mark.filterwarnings("ignore:With rho = 1 the precision is singular")
@pytest.mark.parametrize(
    ("prior", "rho"),
    [("icar", 0.99), ("icar", 1.0), ("car", 0.1), ("sar", 0.1), ("isar", 0.9), ("sma", 0.1)],
)
@pytest.mark.parametrize("strength", [1e-3, 1.0, 1e5])
def test_it_solves_its_equation(prior, rho, strength):
    embedding, loss = made(150, prior, rho)
    q = loss.precisions[0]
    q = q.product(np.eye(150)) if prior == "sma" else q.toarray()
    truth = np.linalg.solve(np.eye(150) + strength * q, embedding)
    found = smooth_embedding(embedding, loss, strength)
    np.testing.assert_allclose(found, truth, atol=1e-9)


def test_no_strength_changes_nothing_and_confidence_counts():
    embedding, loss = made(60, "icar", 0.9)
    assert np.array_equal(smooth_embedding(embedding, loss, 0), embedding)
    expected = smooth_embedding(embedding, loss, 3.0)
    loss.confidences = loss.confidences * 3
    np.testing.assert_allclose(smooth_embedding(embedding, loss, 1.0), expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore:With rho = 1 the precision is singular")
def test_at_rho_one_a_strong_prior_leaves_the_mean_of_each_piece():
    positions = np.random.default_rng(1).random((80, 2))
    positions[40:] += 50
    weights = SpatialWeightMatrix()
    weights.calc_weights_dist(
        positions, scale_coords=False, radius_cutoff=5, band_width=1, row_scale=False
    )
    embedding = np.random.default_rng(2).standard_normal((80, 3))
    found = smooth_embedding(embedding, SpatialLoss("icar", weights, rho=1), 1e7)
    for piece in (slice(0, 40), slice(40, 80)):
        mean = np.broadcast_to(embedding[piece].mean(axis=0), (40, 3))
        np.testing.assert_allclose(found[piece], mean, atol=1e-5)


def test_graphs_hard_to_factor_are_iterated_to_the_same_answer(monkeypatch):
    from napari_smoother.solvers import positive_systems

    embedding, loss = made(3000, "icar", 0.99)
    exact = smooth_embedding(embedding, loss, 5.0)
    monkeypatch.setattr(positive_systems, "MOST_MULTIPLICATIONS", 0)
    q = loss.precisions[0]
    assert positive_systems.solve_positive(q, embedding).method == "multigrid"
    np.testing.assert_allclose(smooth_embedding(embedding, loss, 5.0), exact, atol=1e-6)


def test_faults_and_cancel():
    embedding, loss = made(60, "icar", 0.9)
    with pytest.raises(InputError, match="59 spots"):
        smooth_embedding(embedding[:59], loss)
    with pytest.raises(InputError, match="not finite"):
        smooth_embedding(embedding * np.nan, loss)
    with pytest.raises(InputError, match="lambda"):
        smooth_embedding(embedding, loss, -1)
    with pytest.raises(Cancelled):
        smooth_embedding(embedding, loss, cancelled=lambda: True)
