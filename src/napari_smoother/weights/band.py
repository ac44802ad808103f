"""All spots within a radius of each spot, by looking into the cells around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from napari_smoother.weights.adjacency import sort_row
from napari_smoother.weights.cells import Cells, cell_of
from napari_smoother.weights.threads import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean_within(cells: Cells, radius: float, norm: float, sample: int) -> float:
    """Mean number of other spots within a radius, of about so many spots."""
    n = len(cells.points)
    degree = np.zeros(n, np.int32)
    step = max(1, n // sample)
    _count(*_grid(cells), radius, norm, 0, n, step, degree)
    return float(degree.sum() / len(range(0, n, step)))


def rows_within(
    cells: Cells, radius: float, norm: float
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Sparse matrix of the distances of all pairs within a radius.

    Parameters
    ----------
    cells
        With sides no shorter than the radius.
    radius, norm
        As of `neighbours_within`.

    Returns
    -------
    indptr, indices, distances
        In the original order of spots, columns sorted in every row.
    """
    n = len(cells.points)
    degree = np.empty(n, np.int32)
    in_parts(n, lambda a, b: _count(*_grid(cells), radius, norm, a, b, 1, degree))
    indptr = np.zeros(n + 1, np.int32)
    np.cumsum(degree, out=indptr[1:])
    indices, distances = np.empty(indptr[n], np.int32), np.empty(indptr[n])
    in_parts(n, lambda a, b: _fill(*_grid(cells), radius, norm, a, b, indptr, indices, distances))
    return indptr, indices, distances


def _grid(cells: Cells) -> tuple[object, ...]:
    return cells.points, cells.order, cells.start, cells.lowest, cells.side, cells.counts


@njit(nogil=True, cache=True)
def _gap(points, i, j, norm):  # type: ignore[no-untyped-def]
    """Distance of two spots; its square in the Euclidean norm."""
    gap = 0.0
    for axis in range(points.shape[1]):
        along = abs(points[j, axis] - points[i, axis])
        if norm == 2:
            gap += along * along
        elif norm == 1:
            gap += along
        elif norm == np.inf:
            gap = max(gap, along)
        else:
            gap += along**norm
    return gap if norm <= 2 or norm == np.inf else gap ** (1 / norm)


@njit(nogil=True, cache=True)
def _count(  # type: ignore[no-untyped-def]
    points, order, start, lowest, side, counts, radius, norm, begin, end, step, degree
):
    limit = radius * radius if norm == 2 else radius
    for i in range(begin, end, step):
        column = cell_of(points[i, 0], lowest[0], side, counts[0])
        row = cell_of(points[i, 1], lowest[1], side, counts[1])
        low, high = max(row - 1, 0), min(row + 1, counts[1] - 1) + 1
        found = -1  # the spot itself will be among them
        for c in range(max(column - 1, 0), min(column + 1, counts[0] - 1) + 1):
            cell = c * counts[1]
            for j in range(start[cell + low], start[cell + high]):
                found += _gap(points, i, j, norm) <= limit
        degree[order[i]] = found


@njit(nogil=True, cache=True)
def _fill(  # type: ignore[no-untyped-def]
    points, order, start, lowest, side, counts, radius, norm, begin, end,
    indptr, indices, distances,
):  # fmt: skip
    limit = radius * radius if norm == 2 else radius
    for i in range(begin, end):
        column = cell_of(points[i, 0], lowest[0], side, counts[0])
        row = cell_of(points[i, 1], lowest[1], side, counts[1])
        low, high = max(row - 1, 0), min(row + 1, counts[1] - 1) + 1
        e = indptr[order[i]]
        for c in range(max(column - 1, 0), min(column + 1, counts[0] - 1) + 1):
            cell = c * counts[1]
            for j in range(start[cell + low], start[cell + high]):
                gap = _gap(points, i, j, norm)
                if gap <= limit and j != i:
                    indices[e] = order[j]
                    distances[e] = np.sqrt(gap) if norm == 2 else gap
                    e += 1
        sort_row(indptr[order[i]], e, indices, distances)
