"""Preconditioned conjugate gradients on the free entries, two passes over the data a step.

The arrangement of Chronopoulos and Gear (1989, J. Comput. Appl. Math. 25): the product is taken
of the preconditioned residual and the product of the direction follows by recurrence, so that
all vector updates and the preconditioner share one pass. Everything is float32: the caller asks
for a tenth or a hundredth of the residual and forms the residual afresh in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import BLOCK_ROWS, block_count, share_out, sums_over_rows
from napari_smoother.solvers.sparse_product import FAST, masked_product

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Preconditioner(Protocol):
    """A symmetric positive map on the free entries."""

    def apply(self, right: NDArray[np.float32], out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""


class FreeOperator(Protocol):
    """A symmetric positive quadratic form on the free entries."""

    @property
    def free(self) -> NDArray[np.float32]:
        """1 where an entry is free, else 0."""

    def apply(self, values: NDArray[np.float32], out: NDArray[np.float32]) -> float:
        """Write the product into `out` and return <values, product>."""


@dataclass(frozen=True)
class Operator:
    """The quadratic form on the free entries: ``D -> (D A + weight Q D) * free``, float32."""

    pointers: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    entries: NDArray[np.float32]
    weight: float
    gram: NDArray[np.float32]
    free: NDArray[np.float32]

    def apply(self, values: NDArray[np.float32], out: NDArray[np.float32]) -> float:
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
                np.float32(self.weight),
                self.gram,
                self.free,
                values,
                out,
            ),
        )
        return float(sums[0])


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _update(  # type: ignore[no-untyped-def]
    ahead, product, alpha, beta, direction, turned, step, right, first, last
):
    rows, types = ahead.shape
    for block in range(first, last):
        for row in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
            for k in range(types):
                p = ahead[row, k] + beta * direction[row, k]
                s = product[row, k] + beta * turned[row, k]
                direction[row, k] = p
                turned[row, k] = s
                step[row, k] += alpha * p
                right[row, k] -= alpha * s


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _begin(gradient, free, right, step, direction, turned, partial, first, last):  # type: ignore[no-untyped-def]
    rows, types = gradient.shape
    for block in range(first, last):
        total = 0.0
        for row in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)):
            for k in range(types):
                value = -gradient[row, k] * free[row, k]
                right[row, k] = value
                step[row, k] = 0
                direction[row, k] = 0
                turned[row, k] = 0
                total += np.float64(value) * np.float64(value)
        partial[block, 0] = total


class ConjugateGradients:
    """Scratch space of one solve, reused by all its inner systems.

    Parameters
    ----------
    rows, types
        Shape of the unknowns.
    """

    def __init__(self, rows: int, types: int) -> None:
        shape = (rows, types)
        self.step, self.right, self.direction, self.turned, self.ahead, self.product = (
            np.empty(shape, np.float32) for _ in range(6)
        )

    def solve(
        self,
        operator: FreeOperator,
        preconditioner: Preconditioner,
        gradient: NDArray[np.float32],
        reduction: float,
        maximum_steps: int,
        asked: Callable[[], None],
    ) -> tuple[NDArray[np.float32], int]:
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

        Returns
        -------
        step, steps
            The step (this object's scratch space) and the number of products taken.
        """
        rows, types = gradient.shape
        squares = sums_over_rows(
            _begin,
            (rows, types),
            1,
            (gradient, operator.free, self.right, self.step, self.direction, self.turned),
        )[0]
        enough = squares * reduction * reduction
        alpha, beta, before = 0.0, 0.0, 0.0
        taken = 0
        while True:
            rho, squares = preconditioner.apply(self.right, self.ahead)
            if squares <= enough or taken >= maximum_steps or not rho > 0:
                return self.step, taken
            asked()
            curvature = operator.apply(self.ahead, self.product)
            taken += 1
            beta = rho / before if taken > 1 else 0.0
            bend = curvature - (beta * rho / alpha if taken > 1 else 0.0)
            if not bend > 0:
                return self.step, taken
            alpha, before = rho / bend, rho
            share_out(
                _update,
                block_count(rows),
                rows * types,
                (
                    self.ahead,
                    self.product,
                    np.float32(alpha),
                    np.float32(beta),
                    self.direction,
                    self.turned,
                    self.step,
                    self.right,
                ),
            )
