"""Spots in an order in which neighbours lie close together in memory.

Beads, bins and cells often come in an order that knows nothing of the tissue. A product with Q
then fetches every neighbour from far away, which takes several times as long as to multiply it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR = 3500
"""Neighbours further apart than so many spots are no longer in the fast caches."""

MOSTLY_NEAR = 0.05
"""Up to this share of far neighbours an order is good enough."""


def share_far(pointers: NDArray[np.int32], neighbours: NDArray[np.int32]) -> float:
    """Return the share of neighbours further than `FAR` from the spot whose row they are in."""
    rows = np.repeat(np.arange(pointers.size - 1, dtype=np.int32), np.diff(pointers))
    return float(np.count_nonzero(np.abs(neighbours - rows) > FAR)) / max(neighbours.size, 1)


def closer_order(
    pointers: NDArray[np.int32], neighbours: NDArray[np.int32]
) -> NDArray[np.int32] | None:
    """Find an order that brings neighbours closer together (Cuthill and McKee 1969, reversed).

    Parameters
    ----------
    pointers, neighbours
        Rows of a symmetric pattern, int32.

    Returns
    -------
    ndarray or None
        Spots in their new order, int32; None where the one they are in is about as good.
    """
    spots = pointers.size - 1
    before = share_far(pointers, neighbours) if spots > FAR else 0.0
    if before <= MOSTLY_NEAR:
        return None
    ones = np.ones(neighbours.size, np.int8)
    pattern = sparse.csr_array((ones, neighbours, pointers), shape=(spots, spots))
    order = reverse_cuthill_mckee(pattern, symmetric_mode=True).astype(np.int32)
    place = np.empty_like(order)
    place[order] = np.arange(spots, dtype=np.int32)
    rows = np.repeat(place, np.diff(pointers))
    far = np.count_nonzero(np.abs(place[neighbours] - rows) > FAR)
    return order if far < before * neighbours.size / 2 else None
