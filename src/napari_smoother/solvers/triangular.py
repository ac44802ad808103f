"""Both triangular solves with a sparse factor L D L', many right-hand sides at once.

Right-hand sides lie side by side, so that every entry of L meets a contiguous row of them.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def solve_columns(pointers, rows, entries, pivots, values):  # type: ignore[no-untyped-def]
    """Overwrite `values` (n x columns) by ``(L D L')^-1 values``.

    L is stored by columns, with or without the ones on its diagonal, rows in any order.
    """
    n, columns = values.shape
    for column in range(n):
        for place in range(pointers[column], pointers[column + 1]):
            row = rows[place]
            if row != column:
                entry = entries[place]
                for k in range(columns):
                    values[row, k] -= entry * values[column, k]
    for step in range(n):
        column = n - 1 - step
        inverse = 1 / pivots[column]
        for k in range(columns):
            values[column, k] *= inverse
        for place in range(pointers[column], pointers[column + 1]):
            row = rows[place]
            if row != column:
                entry = entries[place]
                for k in range(columns):
                    values[column, k] -= entry * values[row, k]


@njit(nogil=True, cache=True, error_model="numpy")
def solve_some(order, pointers, rows, entries, pivots, right, out, begin, end):  # type: ignore[no-untyped-def]
    """Write ``A^-1 right`` into `out` for the columns from `begin`, with A in `order` L D L'."""
    n = order.size
    work = np.empty((n, end - begin))
    for row in range(n):
        for k in range(begin, end):
            work[row, k - begin] = right[order[row], k]
    solve_columns(pointers, rows, entries, pivots, work)
    for row in range(n):
        for k in range(begin, end):
            out[order[row], k] = work[row, k - begin]
