"""Compiled passes of truncated multigrid: collecting coarse values, residuals, smoothing."""

from __future__ import annotations

import numba
import numpy as np

from napari_smoother.solvers.dots import two_dots_of
from napari_smoother.solvers.free_blocks import LANES, factor_group
from napari_smoother.solvers.free_blocks import solve_rows as solve_block_rows
from napari_smoother.solvers.row_blocks import BLOCK_ROWS
from napari_smoother.solvers.sparse_product import FAST, add_sparse_rows

DAMPING = 0.7
"""Of the block Jacobi steps."""


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def collect_spots(  # type: ignore[no-untyped-def]
    cuts, members, aggregate, target, pointers, neighbours, entries, row_sums, free,
    surplus, own, edges, shared, first, last,
):  # fmt: skip
    """Fill the first coarse level: prior by edge and type, spots free in each two types.

    What an aggregate keeps of the prior is gathered from the sums of rows and from what leaves
    it, not from its diagonal less its inner edges: nothing cancels.
    """
    types = free.shape[1]
    for group in range(first, last):
        for visit in range(cuts[group], cuts[group + 1]):
            spot = members[visit]
            for k in range(types):
                surplus[group, k] += row_sums[spot] * free[spot, k]
            for place in range(pointers[spot], pointers[spot + 1]):
                neighbour = neighbours[place]
                if neighbour == spot:
                    continue
                entry = entries[place]
                goal = target[place]
                outside = aggregate[neighbour] < 0
                for k in range(types):
                    both = entry * free[spot, k] * free[neighbour, k]
                    surplus[group, k] -= entry * free[spot, k] - both
                    if goal >= 0:
                        edges[goal, k] += both
                        own[group, k] -= both
                    elif outside:
                        surplus[group, k] -= both
            for k in range(types):
                if free[spot, k] > 0:
                    for other in range(types):
                        shared[group, k, other] += free[spot, other]
        for k in range(types):
            own[group, k] += surplus[group, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def collect_nodes(  # type: ignore[no-untyped-def]
    cuts, members, aggregate, target, pointers, fine_surplus, fine_edges, fine_shared,
    neighbours, surplus, own, edges, shared, first, last,
):  # fmt: skip
    """Fill a coarse level from the one below it."""
    types = own.shape[1]
    for group in range(first, last):
        for visit in range(cuts[group], cuts[group + 1]):
            node = members[visit]
            for k in range(types):
                surplus[group, k] += fine_surplus[node, k]
                for other in range(types):
                    shared[group, k, other] += fine_shared[node, k, other]
            for place in range(pointers[node], pointers[node + 1]):
                goal = target[place]
                if goal >= 0:
                    for k in range(types):
                        edges[goal, k] += fine_edges[place, k]
                        own[group, k] -= fine_edges[place, k]
                elif aggregate[neighbours[place]] < 0:
                    for k in range(types):
                        surplus[group, k] -= fine_edges[place, k]
        for k in range(types):
            own[group, k] += surplus[group, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def factor_nodes(  # type: ignore[no-untyped-def]
    gram, weight, ridge, own, shared, free, blocks, members, counts, places, factors, first, last
):
    """Form ``gram * shared`` of each node, add ``weight * own`` and factor it."""
    nodes, types = own.shape
    one = np.float32(1)
    for group in range(first, last):
        base = places[group]
        count = counts[group]
        start = group * LANES
        size = min(LANES, nodes - start)
        for node in range(start, start + size):
            for k in range(types):
                for other in range(types):
                    blocks[node, k, other] = gram[k, other] * shared[node, k, other]
        for a in range(count):
            ka = members[group, a]
            for b in range(a + 1):
                kb = members[group, b]
                place = base + a * (a + 1) // 2 + b
                for lane in range(size):
                    factors[place, lane] = blocks[start + lane, ka, kb]
                for lane in range(size, LANES):
                    factors[place, lane] = 0
            place = base + a * (a + 1) // 2 + a
            for lane in range(size):
                if free[start + lane, ka] > 0:
                    factors[place, lane] += weight * own[start + lane, ka] + ridge
                else:
                    factors[place, lane] = one
            for lane in range(size, LANES):
                factors[place, lane] = one
        factor_group(count, base, ridge, factors)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def spot_residual(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, weight, gram, free, values, right, out, first, last
):
    """Write ``right - (values A + weight Q values) * free`` into `out`."""
    rows, types = values.shape
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        here = out[start:stop]
        np.dot(values[start:stop], gram, here)
        add_sparse_rows(pointers, neighbours, entries, surplus, weight, values, here, start, stop)
        for row in range(start, stop):
            for k in range(types):
                out[row, k] = right[row, k] - out[row, k] * free[row, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def node_residual(  # type: ignore[no-untyped-def]
    pointers, neighbours, edges, surplus, weight, blocks, values, right, out, first, last
):
    """Write ``right - H values`` of a coarse level into `out`."""
    nodes, types = values.shape
    for block in range(first, last):
        for node in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, nodes)):
            for k in range(types):
                out[node, k] = right[node, k] - weight * surplus[node, k] * values[node, k]
            for place in range(pointers[node], pointers[node + 1]):
                neighbour = neighbours[place]
                for k in range(types):
                    change = values[neighbour, k] - values[node, k]
                    out[node, k] -= weight * edges[place, k] * change
            for other in range(types):
                value = values[node, other]
                if value != 0:
                    for k in range(types):
                        out[node, k] -= blocks[node, other, k] * value


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def restrict(cuts, members, fine, coarse, first, last):  # type: ignore[no-untyped-def]
    """Sum the rows of `fine` over the members of each aggregate."""
    types = fine.shape[1]
    for group in range(first, last):
        for k in range(types):
            coarse[group, k] = 0
        for visit in range(cuts[group], cuts[group + 1]):
            node = members[visit]
            for k in range(types):
                coarse[group, k] += fine[node, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def interpolate(aggregate, free, coarse, fine, first, last):  # type: ignore[no-untyped-def]
    """Add the correction of each aggregate to the entries of its members that are free."""
    nodes, types = fine.shape
    for block in range(first, last):
        for node in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, nodes)):
            group = aggregate[node]
            if group >= 0:
                for k in range(types):
                    fine[node, k] += free[node, k] * coarse[group, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def smooth(  # type: ignore[no-untyped-def]
    members, counts, places, factors, damping, again, right, out, first, last
):
    """Write ``damping * block^-1 right`` into `out`, or add it where `again`."""
    rows, types = right.shape
    work = np.empty((types, LANES), np.float32)
    solved = np.empty((BLOCK_ROWS, types), np.float32)
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        solve_block_rows(
            members[start // LANES :],
            counts[start // LANES :],
            places[start // LANES :],
            factors,
            right[start:stop],
            solved[: stop - start],
            work,
            0,
            stop - start,
        )
        for row in range(start, stop):
            for k in range(types):
                value = damping[row] * solved[row - start, k]
                if again:
                    out[row, k] += value
                else:
                    out[row, k] = value


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def two_dots(right, out, partial, first, last):  # type: ignore[no-untyped-def]
    """Sum <right, out> and <right, right>."""
    rows = right.shape[0]
    for block in range(first, last):
        run = slice(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows))
        partial[block, 0], partial[block, 1] = two_dots_of(right[run], out[run])
