"""Sums and products of large dense arrays in float64, whatever they are stored in.

A copy of float32 values in float64 would take longer to come by than the products take. Here a
few rows at a time are widened into the same workspace, and multiplied by BLAS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

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
    by_column = values.flags.f_contiguous
    sums, squares = np.zeros(values.shape[1]), 0.0
    for rows, few in _few_rows(values.T if by_column else values):
        if by_column:
            sums[rows] = few.sum(axis=1)
        else:
            sums += few.sum(axis=0)
        # BLAS would start its threads for so little.
        squares += float(np.einsum("ij,ij->", few, few))
    return sums, squares


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
    """All rows, a few at a time, widened into one workspace."""
    workspace = np.empty((ROWS, values.shape[1]))
    for start in range(0, len(values), ROWS):
        rows = slice(start, min(start + ROWS, len(values)))
        few = workspace[: rows.stop - start]
        few[...] = values[rows]
        yield rows, few
