"""The operator D -> D A + weight Q D on blocks of rows, and the gradient of the objective.

In single precision a row of either product is summed in registers; where more is asked of a row,
the small dense product goes through BLAS on 128 rows at a time, and the sparse product is added
to them before they leave the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.lanes import at, cast, load, over_types, store
from napari_smoother.solvers.row_blocks import BLOCK_ROWS, sums_over_rows

if TYPE_CHECKING:
    import scipy.sparse as sparse
    from numpy.typing import NDArray

FAST = {"reassoc", "contract", "arcp", "nsz"}
"""Fast arithmetic that keeps NaN and infinity; the order of sums is fixed by compilation."""


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def _add_neighbours(  # type: ignore[no-untyped-def]
    begin, other, wide, narrow,
    pointers, neighbours, entries, surplus, weight, values, out, start, stop,
):  # fmt: skip
    """Add ``weight * Q @ values`` to `out` for the types from `begin` and from `other`."""
    types = values.shape[1]
    here = 0
    for row in range(start, stop):
        own = cast(load(values, row * types + begin, wide), weight)
        own_too = cast(load(values, row * types + other, narrow), weight)
        level = weight * at(surplus, row)
        total = load(out, here + begin, wide) + level * own
        total_too = load(out, here + other, narrow) + level * own_too
        for place in range(at(pointers, row), at(pointers, row + 1)):
            there = np.int64(at(neighbours, place)) * types
            entry = weight * at(entries, place)
            total = total + entry * (cast(load(values, there + begin, wide), weight) - own)
            total_too = total_too + entry * (
                cast(load(values, there + other, narrow), weight) - own_too
            )
        store(out, here + begin, total)
        store(out, here + other, total_too)
        here += types


_over_types = over_types(_add_neighbours)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def add_sparse_rows(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, weight, values, out, start, stop
):
    """Add ``weight * Q @ values`` to `out`, for the rows from `start` to `stop`.

    `out` holds these rows only: its row 0 is row `start`; `values` may be of less precision than
    it and `weight`. Q, whose diagonal need not be among its `entries`, is applied to differences
    between neighbours and, by the sums of its rows in `surplus`, to the values themselves, so
    that a stiff prior on nearly constant values leaves little rounding.
    """
    _over_types(
        values.shape[1],
        weight,
        (pointers, neighbours, entries, surplus, weight, values, out, start, stop),
    )


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _compare(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, values, right, partial, first, last
):
    rows, columns = values.shape
    room = np.empty((BLOCK_ROWS, columns))
    # Apart from each other, so that the loop over columns is vectorised.
    forms, left, wanted = np.empty(columns), np.empty(columns), np.empty(columns)
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)
        here, sums = room[: stop - start], partial[block]
        here[:] = 0
        add_sparse_rows(pointers, neighbours, entries, surplus, 1.0, values, here, start, stop)
        forms[:] = 0
        left[:] = 0
        wanted[:] = 0
        for row in range(start, stop):
            products, own, given = here[row - start], values[row], right[row]
            for k in range(columns):
                apart = given[k] - products[k]
                forms[k] += products[k] * own[k]
                left[k] += apart * apart
                wanted[k] += given[k] * given[k]
        sums[:columns] = forms
        sums[columns : 2 * columns] = left
        sums[2 * columns :] = wanted


def compare_with_product(
    matrix: sparse.csr_array, values: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compare A X with X and with B, column by column, in one pass that keeps nothing.

    Parameters
    ----------
    matrix
        A, n x n, float64.
    values, right
        X and B, n x columns, float64, contiguous.

    Returns
    -------
    forms, left, wanted
        For every column x'A x, |b - A x|^2 and |b|^2.
    """
    columns = values.shape[1]
    surplus = np.asarray(matrix.sum(axis=1))
    arguments = (matrix.indptr, matrix.indices, matrix.data, surplus, values, right)
    sums = sums_over_rows(_compare, values.shape, 3 * columns, arguments)
    return sums[:columns], sums[columns : 2 * columns], sums[2 * columns :]


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def _free_rows(  # type: ignore[no-untyped-def]
    begin, other, wide, narrow,
    pointers, neighbours, entries, surplus, weight, gram, free, values, out, sums, start, stop,
):  # fmt: skip
    """Write free products for the types from `begin` and from `other`; sum them with `values`."""
    types = values.shape[1]
    here = np.int64(start) * types
    dot, dot_too = load(sums, begin, wide), load(sums, other, narrow)
    for row in range(start, stop):
        own, own_too = load(values, here + begin, wide), load(values, here + other, narrow)
        level = weight * at(surplus, row)
        total, total_too = level * own, level * own_too
        for place in range(at(pointers, row), at(pointers, row + 1)):
            there = np.int64(at(neighbours, place)) * types
            entry = weight * at(entries, place)
            total = total + entry * (load(values, there + begin, wide) - own)
            total_too = total_too + entry * (load(values, there + other, narrow) - own_too)
        # Two sums at a time: one alone waits for itself.
        first = at(values, here)
        also, also_too = first * load(gram, begin, wide), first * load(gram, other, narrow)
        for k in range(1, types - 1, 2):
            first, second = at(values, here + k), at(values, here + k + 1)
            line = k * types
            total = total + first * load(gram, line + begin, wide)
            total_too = total_too + first * load(gram, line + other, narrow)
            line += types
            also = also + second * load(gram, line + begin, wide)
            also_too = also_too + second * load(gram, line + other, narrow)
        if types % 2 == 0:
            first, line = at(values, here + types - 1), (types - 1) * types
            total = total + first * load(gram, line + begin, wide)
            total_too = total_too + first * load(gram, line + other, narrow)
        total = (total + also) * cast(load(free, here + begin, wide), weight)
        total_too = (total_too + also_too) * cast(load(free, here + other, narrow), weight)
        dot = dot + total * own
        dot_too = dot_too + total_too * own_too
        store(out, here + begin, total)
        store(out, here + other, total_too)
        here += types
    store(sums, begin, dot)
    store(sums, other, dot_too)


_over_free_types = over_types(_free_rows)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def masked_product(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, weight, gram, free, values, out, partial, first, last
):
    """Write ``(values A + weight Q values) * free`` into `out` and sum its product with `values`.

    `values` must be zero where `free` is.
    """
    rows, types = values.shape
    sums = np.empty(types, out.dtype)
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)
        sums[:] = 0
        _over_free_types(
            types, out.dtype.type(0),
            (pointers, neighbours, entries, surplus, weight, gram, free, values, out, sums,
             start, stop),
        )  # fmt: skip
        partial[block, 0] = sums.sum()


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def gradient(  # type: ignore[no-untyped-def]
    pointers,
    neighbours,
    entries,
    surplus,
    weight,
    gram,
    linear,
    values,
    before,
    gradient_before,
    bounded,
    out,
    free,
    partial,
    first,
    last,
):
    """Gradient, free set, residual, objective and change since `before`, in one pass.

    Computed in float64 from values of either precision; `out` and `free` are float32. The free
    set is ``values > 0`` or ``gradient < 0``; what is left has a zero projected gradient. The
    sums of a block are: squared projected gradient, <values, gradient>, <values, linear>,
    <gradient before, step>, <gradient, step> with step = values - before, number of free
    entries.
    """
    rows, types = values.shape
    fresh = np.empty((BLOCK_ROWS, types))
    wide = np.empty((BLOCK_ROWS, types))
    every_fresh, every_wide = fresh.reshape(-1), wide.reshape(-1)
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        size = (stop - start) * types
        value = values[start:stop].reshape(-1)
        for i in range(size):
            every_wide[i] = value[i]
        np.dot(wide[: stop - start], gram, fresh[: stop - start])
        add_sparse_rows(pointers, neighbours, entries, surplus, weight, values, fresh, start, stop)
        target, earlier = linear[start:stop].reshape(-1), before[start:stop].reshape(-1)
        slope, new = gradient_before[start:stop].reshape(-1), out[start:stop].reshape(-1)
        kept = free[start:stop].reshape(-1)
        residual = 0.0
        energy = 0.0
        fitted = 0.0
        slope_before = 0.0
        slope_after = 0.0
        count = 0.0
        for i in range(size):
            own = every_wide[i]
            g = every_fresh[i] - target[i]
            is_free = 0.0 if bounded and own <= 0 and g >= 0 else 1.0
            step = own - np.float64(earlier[i])
            projected = g * is_free
            residual += projected * projected
            energy += own * g
            fitted += own * target[i]
            slope_before += step * np.float64(slope[i])
            slope_after += step * g
            count += is_free
            kept[i] = is_free
            new[i] = g
        partial[block, 0] = residual
        partial[block, 1] = energy
        partial[block, 2] = fitted
        partial[block, 3] = slope_before
        partial[block, 4] = slope_after
        partial[block, 5] = count


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def projected_step(values, step, length, bounded, out, partial, first, last):  # type: ignore[no-untyped-def]
    """Write ``max(values + length * step, 0)``; count what was clipped."""
    rows = values.shape[0]
    zero = values.dtype.type(0)
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)
        from_here, along = values[start:stop].reshape(-1), step[start:stop].reshape(-1)
        reached = out[start:stop].reshape(-1)
        clipped = 0
        for i in range(reached.size):
            value = from_here[i] + length * along[i]
            beyond = bounded and value < 0
            clipped += beyond
            reached[i] = zero if beyond else value
        partial[block, 0] = clipped
