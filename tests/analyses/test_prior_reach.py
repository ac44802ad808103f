"""How far a prior reaches, against the dense inverse of its precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import napari_smoother as ns
from napari_smoother.analyses.context import Context
from napari_smoother.analyses.prior_reach import reach_on
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.weights.linking import link
from napari_smoother.weights.precision import precision


def cells(n: int = 150, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, 2)) * np.sqrt(n)


def steps_of(points: np.ndarray, weights) -> np.ndarray:
    """Step of the curve that each pair belongs to: multiples of the median length of an edge."""
    apart = cdist(points, points)
    entries = weights.tocoo()
    return np.rint(apart / np.median(apart[entries.row, entries.col])).astype(int)


@pytest.mark.parametrize(
    ("process", "rho"),
    [("icar", 0.9), ("icar", 0.999), ("isar", 0.95), ("car", 0.1), ("sar", 0.12), ("sma", 0.1)],
)
def test_curve_is_the_mean_correlation_of_the_dense_inverse(process, rho) -> None:
    points = cells()
    weights = link(points, k=6).weights
    found = reach_on(weights, points, process, rho, n_samples=150)
    adjacency = weights.toarray()
    if process == "sma":
        effect = np.eye(150) + rho * adjacency
        covariance = effect @ effect.T
    else:
        covariance = np.linalg.inv(precision(weights, process, rho).toarray())
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    step = steps_of(points, weights)
    apart, others = cdist(points, points), ~np.eye(150, dtype=bool)
    number = [step_of for step_of in np.unique(step) if (others & (step == step_of)).any()]
    assert len(found.distances) == len(number)
    for at, place in enumerate(number):
        pairs = others & (step == place)
        assert found.distances[at] == pytest.approx(apart[pairs].mean())
        rows = [correlation[spot, pairs[spot]].mean() for spot in range(150) if pairs[spot].any()]
        assert found.mean[at] == pytest.approx(np.mean(rows), abs=1e-9)
        assert found.low[at] == pytest.approx(np.quantile(rows, 0.1), abs=1e-9)
    assert found.is_proper
    assert found.residual < 1e-9


def test_a_sample_of_spots_is_exact_for_its_spots() -> None:
    points = cells()
    weights = link(points, k=6).weights
    some = reach_on(weights, points, "icar", 0.98, n_samples=7, seed=3)
    spots = np.sort(np.random.default_rng(3).choice(150, 7, replace=False))
    covariance = np.linalg.inv(precision(weights, "icar", 0.98).toarray())
    deviation = np.sqrt(np.diag(covariance))
    near = steps_of(points, weights)[spots] == 1
    correlation = (covariance / np.outer(deviation, deviation))[spots]
    rows = [row[pairs].mean() for row, pairs in zip(correlation, near, strict=True) if pairs.any()]
    at = np.argmin(np.abs(some.distances - np.median(cdist(points, points)[spots][near])))
    assert some.n_spots == 7
    assert some.mean[at] == pytest.approx(np.mean(rows), abs=1e-10)


@pytest.mark.parametrize("process", ["icar", "isar"])
def test_without_a_variance_only_differences_are_told(process) -> None:
    """Two pieces and a spot alone: differences within a piece, from the pseudo-inverse."""
    points = np.vstack([cells(60), cells(40, 1) + 40, [[-40.0, 0.0]]])
    weights = link(points, radius=1.6).weights
    found = reach_on(weights, points, process, 1.0, n_samples=101)
    assert not found.is_proper
    assert math.isinf(found.half)
    assert math.isinf(found.tenth)
    assert "without limit" in found.describe()
    spread = np.linalg.pinv(precision(weights, process, 1.0).toarray(), hermitian=True)
    own = np.diag(spread)
    half = 0.5 * (own[:, None] + own) - spread
    from scipy.sparse.csgraph import connected_components

    pieces = connected_components(weights)[1]
    alone = np.bincount(pieces)[pieces] == 1
    tied = (pieces[:, None] == pieces) & ~alone & ~np.eye(101, dtype=bool)
    step = steps_of(points, weights)
    means = []
    for place in np.unique(step[tied]):
        pairs = tied & (step == place)
        means.append(np.mean([half[i, pairs[i]].mean() for i in range(101) if pairs[i].any()]))
    np.testing.assert_allclose(found.mean, np.array(means) / means[0], rtol=1e-6)
    assert found.distances.max() < 20, "what no edge joins has no difference"


def test_reach_is_where_the_curve_crosses_and_grows_with_rho() -> None:
    adata = simulate_cortex(rows=24, n_genes=40, image_size=400).section.adata
    reaches = [ns.prior_reach(adata, rho=rho) for rho in (0.9, 0.99, 0.999)]
    assert reaches[0].tenth < reaches[1].tenth
    assert math.isnan(reaches[2].tenth) or reaches[1].tenth < reaches[2].tenth
    middle = reaches[1]
    curve = np.interp(middle.tenth, middle.distances, middle.mean)
    assert curve == pytest.approx(0.1, abs=1e-9)
    scaled = ns.prior_reach(adata, rho=0.99, micrometres_per_pixel=0.5)
    assert scaled.tenth == pytest.approx(0.5 * middle.tenth)
    assert "µm" in scaled.describe()


def test_what_is_not_there_is_refused() -> None:
    points = cells()
    weights = link(points, k=6).weights
    with pytest.raises(InputError, match="valid below"):
        reach_on(weights, points, "car", 0.9)
    with pytest.raises(InputError, match="Unknown spatial process"):
        reach_on(weights, points, "exponential", 0.9)  # type: ignore[arg-type]
    with pytest.raises(Cancelled):
        reach_on(weights, points, "icar", 0.9, context=Context(lambda: True))


def test_without_edges_nothing_goes_together() -> None:
    points = 10.0 * cells(30)
    weights = link(points, radius=1e-6).weights
    found = reach_on(weights, points, "icar", 0.9)
    np.testing.assert_array_equal(found.mean, 0.0)
    assert not len(reach_on(weights, points, "icar", 1.0).distances)
