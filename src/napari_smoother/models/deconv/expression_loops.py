"""Compiled passes over the counts of a section, each over the memory once."""

from __future__ import annotations

import numpy as np
from numba import njit

SMALL = 64
"""Counts below it are common enough for one logarithm a spot to serve all of the same size."""


@njit(nogil=True, cache=True)
def all_whole(values):  # type: ignore[no-untyped-def]
    """Whether all values are whole numbers from zero up."""
    for value in values:  # noqa: SIM110 - compiled
        # Missing and infinite values are no whole numbers either.
        if not (value >= 0 and value - np.floor(value) == 0):
            return False
    return True


@njit(nogil=True, cache=True)
def bring_to_total(indptr, data, total, logarithm, begin, end):  # type: ignore[no-untyped-def]
    """Bring the rows from `begin` to `end` to one total, in place; log1p if asked."""
    known = np.empty(SMALL)
    for i in range(begin, end):
        summed = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            summed += data[e]
        factor = total / summed if summed > 0 else 0.0
        known[:] = -1.0
        for e in range(indptr[i], indptr[i + 1]):
            value = data[e]
            if not logarithm:
                data[e] = value * factor
                continue
            if value >= SMALL or value != np.floor(value):
                data[e] = np.log1p(value * factor)
                continue
            count = int(value)
            if known[count] < 0:
                known[count] = np.log1p(value * factor)
            data[e] = known[count]


@njit(nogil=True, cache=True)
def column_sums(indices, data, first, second):  # type: ignore[no-untyped-def]
    """Add the values of every column to `first`, their squares to `second`."""
    for e in range(data.size):
        first[indices[e]] += data[e]
        second[indices[e]] += data[e] * data[e]


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def sums_of_squares(values, first, last, sums):  # type: ignore[no-untyped-def]
    """Write those of every row between two columns, in float64.

    Squares of the same few counts round alike: in float32 that would not average out.
    """
    for row in range(values.shape[0]):
        few = values[row, first:last]
        total = 0.0
        # By index: what iterates is not vectorised.
        for place in range(few.size):
            value = np.float64(few[place])
            total += value * value
        sums[row] = total


@njit(nogil=True, cache=True)
def row_products(  # type: ignore[no-untyped-def]
    indptr, indices, data, weighted, weights, begin, end, linear, norm, mean
):
    """Rows times G x K, and the weighted sums of their squares and of themselves."""
    for i in range(begin, end):
        row = linear[i]
        row[:] = 0
        square, plain = 0.0, 0.0
        for e in range(indptr[i], indptr[i + 1]):
            gene, value = indices[e], data[e]
            for k in range(weighted.shape[1]):
                row[k] += value * weighted[gene, k]
            square += value * value * weights[gene]
            plain += value * weights[gene]
        norm[i], mean[i] = square, plain
