"""Each spot's own Cholesky factor, restricted to the types that are free there.

The block of spot i is A[F, F] + weight q_ii I with F the free types of the spot. Sixty-four
neighbouring spots are factored and solved together, one a vector lane: the types free in any of
them make up the rows of the factor, and where a type is held in one lane its row and column are
those of the identity. That is many times faster than one spot after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.dots import two_dots_of
from napari_smoother.solvers.lanes import load, nothing, store
from napari_smoother.solvers.row_blocks import BLOCK_ROWS, share_out, sums_over_rows
from napari_smoother.solvers.sparse_product import FAST

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANES = 64
"""Spots a group, a divisor of the rows of a block.

Loops over lanes read it from the shape of an array: were it a constant in them, the compiler
would unroll and not vectorise them, which is five times slower."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _list_free(free, members, counts, sizes, first, last):  # type: ignore[no-untyped-def]
    rows, types = free.shape
    for group in range(first, last):
        stop = min((group + 1) * LANES, rows)
        count = 0
        for k in range(types):
            for row in range(group * LANES, stop):
                if free[row, k] > 0:
                    members[group, count] = k
                    count += 1
                    break
        counts[group] = count
        sizes[group] = count * (count + 1) // 2


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def factor_group(count, base, ridge, factors):  # type: ignore[no-untyped-def]
    """Factor one group in place; the diagonal becomes its reciprocal.

    Pivots are kept above the ridge, so that duplicate types do not stop the factorisation:
    a preconditioner may be perturbed, the answer is not.
    """
    wide = nothing(LANES, np.float32(0))
    for a in range(count):
        here = base + a * (a + 1) // 2
        for b in range(a):
            there = base + b * (b + 1) // 2
            total = load(factors, (here + b) * LANES, wide)
            for c in range(b):
                entry = load(factors, (here + c) * LANES, wide)
                total = total - entry * load(factors, (there + c) * LANES, wide)
            store(factors, (here + b) * LANES, total * load(factors, (there + b) * LANES, wide))
        total = load(factors, (here + a) * LANES, wide)
        for c in range(a):
            entry = load(factors, (here + c) * LANES, wide)
            total = total - entry * entry
        store(factors, (here + a) * LANES, total)
        for lane in range(factors.shape[1]):
            factors[here + a, lane] = np.float32(1) / np.sqrt(max(factors[here + a, lane], ridge))


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def solve_group(count, base, factors, work):  # type: ignore[no-untyped-def]
    """Solve one group in place; `work` has shape (types, lanes)."""
    wide = nothing(LANES, np.float32(0))
    for a in range(count):
        here = base + a * (a + 1) // 2
        total = load(work, a * LANES, wide)
        for c in range(a):
            entry = load(factors, (here + c) * LANES, wide)
            total = total - entry * load(work, c * LANES, wide)
        store(work, a * LANES, total * load(factors, (here + a) * LANES, wide))
    for step in range(count):
        a = count - 1 - step
        total = load(work, a * LANES, wide)
        for b in range(a + 1, count):
            entry = load(factors, (base + b * (b + 1) // 2 + a) * LANES, wide)
            total = total - entry * load(work, b * LANES, wide)
        pivot = load(factors, (base + a * (a + 1) // 2 + a) * LANES, wide)
        store(work, a * LANES, total * pivot)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _factor_spots(gram, shift, ridge, free, members, counts, places, factors, first, last):  # type: ignore[no-untyped-def]
    rows, types = free.shape
    one = np.float32(1)
    # By type first, so that the lanes of a type lie side by side.
    mask = np.zeros((types, LANES), np.float32)
    added = np.zeros(LANES, np.float32)
    lanes = mask.shape[1]
    for group in range(first, last):
        base = places[group]
        count = counts[group]
        start = group * LANES
        size = min(LANES, rows - start)
        if size < lanes:
            mask[...] = 0
            added[...] = 0
        for lane in range(size):
            added[lane] = shift[start + lane] + ridge
            for k in range(types):
                mask[k, lane] = free[start + lane, k]
        for a in range(count):
            ka = members[group, a]
            place = base + a * (a + 1) // 2
            for b in range(a):
                kb = members[group, b]
                value = gram[ka, kb]
                for lane in range(lanes):
                    factors[place + b, lane] = value * mask[ka, lane] * mask[kb, lane]
            value = gram[ka, ka]
            for lane in range(lanes):
                is_free = mask[ka, lane]
                factors[place + a, lane] = (value + added[lane]) * is_free + one - is_free
        factor_group(count, base, ridge, factors)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def solve_rows(members, counts, places, factors, right, out, work, start, stop):  # type: ignore[no-untyped-def]
    """Solve the blocks of the rows from `start` (a multiple of the lanes) to `stop`."""
    types = right.shape[1]
    for begin in range(start, stop, LANES):
        group = begin // LANES
        count = counts[group]
        size = min(LANES, stop - begin)
        for a in range(count):
            k = members[group, a]
            for lane in range(size):
                work[a, lane] = right[begin + lane, k]
            for lane in range(size, LANES):
                work[a, lane] = 0
        solve_group(count, places[group], factors, work)
        for lane in range(size):
            for k in range(types):
                out[begin + lane, k] = 0
        for a in range(count):
            k = members[group, a]
            for lane in range(size):
                out[begin + lane, k] = work[a, lane]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _solve(members, counts, places, factors, right, out, partial, first, last):  # type: ignore[no-untyped-def]
    rows, types = right.shape
    work = np.empty((types, LANES), np.float32)
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        solve_rows(members, counts, places, factors, right, out, work, start, stop)
        partial[block, 0], partial[block, 1] = two_dots_of(right[start:stop], out[start:stop])


def storage_for(rows: int, types: int) -> NDArray[np.float32]:
    """Room for the factors of any free set; what is never needed never takes memory."""
    return np.empty((-(-rows // LANES) * (types * (types + 1) // 2), LANES), np.float32)


class GroupedFactors:
    """Storage for packed factors of groups of rows, sized by the types free in each group.

    Parameters
    ----------
    free
        Larger than 0 where an entry is free, shape (rows, types).
    storage
        From `storage_for`, where it is at hand: touching fresh memory costs as much as factoring.
    """

    def __init__(
        self, free: NDArray[np.floating], storage: NDArray[np.float32] | None = None
    ) -> None:
        rows, types = free.shape
        self.groups = -(-rows // LANES)
        self.members = np.empty((self.groups, types), np.int16)
        self.counts = np.empty(self.groups, np.int32)
        sizes = np.empty(self.groups, np.int64)
        share_out(_list_free, self.groups, rows * types, (free, self.members, self.counts, sizes))
        self.places = np.zeros(self.groups + 1, np.int64)
        np.cumsum(sizes, out=self.places[1:])
        size = int(self.places[-1])
        self.factors = np.empty((size, LANES), np.float32) if storage is None else storage[:size]

    @property
    def arguments(self) -> tuple[NDArray[np.generic], ...]:
        """What kernels that solve need first."""
        return (self.members, self.counts, self.places, self.factors)


class FreeBlocks(GroupedFactors):
    """Cholesky factors of the free block of every spot, a preconditioner (float32).

    Parameters
    ----------
    gram
        A, shape (types, types), float32.
    shift
        What the prior adds to each spot's diagonal, ``weight * q_ii``, shape (spots,), float32.
    ridge
        Added to every diagonal, so that the factor of duplicate types stays moderate.
    free
        1 where an entry is free, else 0, shape (spots, types), float32.
    storage
        From `storage_for`; factors that lay there before are lost.
    """

    def __init__(
        self,
        gram: NDArray[np.float32],
        shift: NDArray[np.float32],
        ridge: float,
        free: NDArray[np.float32],
        storage: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__(free, storage)
        share_out(
            _factor_spots,
            self.groups,
            free.size * 4,
            (gram, shift, np.float32(ridge), free, *self.arguments),
        )

    def apply(self, right: NDArray[np.float32], out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""
        sums = sums_over_rows(_solve, right.shape, 2, (*self.arguments, right, out))
        return float(sums[0]), float(sums[1])
