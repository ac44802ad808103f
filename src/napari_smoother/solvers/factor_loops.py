"""Compiled loops on sparse factors: elimination tree, L D L', and the inverse on its pattern.

The last two work on one shift or on four side by side, as `shifts` has numbers: a tuple, whose
length the compiler knows.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FUSED = {"contract"}
"""Multiply and add at once, where the processor can; nothing else is relaxed."""

PIVOT = 1e-13
"""Smallest share of its diagonal entry that rounding alone cannot leave as a pivot."""


@njit(nogil=True, cache=True)
def upper_triangle(pointers, neighbours, entries, order):  # type: ignore[no-untyped-def]
    """Columns of the upper triangle, with the diagonal, of a symmetric matrix in another order."""
    n = order.size
    place = np.empty(n, np.int32)
    for column in range(n):
        place[order[column]] = column
    starts = np.zeros(n + 1, np.int32)
    rows = np.empty(neighbours.size, np.int32)
    values = np.empty(neighbours.size, np.float64)
    end = 0
    for column in range(n):
        spot = order[column]
        for visit in range(pointers[spot], pointers[spot + 1]):
            row = place[neighbours[visit]]
            if row <= column:
                rows[end] = row
                values[end] = entries[visit]
                end += 1
        starts[column + 1] = end
    return starts, rows[:end].copy(), values[:end].copy()


@njit(nogil=True, cache=True)
def elimination_tree(upper_pointers, upper_rows):  # type: ignore[no-untyped-def]
    """Parent of every column, and number of entries below its diagonal."""
    n = upper_pointers.size - 1
    parent = np.full(n, -1, np.int32)
    seen = np.full(n, -1, np.int32)
    sizes = np.zeros(n, np.int64)
    for row in range(n):
        seen[row] = row
        for place in range(upper_pointers[row], upper_pointers[row + 1]):
            node = upper_rows[place]
            while seen[node] != row:
                if parent[node] < 0:
                    parent[node] = row
                sizes[node] += 1
                seen[node] = row
                node = parent[node]
    return parent, sizes


@njit(nogil=True, cache=True)
def fill_rows(upper_pointers, upper_rows, parent, pointers, rows):  # type: ignore[no-untyped-def]
    """Rows of every column of L: a row lies in all columns on its paths up the tree."""
    n = parent.size
    seen = np.full(n, -1, np.int32)
    end = pointers[:-1].copy()
    for row in range(n):
        seen[row] = row
        for place in range(upper_pointers[row], upper_pointers[row + 1]):
            node = upper_rows[place]
            while seen[node] != row:
                rows[end[node]] = row
                end[node] += 1
                seen[node] = row
                node = parent[node]


@njit(nogil=True, cache=True, fastmath=FUSED)
def _subtract(lower, rows, first, end, entry, value, lanes):  # type: ignore[no-untyped-def]
    """Take a multiple of a column of L from `value`."""
    if lanes == 1:
        single = entry[0]
        for e in range(first, end):
            value[rows[e], 0] -= lower[e, 0] * single
        return
    # Written out, so that numbers stay in registers and lanes become one instruction.
    e0, e1, e2, e3 = entry[0], entry[1], entry[2], entry[3]
    for e in range(first, end):
        i = rows[e]
        value[i, 0] -= lower[e, 0] * e0
        value[i, 1] -= lower[e, 1] * e1
        value[i, 2] -= lower[e, 2] * e2
        value[i, 3] -= lower[e, 3] * e3


@njit(nogil=True, cache=True, fastmath=FUSED)
def _gather(inverse, rows, first, end, mine, weight, total, own, lanes):  # type: ignore[no-untyped-def]
    """Add a column of the inverse, times an entry of L, to `total`; its dot with L to `own`."""
    if lanes == 1:
        single, dot = mine[0], own[0]
        for f in range(first, end):
            entry = inverse[f, 0]
            total[rows[f], 0] += single * entry
            dot += weight[rows[f], 0] * entry
        own[0] = dot
        return
    m0, m1, m2, m3 = mine[0], mine[1], mine[2], mine[3]
    o0, o1, o2, o3 = own[0], own[1], own[2], own[3]
    for f in range(first, end):
        i = rows[f]
        z0, z1, z2, z3 = inverse[f, 0], inverse[f, 1], inverse[f, 2], inverse[f, 3]
        t0 = total[i, 0] + m0 * z0
        t1 = total[i, 1] + m1 * z1
        t2 = total[i, 2] + m2 * z2
        t3 = total[i, 3] + m3 * z3
        o0 += weight[i, 0] * z0
        o1 += weight[i, 1] * z1
        o2 += weight[i, 2] * z2
        o3 += weight[i, 3] * z3
        total[i, 0] = t0
        total[i, 1] = t1
        total[i, 2] = t2
        total[i, 3] = t3
    own[0], own[1], own[2], own[3] = o0, o1, o2, o3


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED)
def factorise(  # type: ignore[no-untyped-def]
    upper_pointers, upper_rows, upper_entries, shifts, factor, parent, pointers, rows, lower,
    pivots, stop,
):  # fmt: skip
    """L and D of ``shift I + factor Q``; False where a pivot is not safely positive."""
    lanes = len(shifts)
    n = parent.size
    seen = np.full(n, -1, np.int32)
    path = np.empty(n, np.int32)
    stack = np.empty(n, np.int32)
    value = np.zeros((n, lanes))
    entry = np.zeros(lanes)
    own = np.zeros(lanes)
    end = pointers[:-1].copy()
    for row in range(n):
        if stop[0]:
            return True
        top = n
        seen[row] = row
        for lane in range(lanes):
            value[row, lane] = shifts[lane]
        for place in range(upper_pointers[row], upper_pointers[row + 1]):
            node = upper_rows[place]
            for lane in range(lanes):
                value[node, lane] += factor * upper_entries[place]
            length = 0
            while seen[node] != row:
                path[length] = node
                length += 1
                seen[node] = row
                node = parent[node]
            while length > 0:
                length -= 1
                top -= 1
                stack[top] = path[length]
        for lane in range(lanes):
            own[lane] = value[row, lane]
            pivots[row, lane] = value[row, lane]
            value[row, lane] = 0.0
        for visit in range(top, n):
            node = stack[visit]
            for lane in range(lanes):
                entry[lane] = value[node, lane]
                value[node, lane] = 0.0
            _subtract(lower, rows, pointers[node], end[node], entry, value, lanes)
            last = end[node]
            for lane in range(lanes):
                scaled = entry[lane] / pivots[node, lane]
                pivots[row, lane] -= scaled * entry[lane]
                lower[last, lane] = scaled
            end[node] += 1
        for lane in range(lanes):
            if not pivots[row, lane] > PIVOT * own[lane]:
                return False
    return True


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED)
def invert(pointers, rows, lower, pivots, shifts, diagonal, stop):  # type: ignore[no-untyped-def]
    """Diagonal of (L D L')^-1 by the recursion of Takahashi, from the last column backwards."""
    lanes = len(shifts)
    n = pivots.shape[0]
    inverse = np.empty((rows.size, lanes))
    weight = np.zeros((n, lanes))  # the column of L at hand, zero outside its pattern
    total = np.zeros((n, lanes))
    own = np.zeros(lanes)
    mine = np.zeros(lanes)
    for step in range(n):
        if stop[0]:
            return
        j = n - 1 - step
        first, end = pointers[j], pointers[j + 1]
        for e in range(first, end):
            k = rows[e]
            for lane in range(lanes):
                weight[k, lane] = lower[e, lane]
                total[k, lane] = 0.0
        for e in range(first, end):
            k = rows[e]
            for lane in range(lanes):
                mine[lane] = lower[e, lane]
                own[lane] = diagonal[k, lane] * mine[lane]
            _gather(inverse, rows, pointers[k], pointers[k + 1], mine, weight, total, own, lanes)
            for lane in range(lanes):
                total[k, lane] += own[lane]
        for lane in range(lanes):
            own[lane] = 1.0 / pivots[j, lane]
        for e in range(first, end):
            k = rows[e]
            for lane in range(lanes):
                inverse[e, lane] = -total[k, lane]
                own[lane] += lower[e, lane] * total[k, lane]
                weight[k, lane] = 0.0
        for lane in range(lanes):
            diagonal[j, lane] = own[lane]
