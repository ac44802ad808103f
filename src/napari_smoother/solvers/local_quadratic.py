"""The bounded quadratic problem when every spot weighs the data in its own way.

    min over B >= 0 of  sum_i (1/2 b_i H_i b_i' - <c_i, b_i>) - 1/2 <U, B>^2 + weight/2 tr(B' Q B)

with a Gram matrix H_i for every spot. U, usually absent, is what remains of one number that all
spots share and that has been minimised over. The steps are those of `bounded_quadratic`:
projected Newton, conjugate gradients on the free entries in float32, everything reported formed
afresh in float64. Where a step fails, diagonally scaled projected gradient steps take over, which
never raise the objective.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.bounded_quadratic import Solution
from napari_smoother.solvers.conjugate_gradients import ConjugateGradients, Operator
from napari_smoother.solvers.local_blocks import (
    LocalFactors,
    local_gradient,
    masked_local_product,
)
from napari_smoother.solvers.multigrid import TruncatedMultigrid
from napari_smoother.solvers.row_blocks import sums_over_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.solvers.conjugate_gradients import Preconditioner
    from napari_smoother.solvers.local_terms import LocalPrior, LocalTerm

STIFF = 300.0
PATIENCE = 60


@dataclass(frozen=True)
class _LocalOperator:
    """The quadratic form on the free entries, float32."""

    prior: LocalPrior
    weight: float
    blocks: NDArray[np.float32]
    coupling: NDArray[np.float32] | None
    free: NDArray[np.float32]

    def apply(self, values: NDArray[np.float32], out: NDArray[np.float32]) -> float:
        """Write the product into `out` and return <values, product>."""
        prior = self.prior
        total = sums_over_rows(
            masked_local_product,
            values.shape,
            1,
            (
                prior.pointers,
                prior.neighbours,
                prior.entries_single,
                prior.surplus_single,
                np.float32(self.weight),
                self.blocks,
                self.free,
                values,
                out,
            ),
        )[0]
        if self.coupling is not None:
            along = float(np.vdot(self.coupling, values))
            out -= np.float32(along) * (self.coupling * self.free)
            total -= along**2
        return float(total)


@dataclass
class _Point:
    values: NDArray[np.float64]
    gradient: NDArray[np.float64]
    free: NDArray[np.float32]
    residual: float
    objective: float


class _Solve:
    """One call of the solver: its terms and its counters."""

    def __init__(
        self,
        term: LocalTerm,
        prior: LocalPrior,
        weight: float,
        bounded: bool,
        scale: float,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.term, self.prior, self.weight, self.bounded = term, prior, weight, bounded
        self.scale, self.cancelled = scale, cancelled
        self.steps = self.products = 0
        rows, types = term.linear.shape
        self.shift = np.ascontiguousarray(
            np.broadcast_to(weight * prior.diagonal, (rows, types)), dtype=np.float32
        )
        places = [k * (k + 1) // 2 + k for k in range(types)]
        diagonal = term.blocks[:, places].mean(axis=(0, 2)) if rows else np.ones(types)
        # The smallest mean diagonal, not eigenvalue, stands for the data: it costs nothing.
        self.kappa = weight * float(prior.diagonal.max()) / max(float(diagonal.min()), 1e-30)
        self.stiff = self.kappa > STIFF
        single = term.coupling
        self.coupling = None if single is None else single.astype(np.float32)
        self._bound: NDArray[np.float64] | None = None

    def asked(self) -> None:
        """Stop when the caller wishes so."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("the solve was cancelled")

    def measure(self, values: NDArray[np.float64]) -> _Point:
        """Form gradient, free set, residual and objective afresh, in float64."""
        term, prior = self.term, self.prior
        gradient = np.empty_like(values)
        sums = sums_over_rows(
            local_gradient,
            values.shape,
            2,
            (
                prior.pointers,
                prior.neighbours,
                prior.entries,
                prior.surplus,
                self.weight,
                term.blocks,
                term.linear,
                values,
                self.bounded,
                gradient,
            ),
        )
        objective = float(sums[0] - sums[1]) / 2
        if term.coupling is not None:
            along = float(np.vdot(term.coupling, values))
            gradient -= along * term.coupling
            objective -= along**2 / 2
        self.products += 1
        if self.bounded:
            free = ((values > 0) | (gradient < 0)).astype(np.float32)
            residual = float(np.linalg.norm(gradient * free)) / self.scale
        else:
            free = np.ones(values.shape, np.float32)
            residual = float(np.linalg.norm(gradient)) / self.scale
        return _Point(values, gradient, free, residual, objective)

    def preconditioner(self, free: NDArray[np.float32]) -> Preconditioner:
        """Every spot's own block; multigrid with the mean block where the prior is stiff."""
        shared = self.prior.shared
        if not self.stiff or shared is None:
            return LocalFactors(self.term.blocks, self.shift, free)
        gram = self.mean_block()
        operator = Operator(
            shared.pointers,
            shared.neighbours,
            shared.entries_single,
            self.weight,
            gram,
            free,
            shared.surplus_single,
        )
        ridge = 1e-6 * float(np.abs(gram).max()) + 1e-30
        return TruncatedMultigrid(
            operator, np.ascontiguousarray(self.shift[:, 0]), ridge, shared.coarsening
        )

    def mean_block(self) -> NDArray[np.float32]:
        """Return the mean Gram matrix over spots, types x types."""
        rows, types = self.term.linear.shape
        packed = self.term.blocks.sum(axis=(0, 2), dtype=np.float64) / rows
        gram = np.zeros((types, types))
        gram[np.tril_indices(types)] = packed
        return np.ascontiguousarray(gram + np.tril(gram, -1).T, dtype=np.float32)

    def bound(self) -> NDArray[np.float64]:
        """Return a diagonal that is nowhere below the quadratic form (row sums)."""
        if self._bound is None:
            rows, types = self.term.linear.shape
            sums = np.zeros((types, *self.term.blocks[:, 0].shape))
            place = 0
            for a in range(types):
                for b in range(a + 1):
                    size = np.abs(self.term.blocks[:, place])
                    sums[a] += size
                    if b != a:
                        sums[b] += size
                    place += 1
            data = sums.reshape(types, -1)[:, :rows].T
            edges = np.add.reduceat(
                np.vstack([np.abs(self.prior.entries), np.zeros((1, self.prior.types))]),
                self.prior.pointers[:-1],
                axis=0,
            )
            edges[np.diff(self.prior.pointers) == 0] = 0
            self._bound = data + self.weight * (edges + self.prior.diagonal)
        return self._bound


def solve_local_quadratic(
    term: LocalTerm,
    prior: LocalPrior,
    weight: float,
    *,
    start: NDArray[np.floating] | None = None,
    tolerance: float = 1e-5,
    scale: float | None = None,
    maximum_steps: int = 5000,
    bounded: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> Solution:
    """Minimise the quadratic of the module's first lines over B, or over B >= 0.

    Parameters
    ----------
    term, prior
        The two terms.
    weight
        Factor of the prior, not negative.
    start
        A guess, shape (spots, types); never modified.
    tolerance
        Projected-gradient norm over `scale` at which the answer counts as converged.
    scale
        What residuals are measured against; None for the norm of C.
    maximum_steps
        Stop after this many conjugate gradient steps, with what was reached by then.
    bounded
        Whether B must not be negative.
    cancelled
        Asked at every step.

    Returns
    -------
    Solution
        With values in float64. Its residual is that of the problem as stored: Gram matrices
        rounded to float32.

    Raises
    ------
    InputError
        If shapes disagree.
    Cancelled
        If ``cancelled`` returned True.
    """
    began = time.perf_counter()
    rows, types = term.linear.shape
    if prior.spots != rows or prior.types not in (1, types):
        raise InputError(
            f"The data have {rows} spots and {types} types, the prior {prior.spots} and "
            f"{prior.types}",
            where="solve_local_quadratic",
            remedy="Build both from the same section",
        )
    if scale is None:
        scale = float(np.linalg.norm(term.linear)) or 1.0
    work = _Solve(term, prior, weight, bounded, scale, cancelled)
    values = np.zeros((rows, types)) if start is None else np.array(start, np.float64, order="C")
    if bounded:
        np.maximum(values, 0, out=values)
    inner = ConjugateGradients(rows, types)
    point = work.measure(values)
    used = "no step"
    preconditioner: Preconditioner | None = None
    stalled = 0
    while point.residual > tolerance and work.steps < maximum_steps and stalled < 3:
        work.asked()
        # The factors of before go first: they are as large as the Gram matrices.
        preconditioner = None
        preconditioner = work.preconditioner(point.free)
        used = type(preconditioner).__name__
        operator = _LocalOperator(prior, weight, term.blocks, work.coupling, point.free)
        reduction = max(0.1 if bounded else 1e-3, 0.3 * tolerance / point.residual)
        allowance = max(1, min(PATIENCE, maximum_steps - work.steps))
        step, taken = inner.solve(
            operator,
            preconditioner,
            point.gradient.astype(np.float32),
            reduction,
            allowance,
            work.asked,
        )
        # Slow steps mean that the prior couples more than a spot's own block can see.
        work.stiff |= taken >= PATIENCE
        work.steps += max(taken, 1)
        work.products += taken
        new = _along(work, point, step)
        if new is None:
            new = _safe_steps(work, point)
        stalled = stalled + 1 if new.residual > 0.999 * point.residual else 0
        point = new
    return Solution(
        values=point.values,
        residual=point.residual,
        objective=point.objective,
        steps=work.steps,
        products=work.products,
        seconds=time.perf_counter() - began,
        converged=bool(point.residual <= tolerance),
        method=f"projected Newton, {used}",
    )


def _along(work: _Solve, point: _Point, step: NDArray[np.float32]) -> _Point | None:
    """Search along the projected step."""
    length = 1.0
    for _ in range(6):
        values = point.values + length * step
        if work.bounded:
            np.maximum(values, 0, out=values)
        trial = work.measure(values)
        moved = values - point.values
        slope = float(np.vdot(moved, point.gradient))
        bend = float(np.vdot(moved, trial.gradient)) - slope
        if slope < 0 and slope + bend / 2 <= 0.05 * slope:
            return trial
        if trial.residual < 0.5 * point.residual:
            return trial
        length *= min(max(-slope / bend, 0.1), 0.7) if bend > 0 and slope < 0 else 0.25
    return None


def _safe_steps(work: _Solve, point: _Point) -> _Point:
    """Take a few projected gradient steps that never raise the objective."""
    bound = work.bound()
    inverse = np.divide(1.0, bound, out=np.zeros_like(bound), where=bound > 0)
    for _ in range(4):
        values = point.values - point.gradient * inverse
        point = work.measure(np.maximum(values, 0, out=values) if work.bounded else values)
        work.steps += 1
    return point
