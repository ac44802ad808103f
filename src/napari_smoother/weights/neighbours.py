"""Graphs of neighbours from the positions of spots."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from napari_smoother.errors import InputError
from napari_smoother.weights.adjacency import (
    either_lists,
    fill_lists,
    join_mutual,
    join_pairs,
    list_lengths,
)
from napari_smoother.weights.cells import Cells, nearest_in_cells, sort_into_cells

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

TIE = 1e-8
"""Two distances are equal when they differ by less than this share of the larger."""

MOST_IN_CELLS = 60
"""Above so many neighbours a search tree is as fast as cells."""

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
        If positions are not n x 2 or n x 3 finite numbers, k is below 1, or so many spots share
        one place that the graph would not fit in memory.
    """
    points, precision = _checked(positions)
    if k < 1:
        raise InputError(
            f"k is {k}", where="number of neighbours", remedy="Ask for at least one neighbour"
        )
    n = len(points)
    if n == 1:
        return _neighbourhood(np.zeros(2, np.int32), np.zeros(0, np.int32), np.zeros(0))
    # As many in a cell that a cell and those around it mostly hold the neighbours asked for.
    cells = sort_into_cells(points, max(1.0, 0.25 * (k + 2)))
    order = cells.order
    # What rounding of the positions themselves can do to a distance.
    absolute = 4 * precision * float(np.abs(points).max())
    start, neighbour, distance = _ranked(cells, int(k), tie_tolerance, absolute)
    if mutual:
        return _neighbourhood(*join_mutual(start, neighbour, distance, order))
    kept = either_lists(start, neighbour)
    lister = np.repeat(order, np.diff(start))
    return _neighbourhood(
        *join_pairs(lister[kept], order[neighbour[kept]], distance[kept], len(order))
    )


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
        positive, or the radius takes in so much that the graph would not fit in memory.
    """
    points, precision = _checked(positions)
    for name, value in (("radius", radius), ("bandwidth", bandwidth)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(
                f"The {name} is {value}",
                where="distance band",
                remedy="Give a positive length in the unit of the positions",
            )
    n = len(points)
    # Consecutive queries that touch the same leaves are answered several times faster.
    cells = sort_into_cells(points, 8.0)
    order, near = cells.order, cells.points
    tree = _tree(near)
    reach = radius * (1 + TIE) + 4 * precision * float(np.abs(points).max())
    sample = near[:: max(1, n // 1000)]
    expected = tree.query_ball_point(sample, reach, p=norm, return_length=True).mean() * n
    if expected > MOST_EDGES:
        raise _too_many(f"The radius {radius:g} takes in about {expected / n:.0f} spots a spot")
    pairs = tree.query_pairs(reach, p=norm, output_type="ndarray")
    difference = near[pairs[:, 0]] - near[pairs[:, 1]]
    if norm == 2:
        distance = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    else:
        distance = np.linalg.norm(difference, ord=norm, axis=1)
    indptr, indices, lengths = join_pairs(order[pairs[:, 0]], order[pairs[:, 1]], distance, n)
    values = None if bandwidth is None else np.exp(-0.5 * (lengths / bandwidth) ** 2)
    return _neighbourhood(indptr, indices, lengths, values)


def _checked(positions: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Positions as float64, and the relative precision they came in."""
    given = np.asarray(positions)
    if given.ndim != 2 or given.shape[1] not in (2, 3) or len(given) == 0:
        raise InputError(
            f"Positions have the shape {given.shape}, not spots x 2 or spots x 3",
            where="positions",
            remedy="Give one row of coordinates for each spot",
        )
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


def _ranked(
    cells: Cells, k: int, relative: float, absolute: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Each spot's own list of nearest spots: starts, spots, distances."""
    # The spot itself, k others, and one more to see whether the k-th has an equal.
    points, width = cells.points, k + 2
    if cells.crowding > 4 * (1 + width) or k > MOST_IN_CELLS:
        distance, neighbour = _tree(points).query(points, k=width, workers=2)
    else:
        distance, neighbour, far = nearest_in_cells(cells, width)
        if far.size:
            distance[far], neighbour[far] = _tree(points).query(points[far], k=width)
    taken = list_lengths(distance, neighbour, k, relative, absolute)
    crowded = np.flatnonzero(taken < 0)
    if crowded.size == 0:
        start = np.concatenate([[0], np.cumsum(taken)])
        out_distance = np.empty(start[-1])
        out_neighbour = np.empty(start[-1], np.int64)
        fill_lists(distance, neighbour, taken, start, out_distance, out_neighbour)
        return start, out_neighbour, out_distance
    sizes, members, lengths = _nearest_groups(points, crowded, relative, absolute)
    taken[crowded] = 0
    total = taken.copy()
    total[crowded] = sizes
    start = np.concatenate([[0], np.cumsum(total)])
    out_distance = np.empty(start[-1])
    out_neighbour = np.empty(start[-1], np.int64)
    fill_lists(distance, neighbour, taken, start, out_distance, out_neighbour)
    of_crowded = np.repeat(taken < total, total)
    out_neighbour[of_crowded] = members
    out_distance[of_crowded] = lengths
    return start, out_neighbour, out_distance


def _tree(points: NDArray[np.float64]) -> cKDTree:
    return cKDTree(points, balanced_tree=False, compact_nodes=False)


def _nearest_groups(
    points: NDArray[np.float64],
    crowded: NDArray[np.int64],
    relative: float,
    absolute: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All spots as near as the nearest, where these are more than k: sizes, spots, distances."""
    tree, centres = _tree(points), points[crowded]
    two_nearest = tree.query(centres, k=2)
    closest, other = np.asarray(two_nearest[0]), np.asarray(two_nearest[1])
    nearest = np.where(other[:, 0] == crowded, closest[:, 1], closest[:, 0])
    reach = (nearest + absolute) / (1 - relative)
    sizes = tree.query_ball_point(centres, reach, return_length=True)
    if sizes.sum() > MOST_EDGES:
        raise _too_many(f"Up to {sizes.max()} spots are equally near to one spot")
    lists = tree.query_ball_point(centres, reach)
    members = np.fromiter(chain.from_iterable(lists), np.int64, count=int(sizes.sum()))
    lister = np.repeat(crowded, sizes)
    others = members != lister
    difference = points[members[others]] - points[lister[others]]
    return sizes - 1, members[others], np.sqrt(np.einsum("ij,ij->i", difference, difference))


def _neighbourhood(
    indptr: NDArray[np.int32],
    indices: NDArray[np.int32],
    distance: NDArray[np.float64],
    values: NDArray[np.float64] | None = None,
) -> Neighbourhood:
    n = len(indptr) - 1
    if values is None:
        values = np.ones(len(indices))
    weights = csr_array((values, indices, indptr), shape=(n, n))
    distances = csr_array((distance, indices, indptr), shape=(n, n))
    for matrix in (weights, distances):
        matrix.has_canonical_format = True
    return Neighbourhood(weights, distances)


def _too_many(problem: str) -> InputError:
    return InputError(
        f"{problem}, more edges than fit in memory",
        where="neighbours",
        remedy="Take a smaller radius, or remove spots at the same place",
    )
