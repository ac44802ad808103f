"""Compiled products of a sparse matrix with dims x spots values, and the quadratic forms.

They are shared out over threads by `solvers.row_blocks`; no number depends on how.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from napari_smoother.solvers.lanes import SIDE, at, cast, load, over_types, store, turn_block
from napari_smoother.solvers.row_blocks import BLOCK_ROWS
from napari_smoother.solvers.sparse_product import FAST


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _multiply(  # type: ignore[no-untyped-def]
    begin, other, wide, narrow,
    pointers, neighbours, entries, surplus, factors, columns, out, shares, start, stop,
):  # fmt: skip
    """Q times some dims of spots x dims, times their factors; their forms go into `shares`."""
    dims = columns.shape[1]
    scale, scale_too = load(factors, begin, wide), load(factors, other, narrow)
    # The sums of a block are as precise as the values; blocks are added up in float64.
    form, form_too = 0 * scale, 0 * scale_too
    here = 0
    for row in range(start, stop):
        own = load(columns, row * dims + begin, wide)
        own_too = load(columns, row * dims + other, narrow)
        total, total_too = at(surplus, row) * own, at(surplus, row) * own_too
        for place in range(at(pointers, row), at(pointers, row + 1)):
            there = np.int64(at(neighbours, place)) * dims
            entry = at(entries, place)
            total = total + entry * (load(columns, there + begin, wide) - own)
            total_too = total_too + entry * (load(columns, there + other, narrow) - own_too)
        form = form + own * total
        form_too = form_too + own_too * total_too
        store(out, here + begin, total * scale)
        store(out, here + other, total_too * scale_too)
        here += dims
    store(shares, begin, cast(form, 0.0))
    store(shares, other, cast(form_too, 0.0))


_over_dims = over_types(_multiply)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def spot_product(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, factors, columns, product, shares, first, last
):
    """Q times spots x dims, each dim with a factor; the forms without, a row of `shares` a block.

    Q is applied to differences between neighbours and, by its sums in `surplus`, to the values.
    """
    n, dims = columns.shape
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, n)
        here = product[start:stop]
        _over_dims(
            dims, entries.dtype.type(0),
            (pointers, neighbours, entries, surplus, factors, columns, here, shares[block],
             start, stop),
        )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def turn_rows(source, first, count, target, begin):  # type: ignore[no-untyped-def]
    """Write columns from `first` of some rows as `count` rows of `target`, from row `begin`.

    Both have all of their rows side by side; `source` is rows x n and `target` is m x rows.
    """
    rows, n = source.shape
    whole = count // SIDE * SIDE if rows >= SIDE else 0
    for k in range(0, rows if whole > 0 else 0, SIDE):
        # The last eight rows may be some that have been turned before.
        top = min(k, rows - SIDE)
        # Eight rows to their end: more of them at a time evict each other from the cache.
        for i in range(0, whole, SIDE):
            place, there = top * n + first + i, (begin + i) * rows + top
            turn_block(source, place, n, target, there, rows)
    for i in range(whole, count):
        for k in range(rows):
            target[begin + i, k] = source[k, first + i]


@njit(nogil=True, cache=True, error_model="numpy")
def turn(values, columns, first, last):  # type: ignore[no-untyped-def]
    """Write dims x spots as spots x dims, for some blocks of spots."""
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, values.shape[1])
        turn_rows(values, start, stop - start, columns, start)


@njit(nogil=True, cache=True, error_model="numpy")
def _turn_back(room, count, product, first):  # type: ignore[no-untyped-def]
    """Write `count` rows of spots x dims as columns of dims x spots, from the column `first`."""
    dims, n = product.shape
    whole = count // SIDE * SIDE if dims >= SIDE else 0
    for k in range(0, dims, SIDE):
        top = min(k, dims - SIDE)
        for i in range(0, whole, SIDE):
            turn_block(room, i * dims + top, dims, product, top * n + first + i, n)
    for i in range(whole, count):
        for k in range(dims):
            product[k, first + i] = room[i, k]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def turned_product(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, factors, columns, product, shares, first, last
):
    """As `spot_product`, with a product of dims x spots; without room for it, only the forms."""
    n, dims = columns.shape
    room = np.empty((BLOCK_ROWS, dims), columns.dtype)
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, n)
        _over_dims(
            dims, entries.dtype.type(0),
            (pointers, neighbours, entries, surplus, factors, columns, room, shares[block],
             start, stop),
        )  # fmt: skip
        if product.size > 0:
            _turn_back(room, stop - start, product, start)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def turn_and_multiply(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, factors, rows, product
):
    """Turn dims x spots, multiply as `turned_product` and return the forms, in one thread."""
    dims, n = rows.shape
    blocks = (n + BLOCK_ROWS - 1) // BLOCK_ROWS
    columns, shares = np.empty((n, dims), rows.dtype), np.zeros((blocks, dims))
    turn(rows, columns, 0, blocks)
    turned_product(
        pointers, neighbours, entries, surplus, factors, columns, product, shares, 0, blocks
    )
    return shares.sum(axis=0)


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
