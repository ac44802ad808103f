"""Each spot's block, where the prior outweighs most directions of A: few numbers a spot suffice.

The eigenvalues of A enter the block of a spot as ``d_k + weight q_ii``. Where the second term is
large, most of them make no difference: they are replaced by one number, delta, and A by
``delta I + U U'`` with a column of U for each eigenvalue that still stands out. The block on the
free types F is then ``c I + U_F U_F'`` with ``c = delta + weight q_ii``, and its inverse is
``(I - U_F (c I + U_F' U_F)^-1 U_F') / c`` (Woodbury 1950): held types are left out exactly, as by
`FreeBlocks`, at a twentieth of the memory and with no factorisation of K by K matrices. The few
spots that hardly hear their neighbours keep factors of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.conjugate_gradients import update_rows
from napari_smoother.solvers.dots import two_dots_of
from napari_smoother.solvers.free_blocks import FreeBlocks
from napari_smoother.solvers.lanes import load, over_types, store
from napari_smoother.solvers.row_blocks import BLOCK_ROWS, block_count, share_out, sums_over_rows
from napari_smoother.solvers.sparse_product import FAST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.solvers.conjugate_gradients import Advance, Vectors

ALIKE = 1.5
"""Largest ratio of two entries of a block that count as alike: the condition it adds."""

WEAK = 2.0
"""The same ratio from which a spot is given a factor of its own."""

FEW = 4
"""Most directions that are kept apart; with more, other preconditioners cost less."""


@dataclass(frozen=True)
class StandingOut:
    """A as ``delta I + U U'``, close to it beside a prior of some strength.

    Attributes
    ----------
    delta
        What stands for the eigenvalues that are alike.
    directions
        U, shape (types, rank), float32.
    least
        Where the prior adds less than this to the diagonal, A is not close to it.
    """

    delta: float
    directions: NDArray[np.float32]
    least: float


def standing_out(
    eigenvalues: NDArray[np.floating], basis: NDArray[np.floating], shift: float
) -> StandingOut | None:
    """Find the few eigenvalues of A that stand out beside what the prior adds to them.

    Parameters
    ----------
    eigenvalues
        Of A, ascending, shape (types,).
    basis
        Its eigenvectors in columns, shape (types, types).
    shift
        What the prior adds to the diagonal of nearly every spot, at least.

    Returns
    -------
    StandingOut or None
        None where more than a few stand out.
    """
    lowest = float(eigenvalues[0])
    alike = int(np.count_nonzero(eigenvalues + shift <= ALIKE * (lowest + shift)))
    if eigenvalues.size - alike > FEW:
        return None
    highest = float(eigenvalues[alike - 1])
    delta = float(np.sqrt((lowest + shift) * (highest + shift))) - shift
    roots = np.sqrt(np.maximum(eigenvalues[alike:] - delta, 0))
    directions = np.ascontiguousarray(basis[:, alike:] * roots, np.float32)
    return StandingOut(delta, directions, (highest - WEAK * lowest) / (WEAK - 1))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _invert(matrix):  # type: ignore[no-untyped-def]
    """Invert a small symmetric positive matrix in place (Gauss-Jordan without pivoting)."""
    size = matrix.shape[0]
    for pivot in range(size):
        inverse = 1 / matrix[pivot, pivot]
        matrix[pivot, pivot] = 1
        for column in range(size):
            matrix[pivot, column] *= inverse
        for row in range(size):
            if row != pivot:
                factor = matrix[row, pivot]
                matrix[row, pivot] = 0
                for column in range(size):
                    matrix[row, column] -= factor * matrix[pivot, column]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _prepare(squares, delta, shift, free, cores, first, last):  # type: ignore[no-untyped-def]
    """``(c I + U_F' U_F)^-1`` of every spot."""
    rows = free.shape[0]
    rank = cores.shape[1]
    core = np.empty((rank, rank), np.float32)
    overlaps = np.empty((BLOCK_ROWS, rank * rank), np.float32)
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        np.dot(free[start:stop], squares, overlaps[: stop - start])
        for row in range(start, stop):
            for a in range(rank):
                for b in range(rank):
                    core[a, b] = overlaps[row - start, a * rank + b]
                core[a, a] += delta + shift[row]
            _invert(core)
            cores[row] = core


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def _spread(  # type: ignore[no-untyped-def]
    begin, other, wide, narrow, back, along, inverse, free, right, out, start, stop
):
    """Write ``(right - along U') / c`` where free, for the types from `begin` and from `other`."""
    types = right.shape[1]
    rank = along.shape[1]
    for row in range(start, stop):
        first, second = row * types + begin, row * types + other
        value = load(right, first, wide)
        value_too = load(right, second, narrow)
        for a in range(rank):
            amount = along[row - start, a]
            value = value - amount * load(back, a * types + begin, wide)
            value_too = value_too - amount * load(back, a * types + other, narrow)
        store(out, first, value * inverse[row] * load(free, first, wide))
        store(out, second, value_too * inverse[row] * load(free, second, narrow))


_over_types = over_types(_spread)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _solve(directions, back, cores, inverse, free, right, out, partial, first, last):  # type: ignore[no-untyped-def]
    rows, types = right.shape
    rank = cores.shape[1]
    along = np.zeros((BLOCK_ROWS, rank), np.float32)
    mine = np.zeros(FEW, np.float32)
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        if rank == 1:
            # A matrix of one column is slower than a vector.
            along[: stop - start, 0] = np.dot(right[start:stop], back[0])
            for row in range(start, stop):
                along[row - start, 0] *= cores[row, 0, 0]
        elif rank > 1:
            np.dot(right[start:stop], directions, along[: stop - start])
            for row in range(start, stop):
                for a in range(rank):
                    mine[a] = along[row - start, a]
                for a in range(rank):
                    total = np.float32(0)
                    for b in range(rank):
                        total += cores[row, a, b] * mine[b]
                    along[row - start, a] = total
        _over_types(types, np.float32(0), (back, along, inverse, free, right, out, start, stop))
        partial[block, 0], partial[block, 1] = two_dots_of(right[start:stop], out[start:stop])


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _update_and_solve(  # type: ignore[no-untyped-def]
    directions, back, cores, inverse, free, ahead, product, direction, turned, step, right,
    alpha, beta, late, number, partial, first, last,
):  # fmt: skip
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, right.shape[0])
        update_rows(
            ahead, product, direction, turned, step, right, alpha, beta, late, number, start, stop
        )
        # While the rows are in the cache.
        _solve(
            directions, back, cores, inverse, free, right, ahead, partial, block, block + 1
        )  # fmt: skip


class LowRankBlocks:
    """Inverse of each spot's free block with A replaced by ``delta I + U U'`` (float32).

    Parameters
    ----------
    close
        From `standing_out`.
    gram
        A, shape (types, types), float32, for the spots to which it is not close.
    shift
        ``weight * q_ii``, shape (spots,), float32.
    ridge
        Added to the diagonals of those spots.
    free
        1 where an entry is free, else 0, shape (spots, types), float32.
    """

    def __init__(
        self,
        close: StandingOut,
        gram: NDArray[np.float32],
        shift: NDArray[np.float32],
        ridge: float,
        free: NDArray[np.float32],
    ) -> None:
        rows, types = free.shape
        directions = close.directions
        rank = directions.shape[1]
        cores = np.empty((rows, rank, rank), np.float32)
        if rank > 0:
            squares = (directions[:, :, None] * directions[:, None, :]).reshape(types, rank * rank)
            share_out(
                _prepare,
                block_count(rows),
                free.size,
                (np.ascontiguousarray(squares), np.float32(close.delta), shift, free, cores),
            )
        inverse = 1 / (np.float32(close.delta) + shift)
        self.alone = np.flatnonzero(shift < close.least)
        if self.alone.size:
            inverse[self.alone] = 0
            self.exact = FreeBlocks(gram, shift[self.alone], ridge, free[self.alone])
            self.solved = np.empty((self.alone.size, types), np.float32)
        self.arguments: tuple[NDArray[np.generic], ...] = (
            directions,
            np.ascontiguousarray(directions.T),
            cores,
            inverse,
            free,
        )

    def apply(self, right: NDArray[np.float32], out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""
        sums = sums_over_rows(_solve, right.shape, 2, (*self.arguments, right, out))
        return self._with_alone(sums, right, out)

    def update_and_apply(self, vectors: Vectors, advance: Advance) -> tuple[float, float]:
        """Advance the vectors of conjugate gradients and apply to their residual, in one pass."""
        ahead, *_, right = vectors
        arguments = (*self.arguments, *vectors, *advance)
        sums = sums_over_rows(_update_and_solve, right.shape, 2, arguments)
        return self._with_alone(sums, right, ahead)

    def _with_alone(
        self, sums: NDArray[np.float64], right: NDArray[np.float32], out: NDArray[np.float32]
    ) -> tuple[float, float]:
        dot, squares = sums
        if self.alone.size:
            own, _ = self.exact.apply(right[self.alone], self.solved)
            out[self.alone] = self.solved
            dot += own
        return float(dot), float(squares)
