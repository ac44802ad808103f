"""Sums and products of large dense arrays in float64, whatever they are stored in.

A copy of float32 values in float64 would take longer to come by than the products take. Here a
few rows at a time are widened into the same room and used while they are in the cache, in a fixed
number of groups, so that no number depends on threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import share_out
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FAST = {"reassoc", "contract", "nsz"}
GROUPS = 16
ROWS = 64
"""Rows that are widened at a time."""


def column_moments(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """Return the sum of every column and the sum of all squares.

    Parameters
    ----------
    values
        n x m, float32 or float64.

    Returns
    -------
    sums, squares
        m, float64, and a float. The second is not finite where a value is not.
    """
    columns = values.shape[1]
    if values.flags.f_contiguous:
        both = np.zeros((2, columns))
        share_out(_row_moments, columns, values.size, (values.T, both))
        return both[0], float(both[1].sum())
    values = np.ascontiguousarray(values)
    sums, squares = np.zeros((GROUPS, columns)), np.zeros(GROUPS)
    share_out(_column_moments, GROUPS, values.size, (values, sums, squares))
    return sums.sum(axis=0), float(squares.sum())


def wide_product(
    values: NDArray[np.floating], vectors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``values @ vectors``, n x d, from n x m and m x d."""
    result = np.empty((len(values), vectors.shape[1]))

    def multiply(first: int, last: int) -> None:
        for rows, few in _few_rows(values, first, last):
            np.matmul(few, vectors, out=result[rows])

    _in_groups(multiply, values)
    return result


def wide_back_product(
    values: NDArray[np.floating], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``values.T @ scores``, m x d, from n x m and n x d."""
    parts = np.zeros((GROUPS, values.shape[1], scores.shape[1]))

    def multiply(first: int, last: int) -> None:
        for group in range(first, last):
            for rows, few in _few_rows(values, group, group + 1):
                parts[group] += few.T @ scores[rows]

    _in_groups(multiply, values)
    return np.asarray(parts.sum(axis=0))


def _in_groups(multiply: Any, values: NDArray[np.floating]) -> None:
    with one_blas_thread():
        share_out(multiply, GROUPS, values.size, ())


def _few_rows(
    values: NDArray[np.floating], first: int, last: int
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Rows of some groups, a few at a time, widened into one room."""
    room = np.empty((ROWS, values.shape[1]))
    stop = len(values) * last // GROUPS
    for start in range(len(values) * first // GROUPS, stop, ROWS):
        rows = slice(start, min(start + ROWS, stop))
        few = room[: rows.stop - start]
        few[...] = values[rows]
        yield rows, few


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _column_moments(values, sums, squares, first, last):  # type: ignore[no-untyped-def]
    rows, columns = values.shape
    groups = sums.shape[0]
    for group in range(first, last):
        here = sums[group]
        for row in range(rows * group // groups, rows * (group + 1) // groups):
            given = values[row]
            total = 0.0
            for column in range(columns):
                value = np.float64(given[column])
                here[column] += value
                total += value * value
            squares[group] += total


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _row_moments(values, both, first, last):  # type: ignore[no-untyped-def]
    for row in range(first, last):
        given = values[row]
        some = total = 0.0
        for column in range(given.size):
            value = np.float64(given[column])
            some += value
            total += value * value
        both[0, row], both[1, row] = some, total
