"""Products and factors when every spot has a Gram matrix of its own.

Sixty-four neighbouring spots lie side by side, one a vector lane: entry (k, l) of their Gram
matrices is one contiguous row of ``blocks[group]``, lower triangles packed row after row. The
products below and the factors of `free_blocks` then run over lanes, without a gather.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.free_blocks import (
    LANES,
    FreeBlocks,
    GroupedFactors,
    factor_group,
)
from napari_smoother.solvers.row_blocks import BLOCK_ROWS, share_out
from napari_smoother.solvers.sparse_product import FAST, add_sparse_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

RIDGE = 1e-6
"""Share of a spot's largest diagonal entry that its preconditioner adds to all of them."""


def group_count(rows: int) -> int:
    """Return how many groups of lanes hold this many spots."""
    return -(-rows // LANES)


def packed_size(types: int) -> int:
    """Return the number of entries in the lower triangle of a Gram matrix."""
    return types * (types + 1) // 2


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _add_group(blocks, values, start, stop, work, result):  # type: ignore[no-untyped-def]
    """Write the products of one group's Gram matrices with its rows of `values` into `result`.

    `blocks` is (entries, lanes); `work` and `result` are (types, lanes).
    """
    types, lanes = work.shape
    for k in range(types):
        for lane in range(lanes):
            work[k, lane] = 0
            result[k, lane] = 0
    for row in range(start, stop):
        for k in range(types):
            work[k, row - start] = values[row, k]
    place = 0
    for a in range(types):
        for b in range(a):
            for lane in range(lanes):
                entry = blocks[place, lane]
                result[a, lane] += entry * work[b, lane]
                result[b, lane] += entry * work[a, lane]
            place += 1
        for lane in range(lanes):
            result[a, lane] += blocks[place, lane] * work[a, lane]
        place += 1


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def add_prior(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, weight, values, out, start, stop
):
    """Add ``weight * Q @ values`` to `out`, whose row 0 is row `start`.

    `entries` is (stored entries of Q, 1), or (.., types) where every type has a Q of its own, and
    so is `surplus`, the sums of rows. See `add_sparse_rows`.
    """
    types = values.shape[1]
    if entries.shape[1] == 1:
        every, sums = entries.reshape(-1), surplus.reshape(-1)
        add_sparse_rows(pointers, neighbours, every, sums, weight, values, out, start, stop)
        return
    for row in range(start, stop):
        here = row - start
        for k in range(types):
            out[here, k] += weight * surplus[row, k] * values[row, k]
        for place in range(pointers[row], pointers[row + 1]):
            neighbour = neighbours[place]
            for k in range(types):
                change = values[neighbour, k] - values[row, k]
                out[here, k] += weight * entries[place, k] * change


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def masked_local_product(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, weight, blocks, free, values, out, partial, first, last
):
    """Write ``(values_i H_i + weight (Q values)_i) * free`` and sum its product with `values`."""
    rows, types = values.shape
    lanes = blocks.shape[2]
    work = np.empty((types, lanes), np.float32)
    result = np.empty((types, lanes), np.float32)
    for block in range(first, last):
        begin = block * BLOCK_ROWS
        end = min(begin + BLOCK_ROWS, rows)
        for start in range(begin, end, lanes):
            stop = min(start + lanes, end)
            _add_group(blocks[start // lanes], values, start, stop, work, result)
            for row in range(start, stop):
                for k in range(types):
                    out[row, k] = result[k, row - start]
        here = out[begin:end]
        add_prior(pointers, neighbours, entries, surplus, weight, values, here, begin, end)
        total = 0.0
        for row in range(begin, end):
            dot = np.float32(0)
            for k in range(types):
                product = out[row, k] * free[row, k]
                out[row, k] = product
                dot += product * values[row, k]
            total += np.float64(dot)
        partial[block, 0] = total


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def local_gradient(  # type: ignore[no-untyped-def]
    pointers,
    neighbours,
    entries,
    surplus,
    weight,
    blocks,
    linear,
    values,
    bounded,
    out,
    partial,
    first,
    last,
):
    """Write ``values_i H_i + weight (Q values)_i - linear_i``, all in float64.

    The sums of a block are <values, out> and <values, linear>, of which the objective is half
    the difference.
    """
    rows, types = values.shape
    lanes = blocks.shape[2]
    work = np.empty((types, lanes))
    result = np.empty((types, lanes))
    for block in range(first, last):
        begin = block * BLOCK_ROWS
        end = min(begin + BLOCK_ROWS, rows)
        for start in range(begin, end, lanes):
            stop = min(start + lanes, end)
            _add_group(blocks[start // lanes], values, start, stop, work, result)
            for row in range(start, stop):
                for k in range(types):
                    out[row, k] = result[k, row - start] - linear[row, k]
        here = out[begin:end]
        add_prior(pointers, neighbours, entries, surplus, weight, values, here, begin, end)
        energy = 0.0
        fitted = 0.0
        for row in range(begin, end):
            for k in range(types):
                energy += values[row, k] * out[row, k]
                fitted += values[row, k] * linear[row, k]
        partial[block, 0] = energy
        partial[block, 1] = fitted


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _factor_local(blocks, shift, share, free, members, counts, places, factors, first, last):  # type: ignore[no-untyped-def]
    rows, types = free.shape
    lanes = factors.shape[1]
    one = np.float32(1)
    largest = np.empty(lanes, np.float32)
    for group in range(first, last):
        base = places[group]
        count = counts[group]
        start = group * lanes
        size = min(lanes, rows - start)
        for lane in range(size):
            largest[lane] = np.float32(1e-30)
            for k in range(types):
                entry = blocks[group, k * (k + 1) // 2 + k, lane] + shift[start + lane, k]
                largest[lane] = max(largest[lane], entry)
        for a in range(count):
            ka = members[group, a]
            for b in range(a + 1):
                kb = members[group, b]
                source = ka * (ka + 1) // 2 + kb
                place = base + a * (a + 1) // 2 + b
                for lane in range(size):
                    both = free[start + lane, ka] * free[start + lane, kb]
                    factors[place, lane] = blocks[group, source, lane] * both
                for lane in range(size, lanes):
                    factors[place, lane] = 0
            place = base + a * (a + 1) // 2 + a
            for lane in range(size):
                is_free = free[start + lane, ka]
                added = shift[start + lane, ka] + share * largest[lane]
                factors[place, lane] += added * is_free + one - is_free
            for lane in range(size, lanes):
                factors[place, lane] = one
        factor_group(count, base, np.float32(1e-30), factors)


class LocalFactors(FreeBlocks):
    """Cholesky factors of every spot's own free block, a preconditioner (float32).

    Parameters
    ----------
    blocks
        Packed Gram matrices, shape (groups, entries, lanes), float32.
    shift
        What the prior adds to each diagonal, shape (spots, types), float32.
    free
        1 where an entry is free, else 0, shape (spots, types), float32.
    """

    def __init__(
        self,
        blocks: NDArray[np.float32],
        shift: NDArray[np.float32],
        free: NDArray[np.float32],
    ) -> None:
        GroupedFactors.__init__(self, free)  # another factorisation than the parent's
        share_out(
            _factor_local,
            self.groups,
            free.size * 4,
            (blocks, shift, np.float32(RIDGE), free, *self.arguments),
        )
