"""Each spot's own list of nearest spots, by looking into the cells around it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from napari_smoother.errors import InputError
from napari_smoother.weights.cells import Cells, cell_of
from napari_smoother.weights.threads import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_RING = 6
"""Rings of cells around a spot that are looked into before giving up on it."""

MOST_IN_CELLS = 60
"""Above so many neighbours a search tree is as fast as cells."""

MOST_LISTED = 200_000_000
"""More would not fit into the memory of a workstation (16 bytes an entry, twice)."""

CROWDED = -1
"""Instead of a length: more spots are equally near than were looked at."""

FAR = -2
"""Instead of a length: the nearest are too many cells away."""


@dataclass(frozen=True, slots=True, eq=False)
class NearestLists:
    """For each spot, the spots it takes for its nearest.

    Parameters
    ----------
    first, count
        Where the list of each of n spots begins and how long it is.
    neighbour, distance
        The lists, with room between them; spots are numbered as in `Cells.points`.
    """

    first: NDArray[np.int64]
    count: NDArray[np.int32]
    neighbour: NDArray[np.int32]
    distance: NDArray[np.float64]


def nearest_lists(cells: Cells, k: int, relative: float, absolute: float) -> NearestLists:
    """List the nearest spots of every spot, by the rule of `nearest_neighbours`.

    Parameters
    ----------
    cells
        The spots, at least two.
    k
        How many to take.
    relative, absolute
        Distances are equal when they differ by less than this share of the larger, and so much.

    Raises
    ------
    InputError
        If more spots are equally near than fit in memory.
    """
    points = cells.points
    n = len(points)
    k = min(k, n - 1)
    neighbour, distance = np.empty((n, k), np.int32), np.empty((n, k))
    count = np.full(n, FAR, np.int32)
    if cells.crowding <= 4 * (k + 3) and k <= MOST_IN_CELLS:
        in_parts(
            n,
            lambda a, b: _search(
                cells.points, cells.start, cells.lowest, cells.side, cells.counts,
                k, relative, absolute, a, b, neighbour, distance, count,
            ),
        )  # fmt: skip
    far = np.flatnonzero(count == FAR)
    if far.size:
        # The spot itself, k others, and one more to see whether the k-th has an equal.
        apart, others = _tree(points).query(points[far], k=k + 2, workers=2)
        _take_from_table(far, apart, others, relative, absolute, neighbour, distance, count)
    first = k * np.arange(n)
    crowded = np.flatnonzero(count == CROWDED)
    if crowded.size == 0:
        return NearestLists(first, count, neighbour.ravel(), distance.ravel())
    sizes, members, lengths = _nearest_groups(points, crowded, relative, absolute)
    count[crowded] = sizes
    first[crowded] = n * k + np.cumsum(sizes) - sizes
    return NearestLists(
        first,
        count,
        np.concatenate([neighbour.ravel(), members.astype(np.int32)]),
        np.concatenate([distance.ravel(), lengths]),
    )


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
    if sizes.sum() > MOST_LISTED:
        raise InputError(
            f"Up to {sizes.max()} spots are equally near to one spot, more edges than fit in "
            "memory",
            where="neighbours",
            remedy="Remove spots at the same place",
        )
    lists = tree.query_ball_point(centres, reach)
    members = np.fromiter(chain.from_iterable(lists), np.int64, count=int(sizes.sum()))
    lister = np.repeat(crowded, sizes)
    others = members != lister
    difference = points[members[others]] - points[lister[others]]
    return sizes - 1, members[others], np.sqrt(np.einsum("ij,ij->i", difference, difference))


@njit(nogil=True, cache=True)
def _taken(ranked, held, k, relative, absolute):  # type: ignore[no-untyped-def]
    """How many of `held` others, at ranked distances, are taken.

    CROWDED where the nearest group of equals reaches the last of them, so that its size is not
    known yet.
    """
    if held <= k:
        return held
    bound = ranked[k] * (1 - relative) - absolute
    count = k
    while count > 0 and ranked[count - 1] >= bound:
        count -= 1
    return count if count > 0 else CROWDED


@njit(nogil=True, cache=True)
def _take_from_table(spots, apart, others, relative, absolute, neighbour, distance, count):  # type: ignore[no-untyped-def]
    """Fill rows from a table of k + 2, nearest first, the spot itself among them or not."""
    k = neighbour.shape[1]
    ranked, found = np.empty(k + 2), np.empty(k + 2, np.int32)
    for at in range(spots.size):
        i = spots[at]
        held = 0
        for c in range(k + 2):
            if others[at, c] != i and apart[at, c] < np.inf:
                ranked[held], found[held] = apart[at, c], others[at, c]
                held += 1
        count[i] = _taken(ranked, held, k, relative, absolute)
        for e in range(count[i]):
            neighbour[i, e], distance[i, e] = found[e], ranked[e]


@njit(nogil=True, cache=True)
def _search(  # type: ignore[no-untyped-def]
    points, start, lowest, side, counts,
    k, relative, absolute, begin, end, neighbour, distance, count,
):  # fmt: skip
    # One more than asked for, to see whether the k-th has an equal.
    ranked, found = np.empty(k + 1), np.empty(k + 1, np.int32)
    rows = counts[1]
    for i in range(begin, end):
        column = cell_of(points[i, 0], lowest[0], side, counts[0])
        row = cell_of(points[i, 1], lowest[1], side, rows)
        # How far the spot is from the nearest border of its own cell.
        x = points[i, 0] - lowest[0] - column * side
        y = points[i, 1] - lowest[1] - row * side
        inner = min(min(x, side - x), min(y, side - y))
        ranked[:] = np.inf
        # The own column first: the sooner near spots are seen, the fewer are moved later.
        low, high = max(row - 1, 0), min(row + 1, rows - 1) + 1
        for c in (column, column - 1, column + 1):
            if 0 <= c < counts[0]:
                _rank(points, i, start[c * rows + low], start[c * rows + high], ranked, found)
        for ring in range(1, LARGEST_RING + 1):
            if ring > 1:
                _rank_ring(points, start, counts, i, column, row, ring, ranked, found)
            # Nothing outside the rings is nearer than this; the margin is for rounding.
            reach = (inner + ring * side) * (1 - 1e-9)
            seen_all = ring >= max(column, counts[0] - 1 - column) and ring >= max(
                row, rows - 1 - row
            )
            if seen_all or ranked[k] <= reach * reach:
                held = 0
                while held <= k and ranked[held] < np.inf:
                    ranked[held] = np.sqrt(ranked[held])
                    held += 1
                count[i] = _taken(ranked, held, k, relative, absolute)
                for e in range(count[i]):
                    neighbour[i, e], distance[i, e] = found[e], ranked[e]
                break


@njit(nogil=True, cache=True)
def _rank_ring(points, start, counts, i, column, row, ring, ranked, found):  # type: ignore[no-untyped-def]
    """Look into the cells of one ring: whole columns at both sides, else two cells."""
    rows = counts[1]
    low, high = max(row - ring, 0), min(row + ring, rows - 1)
    for c in range(max(column - ring, 0), min(column + ring, counts[0] - 1) + 1):
        cell = c * rows
        if abs(c - column) == ring:
            _rank(points, i, start[cell + low], start[cell + high + 1], ranked, found)
            continue
        if row >= ring:
            _rank(points, i, start[cell + low], start[cell + low + 1], ranked, found)
        if row + ring < rows:
            _rank(points, i, start[cell + high], start[cell + high + 1], ranked, found)


@njit(nogil=True, cache=True)
def _rank(points, i, begin, end, ranked, found):  # type: ignore[no-untyped-def]
    """Put the spots from `begin` to `end` in their places among the nearest so far."""
    last = ranked.size - 1
    for j in range(begin, end):
        gap = 0.0
        for axis in range(points.shape[1]):
            gap += (points[j, axis] - points[i, axis]) ** 2
        if gap >= ranked[last] or j == i:
            continue
        place = last
        while place > 0 and ranked[place - 1] > gap:
            ranked[place], found[place] = ranked[place - 1], found[place - 1]
            place -= 1
        ranked[place], found[place] = gap, j
