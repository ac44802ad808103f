"""Compiled loops over the entries of a weight matrix."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def row_sums(indptr, data):  # type: ignore[no-untyped-def]
    """Sum of every row of a compressed matrix."""
    n = indptr.size - 1
    sums = np.empty(n)
    for i in range(n):
        total = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            total += data[e]
        sums[i] = total
    return sums


@njit(nogil=True, cache=True)
def equals_transpose(indptr, indices, data, relative):  # type: ignore[no-untyped-def]
    """Whether a square matrix with sorted columns equals its transpose, patterns included."""
    n = indptr.size - 1
    at = indptr[:-1].copy()
    for i in range(n):
        # Rows come in order, so the entries (j, i) of each row j are asked for in order too.
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            mirror = at[j]
            if mirror == indptr[j + 1] or indices[mirror] != i:
                return False
            if abs(data[mirror] - data[e]) > relative * abs(data[e]):
                return False
            at[j] += 1
    return True


@njit(nogil=True, cache=True)
def with_diagonal(indptr, indices, data, diagonal, rho):  # type: ignore[no-untyped-def]
    """Compressed form of diag(diagonal) - rho W, zeros left out, columns sorted.

    Reads W with sorted columns; what W has on its diagonal is subtracted too.
    """
    n = indptr.size - 1
    out_indptr = np.zeros(n + 1, np.int32)
    for i in range(n):
        stored = 1
        for e in range(indptr[i], indptr[i + 1]):
            stored += indices[e] != i and rho * data[e] != 0.0
        out_indptr[i + 1] = out_indptr[i] + stored
    out_indices = np.empty(out_indptr[n], np.int32)
    out_data = np.empty(out_indptr[n], np.float64)
    for i in range(n):
        m = out_indptr[i]
        own = diagonal[i]
        place = -1
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j >= i and place < 0:
                place = m
                m += 1
            value = -rho * data[e]
            if j == i:
                own += value
            elif value != 0.0:
                out_indices[m] = j
                out_data[m] = value
                m += 1
        if place < 0:
            place = m
        out_indices[place] = i
        out_data[place] = own
    return out_indptr, out_indices, out_data
