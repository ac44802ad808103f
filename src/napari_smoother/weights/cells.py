"""Nearest spots by looking into the cells of a grid, several times faster than a search tree.

Tissue covers its area evenly, so a grid of equal cells holds a few spots in each. Where it does
not, or a spot lies far from all others, the caller takes a search tree: `nearest_in_cells` says
for which spots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from napari_smoother.weights.adjacency import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_RING = 6
"""Rings of cells around a spot that are looked into before giving up on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Spots sorted by the cell of a grid over the first two axes.

    Parameters
    ----------
    points
        n x 2 or 3, spots of a cell together.
    order
        Original number of each.
    start
        First spot of each cell, column by column of the grid, and n.
    lowest, side, counts
        Corner of the grid, side of a cell, numbers of cells along x and y.
    """

    points: NDArray[np.float64]
    order: NDArray[np.int64]
    start: NDArray[np.int64]
    lowest: NDArray[np.float64]
    side: float
    counts: NDArray[np.int64]

    @property
    def crowding(self) -> float:
        """Spots in the cell of a spot, on average: 1 more than in a cell if all is even."""
        held = np.diff(self.start).astype(np.float64)
        return float((held**2).sum() / len(self.points))


def sort_into_cells(positions: NDArray[np.float64], spots_in_cell: float) -> Cells:
    """Sort spots into square cells, with so many in each on average.

    Parameters
    ----------
    positions
        n x 2 or 3; cells are columns over the first two axes.
    spots_in_cell
        Average number.
    """
    n = len(positions)
    lowest = positions[:, :2].min(axis=0)
    extent = positions[:, :2].max(axis=0) - lowest
    longest = float(extent.max())
    # A section is wider than a line: the short side counts for at least a hundredth.
    area = longest * max(float(extent.min()), longest / 100)
    side = float(np.sqrt(spots_in_cell * area / n)) or 1.0
    counts = (extent / side).astype(np.int64) + 1
    order, start = _counting_sort(positions, lowest, side, counts)
    return Cells(np.ascontiguousarray(positions[order]), order, start, lowest, side, counts)


def nearest_in_cells(
    cells: Cells, width: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the nearest spots of every spot, itself among them.

    Parameters
    ----------
    cells
        The spots.
    width
        How many to find.

    Returns
    -------
    distance, neighbour
        n x width, nearest first, in the order of `cells.points`; infinity and n where there are
        no more spots.
    unresolved
        Spots whose rows are not valid, since their neighbours are too many cells away.
    """
    n = len(cells.points)
    distance = np.full((n, width), np.inf)
    neighbour = np.full((n, width), n, np.int64)
    found = np.empty(n, np.bool_)

    def search(first: int, end: int) -> None:
        _search(
            cells.points, cells.start, cells.lowest, cells.side, cells.counts,
            first, end, distance, neighbour, found,
        )  # fmt: skip

    in_parts(n, search)
    return distance, neighbour, np.flatnonzero(~found)


@njit(nogil=True, cache=True)
def _counting_sort(positions, lowest, side, counts):  # type: ignore[no-untyped-def]
    n = positions.shape[0]
    key = np.empty(n, np.int64)
    start = np.zeros(counts[0] * counts[1] + 1, np.int64)
    for i in range(n):
        column = min(int((positions[i, 0] - lowest[0]) / side), counts[0] - 1)
        row = min(int((positions[i, 1] - lowest[1]) / side), counts[1] - 1)
        key[i] = column * counts[1] + row
        start[key[i] + 1] += 1
    for c in range(start.size - 1):
        start[c + 1] += start[c]
    at = start[:-1].copy()
    order = np.empty(n, np.int64)
    for i in range(n):
        order[at[key[i]]] = i
        at[key[i]] += 1
    return order, start


@njit(nogil=True, cache=True)
def _search(points, start, lowest, side, counts, first, end, distance, neighbour, found):  # type: ignore[no-untyped-def]
    width = distance.shape[1]
    for i in range(first, end):
        column = min(int((points[i, 0] - lowest[0]) / side), counts[0] - 1)
        row = min(int((points[i, 1] - lowest[1]) / side), counts[1] - 1)
        # How far the spot is from the nearest border of its own cell.
        inner = side
        for axis, at in ((0, column), (1, row)):
            offset = points[i, axis] - lowest[axis] - at * side
            inner = min(inner, min(offset, side - offset))
        held = 0
        found[i] = False
        for ring in range(1, LARGEST_RING + 1):
            for c in range(max(column - ring, 0), min(column + ring, counts[0] - 1) + 1):
                whole = ring == 1 or abs(c - column) == ring
                # The ring around the cells already seen: whole columns at both sides, else the
                # cell above and the one below. The first ring takes the spot's own cell in.
                for part in range(1 if whole else 2):
                    low = row - ring if whole or part == 0 else row + ring
                    high = row + ring if whole or part == 1 else row - ring
                    if low >= counts[1] or high < 0:
                        continue
                    base = c * counts[1]
                    last = start[base + min(high, counts[1] - 1) + 1]
                    for j in range(start[base + max(low, 0)], last):
                        gap = 0.0
                        for axis in range(points.shape[1]):
                            gap += (points[j, axis] - points[i, axis]) ** 2
                        if held == width and gap >= distance[i, width - 1]:
                            continue
                        place = held if held < width else width - 1
                        while place > 0 and distance[i, place - 1] > gap:
                            distance[i, place] = distance[i, place - 1]
                            neighbour[i, place] = neighbour[i, place - 1]
                            place -= 1
                        distance[i, place] = gap
                        neighbour[i, place] = j
                        held = min(held + 1, width)
            # Nothing outside the rings is nearer than this; the margin is for rounding.
            reach = (inner + ring * side) * (1 - 1e-9)
            seen_all = ring >= max(column, counts[0] - 1 - column) and ring >= max(
                row, counts[1] - 1 - row
            )
            if seen_all or (held == width and distance[i, width - 1] <= reach * reach):
                found[i] = True
                break
        for place in range(held):
            distance[i, place] = np.sqrt(distance[i, place])
