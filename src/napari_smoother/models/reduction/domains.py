"""Spatial domains: spots of one kind, found on an embedding.

A Gaussian mixture with one covariance for all domains, and optionally a Potts field on the
labels (a hidden Markov random field): neighbours then like to have the same label. The field is
fitted by mean-field expectation maximisation (Celeux, Forbes and Peyrard 2003, Pattern
Recognition 36), which starts from the mixture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

ROUNDS = 200
SWEEPS = 5
SETTLED = 1e-4
"""Mean change of a probability in a round at which the field has settled."""


@dataclass(frozen=True, slots=True, eq=False)
class Domains:
    """Which domain every spot belongs to.

    Attributes
    ----------
    labels
        n, int64: 0 is the largest domain. Fewer may occur than were asked for.
    probabilities
        n x domains, float64; rows add up to 1.
    converged
        Whether the fit settled before its last round.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    converged: bool


def find_domains(
    embedding: ArrayLike,
    n_domains: int,
    *,
    weights: Any = None,
    coupling: float = 0.0,
    n_starts: int = 5,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> Domains:
    """Find domains by a Gaussian mixture, or a hidden Markov random field.

    Parameters
    ----------
    embedding
        Spots x dims.
    n_domains
        How many domains to look for.
    weights
        Graph of the spots, n x n sparse, for the field.
    coupling
        Strength of the field: the log odds of a label gain ``coupling`` times the share of the
        neighbours (weighted) that have it. 0 is the plain mixture.
    n_starts
        How many starts of the mixture the most likely is taken from.
    seed
        Of these starts.
    cancelled
        Asked in every round.

    Returns
    -------
    Domains

    Raises
    ------
    InputError
        If shapes or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True.
    """
    from sklearn.mixture import GaussianMixture

    values = np.asarray(embedding, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InputError(
            f"The embedding has the shape {values.shape}, or values that are not finite",
            where="domains",
            remedy="Give spots x dims, all finite",
        )
    if not 1 <= n_domains <= len(values):
        raise InputError(
            f"{n_domains} domains are asked for, and there are {len(values)} spots",
            where="domains",
            remedy="Choose at least 1 and fewer than there are spots",
        )
    if not (np.isfinite(coupling) and coupling >= 0) or (coupling > 0 and weights is None):
        raise InputError(
            f"The coupling is {coupling}, and there is {'no' if weights is None else 'a'} graph",
            where="domains",
            remedy="Choose a coupling of at least 0, and give the graph with it",
        )
    # Columns on one scale: a mixture with shared covariance does not mind, its start does.
    spread = values.std(axis=0)
    varying = spread > 1e-12 * max(float(spread.max(initial=0.0)), 1e-300)
    if n_domains == 1 or not varying.any():
        return _sorted(np.eye(n_domains)[np.zeros(len(values), int)], True)
    values = (values[:, varying] - values[:, varying].mean(axis=0)) / float(spread.max())
    if cancelled is not None and cancelled():
        raise Cancelled("the search for domains was cancelled")
    mixture = GaussianMixture(
        n_domains, covariance_type="tied", n_init=n_starts, random_state=seed, max_iter=300
    ).fit(values)
    chances = np.asarray(mixture.predict_proba(values))
    if coupling == 0:
        return _sorted(chances, bool(mixture.converged_))
    return _field(values, chances, neighbour_shares(weights, len(values)), coupling, cancelled)


def neighbour_shares(weights: Any, n_spots: int) -> sparse.csr_array:
    """Divide the weights of every spot by their sum; a spot is no neighbour of its own."""
    graph = sparse.csr_array(weights, dtype=np.float64, copy=True)
    if graph.shape != (n_spots, n_spots):
        raise InputError(
            f"The graph has the shape {graph.shape} for {n_spots} spots",
            where="domains",
            remedy="Give spots x spots",
        )
    graph.setdiag(0)
    sums = np.asarray(graph.sum(axis=1)).ravel()
    graph.data /= np.repeat(np.where(sums > 0, sums, 1.0), np.diff(graph.indptr))
    return graph


def _field(
    values: NDArray[np.float64],
    chances: NDArray[np.float64],
    shares: sparse.csr_array,
    coupling: float,
    cancelled: Callable[[], bool] | None,
) -> Domains:
    """Mean-field expectation maximisation from the chances of a mixture."""
    for _ in range(ROUNDS):
        if cancelled is not None and cancelled():
            raise Cancelled("the search for domains was cancelled")
        before = chances
        fit = _log_densities(values, chances)
        for _ in range(SWEEPS):
            score = fit + coupling * (shares @ chances)
            score -= score.max(axis=1, keepdims=True)
            updated = np.exp(score)
            updated /= updated.sum(axis=1, keepdims=True)
            # Halfway: neighbours that update at once would swap labels for ever.
            chances = (chances + updated) / 2
        if float(np.abs(chances - before).mean()) < SETTLED:
            return _sorted(chances, True)
    return _sorted(chances, False)


def _log_densities(
    values: NDArray[np.float64], chances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log density of every spot in every domain, up to a constant of the spot."""
    size = chances.sum(axis=0) + 1e-9
    means = (chances.T @ values) / size[:, None]
    total = values.T @ values - (means * size[:, None]).T @ means
    covariance = total / len(values)
    ridge = 1e-6 * np.trace(covariance) / len(covariance)
    factor = np.linalg.cholesky(covariance + ridge * np.eye(len(covariance)))
    white = np.linalg.solve(factor, values.T).T
    centres = np.linalg.solve(factor, means.T).T
    distance = (centres**2).sum(axis=1) - 2 * white @ centres.T
    # Without the sizes of domains: beside a field, large ones would swallow the others.
    return np.asarray(-distance / 2)


def _sorted(chances: NDArray[np.float64], converged: bool) -> Domains:
    """Sort the domains by size, so that equal partitions get equal labels."""
    found = chances.argmax(axis=1)
    order = np.argsort(-np.bincount(found, minlength=chances.shape[1]), kind="stable")
    chances = np.ascontiguousarray(chances[:, order])
    return Domains(chances.argmax(axis=1).astype(np.int64), chances, converged)
