"""A multigrid cycle on the free entries only, as a preconditioner.

Truncated multigrid (Graeser and Kornhuber 2009, J. Comput. Math. 27), for several types at once.
Interpolation from an aggregate to a spot is 1 where the spot's entry is free and 0 where it is
held, a type at a time. The coarse operator is then exact and small: the prior keeps one value an
edge and type, and the data keep, for each aggregate, A times the number of its spots that are
free in both types. The smoother is damped block Jacobi with the Cholesky factor of each spot or
aggregate; the coarsest level is factored as a dense matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
from scipy.linalg import cho_factor, cho_solve

from napari_smoother.solvers.free_blocks import LANES, FreeBlocks, GroupedFactors, factor_group
from napari_smoother.solvers.free_blocks import solve_rows as solve_block_rows
from napari_smoother.solvers.row_blocks import BLOCK_ROWS, block_count, share_out, sums_over_rows
from napari_smoother.solvers.sparse_product import FAST, add_sparse_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.solvers.aggregates import Coarsening
    from napari_smoother.solvers.conjugate_gradients import Operator

DAMPING = 0.7
"""Of the block Jacobi steps."""

DENSE_UNKNOWNS = 640
"""The coarsest level is factored as one matrix up to this size, else only smoothed."""


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _collect_spots(  # type: ignore[no-untyped-def]
    cuts, members, aggregate, target, pointers, neighbours, entries, free, own, edges, shared,
    first, last,
):  # fmt: skip
    types = free.shape[1]
    for group in range(first, last):
        for visit in range(cuts[group], cuts[group + 1]):
            spot = members[visit]
            for place in range(pointers[spot], pointers[spot + 1]):
                neighbour = neighbours[place]
                entry = entries[place]
                goal = target[place]
                if goal >= 0:
                    for k in range(types):
                        edges[goal, k] += entry * free[spot, k] * free[neighbour, k]
                elif aggregate[neighbour] == group:
                    for k in range(types):
                        own[group, k] += entry * free[spot, k] * free[neighbour, k]
            for k in range(types):
                if free[spot, k] > 0:
                    for other in range(types):
                        shared[group, k, other] += free[spot, other]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _collect_nodes(  # type: ignore[no-untyped-def]
    cuts, members, target, pointers, fine_own, fine_edges, fine_shared, own, edges, shared,
    first, last,
):  # fmt: skip
    types = own.shape[1]
    for group in range(first, last):
        for visit in range(cuts[group], cuts[group + 1]):
            node = members[visit]
            for k in range(types):
                own[group, k] += fine_own[node, k]
                for other in range(types):
                    shared[group, k, other] += fine_shared[node, k, other]
            for place in range(pointers[node], pointers[node + 1]):
                goal = target[place]
                if goal >= 0:
                    for k in range(types):
                        edges[goal, k] += fine_edges[place, k]
                else:
                    for k in range(types):
                        own[group, k] += fine_edges[place, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _factor_nodes(  # type: ignore[no-untyped-def]
    gram, weight, ridge, own, shared, free, blocks, members, counts, places, factors, first, last
):
    """Form ``gram * shared + weight * own`` of each node and factor it."""
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
                blocks[node, k, k] += weight * own[node, k]
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
                    factors[place, lane] += ridge
                else:
                    factors[place, lane] = one
            for lane in range(size, LANES):
                factors[place, lane] = one
        factor_group(count, base, ridge, factors)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _spot_residual(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, weight, gram, free, values, right, out, first, last
):
    rows, types = values.shape
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        here = out[start:stop]
        np.dot(values[start:stop], gram, here)
        add_sparse_rows(pointers, neighbours, entries, weight, values, here, start, stop)
        for row in range(start, stop):
            for k in range(types):
                out[row, k] = right[row, k] - out[row, k] * free[row, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _node_residual(  # type: ignore[no-untyped-def]
    pointers, neighbours, edges, weight, blocks, values, right, out, first, last
):
    nodes, types = values.shape
    for block in range(first, last):
        for node in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, nodes)):
            for k in range(types):
                out[node, k] = right[node, k]
            for place in range(pointers[node], pointers[node + 1]):
                neighbour = neighbours[place]
                for k in range(types):
                    out[node, k] -= weight * edges[place, k] * values[neighbour, k]
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
def _interpolate(aggregate, free, coarse, fine, first, last):  # type: ignore[no-untyped-def]
    nodes, types = fine.shape
    for block in range(first, last):
        for node in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, nodes)):
            group = aggregate[node]
            if group >= 0:
                for k in range(types):
                    fine[node, k] += free[node, k] * coarse[group, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _smooth(  # type: ignore[no-untyped-def]
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
def _two_dots(right, out, partial, first, last):  # type: ignore[no-untyped-def]
    rows, types = right.shape
    for block in range(first, last):
        total = 0.0
        squares = 0.0
        for row in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
            for k in range(types):
                total += np.float64(right[row, k]) * np.float64(out[row, k])
                squares += np.float64(right[row, k]) * np.float64(right[row, k])
        partial[block, 0] = total
        partial[block, 1] = squares


def _damping(pointers: NDArray[np.int32]) -> NDArray[np.float32]:
    alone = np.diff(pointers) == 0
    return np.where(alone, 1.0, DAMPING).astype(np.float32)


class _Level:
    """One level below the spots: aggregates, their blocks and what couples them."""

    def __init__(self, step: Coarsening, types: int) -> None:
        nodes = step.nodes
        self.step = step
        self.own = np.zeros((nodes, types), np.float32)
        self.edges = np.zeros((step.neighbours.size, types), np.float32)
        self.shared = np.zeros((nodes, types, types), np.float32)
        self.blocks = np.empty_like(self.shared)
        self.right, self.values, self.left, self.kept, self.total = (
            np.empty((nodes, types), np.float32) for _ in range(5)
        )
        self.damping = _damping(step.pointers)
        self.work = nodes * types

    def factor(self, gram: NDArray[np.float32], weight: float, ridge: float) -> None:
        """Form and factor the blocks once the values are collected."""
        types = gram.shape[0]
        counted = self.shared.reshape(-1, types * types)[:, :: types + 1]
        self.free = np.ascontiguousarray(counted > 0).astype(np.float32)
        self.factors = GroupedFactors(self.free)
        share_out(
            _factor_nodes,
            self.factors.groups,
            self.work * types,
            (
                gram,
                np.float32(weight),
                np.float32(ridge),
                self.own,
                self.shared,
                self.free,
                self.blocks,
                *self.factors.arguments,
            ),
        )

    def smooth(self, right: NDArray[np.float32], out: NDArray[np.float32], again: bool) -> None:
        """One damped block Jacobi step."""
        share_out(
            _smooth,
            block_count(self.own.shape[0]),
            self.work,
            (*self.factors.arguments, self.damping, again, right, out),
        )

    def residual(
        self, weight: float, right: NDArray[np.float32], out: NDArray[np.float32]
    ) -> None:
        """Write ``right - H values`` into `out`."""
        step = self.step
        share_out(
            _node_residual,
            block_count(self.own.shape[0]),
            self.work,
            (
                step.pointers,
                step.neighbours,
                self.edges,
                np.float32(weight),
                self.blocks,
                self.values,
                right,
                out,
            ),
        )


class TruncatedMultigrid:
    """Multigrid cycle on the free entries, a preconditioner (float32).

    Parameters
    ----------
    operator
        The quadratic form on the free entries.
    shift
        ``weight * q_ii``, shape (spots,), float32.
    ridge
        Added to the diagonal of every block before it is factored.
    steps
        Coarsening of the graph of Q, from `aggregates.coarsen`.
    """

    def __init__(
        self,
        operator: Operator,
        shift: NDArray[np.float32],
        ridge: float,
        steps: tuple[Coarsening, ...],
    ) -> None:
        self.operator = operator
        free = operator.free
        rows, types = free.shape
        self.blocks = FreeBlocks(operator.gram, shift, ridge, free)
        self.damping = _damping(operator.pointers)
        if steps:
            self.damping[steps[0].aggregate < 0] = 1.0
        self.left = np.empty((rows, types), np.float32)
        self.levels: list[_Level] = []
        for step in steps:
            level = _Level(step, types)
            if not self.levels:
                share_out(
                    _collect_spots,
                    step.nodes,
                    free.size * 4,
                    (
                        step.cuts,
                        step.members,
                        step.aggregate,
                        step.target,
                        operator.pointers,
                        operator.neighbours,
                        operator.entries,
                        free,
                        level.own,
                        level.edges,
                        level.shared,
                    ),
                )
            else:
                finer = self.levels[-1]
                share_out(
                    _collect_nodes,
                    step.nodes,
                    finer.work * types,
                    (
                        step.cuts,
                        step.members,
                        step.target,
                        finer.step.pointers,
                        finer.own,
                        finer.edges,
                        finer.shared,
                        level.own,
                        level.edges,
                        level.shared,
                    ),
                )
            level.factor(operator.gram, operator.weight, ridge)
            self.levels.append(level)
        self.dense = (
            self._dense() if self.levels and self.levels[-1].work <= DENSE_UNKNOWNS else None
        )

    def _dense(self) -> tuple[NDArray[np.intp], tuple[NDArray[np.float64], bool]]:
        level = self.levels[-1]
        nodes, types = level.own.shape
        matrix = np.zeros((nodes, types, nodes, types))
        for node in range(nodes):
            matrix[node, :, node, :] = level.blocks[node]
            for place in range(level.step.pointers[node], level.step.pointers[node + 1]):
                neighbour = level.step.neighbours[place]
                for k in range(types):
                    matrix[node, k, neighbour, k] += self.operator.weight * level.edges[place, k]
        kept = np.flatnonzero(level.free.ravel() > 0)
        square = matrix.reshape(nodes * types, -1)[np.ix_(kept, kept)]
        size = np.abs(np.diagonal(square)).max(initial=1e-30)
        square[np.diag_indices_from(square)] += 1e-6 * size
        return kept, cho_factor(square, lower=True, check_finite=False)

    def _solve_level(self, depth: int) -> None:
        """Improve ``H values = right`` on a level, from nothing."""
        level = self.levels[depth]
        if depth + 1 == len(self.levels):
            if self.dense is not None:
                kept, factor = self.dense
                level.values[...] = 0
                flat = level.values.reshape(-1)
                flat[kept] = cho_solve(
                    factor, level.right.reshape(-1)[kept].astype(np.float64), check_finite=False
                )
            else:
                level.smooth(level.right, level.values, False)
            return
        weight = self.operator.weight
        level.smooth(level.right, level.values, False)
        level.residual(weight, level.right, level.left)
        self._coarse_correction(depth + 1, level.left, level.values, level.free)
        level.residual(weight, level.right, level.left)
        level.smooth(level.left, level.values, True)

    def _coarse_correction(
        self,
        depth: int,
        left: NDArray[np.float32],
        values: NDArray[np.float32],
        free: NDArray[np.float32],
    ) -> None:
        coarse = self.levels[depth]
        step = coarse.step
        share_out(restrict, step.nodes, left.size, (step.cuts, step.members, left, coarse.right))
        self._solve_level(depth)
        if depth == 0 and len(self.levels) > 1:
            # One second visit: measured, further ones deeper down save no steps.
            coarse.kept[...] = coarse.right
            coarse.total[...] = coarse.values
            coarse.residual(self.operator.weight, coarse.kept, coarse.right)
            self._solve_level(depth)
            coarse.values += coarse.total
        share_out(
            _interpolate,
            block_count(values.shape[0]),
            values.size,
            (step.aggregate, free, coarse.values, values),
        )

    def _smooth(self, right: NDArray[np.float32], out: NDArray[np.float32], again: bool) -> None:
        share_out(
            _smooth,
            block_count(right.shape[0]),
            right.size,
            (*self.blocks.arguments, self.damping, again, right, out),
        )

    def _residual(self, right: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        operator = self.operator
        share_out(
            _spot_residual,
            block_count(right.shape[0]),
            right.size,
            (
                operator.pointers,
                operator.neighbours,
                operator.entries,
                np.float32(operator.weight),
                operator.gram,
                operator.free,
                values,
                right,
                self.left,
            ),
        )

    def apply(self, right: NDArray[np.float32], out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""
        self._smooth(right, out, False)
        if self.levels:
            self._residual(right, out)
            self._coarse_correction(0, self.left, out, self.operator.free)
            self._residual(right, out)
            self._smooth(self.left, out, True)
        sums = sums_over_rows(_two_dots, right.shape, 2, (right, out))
        return float(sums[0]), float(sums[1])
