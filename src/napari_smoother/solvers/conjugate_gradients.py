"""Preconditioned conjugate gradients on the free entries, two passes over the data a step.

The arrangement of Chronopoulos and Gear (1989, J. Comput. Appl. Math. 25): the product is taken
of the preconditioned residual and the product of the direction follows by recurrence, so that
all vector updates and the preconditioner share one pass; the step is summed two directions at a
time, which leaves it out of every second pass. Everything is float32: the caller asks for a tenth
or a hundredth of the residual and forms the residual afresh in float64. Only where nearly
collinear types meet a stiff prior are there directions so flat that float32 does not see them;
there the same is done in float64, with a preconditioner that stays what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import (
    BLOCK_ROWS,
    block_count,
    share_out,
    sums_over_rows,
    total_of_squares,
)
from napari_smoother.solvers.sparse_product import FAST, masked_product

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


Vectors: TypeAlias = (
    "tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]"
)
"""Of conjugate gradients: preconditioned residual (what is ahead), its product, direction, product
of the direction, step and residual."""


Advance: TypeAlias = "tuple[np.floating, np.floating, np.floating, int]"
"""How far the vectors are advanced: alpha and beta of this step, alpha of the one before, and the
number of this step, from 1."""

Scratch: TypeAlias = "tuple[NDArray[Any], NDArray[Any], NDArray[Any]]"


class Preconditioner(Protocol):
    """A symmetric positive map on the free entries."""

    def apply(self, right: NDArray[Any], out: NDArray[Any]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""


@runtime_checkable
class UpdatingPreconditioner(Preconditioner, Protocol):
    """One that takes the update of the vectors into its own pass over the rows."""

    def update_and_apply(self, vectors: Vectors, advance: Advance) -> tuple[float, float]:
        """Advance the vectors, then do as `apply` from their residual into what is ahead."""


class Rounded:
    """A float32 preconditioner inside conjugate gradients in float64."""

    def __init__(self, inner: Preconditioner, shape: tuple[int, ...]) -> None:
        self.inner = inner
        self.right, self.out = np.empty(shape, np.float32), np.empty(shape, np.float32)

    def apply(self, right: NDArray[Any], out: NDArray[Any]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""
        self.right[...] = right
        self.inner.apply(self.right, self.out)
        out[...] = self.out
        return float(np.einsum("ik,ik->", right, out)), total_of_squares(right)


class FreeOperator(Protocol):
    """A symmetric positive quadratic form on the free entries."""

    @property
    def free(self) -> NDArray[np.float32]:
        """1 where an entry is free, else 0."""

    def apply(self, values: NDArray[Any], out: NDArray[Any]) -> float:
        """Write the product into `out` and return <values, product>."""


@dataclass(frozen=True)
class Operator:
    """The quadratic form on the free entries: ``D -> (D A + weight Q D) * free``.

    In the precision of `entries`, `gram` and `surplus`, float32 or float64; `surplus` holds the
    sums of the rows of Q.
    """

    pointers: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    entries: NDArray[Any]
    weight: float
    gram: NDArray[Any]
    free: NDArray[np.float32]
    surplus: NDArray[Any]

    def apply(self, values: NDArray[Any], out: NDArray[Any]) -> float:
        """Write the product into `out` and return <values, product>."""
        rows, types = values.shape
        sums = sums_over_rows(
            masked_product,
            (rows, types),
            1,
            (
                self.pointers,
                self.neighbours,
                self.entries,
                self.surplus,
                self.gram.dtype.type(self.weight),
                self.gram,
                self.free,
                values,
                out,
            ),
        )
        return float(sums[0])


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def update_rows(  # type: ignore[no-untyped-def]
    ahead, product, direction, turned, step, right, alpha, beta, late, number, start, stop
):
    """Advance the vectors of conjugate gradients, in the rows from `start` to `stop`.

    The step is touched every second time, when the direction of before is still at hand: these
    loops wait for memory. Nothing is read before it was written, so that nothing is cleared.
    """
    # One loop over all entries: loops over the types of a row are too short to be fast.
    z, image = ahead[start:stop].reshape(-1), product[start:stop].reshape(-1)
    p, s = direction[start:stop].reshape(-1), turned[start:stop].reshape(-1)
    x, r = step[start:stop].reshape(-1), right[start:stop].reshape(-1)
    if number == 1:
        for i in range(z.size):
            p[i] = z[i]
            s[i] = image[i]
            r[i] -= alpha * image[i]
    elif number == 2:
        for i in range(z.size):
            before = p[i]
            p[i] = z[i] + beta * before
            s[i] = image[i] + beta * s[i]
            x[i] = late * before + alpha * p[i]
            r[i] -= alpha * s[i]
    elif number % 2 == 1:
        for i in range(z.size):
            p[i] = z[i] + beta * p[i]
            s[i] = image[i] + beta * s[i]
            r[i] -= alpha * s[i]
    else:
        for i in range(z.size):
            before = p[i]
            p[i] = z[i] + beta * before
            s[i] = image[i] + beta * s[i]
            x[i] += late * before + alpha * p[i]
            r[i] -= alpha * s[i]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _update(  # type: ignore[no-untyped-def]
    ahead, product, direction, turned, step, right, alpha, beta, late, number, first, last
):
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, ahead.shape[0])
        update_rows(
            ahead, product, direction, turned, step, right, alpha, beta, late, number, start, stop
        )


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _finish(direction, step, alpha, number, first, last):  # type: ignore[no-untyped-def]
    """Add the last of an odd number of directions to the step, or clear it where there is none."""
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, step.shape[0])
        p, x = direction[start:stop].reshape(-1), step[start:stop].reshape(-1)
        for i in range(x.size):
            if number == 0:
                x[i] = 0
            elif number == 1:
                x[i] = alpha * p[i]
            else:
                x[i] += alpha * p[i]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _begin(gradient, free, right, partial, first, last):  # type: ignore[no-untyped-def]
    rows = gradient.shape[0]
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)
        slope, kept = gradient[start:stop].reshape(-1), free[start:stop].reshape(-1)
        r = right[start:stop].reshape(-1)
        total = 0.0
        for i in range(r.size):
            value = -slope[i] * kept[i]
            r[i] = value
            total += np.float64(value) * np.float64(value)
        partial[block, 0] = total


class ConjugateGradients:
    """Scratch space of one solve, reused by all its inner systems.

    Parameters
    ----------
    rows, types
        Shape of the unknowns.
    dtype
        float32, or float64.
    """

    def __init__(self, rows: int, types: int, dtype: type[np.floating] = np.float32) -> None:
        self.shape = (rows, types)
        self.dtype = dtype
        self.step, self.right, self.ahead = (np.empty(self.shape, dtype) for _ in range(3))
        self._more: Scratch | None = None

    def solve(
        self,
        operator: FreeOperator,
        preconditioner: Preconditioner,
        gradient: NDArray[np.float32],
        reduction: float,
        maximum_steps: int,
        asked: Callable[[], None],
        scratch: Scratch | None = None,
    ) -> tuple[NDArray[Any], int]:
        """Solve ``H step = -gradient`` on the free entries.

        Parameters
        ----------
        operator, preconditioner
            On the free entries.
        gradient
            Shape (spots, types), float32; entries that are not free are ignored.
        reduction
            Stop when the residual has fallen to this share of the first.
        maximum_steps
            Stop after this many steps at the latest.
        asked
            Called once a step; raises to stop.
        scratch
            Three arrays of the shape and precision of the unknowns that may be written over;
            without them, this object keeps its own.

        Returns
        -------
        step, steps
            The step (this object's scratch space) and the number of products taken.
        """
        rows, types = gradient.shape
        direction, turned, product = self._own() if scratch is None else scratch
        squares = sums_over_rows(
            _begin,
            (rows, types),
            1,
            (gradient, operator.free, self.right),
        )[0]
        enough = squares * reduction * reduction
        vectors = (
            self.ahead, product, direction, turned, self.step, self.right
        )  # fmt: skip
        alpha, late, before = 0.0, 0.0, 0.0
        taken = updates = 0
        at_once = preconditioner if isinstance(preconditioner, UpdatingPreconditioner) else None
        rho, squares = preconditioner.apply(self.right, self.ahead)
        while squares > enough and taken < maximum_steps and rho > 0:
            asked()
            curvature = operator.apply(self.ahead, product)
            taken += 1
            beta = rho / before if taken > 1 else 0.0
            bend = curvature - (beta * rho / alpha if taken > 1 else 0.0)
            if not bend > 0:
                break
            alpha, late, before = rho / bend, alpha, rho
            updates += 1
            advance = self.dtype(alpha), self.dtype(beta), self.dtype(late), updates
            if at_once is not None:
                rho, squares = at_once.update_and_apply(vectors, advance)
            else:
                share_out(_update, block_count(rows), rows * types, (*vectors, *advance))
                rho, squares = preconditioner.apply(self.right, self.ahead)
        if updates == 0 or updates % 2 == 1:
            last = (direction, self.step, self.dtype(alpha), updates)
            share_out(_finish, block_count(rows), rows * types, last)
        return self.step, taken

    def _own(self) -> Scratch:
        if self._more is None:
            direction, turned, product = (np.empty(self.shape, self.dtype) for _ in range(3))
            self._more = direction, turned, product
        return self._more
