"""How fast the prior correlation of spots falls with the order of neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_smoother.errors import InputError
from napari_smoother.solvers.positive_systems import factored
from napari_smoother.weights.conversion import sampled
from napari_smoother.weights.moving_average import MovingAverage
from napari_smoother.weights.standardise import marginal_variances

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

QUANTILES = {"Q10": 0.1, "Q25": 0.25, "Q50": 0.5, "Q75": 0.75, "Q90": 0.9}


def correlation_decay(
    precision: csr_array | MovingAverage,
    positions: NDArray[np.floating],
    min_k: int,
    max_k: int,
    n_samples: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Quantiles of correlation with the k-th nearest neighbour, and of the variance.

    Columns of the covariance are found by sparse solves for a sample of spots, variances of all
    spots by selected inversion; both are exact.

    Parameters
    ----------
    precision
        n x n sparse and positive definite, or a `MovingAverage`.
    positions
        n x 2 or 3.
    min_k, max_k
        First and last order; 0 is the spot itself.
    n_samples
        How many spots to draw at random; all when there are no more.
    seed
        Of the draw.

    Returns
    -------
    correlations, variances
        Tables with the columns Q10 to Q90, and k in the first.
    """
    import pandas as pd

    n = int(precision.shape[0])
    if len(positions) != n or not 0 <= min_k <= max_k < n or n_samples < 1:
        raise InputError(
            f"Orders {min_k} to {max_k} for {len(positions)} positions and {n} spots",
            where="correlation decay",
            remedy="Give one position a spot, and orders below the number of spots",
        )
    spots = np.arange(n)
    if n_samples < n:
        spots = np.sort(np.random.default_rng(seed).choice(n, n_samples, replace=False))
    ranked = _ranked(np.asarray(positions, np.float64), spots, max_k)
    covariances, variances = _covariances(precision, spots, ranked)
    correlations = covariances / np.sqrt(variances[spots][:, None] * variances[ranked])
    shares = list(QUANTILES.values())
    table = pd.DataFrame(
        np.quantile(correlations[:, min_k:], shares, axis=0).T, columns=list(QUANTILES)
    )
    table["k"] = np.arange(min_k, max_k + 1)
    spread = pd.DataFrame([np.quantile(variances, shares)], columns=list(QUANTILES))
    return table, spread


def _ranked(
    positions: NDArray[np.float64], spots: NDArray[np.int64], max_k: int
) -> NDArray[np.int64]:
    """Each spot itself, then the others from near to far."""
    tree = cKDTree(positions)
    found = np.asarray(tree.query(positions[spots], k=np.arange(1, max_k + 2))[1])
    # Among spots at the same place the spot itself need not come first, nor be there at all.
    own = found == spots[:, None]
    place = np.where(own.any(axis=1), own.argmax(axis=1), max_k)
    ranked = np.empty_like(found)
    ranked[:, 0] = spots
    others = np.arange(max_k + 1)[None, :] != place[:, None]
    ranked[:, 1:] = found[others].reshape(len(spots), max_k)
    return ranked


def _covariances(
    precision: csr_array | MovingAverage,
    spots: NDArray[np.int64],
    ranked: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Covariance of every spot with the ones ranked beside it, and variances of all spots."""
    if isinstance(precision, MovingAverage):
        covariance = precision.covariance()
        rows = np.broadcast_to(spots[:, None], ranked.shape)
        return sampled(covariance, rows, ranked), covariance.diagonal()
    factor = factored(precision)
    covariances = np.empty(ranked.shape)
    for first in range(0, len(spots), 64):
        block = slice(first, min(first + 64, len(spots)))
        columns = spots[block]
        unit = np.zeros((precision.shape[0], len(columns)))
        unit[columns, np.arange(len(columns))] = 1
        solved, _ = factor.solve(unit)
        covariances[block] = solved[ranked[block], np.arange(len(columns))[:, None]]
    return covariances, marginal_variances(precision)
