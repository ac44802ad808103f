"""Directions of an embedding that vary over the tissue by more than noise does.

Neighbouring spots mostly belong to one domain, so what they differ by is noise. With the
covariance of that noise taken to one, the directions of largest variance are those of largest
signal over noise (the minimum noise fraction transform: Green, Berman, Switzer and Craig 1988,
IEEE Transactions on Geoscience and Remote Sensing 26:65; Switzer and Green 1984).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse

from napari_smoother.models.spatial_autocorrelation import moran

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTLYING = 3.0
"""Standard deviations, by the median deviation, beyond which a score is cut: a vessel or a fold
would otherwise become a domain of a few spots."""

LEAST_COHERENCE = 0.15
"""Moran's I from which a direction is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class CoherentComponents:
    """Scores in directions of falling signal over noise.

    Attributes
    ----------
    scores
        Spots x directions, float64, centred; noise of neighbours has variance 1.
    autocorrelation
        Moran's I of every direction that was looked at, also of those that were left out.
    kept
        Which of these `scores` holds.
    """

    scores: NDArray[np.float64]
    autocorrelation: NDArray[np.float64]
    kept: NDArray[np.intp]


def coherent_components(
    embedding: NDArray[np.float64],
    weights: sparse.csr_array,
    least: float = LEAST_COHERENCE,
) -> CoherentComponents:
    """Turn an embedding into directions of falling coherence, and keep those that have any.

    Parameters
    ----------
    embedding
        Spots x dims, not smoothed: smooth values have no noise to be measured.
    weights
        Graph of the spots, n x n.
    least
        Moran's I a direction must have; where none has, the one of largest I is kept.

    Returns
    -------
    CoherentComponents
    """
    spread = embedding.std(axis=0)
    varying = spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-300)
    values = _without_outliers(embedding[:, varying])
    if not weights.nnz or not values.shape[1]:
        # Nothing is known about noise: the embedding is taken as it is.
        kept = np.arange(values.shape[1])
        return CoherentComponents(values, np.full(len(kept), np.nan), kept)
    pairs = sparse.triu(weights, 1).tocoo()
    differences = values[pairs.row] - values[pairs.col]
    strength = pairs.data[:, None] / pairs.data.sum()
    noise = (strength * differences).T @ differences / 2
    noise += 1e-6 * max(float(np.trace(noise)), 1e-300) / len(noise) * np.eye(len(noise))
    _, directions = linalg.eigh(values.T @ values / len(values), noise)
    turned = values @ directions[:, ::-1]
    # A direction and its opposite are the same one.
    turned *= np.where((turned**3).sum(axis=0) < 0, -1.0, 1.0)
    autocorrelation = moran(turned, weights)
    kept = np.flatnonzero(autocorrelation >= least)
    if not len(kept):
        kept = np.array([int(np.nanargmax(autocorrelation))])
    return CoherentComponents(np.ascontiguousarray(turned[:, kept]), autocorrelation, kept)


def _without_outliers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centre = np.median(values, axis=0)
    deviation = np.median(np.abs(values - centre), axis=0)
    # Where more than half of the spots have one value, that says nothing of the others.
    usual = np.where(deviation > 0, 1.4826 * deviation, np.inf)
    cut = np.clip(values - centre, -OUTLYING * usual, OUTLYING * usual)
    result: NDArray[np.float64] = cut - cut.mean(axis=0)
    return result
