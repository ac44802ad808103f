"""Domains of a smoothed embedding: a mixture of one covariance and equal shares, and a field.

One covariance, because what varies within a domain is the same kind of thing everywhere; equal
shares, because the likelihood of free ones is largest for one large domain and crumbs. The most
likely of many starts is continued as a hidden Markov random field (Celeux, Forbes and Peyrard
2003, Pattern Recognition 36).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from napari_smoother.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

RIDGE = 1e-3
"""Share of the mean variance that is added to the covariance: smooth scores are all but equal."""

STARTS = 16
CONTINUED = 4
"""Of the starts, after a few rounds: the most likely ones."""

MEANS_ROUNDS = 15
FIRST_ROUNDS, ROUNDS, FIELD_ROUNDS = 12, 100, 40
SWEEPS = 5
SETTLED = 1e-5
"""Change of the mean log likelihood in a round at which it has settled."""

SPOTS_OF_STARTS = 10_000
"""More spots are sampled for the starts."""


@dataclass(frozen=True, slots=True, eq=False)
class DomainMixture:
    """Which domain every spot belongs to.

    Attributes
    ----------
    labels
        n, int64: 0 is the largest domain.
    probabilities
        n x domains, float64; rows add up to 1.
    likelihood
        Mean over spots of the log likelihood of the mixture, before the field.
    converged
        Whether the last fit settled before its last round.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    likelihood: float
    converged: bool


def fit_domain_mixture(
    scores: NDArray[np.float64],
    n_domains: int,
    shares: csr_array,
    coupling: float,
    *,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> DomainMixture:
    """Find domains on a smoothed embedding.

    Parameters
    ----------
    scores
        Spots x dims, float64.
    n_domains
        How many, from 1 to the number of spots.
    shares
        Weights of the neighbours of every spot, rows adding up to 1 or 0.
    coupling
        What a label that all neighbours have gains in log odds; 0 for no field.
    seed
        Of the starts.
    cancelled
        Asked in every round.

    Returns
    -------
    DomainMixture

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    n_spots = len(scores)
    spread = scores.std(axis=0)
    varying = spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-300)
    if n_domains == 1 or not varying.any():
        chances = np.zeros((n_spots, n_domains))
        chances[:, 0] = 1
        return DomainMixture(chances.argmax(axis=1), chances, 0.0, True)
    values = np.ascontiguousarray(scores[:, varying] - scores[:, varying].mean(axis=0))
    values /= float(spread.max())
    best = _most_likely(values, n_domains, STARTS, seed, cancelled)
    likelihood, converged, chances = best.likelihood, best.converged, best.chances
    if coupling > 0:
        chances, converged = best.with_field(shares, coupling, cancelled)
    found = chances.argmax(axis=1)
    order = np.argsort(-np.bincount(found, minlength=n_domains), kind="stable")
    chances = np.ascontiguousarray(chances[:, order])
    return DomainMixture(
        chances.argmax(axis=1).astype(np.int64), chances, float(likelihood), converged
    )


def classes_of(
    fitted: NDArray[np.float64],
    scores: NDArray[np.float64],
    n_domains: int,
    *,
    n_starts: int,
    seed: int,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.intp]:
    """Fit a mixture to some spots, and say which domain of it others belong to, without a field.

    Parameters
    ----------
    fitted
        Spots x dims.
    scores
        Other spots x dims.
    n_domains, n_starts, seed, cancelled
        As for `fit_domain_mixture`.
    """
    best = _most_likely(fitted, n_domains, n_starts, seed, cancelled)
    classes: NDArray[np.intp] = (
        _Rounds(scores, best.means, best.covariance).densities().argmax(axis=1)
    )
    return classes


def _most_likely(
    values: NDArray[np.float64],
    n_domains: int,
    n_starts: int,
    seed: int,
    cancelled: Callable[[], bool] | None,
) -> _Rounds:
    """Fit many starts, on a sample of many spots, and go on with the best."""
    sample = values
    if len(values) > SPOTS_OF_STARTS:
        drawn = np.random.default_rng(seed).permutation(len(values))
        sample = values[np.sort(drawn[:SPOTS_OF_STARTS])]
    began = [
        _Rounds(sample, means).run(FIRST_ROUNDS, cancelled)
        for means in _starts(sample, n_domains, n_starts, seed, cancelled)
    ]
    began.sort(key=lambda rounds: -rounds.likelihood)
    ended = [rounds.run(ROUNDS, cancelled) for rounds in began[:CONTINUED]]
    best = max(ended, key=lambda rounds: rounds.likelihood)
    if sample is not values:
        best = _Rounds(values, best.means, best.covariance).run(ROUNDS, cancelled)
    return best


def _starts(
    values: NDArray[np.float64],
    n_domains: int,
    n_starts: int,
    seed: int,
    cancelled: Callable[[], bool] | None,
) -> list[NDArray[np.float64]]:
    """Means to start from: by k-means, half of them with all dims at one scale."""
    scaled = values / values.std(axis=0)
    found = []
    for number in range(n_starts):
        _look_up(cancelled)
        random = np.random.default_rng([seed, number])
        nearest = _k_means((values, scaled)[number % 2], n_domains, random)
        members = np.eye(n_domains)[nearest]
        sizes = np.maximum(members.sum(axis=0), 1.0)
        found.append((members.T @ values) / sizes[:, None])
    return found


def _k_means(
    values: NDArray[np.float64], n_means: int, random: np.random.Generator
) -> NDArray[np.intp]:
    """Nearest mean of every spot: k-means++ (Arthur and Vassilvitskii 2007) and a few rounds."""
    squares = (values**2).sum(axis=1)
    means = np.empty((n_means, values.shape[1]))
    apart = np.ones(len(values))
    for number in range(n_means):
        total = float(apart.sum())
        place = random.choice(len(values), p=apart / total if total > 0 else None)
        means[number] = values[place]
        distance = squares - 2 * values @ means[number] + squares[place]
        distance = np.maximum(distance, 0.0)
        apart = distance if number == 0 else np.minimum(apart, distance)
    nearest = np.zeros(len(values), dtype=np.intp)
    for _ in range(MEANS_ROUNDS):
        before = nearest
        nearest = ((means**2).sum(axis=1) - 2 * values @ means.T).argmin(axis=1)
        if np.array_equal(nearest, before):
            break
        members = np.eye(n_means)[nearest]
        sizes = members.sum(axis=0)
        there = sizes > 0
        means[there] = (members.T @ values)[there] / sizes[there, None]
    return nearest


class _Rounds:
    """Expectation maximisation on some spots, to be gone on with."""

    def __init__(
        self,
        values: NDArray[np.float64],
        means: NDArray[np.float64],
        covariance: NDArray[np.float64] | None = None,
    ) -> None:
        self.values = values
        self._squares = values.T @ values / len(values)
        dims = values.shape[1]
        self._ridge = RIDGE * np.trace(self._squares) / dims * np.eye(dims)
        self.means = means
        if covariance is None:
            # Of the nearest mean, as k-means left it.
            apart = (means**2).sum(axis=1) - 2 * values @ means.T
            self._update(np.eye(len(means))[apart.argmin(axis=1)])
        else:
            self.covariance = covariance
        self.likelihood, self.converged = -np.inf, False
        self.chances = np.empty((len(values), len(means)))

    def run(self, rounds: int, cancelled: Callable[[], bool] | None) -> _Rounds:
        """Go on for so many rounds, or until it has settled."""
        for _ in range(rounds):
            _look_up(cancelled)
            before = self.likelihood
            fit = self.densities()
            most = fit.max(axis=1, keepdims=True)
            chances = np.exp(fit - most)
            sums = chances.sum(axis=1, keepdims=True)
            self.likelihood = float((np.log(sums) + most).mean())
            self.chances = chances / sums
            self._update(self.chances)
            self.converged = abs(self.likelihood - before) < SETTLED
            if self.converged:
                break
        return self

    def with_field(
        self,
        shares: csr_array,
        coupling: float,
        cancelled: Callable[[], bool] | None,
    ) -> tuple[NDArray[np.float64], bool]:
        """Go on with labels that neighbours like to share: mean field."""
        chances, likelihood = self.chances, -np.inf
        for _ in range(FIELD_ROUNDS):
            _look_up(cancelled)
            before = likelihood
            self._update(chances)
            fit = self.densities()
            for _ in range(SWEEPS):
                score = fit + coupling * (shares @ chances)
                most = score.max(axis=1, keepdims=True)
                updated = np.exp(score - most)
                sums = updated.sum(axis=1, keepdims=True)
                # Halfway: neighbours that update at once would swap labels for ever.
                chances = (chances + updated / sums) / 2
            likelihood = float((np.log(sums) + most).mean())
            if abs(likelihood - before) < SETTLED:
                return chances, True
        return chances, False

    def _update(self, chances: NDArray[np.float64]) -> None:
        sizes = chances.sum(axis=0) + 1e-9
        self.means = (chances.T @ self.values) / sizes[:, None]
        between = (self.means * sizes[:, None]).T @ self.means / len(self.values)
        self.covariance = self._squares - between + self._ridge

    def densities(self) -> NDArray[np.float64]:
        """Log density of every spot in every domain, with its share."""
        factor = np.linalg.cholesky(self.covariance)
        white = linalg.solve_triangular(factor, self.values.T, lower=True).T
        centres = linalg.solve_triangular(factor, self.means.T, lower=True).T
        distance = (white**2).sum(axis=1)[:, None] - 2 * white @ centres.T
        distance += (centres**2).sum(axis=1)
        constant = np.log(np.diag(factor)).sum() + np.log(len(centres))
        constant += 0.5 * len(factor) * np.log(2 * np.pi)
        return np.asarray(-distance / 2 - constant)


def _look_up(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("the search for domains was cancelled")
