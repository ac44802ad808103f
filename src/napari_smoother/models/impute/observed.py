"""Which spots are observed, which can be reached from them, and the system that holds both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def observed_mask(observed: ArrayLike, n_spots: int) -> NDArray[np.bool_]:
    """Return which spots are observed, from booleans or increasing indices."""
    given = np.asarray(observed)
    fault = InputError(
        f"The observed spots are given as {given.dtype} of the shape {given.shape}",
        where="imputation",
        remedy=f"Give {n_spots} booleans with one True, or increasing indices below {n_spots}",
    )
    if given.dtype == bool:
        if given.shape != (n_spots,) or not given.any():
            raise fault
        return given
    indices = given.astype(np.int64, casting="same_kind") if given.dtype.kind in "iu" else None
    if indices is None or indices.ndim != 1 or indices.size == 0:
        raise fault
    if indices.min() < 0 or indices.max() >= n_spots or (np.diff(indices) <= 0).any():
        raise fault
    mask = np.zeros(n_spots, dtype=bool)
    mask[indices] = True
    return mask


def observed_values(observations: Any, n_observed: int) -> NDArray[np.float64]:
    """Return observed spots x features in float64, once they are known to be fit for use."""
    is_sparse: bool = sparse.issparse(observations)
    known = np.asarray(observations.toarray() if is_sparse else observations, dtype=np.float64)
    if known.ndim != 2 or len(known) != n_observed or not np.isfinite(known).all():
        raise InputError(
            f"Observations have the shape {known.shape} for {n_observed} observed spots, "
            "or values that are not finite",
            where="imputation",
            remedy="Give observed spots x features, all finite",
        )
    return known


def out_of_reach(joined: Any, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which spots are in pieces of a graph that hold no observed spot.

    Parameters
    ----------
    joined
        n x n sparse and symmetric; an entry other than 0 joins two spots.
    seen
        n booleans.
    """
    count, piece = connected_components(sparse.csr_array(joined) != 0, directed=False)
    is_seen = np.zeros(count, dtype=bool)
    is_seen[piece[seen]] = True
    unreached: NDArray[np.bool_] = ~is_seen[piece]
    return unreached


def with_ones(
    precision: sparse.csr_array, marked: NDArray[np.bool_], weight: float
) -> sparse.csr_array:
    """Return (D + weight Q) / (1 + weight), with ones in D where a spot is marked.

    One common factor keeps numbers near 1 for any weight.
    """
    ones: Any = sparse.dia_array((marked[None].astype(np.float64), [0]), shape=precision.shape)
    return sparse.csr_array((ones + weight * precision) / (1 + weight))
