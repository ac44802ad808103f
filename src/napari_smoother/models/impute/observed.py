"""Which spots are observed, which can be reached from them, and the system that holds both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from scipy import sparse

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
    pattern = sparse.csr_array(joined)
    found = seen.copy()
    _reach(pattern.indptr, pattern.indices, pattern.data, found)
    return ~found


@njit(nogil=True, cache=True)
def _reach(pointers, neighbours, entries, found):  # type: ignore[no-untyped-def]
    """Mark all spots that a walk from the marked ones comes to."""
    waiting = np.empty(found.size, np.int64)
    count = 0
    for spot in range(found.size):
        if found[spot]:
            waiting[count] = spot
            count += 1
    while count > 0:
        count -= 1
        spot = waiting[count]
        for place in range(pointers[spot], pointers[spot + 1]):
            other = neighbours[place]
            if entries[place] != 0 and not found[other]:
                found[other] = True
                waiting[count] = other
                count += 1


def with_ones(
    precision: sparse.csr_array, marked: NDArray[np.bool_], weight: float
) -> sparse.csr_array:
    """Return (D + weight Q) / (1 + weight), with ones in D where a spot is marked.

    One common factor keeps numbers near 1 for any weight.
    """
    entries = np.empty(precision.data.size)
    pattern = (precision.indptr, precision.indices)
    if _add_to_diagonal(*pattern, precision.data, marked, weight, entries):
        # The pattern is the same, and only read.
        return sparse.csr_array(
            (entries, precision.indices, precision.indptr), shape=precision.shape, copy=False
        )
    ones: Any = sparse.dia_array((marked[None].astype(np.float64), [0]), shape=precision.shape)
    return sparse.csr_array((ones + weight * precision) / (1 + weight))


@njit(nogil=True, cache=True)
def _add_to_diagonal(pointers, neighbours, entries, marked, weight, out):  # type: ignore[no-untyped-def]
    """Write (D + weight Q) / (1 + weight) on the pattern of Q; return whether it has room."""
    share, scale = 1 / (1 + weight), weight / (1 + weight)
    for row in range(marked.size):
        own = 0
        for place in range(pointers[row], pointers[row + 1]):
            out[place] = scale * entries[place]
            if neighbours[place] == row:
                own += 1
                out[place] += share * marked[row]
        if own != 1:
            return False
    return True
