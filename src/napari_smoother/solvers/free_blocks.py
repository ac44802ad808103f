"""Each spot's own Cholesky factor, restricted to the types that are free there.

The block of spot i is A[F, F] + weight q_ii I with F the free types of the spot: usually a third
of them, so factors are packed one after the other and cost little to build again when the free
set changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import BLOCK_ROWS, block_count, share_out
from napari_smoother.solvers.sparse_product import FAST

if TYPE_CHECKING:
    from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _list_free(free, members, counts, sizes, first, last):  # type: ignore[no-untyped-def]
    rows, types = free.shape
    for block in range(first, last):
        for row in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
            count = 0
            for k in range(types):
                if free[row, k] > 0:
                    members[row, count] = k
                    count += 1
            counts[row] = count
            sizes[row] = count * (count + 1) // 2


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _factor(gram, shift, ridge, members, counts, places, factors, first, last):  # type: ignore[no-untyped-def]
    rows = counts.shape[0]
    for block in range(first, last):
        for row in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
            base = places[row]
            added = shift[row] + ridge
            for a in range(counts[row]):
                here = base + a * (a + 1) // 2
                type_a = members[row, a]
                for b in range(a):
                    there = base + b * (b + 1) // 2
                    value = gram[type_a, members[row, b]]
                    for c in range(b):
                        value -= factors[here + c] * factors[there + c]
                    factors[here + b] = value * factors[there + b]
                pivot = gram[type_a, type_a] + added
                floor = pivot * np.float32(1e-6)
                for c in range(a):
                    pivot -= factors[here + c] * factors[here + c]
                # The reciprocal of the diagonal is kept: solving then needs no division.
                factors[here + a] = np.float32(1) / np.sqrt(max(pivot, floor, np.float32(1e-30)))


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", inline="always")
def solve_free_row(members, count, factors, base, right, out, work):  # type: ignore[no-untyped-def]
    """Solve one spot's free block; entries of `out` that are not free become zero."""
    for a in range(count):
        here = base + a * (a + 1) // 2
        value = right[members[a]]
        for c in range(a):
            value -= factors[here + c] * work[c]
        work[a] = value * factors[here + a]
    for k in range(out.shape[0]):
        out[k] = 0
    for step in range(count):
        a = count - 1 - step
        here = base + a * (a + 1) // 2
        value = work[a] * factors[here + a]
        out[members[a]] = value
        for c in range(a):
            work[c] -= factors[here + c] * value


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _solve(members, counts, places, factors, right, out, partial, first, last):  # type: ignore[no-untyped-def]
    rows, types = right.shape
    work = np.empty(types, np.float32)
    for block in range(first, last):
        total = 0.0
        squares = 0.0
        for row in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
            solve_free_row(
                members[row], counts[row], factors, places[row], right[row], out[row], work
            )
            dot = np.float32(0)
            square = np.float32(0)
            for k in range(types):
                dot += right[row, k] * out[row, k]
                square += right[row, k] * right[row, k]
            total += dot
            squares += square
        partial[block, 0] = total
        partial[block, 1] = squares


class FreeBlocks:
    """Packed Cholesky factors of the free block of every spot (float32).

    Parameters
    ----------
    gram
        A, shape (types, types), float32.
    shift
        What the prior adds to each spot's diagonal, ``weight * q_ii``, shape (spots,), float32.
    ridge
        Added to every diagonal, so that duplicate types do not stop the factorisation. A
        preconditioner may be perturbed; the answer is not.
    free
        1 where an entry is free, else 0, shape (spots, types), float32.
    """

    kernel = staticmethod(_solve)

    def __init__(
        self,
        gram: NDArray[np.float32],
        shift: NDArray[np.float32],
        ridge: float,
        free: NDArray[np.float32],
    ) -> None:
        rows, types = free.shape
        blocks = block_count(rows)
        self.members = np.empty((rows, types), np.int16)
        self.counts = np.empty(rows, np.int32)
        sizes = np.empty(rows, np.int64)
        share_out(_list_free, blocks, rows * types, (free, self.members, self.counts, sizes))
        self.places = np.zeros(rows + 1, np.int64)
        np.cumsum(sizes, out=self.places[1:])
        self.factors = np.empty(int(self.places[-1]), np.float32)
        share_out(
            _factor,
            blocks,
            rows * types * 4,
            (
                gram,
                shift,
                np.float32(ridge),
                self.members,
                self.counts,
                self.places,
                self.factors,
            ),
        )

    @property
    def arguments(self) -> tuple[NDArray[np.generic], ...]:
        """What the kernel needs before the right-hand side."""
        return (self.members, self.counts, self.places, self.factors)
