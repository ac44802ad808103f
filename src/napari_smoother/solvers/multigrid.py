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

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from napari_smoother.solvers.free_blocks import FreeBlocks, GroupedFactors
from napari_smoother.solvers.multigrid_passes import (
    DAMPING,
    collect_nodes,
    collect_spots,
    factor_nodes,
    interpolate,
    node_residual,
    restrict,
    smooth,
    spot_residual,
    two_dots,
)
from napari_smoother.solvers.row_blocks import block_count, share_out, sums_over_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.solvers.aggregates import Coarsening
    from napari_smoother.solvers.conjugate_gradients import Operator

DENSE_UNKNOWNS = 640
"""The coarsest level is factored as one matrix up to this size, else only smoothed."""


def _damping(pointers: NDArray[np.int32]) -> NDArray[np.float32]:
    alone = np.diff(pointers) == 0
    return np.where(alone, 1.0, DAMPING).astype(np.float32)


class _Level:
    """One level below the spots: aggregates, their blocks and what couples them."""

    def __init__(self, step: Coarsening, types: int) -> None:
        nodes = step.nodes
        self.step = step
        self.surplus = np.zeros((nodes, types), np.float32)
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
            factor_nodes,
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
            smooth,
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
            node_residual,
            block_count(self.own.shape[0]),
            self.work,
            (
                step.pointers,
                step.neighbours,
                self.edges,
                self.surplus,
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
    storage
        For the factors at the spots, from `free_blocks.storage_for`.
    """

    def __init__(
        self,
        operator: Operator,
        shift: NDArray[np.float32],
        ridge: float,
        steps: tuple[Coarsening, ...],
        storage: NDArray[np.float32] | None = None,
    ) -> None:
        self.operator = operator
        free = operator.free
        rows, types = free.shape
        self.blocks = FreeBlocks(operator.gram, shift, ridge, free, storage)
        self.damping = _damping(operator.pointers)
        if steps:
            self.damping[steps[0].aggregate < 0] = 1.0
        self.left = np.empty((rows, types), np.float32)
        self.levels: list[_Level] = []
        for step in steps:
            level = _Level(step, types)
            if not self.levels:
                share_out(
                    collect_spots,
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
                        operator.surplus,
                        free,
                        level.surplus,
                        level.own,
                        level.edges,
                        level.shared,
                    ),
                )
            else:
                finer = self.levels[-1]
                share_out(
                    collect_nodes,
                    step.nodes,
                    finer.work * types,
                    (
                        step.cuts,
                        step.members,
                        step.aggregate,
                        step.target,
                        finer.step.pointers,
                        finer.surplus,
                        finer.edges,
                        finer.shared,
                        finer.step.neighbours,
                        level.surplus,
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
            own = np.diag(self.operator.weight * level.own[node].astype(np.float64))
            matrix[node, :, node, :] = level.blocks[node] + own
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
            interpolate,
            block_count(values.shape[0]),
            values.size,
            (step.aggregate, free, coarse.values, values),
        )

    def _smooth(self, right: NDArray[np.float32], out: NDArray[np.float32], again: bool) -> None:
        share_out(
            smooth,
            block_count(right.shape[0]),
            right.size,
            (*self.blocks.arguments, self.damping, again, right, out),
        )

    def _residual(self, right: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        operator = self.operator
        share_out(
            spot_residual,
            block_count(right.shape[0]),
            right.size,
            (
                operator.pointers,
                operator.neighbours,
                operator.entries,
                operator.surplus,
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
        sums = sums_over_rows(two_dots, right.shape, 2, (right, out))
        return float(sums[0]), float(sums[1])
