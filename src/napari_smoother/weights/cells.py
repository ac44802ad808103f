"""Spots sorted into the cells of a grid, several times faster than a search tree.

Tissue covers its area evenly, so a grid of equal cells holds a few spots in each. Where it does
not, `Cells.crowding` says so, and the caller takes a search tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from napari_smoother.weights.threads import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Spots sorted by the cell of a grid over the first two axes.

    Parameters
    ----------
    points
        n x 2 or 3, spots of a cell together.
    order
        Original number of each, int32.
    start
        First spot of each cell, column by column of the grid, and n.
    lowest, side, counts
        Corner of the grid, side of a cell, numbers of cells along x and y.
    """

    points: NDArray[np.float64]
    order: NDArray[np.int32]
    start: NDArray[np.int32]
    lowest: NDArray[np.float64]
    side: float
    counts: NDArray[np.int64]

    @property
    def crowding(self) -> float:
        """Spots in the cell of a spot, on average: 1 more than in a cell if all is even."""
        return float(_squares(self.start) / len(self.points))


def even_side(positions: NDArray[np.float64], spots_in_cell: float) -> float:
    """Side of cells that hold so many spots on average.

    Parameters
    ----------
    positions
        n x 2 or 3; cells are columns over the first two axes.
    spots_in_cell
        Average number.
    """
    extent = np.array([np.ptp(positions[:, axis]) for axis in (0, 1)])
    longest = float(extent.max())
    # A section is wider than a line: the short side counts for at least a hundredth.
    area = longest * max(float(extent.min()), longest / 100)
    return float(np.sqrt(spots_in_cell * area / len(positions))) or 1.0


def sort_into_cells(positions: NDArray[np.float64], side: float) -> Cells:
    """Sort spots into square cells.

    Parameters
    ----------
    positions
        n x 2 or 3; cells are columns over the first two axes.
    side
        Of a cell, so large that there are not many more cells than spots; see `even_side`.
    """
    n = len(positions)
    lowest = np.array([positions[:, axis].min() for axis in (0, 1)])
    highest = np.array([positions[:, axis].max() for axis in (0, 1)])
    counts = ((highest - lowest) / side).astype(np.int64) + 1
    cell = np.empty(n, np.int32)
    in_parts(n, lambda a, b: _find_cells(positions, lowest, side, counts, a, b, cell))
    order, start = _counting_sort(cell, int(counts.prod()))
    points = np.empty_like(positions)
    in_parts(n, lambda a, b: _gather(positions, order, a, b, points))
    return Cells(points, order, start, lowest, side, counts)


@njit(nogil=True, cache=True, inline="always")
def cell_of(x, lowest, side, count):  # type: ignore[no-untyped-def]
    """Find the number of a cell along one axis."""
    return min(int((x - lowest) / side), count - 1)


@njit(nogil=True, cache=True)
def _find_cells(positions, lowest, side, counts, begin, end, cell):  # type: ignore[no-untyped-def]
    for i in range(begin, end):
        column = cell_of(positions[i, 0], lowest[0], side, counts[0])
        row = cell_of(positions[i, 1], lowest[1], side, counts[1])
        cell[i] = column * counts[1] + row


@njit(nogil=True, cache=True)
def _counting_sort(cell, count):  # type: ignore[no-untyped-def]
    # While spots are laid down, `start[c + 1]` is the next free place of cell c.
    start = np.zeros(count + 2, np.int32)
    for i in range(cell.size):
        start[cell[i] + 2] += 1
    for c in range(2, start.size):
        start[c] += start[c - 1]
    order = np.empty(cell.size, np.int32)
    for i in range(cell.size):
        place = start[cell[i] + 1]
        order[place] = i
        start[cell[i] + 1] = place + 1
    return order, start[:-1]


@njit(nogil=True, cache=True)
def _gather(positions, order, begin, end, points):  # type: ignore[no-untyped-def]
    for i in range(begin, end):
        for axis in range(positions.shape[1]):
            points[i, axis] = positions[order[i], axis]


@njit(nogil=True, cache=True)
def _squares(start):  # type: ignore[no-untyped-def]
    total = 0.0
    for c in range(start.size - 1):
        held = start[c + 1] - start[c]
        total += float(held) * held
    return total
