"""Compiled products of a sparse matrix with dims x spots values, and the quadratic forms.

They are shared out over threads by `solvers.row_blocks`; no number depends on how.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from napari_smoother.solvers.row_blocks import BLOCK_ROWS
from napari_smoother.solvers.sparse_product import FAST, add_sparse_rows

SIDE = 8
"""Side of the blocks of a transpose: with more, rows 4096 apart evict each other."""


@njit(nogil=True, cache=True)
def row_product(indptr, indices, data, factors, values, product, shares, first, last):  # type: ignore[no-untyped-def]
    """Sparse Q times rows of dims x spots, each with a factor, and the form of each row without.

    Four rows at a time, from the four number `first` to that before `last`, so that the pattern
    of Q is read once for four rows. Without room in `product` only the forms.
    """
    dims, n = values.shape
    end = min(4 * last, dims)
    kept = product.size > 0
    zero = data.dtype.type(0)
    k = 4 * first
    while k + 4 <= end:
        x0, x1, x2, x3 = values[k], values[k + 1], values[k + 2], values[k + 3]
        f0, f1, f2, f3 = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
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
                product[k, i], product[k + 1, i] = f0 * a0, f1 * a1
                product[k + 2, i], product[k + 3, i] = f2 * a2, f3 * a3
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
                product[k, i] = factors[k] * a
            share += np.float64(a) * values[k, i]
        shares[k] = share
        k += 1


@njit(nogil=True, cache=True)
def transpose_into(values, out):  # type: ignore[no-untyped-def]
    """Transpose, block by block so that both sides stay in the cache."""
    rows, columns = values.shape
    for top in range(0, rows, SIDE):
        bottom = min(top + SIDE, rows)
        for left in range(0, columns, SIDE):
            right = min(left + SIDE, columns)
            for c in range(left, right):
                for r in range(top, bottom):
                    out[c, r] = values[r, c]


@njit(nogil=True, cache=True, fastmath=FAST)
def spot_product(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, factors, columns, product, shares, first, last
):
    """As `row_product` for spots x dims; the form of each column in float64, one row a block."""
    n, dims = columns.shape
    one = product.dtype.type(1)
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, n)
        here = product[start:stop]
        here[:] = 0
        add_sparse_rows(pointers, neighbours, entries, surplus, one, columns, here, start, stop)
        for i in range(start, stop):
            for k in range(dims):
                shares[block, k] += product[i, k] * columns[i, k]
                product[i, k] *= factors[k]


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


@njit(nogil=True, cache=True, fastmath=FAST)
def subtract_expectation(values, factors, own, other, product, shares, first, last):  # type: ignore[no-untyped-def]
    """Take ``own |x|^2 + other (1'x)^2`` from the form of each row x, and from its product."""
    n = values.shape[1]
    for k in range(first, last):
        x = values[k]
        total, squares = 0.0, 0.0
        for i in range(n):
            wide = np.float64(x[i])
            total += wide
            squares += wide * wide
        shares[k] -= own * squares + other * total * total
        if product.size > 0:
            out = product[k]
            slope = values.dtype.type(factors[k] * own)
            level = values.dtype.type(factors[k] * other * total)
            for i in range(n):
                out[i] -= slope * x[i] + level
