"""Both triangular solves with a sparse factor L D L', many right-hand sides at once.

Right-hand sides lie side by side, so that every entry of L meets a contiguous row of them.
"""

from __future__ import annotations

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
