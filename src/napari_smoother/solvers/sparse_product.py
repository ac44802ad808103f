"""The operator D -> D A + weight Q D on blocks of rows, and the gradient of the objective.

The small dense product goes through BLAS on 128 rows at a time, while they are in cache, and
the sparse product is added to the same rows before they leave it.
"""

from __future__ import annotations

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import BLOCK_ROWS

FAST = {"reassoc", "contract", "arcp", "nsz"}
"""Fast arithmetic that keeps NaN and infinity; the order of sums is fixed by compilation."""


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def add_sparse_rows(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, weight, values, out, start, stop
):
    """Add ``weight * Q @ values`` to `out`, for the rows from `start` to `stop`.

    `out` holds these rows only: its row 0 is row `start`. Q is applied to differences between
    neighbours and, by the sums of its rows in `surplus`, to the values themselves, so that a
    stiff prior on nearly constant values leaves little rounding.
    """
    types = values.shape[1]
    for row in range(start, stop):
        for place in range(pointers[row], pointers[row + 1]):
            neighbour = neighbours[place]
            if neighbour == row:
                continue
            entry = weight * entries[place]
            for k in range(types):
                out[row - start, k] += entry * (values[neighbour, k] - values[row, k])
        level = weight * surplus[row]
        for k in range(types):
            out[row - start, k] += level * values[row, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def masked_product(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, weight, gram, free, values, out, partial, first, last
):
    """Write ``(values A + weight Q values) * free`` into `out` and sum its product with `values`.

    All float32. `values` must be zero where `free` is.
    """
    rows, types = values.shape
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        here = out[start:stop]
        np.dot(values[start:stop], gram, here)
        add_sparse_rows(pointers, neighbours, entries, surplus, weight, values, here, start, stop)
        total = 0.0
        for row in range(start, stop):
            dot = np.float32(0)
            for k in range(types):
                product = out[row, k] * free[row, k]
                out[row, k] = product
                dot += product * values[row, k]
            total += np.float64(dot)
        partial[block, 0] = total


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

    Computed in float64 from values of either precision; `out` and `free` are float32. Q is applied
    to differences between neighbours, so that stiff priors on nearly constant values leave little
    rounding; `surplus` holds the sums of its rows. The free
    set is ``values > 0`` or ``gradient < 0``; what is left has a zero projected gradient. The
    sums of a block are: squared projected gradient, <values, gradient>, <values, linear>,
    <gradient before, step>, <gradient, step> with step = values - before, number of free
    entries.
    """
    rows, types = values.shape
    fresh = np.empty((BLOCK_ROWS, types))
    wide = np.empty((BLOCK_ROWS, types))
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        size = stop - start
        for row in range(size):
            for k in range(types):
                wide[row, k] = values[start + row, k]
        np.dot(wide[:size], gram, fresh[:size])
        for row in range(start, stop):
            here = fresh[row - start]
            own = wide[row - start]
            for place in range(pointers[row], pointers[row + 1]):
                neighbour = neighbours[place]
                if neighbour == row:
                    continue
                entry = weight * entries[place]
                for k in range(types):
                    here[k] += entry * (np.float64(values[neighbour, k]) - own[k])
            level = weight * surplus[row]
            for k in range(types):
                here[k] += level * own[k]
        residual = 0.0
        energy = 0.0
        fitted = 0.0
        slope_before = 0.0
        slope_after = 0.0
        count = 0
        for row in range(start, stop):
            for k in range(types):
                target = linear[row, k]
                value = wide[row - start, k]
                g = fresh[row - start, k] - target
                is_free = np.float32(1)
                if bounded and value <= 0 and g >= 0:
                    is_free = np.float32(0)
                step = value - np.float64(before[row, k])
                projected = g * is_free
                residual += projected * projected
                energy += value * g
                fitted += value * target
                slope_before += step * np.float64(gradient_before[row, k])
                slope_after += step * g
                if is_free > 0:
                    count += 1
                free[row, k] = is_free
                out[row, k] = np.float32(g)
        partial[block, 0] = residual
        partial[block, 1] = energy
        partial[block, 2] = fitted
        partial[block, 3] = slope_before
        partial[block, 4] = slope_after
        partial[block, 5] = count


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def projected_step(values, step, length, bounded, out, partial, first, last):  # type: ignore[no-untyped-def]
    """Write ``max(values + length * step, 0)``; count what was clipped."""
    rows, types = values.shape
    for block in range(first, last):
        clipped = 0
        for row in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
            for k in range(types):
                value = values[row, k] + length * step[row, k]
                if bounded and value < 0:
                    value = values[row, k] * 0
                    clipped += 1
                out[row, k] = value
        partial[block, 0] = clipped
