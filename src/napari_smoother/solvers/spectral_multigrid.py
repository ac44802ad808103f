"""Multigrid in the eigenbasis of A, where the types come apart.

There the operator is ``d_k + weight Q`` for each eigenvalue d_k, and on a coarser level
``d_k M + weight P'QP`` with M the number of spots in each aggregate. Nothing on any level depends
on the free set or on the weight, so a new weight costs no preparation. Entries that are held are
masked outside, which serves while they are few; `multigrid` is for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
import scipy.sparse as sparse

from napari_smoother.solvers.dots import keep_free, two_dots_of
from napari_smoother.solvers.multigrid_passes import DAMPING, restrict
from napari_smoother.solvers.row_blocks import BLOCK_ROWS, block_count, share_out, sums_over_rows
from napari_smoother.solvers.sparse_product import FAST, add_sparse_rows
from napari_smoother.solvers.sparse_rows import without_diagonal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.solvers.aggregates import Coarsening

EXACT_NODES = 160
"""The first level with no more nodes than this is solved by its eigenvectors."""


@dataclass(frozen=True)
class GraphLevel:
    """One level of the graph of Q with its values, good for every weight.

    Attributes
    ----------
    pointers, neighbours, entries
        Sparse rows of ``P'QP`` without its diagonal, float32 values.
    diagonal, surplus, mass
        Diagonal of ``P'QP``, sums of its rows and number of spots of each node, float32.
    damping
        Of the Jacobi step, 1 at nodes without neighbours.
    aggregate, cuts, members
        Towards the next coarser level (empty at the last).
    modes, frequencies
        At the last level: ``modes' P'QP modes = diag(frequencies)``, ``modes' M modes = 1``.
    """

    pointers: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    entries: NDArray[np.float32]
    diagonal: NDArray[np.float32]
    surplus: NDArray[np.float32]
    mass: NDArray[np.float32]
    damping: NDArray[np.float32]
    aggregate: NDArray[np.int32]
    cuts: NDArray[np.int32]
    members: NDArray[np.int32]
    modes: NDArray[np.float32] | None
    frequencies: NDArray[np.float32] | None


def graph_levels(
    matrix: sparse.csr_array, surplus: NDArray[np.float64], steps: tuple[Coarsening, ...]
) -> tuple[GraphLevel, ...]:
    """Fill in the values of every level of a coarsened graph.

    Parameters
    ----------
    matrix, surplus
        Q and the sums of its rows, float64.
    steps
        From `aggregates.coarsen`.

    Returns
    -------
    tuple of GraphLevel
        From the spots to the coarsest level that is needed.
    """
    nothing = np.zeros(0, np.int32)
    mass = np.ones(matrix.shape[0])
    levels: list[GraphLevel] = []
    for depth in range(len(steps) + 1):
        exact = depth == len(steps) or mass.size <= EXACT_NODES
        diagonal = matrix.diagonal()
        pointers, neighbours, entries = without_diagonal(matrix)
        alone = np.diff(pointers) == 0
        modes: NDArray[np.float32] | None = None
        frequencies: NDArray[np.float32] | None = None
        if exact and mass.size <= 4 * EXACT_NODES:
            root = 1 / np.sqrt(mass)
            values, vectors = np.linalg.eigh(matrix.toarray() * root * root[:, None])
            modes = np.ascontiguousarray(root[:, None] * vectors, dtype=np.float32)
            frequencies = np.maximum(values, 0).astype(np.float32)
        step = None if exact else steps[depth]
        aggregate = nothing if step is None else step.aggregate.copy()
        if step is not None:
            alone |= aggregate < 0
        levels.append(
            GraphLevel(
                pointers=pointers,
                neighbours=neighbours,
                entries=entries.astype(np.float32),
                diagonal=diagonal.astype(np.float32),
                surplus=surplus.astype(np.float32),
                mass=mass.astype(np.float32),
                damping=np.where(alone, 1.0, DAMPING).astype(np.float32),
                aggregate=aggregate,
                cuts=nothing if step is None else step.cuts,
                members=nothing if step is None else step.members,
                modes=modes,
                frequencies=frequencies,
            )
        )
        if step is None:
            break
        inside = np.flatnonzero(aggregate >= 0)
        gather = sparse.csr_array(
            (np.ones(inside.size), (inside, aggregate[inside])), shape=(mass.size, step.nodes)
        )
        lost = matrix @ (aggregate < 0).astype(np.float64)
        matrix = (gather.T @ matrix @ gather).tocsr()
        matrix.sort_indices()
        mass = np.asarray(gather.T @ mass, dtype=np.float64)
        # Row sums of P'QP: those of Q, less what leads to nodes that are left out.
        surplus = np.asarray(gather.T @ (surplus - lost), dtype=np.float64)
    return tuple(levels)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _turn(basis, right, out, first, last):  # type: ignore[no-untyped-def]
    rows = right.shape[0]
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        np.dot(right[start:stop], basis, out[start:stop])


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _jacobi(eigenvalues, mass, shift, damping, right, out, first, last):  # type: ignore[no-untyped-def]
    nodes, types = right.shape
    for block in range(first, last):
        for node in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, nodes)):
            for k in range(types):
                curvature = eigenvalues[k] * mass[node] + shift[node]
                out[node, k] = damping[node] * right[node, k] / curvature


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _residual(  # type: ignore[no-untyped-def]
    pointers,
    neighbours,
    entries,
    surplus,
    weight,
    eigenvalues,
    mass,
    right,
    values,
    out,
    first,
    last,
):
    nodes, types = right.shape
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, nodes)
        here = out[start:stop]
        for node in range(start, stop):
            for k in range(types):
                value = right[node, k] - eigenvalues[k] * mass[node] * values[node, k]
                out[node, k] = value
        add_sparse_rows(pointers, neighbours, entries, surplus, -weight, values, here, start, stop)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _add_coarse(aggregate, coarse, fine, first, last):  # type: ignore[no-untyped-def]
    nodes, types = fine.shape
    for block in range(first, last):
        for node in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, nodes)):
            group = aggregate[node]
            if group >= 0:
                for k in range(types):
                    fine[node, k] += coarse[group, k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _add_jacobi(eigenvalues, mass, shift, damping, left, values, first, last):  # type: ignore[no-untyped-def]
    nodes, types = left.shape
    for block in range(first, last):
        for node in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, nodes)):
            for k in range(types):
                curvature = eigenvalues[k] * mass[node] + shift[node]
                values[node, k] += damping[node] * left[node, k] / curvature


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _finish(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, weight, basis_back, eigenvalues, shift, damping, free,
    turned, values, right, out, partial, first, last,
):  # fmt: skip
    """Last Jacobi step at the spots, back to types, mask and dot products, in one pass."""
    rows, types = values.shape
    here = np.empty((BLOCK_ROWS, types), np.float32)
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        size = stop - start
        for row in range(start, stop):
            for k in range(types):
                here[row - start, k] = turned[row, k] - eigenvalues[k] * values[row, k]
        add_sparse_rows(pointers, neighbours, entries, surplus, -weight, values, here, start, stop)
        for row in range(start, stop):
            for k in range(types):
                curvature = eigenvalues[k] + shift[row]
                here[row - start, k] = (
                    values[row, k] + damping[row] * here[row - start, k] / curvature
                )
        np.dot(here[:size], basis_back, out[start:stop])
        keep_free(out[start:stop], free[start:stop])
        partial[block, 0], partial[block, 1] = two_dots_of(right[start:stop], out[start:stop])


class _Scratch:
    """What one solve needs on one level."""

    def __init__(self, level: GraphLevel, weight: float, types: int) -> None:
        shape = (level.mass.size, types)
        self.right, self.values, self.left, self.total = (
            np.empty(shape, np.float32) for _ in range(4)
        )
        self.shift = np.float32(weight) * level.diagonal
        self.blocks = block_count(shape[0])
        self.size = shape[0] * types


class SpectralMultigrid:
    """Multigrid cycle in the eigenbasis of A, masked to the free entries (float32).

    Parameters
    ----------
    basis
        Eigenvectors of A in columns, shape (types, types), float32.
    eigenvalues
        Eigenvalues of A plus a ridge that keeps them positive, shape (types,), float32.
    weight
        Factor of Q.
    levels
        From `graph_levels`.
    """

    def __init__(
        self,
        basis: NDArray[np.float32],
        eigenvalues: NDArray[np.float32],
        weight: float,
        levels: tuple[GraphLevel, ...],
    ) -> None:
        self.basis, self.basis_back = basis, np.ascontiguousarray(basis.T)
        self.eigenvalues, self.weight = eigenvalues, np.float32(weight)
        self.levels = levels
        self.scratch = [_Scratch(level, weight, eigenvalues.size) for level in levels]
        self.free: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def _left_over(self, depth: int) -> None:
        level, own = self.levels[depth], self.scratch[depth]
        share_out(
            _residual,
            own.blocks,
            own.size,
            (
                level.pointers,
                level.neighbours,
                level.entries,
                level.surplus,
                self.weight,
                self.eigenvalues,
                level.mass,
                own.right,
                own.values,
                own.left,
            ),
        )

    def _from_below(self, depth: int) -> None:
        """Add the correction of the next coarser level to the values of this one."""
        level, own = self.levels[depth], self.scratch[depth]
        coarse = self.scratch[depth + 1]
        self._left_over(depth)
        nodes = level.cuts.size - 1
        share_out(restrict, nodes, own.size, (level.cuts, level.members, own.left, coarse.right))
        self._solve(depth + 1)
        if depth == 0 and depth + 2 < len(self.levels):
            coarse.total[...] = coarse.values
            self._left_over(depth + 1)
            coarse.right[...] = coarse.left
            self._solve(depth + 1)
            coarse.values += coarse.total
        share_out(_add_coarse, own.blocks, own.size, (level.aggregate, coarse.values, own.values))

    def _solve(self, depth: int) -> None:
        level, own = self.levels[depth], self.scratch[depth]
        if level.modes is not None and level.frequencies is not None:
            curvature = self.eigenvalues + self.weight * level.frequencies[:, None]
            own.values[...] = level.modes @ ((level.modes.T @ own.right) / curvature)
            return
        jacobi = (self.eigenvalues, level.mass, own.shift, level.damping)
        share_out(_jacobi, own.blocks, own.size, (*jacobi, own.right, own.values))
        if depth + 1 < len(self.levels):
            self._from_below(depth)
        self._left_over(depth)
        share_out(_add_jacobi, own.blocks, own.size, (*jacobi, own.left, own.values))

    def apply(self, right: NDArray[np.float32], out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""
        level, own = self.levels[0], self.scratch[0]
        share_out(_turn, own.blocks, own.size, (self.basis, right, own.right))
        jacobi = (self.eigenvalues, level.mass, own.shift, level.damping)
        share_out(_jacobi, own.blocks, own.size, (*jacobi, own.right, own.values))
        if len(self.levels) > 1:
            self._from_below(0)
        sums = sums_over_rows(
            _finish,
            right.shape,
            2,
            (
                level.pointers,
                level.neighbours,
                level.entries,
                level.surplus,
                self.weight,
                self.basis_back,
                self.eigenvalues,
                own.shift,
                level.damping,
                self.free,
                own.right,
                own.values,
                right,
                out,
            ),
        )
        return float(sums[0]), float(sums[1])
