"""Sums and products of large dense arrays in float64, whatever they are stored in.

A copy of float32 values in float64 would take longer to come by than the products take. Here a
few rows at a time are widened into the same room, and multiplied by BLAS and its own threads:
those of `row_blocks` would find them still waiting for more work, and the processor taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import share_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FAST = {"reassoc", "contract", "nsz"}
GROUPS = 16
"""Into which sums are parted, however many threads there are."""

ROWS = 256
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
    for rows, few in _few_rows(values):
        np.matmul(few, vectors, out=result[rows])
    return result


def wide_back_product(
    values: NDArray[np.floating], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``values.T @ scores``, m x d, from n x m and n x d."""
    result = np.zeros((values.shape[1], scores.shape[1]))
    for rows, few in _few_rows(values):
        result += few.T @ scores[rows]
    return result


def _few_rows(values: NDArray[np.floating]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """All rows, a few at a time, widened into one room."""
    room = np.empty((ROWS, values.shape[1]))
    for start in range(0, len(values), ROWS):
        rows = slice(start, min(start + ROWS, len(values)))
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
