"""Compiled product of a sparse matrix with a tensor, and the quadratic form from it.

One thread each: at the size of a section a product takes less time than waking a second, and
several callers at once do not get in each other's way.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 8
"""Side of the blocks of a transpose: with more, rows 4096 apart evict each other."""


@njit(nogil=True, cache=True)
def transposed(values):  # type: ignore[no-untyped-def]
    """Contiguous transpose, block by block so that both sides stay in the cache."""
    rows, columns = values.shape
    out = np.empty((columns, rows), values.dtype)
    for top in range(0, rows, BLOCK):
        bottom = min(top + BLOCK, rows)
        for left in range(0, columns, BLOCK):
            right = min(left + BLOCK, columns)
            for c in range(left, right):
                for r in range(top, bottom):
                    out[c, r] = values[r, c]
    return out


@njit(nogil=True, cache=True)
def sparse_product(indptr, indices, data, columns):  # type: ignore[no-untyped-def]
    """Sparse Q times spots x dims."""
    n, dims = columns.shape
    product = np.empty((n, dims), columns.dtype)
    for i in range(n):
        e, end = indptr[i], indptr[i + 1]
        # Two neighbours at once halve how often the row of the product is written.
        if (end - e) % 2 == 1:
            first, a = indices[e], data[e]
            for k in range(dims):
                product[i, k] = a * columns[first, k]
            e += 1
        else:
            for k in range(dims):
                product[i, k] = 0
        while e < end:
            first, a = indices[e], data[e]
            second, b = indices[e + 1], data[e + 1]
            for k in range(dims):
                product[i, k] += a * columns[first, k] + b * columns[second, k]
            e += 2
    return product


@njit(nogil=True, cache=True)
def column_shares(product, columns):  # type: ignore[no-untyped-def]
    """Sum over spots of the product of two tables, column by column, in float64."""
    n, dims = columns.shape
    shares = np.zeros(dims)
    for i in range(n):
        for k in range(dims):
            shares[k] += product[i, k] * columns[i, k]
    return shares
