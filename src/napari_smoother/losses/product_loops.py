"""Compiled products of a sparse matrix with dims x spots values, and the quadratic forms.

One thread each, over a run of dims: at the size of a section a product takes less time than
waking a second thread, and several callers at once do not get in each other's way.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 8
"""Side of the blocks of a transpose: with more, rows 4096 apart evict each other."""


@njit(nogil=True, cache=True)
def row_product(indptr, indices, data, values, first, end, product, shares):  # type: ignore[no-untyped-def]
    """Sparse Q times the rows `first` to `end` of dims x spots, and the form of each row.

    Four rows at once, so that the pattern of Q is read once for four. For rows that stay in the
    cache; longer ones are faster with spots first. Without room in `product` only the forms.
    """
    n = values.shape[1]
    kept = product.size > 0
    zero = data.dtype.type(0)
    k = first
    while k + 4 <= end:
        x0, x1, x2, x3 = values[k], values[k + 1], values[k + 2], values[k + 3]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        # Unsigned numbers: each access would look for negative ones.
        place = np.uint64(indptr[0])
        for i in range(n):
            a0, a1, a2, a3 = zero, zero, zero, zero
            stop = np.uint64(indptr[i + 1])
            while place < stop:
                j, q = np.uint64(indices[place]), data[place]
                a0 += q * x0[j]
                a1 += q * x1[j]
                a2 += q * x2[j]
                a3 += q * x3[j]
                place += np.uint64(1)
            if kept:
                product[k, i], product[k + 1, i] = a0, a1
                product[k + 2, i], product[k + 3, i] = a2, a3
            s0 += np.float64(a0) * x0[i]
            s1 += np.float64(a1) * x1[i]
            s2 += np.float64(a2) * x2[i]
            s3 += np.float64(a3) * x3[i]
        shares[k], shares[k + 1], shares[k + 2], shares[k + 3] = s0, s1, s2, s3
        k += 4
    while k < end:
        share = 0.0
        for i in range(n):
            a = zero
            for e in range(indptr[i], indptr[i + 1]):
                a += data[e] * values[k, indices[e]]
            if kept:
                product[k, i] = a
            share += np.float64(a) * values[k, i]
        shares[k] = share
        k += 1


@njit(nogil=True, cache=True)
def transpose_into(values, out):  # type: ignore[no-untyped-def]
    """Transpose, block by block so that both sides stay in the cache."""
    rows, columns = values.shape
    for top in range(0, rows, BLOCK):
        bottom = min(top + BLOCK, rows)
        for left in range(0, columns, BLOCK):
            right = min(left + BLOCK, columns)
            for c in range(left, right):
                for r in range(top, bottom):
                    out[c, r] = values[r, c]


@njit(nogil=True, cache=True)
def spot_product(indptr, indices, data, columns, shares):  # type: ignore[no-untyped-def]
    """Sparse Q times spots x dims; adds the form of each column, in float64, to `shares`."""
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
        for k in range(dims):
            shares[k] += product[i, k] * columns[i, k]
    return product


@njit(nogil=True, cache=True)
def relabelled_product(indptr, indices, data, orders, columns, shares):  # type: ignore[no-untyped-def]
    """As `spot_product`, with the mean of Q over relabelings: i is spot ``orders[:, i]``."""
    n, dims = columns.shape
    product = np.zeros((n, dims), columns.dtype)
    part = data / columns.dtype.type(orders.shape[0])
    for p in range(orders.shape[0]):
        order = orders[p]
        for i in range(n):
            row = order[i]
            for e in range(indptr[i], indptr[i + 1]):
                other, a = order[indices[e]], part[e]
                for k in range(dims):
                    product[row, k] += a * columns[other, k]
    for i in range(n):
        for k in range(dims):
            shares[k] += product[i, k] * columns[i, k]
    return product
