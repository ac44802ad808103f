"""Graphs of neighbours from the positions of spots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from napari_smoother import _core
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

TIE = 1e-8
"""Two distances are equal when they differ by less than this share of the larger."""

MOST_EDGES = 200_000_000
"""More would not fit into the memory of a workstation (16 bytes an entry, twice)."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """Which spots are neighbours, how strongly, and how far apart.

    Parameters
    ----------
    weights
        n x n float64: symmetric, zero diagonal, sorted int32 indices, no duplicates.
    distances
        The same pattern: distance of the two spots in the units of the positions. A stored 0
        is a pair of spots at the same place.
    """

    weights: csr_array
    distances: csr_array

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        return int(self.weights.shape[0])


def nearest_neighbours(
    positions: ArrayLike, k: int = 6, *, mutual: bool = True, tie_tolerance: float = TIE
) -> Neighbourhood:
    """Link every spot to its k nearest, each edge with weight 1.

    Spots at equal distances are taken together or not at all, nearest group first, as long as
    no more than k are taken; the nearest group is always taken, whatever its size. On
    irregular positions that is the plain k nearest neighbours. On a hexagonal lattice any k from
    1 to 6 gives the ring of six, and never a longer edge at a border; on a square lattice any k
    up to 4 gives the four next to a spot. The result does not depend on the order of spots.

    - **Spots at the same place** are each other's nearest, at distance 0.
    - **Fewer than k other spots**: all of them are taken.
    - **One spot**, or a spot that none of its nearest chose in return: no edges.

    Parameters
    ----------
    positions
        n x 2 or n x 3, any unit.
    k
        How many neighbours to take, at least 1.
    mutual
        Keep a pair only where each is among the other's nearest; otherwise where at least one
        is. Both are symmetric.
    tie_tolerance
        Distances that differ by less than this share are equal. Positions rounded to whole
        pixels need more than the default, about 1 / spacing in pixels, for their lattice to be
        seen.

    Returns
    -------
    neighbourhood
        Weights of 1 and distances.

    Raises
    ------
    InputError
        If positions are not n x 2 or n x 3 finite numbers, k is below 1, the tolerance is not
        from 0 to 1, or k or the spots that share one place are so many that the graph would not
        fit in memory.
    """
    points, precision = _checked(positions)
    if k < 1:
        raise InputError(
            f"k is {k}", where="number of neighbours", remedy="Ask for at least one neighbour"
        )
    if not 0 <= tie_tolerance < 1:
        raise InputError(
            f"tie_tolerance is {tie_tolerance}",
            where="number of neighbours",
            remedy="Give a share of the distance, below 1",
        )
    most = min(int(k), len(points) - 1)
    if most * len(points) > MOST_EDGES:
        raise _too_many(f"{most * len(points)} edges with k of {k}", "Ask for fewer neighbours")
    # What rounding of the positions themselves can do to a distance.
    absolute = 4 * precision * float(np.abs(points).max())
    try:
        rows = _core.nearest_neighbours(
            points, most, float(tie_tolerance), absolute, bool(mutual), MOST_EDGES
        )
    except _core.Refused as error:
        raise _too_many(
            f"Spots that are equally near to each other make about {error}",
            "Remove spots at the same place",
        ) from None
    return _neighbourhood(*rows)


def neighbours_within(
    positions: ArrayLike, radius: float, *, bandwidth: float | None = None, norm: float = 2.0
) -> Neighbourhood:
    """Link all spots that are no farther apart than a radius.

    A pair exactly at the radius counts, also when rounding puts it a trifle beyond, so that
    the spacing of a lattice is a radius that takes in the ring of neighbours. Spots at the same
    place are neighbours at distance 0, with the full weight.

    Parameters
    ----------
    positions
        n x 2 or n x 3, any unit.
    radius
        Largest distance, in the unit of the positions.
    bandwidth
        Standard deviation b of a Gaussian kernel in the unit of the positions: the weight of
        an edge is exp(-d^2 / (2 b^2)). None gives every edge the weight 1.
    norm
        Order of the norm of distances: 2 is straight lines, 1 the sum over the axes, infinity
        the largest over the axes.

    Returns
    -------
    neighbourhood
        Weights and distances.

    Raises
    ------
    InputError
        If positions are not n x 2 or n x 3 finite numbers, the radius or bandwidth is not
        positive, the norm is below 1, or the radius takes in so much that the graph would not
        fit in memory.
    """
    points, precision = _checked(positions)
    for name, value in (("radius", radius), ("bandwidth", bandwidth)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(
                f"The {name} is {value}",
                where="distance band",
                remedy="Give a positive length in the unit of the positions",
            )
    reach = radius * (1 + TIE) + 4 * precision * float(np.abs(points).max())
    if not norm >= 1:
        raise InputError(
            f"The norm is {norm}",
            where="distance band",
            remedy="Give the order of a norm: 1, 2, infinity, or what lies between",
        )
    try:
        rows = _core.neighbours_within(
            points, float(reach), float(norm), float(bandwidth or 0), MOST_EDGES
        )
    except _core.Refused as error:
        raise _too_many(
            f"The radius {radius:g} makes about {error}", "Take a smaller radius"
        ) from None
    return _neighbourhood(*rows)


def _checked(positions: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Positions as float64, and the relative precision they came in."""
    given = np.asarray(positions)
    if given.ndim != 2 or given.shape[1] not in (2, 3) or len(given) == 0:
        raise InputError(
            f"Positions have the shape {given.shape}, not spots x 2 or spots x 3",
            where="positions",
            remedy="Give one row of coordinates for each spot",
        )
    if len(given) > MOST_EDGES:
        raise _too_many(f"{len(given)} spots", "Take part of them")
    points = np.ascontiguousarray(given, dtype=np.float64)
    if not np.isfinite(points).all():
        spot = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise InputError(
            "A position is not a finite number",
            where=f"spot {spot}",
            remedy="Remove this spot or mend its position",
        )
    kept = given.dtype if np.issubdtype(given.dtype, np.floating) else np.dtype(np.float64)
    return points, float(np.finfo(kept).eps)


def _neighbourhood(
    indptr: NDArray[np.int32],
    indices: NDArray[np.int32],
    distance: NDArray[np.float64],
    values: NDArray[np.float64],
) -> Neighbourhood:
    n = len(indptr) - 1
    weights = csr_array((values, indices, indptr), shape=(n, n))
    distances = csr_array((distance, indices, indptr), shape=(n, n))
    for matrix in (weights, distances):
        matrix.has_canonical_format = True
    return Neighbourhood(weights, distances)


def _too_many(why: str, remedy: str) -> InputError:
    return InputError(f"{why}: more than fit in memory", where="neighbours", remedy=remedy)
