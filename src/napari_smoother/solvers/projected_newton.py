"""Projected Newton steps on a bounded quadratic, with a preconditioner chosen as they go.

After Bertsekas (1982, SIAM J. Control Optim. 20): the entries at zero with a gradient pushing
them down are held, the rest is free; conjugate gradients improve the free entries in float32; the
step is projected and kept when the objective falls enough. Gradient, residual and objective are
formed afresh in float64 after every step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import Cancelled
from napari_smoother.solvers.conjugate_gradients import ConjugateGradients, Operator, Rounded
from napari_smoother.solvers.coordinate_descent import sweep
from napari_smoother.solvers.free_blocks import FreeBlocks, storage_for
from napari_smoother.solvers.low_rank_blocks import LowRankBlocks, standing_out
from napari_smoother.solvers.multigrid import TruncatedMultigrid
from napari_smoother.solvers.row_blocks import sums_over_rows, total_of_squares
from napari_smoother.solvers.sparse_product import gradient, projected_step
from napari_smoother.solvers.spectral_jacobi import SpectralJacobi
from napari_smoother.solvers.spectral_multigrid import SpectralMultigrid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.solvers.conjugate_gradients import Preconditioner
    from napari_smoother.solvers.quadratic_terms import DataTerm, PriorTerm

SINGLE_ROUNDING = 6e-8
"""Relative error of a number stored in float32."""

RIDGE = 1e-6
"""Added to A in preconditioners only, as a share of its largest eigenvalue."""

MOSTLY_FREE = 0.8
"""From this share of free entries the eigenbasis of A serves as well as blocks, and costs less."""

NEARLY_ALL = 0.99
"""From this share of free entries multigrid in the eigenbasis of A may be masked."""

GENTLE = 50.0
"""Below this ratio of prior to weakest data direction, each spot's own block is enough."""

LUMPED = 3000.0
"""Up to this ratio many cheap steps, where A is close to few directions, beat multigrid."""

LUMPED_UNBOUNDED = 300.0
"""The same where nothing is held, so that multigrid has no masks and takes few steps."""

STIFF = 1000.0
"""Above this ratio multigrid is used from the first step; below it, when steps turn out slow."""

PATIENCE = 25
"""Conjugate gradient steps for one tenth of the residual that count as slow."""

LOW_RANK_PATIENCE = 60
"""The same where A is close to few directions: a step of multigrid takes as long as seven."""

MASKED_PATIENCE = 12
"""Steps for one tenth of the residual from which masked multigrid is given up."""

REDUCTION = 0.1
"""What an inner solve aims at: more is wasted before the free set has settled."""

STALLED = 6
"""Newton steps without half the residual after which float64 takes over inside, too."""

SHARES_CLIPPED = (0.5, 0.1, 0.0)
"""Of the entries that a step too long would clip, how many may be when it is cut short."""

TRIALS = 3
"""Lengths tried along one projected step."""


@dataclass
class Point:
    """Values with everything measured at them."""

    values: NDArray[Any]
    gradient: NDArray[np.float32]
    free: NDArray[np.float32]
    residual: float = np.inf
    objective: float = np.inf
    slope: float = 0.0
    slope_after: float = 0.0
    free_count: int = 0


class Solve:
    """One call of the solver: its scratch space, its counters and its clock."""

    def __init__(
        self,
        data: DataTerm,
        prior: PriorTerm,
        weight: float,
        bounded: bool,
        deadline: float,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.data, self.prior, self.weight, self.bounded = data, prior, weight, bounded
        self.deadline, self.cancelled = deadline, cancelled
        self.steps = 0
        self.products = 0
        self.shape = data.linear.shape
        self.scale = data.linear_norm if data.linear_norm > 0 else 1.0
        self.shift = (weight * prior.diagonal).astype(np.float32)
        self.ridge = RIDGE * float(data.eigenvalues[-1]) + 1e-30
        self.kappa = weight * prior.largest_diagonal / (float(data.eigenvalues[0]) + self.ridge)
        self.stiff = self.kappa > STIFF
        self.basis = data.basis.astype(np.float32)
        self.eigenvalues = (data.eigenvalues + self.ridge).astype(np.float32)
        self.close = standing_out(self.eigenvalues, data.basis, weight * prior.common_diagonal)
        self.low_rank_fails = self.kappa > (LUMPED if bounded else LUMPED_UNBOUNDED)
        self.masking_fails = False
        self.eigenbasis_fails = False
        self.spectral: SpectralMultigrid | None = None
        self.factors: NDArray[np.float32] | None = None
        self.wide = False
        self.inner = ConjugateGradients(*self.shape)

    def asked(self) -> None:
        """Stop when the caller wishes so."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("the solve was cancelled")

    def measure(self, point: Point, before: Point) -> None:
        """Form gradient, free set, residual and objective of `point` afresh, in float64."""
        data, prior = self.data, self.prior
        sums = sums_over_rows(
            gradient,
            self.shape,
            6,
            (
                prior.pointers,
                prior.neighbours,
                prior.entries,
                prior.surplus,
                self.weight,
                data.gram,
                data.linear,
                point.values,
                before.values,
                before.gradient,
                self.bounded,
                point.gradient,
                point.free,
            ),
        )
        self.products += 1
        point.residual = float(np.sqrt(sums[0])) / self.scale
        point.objective = float((sums[1] - sums[2]) / 2)
        point.slope, point.slope_after = float(sums[3]), float(sums[4])
        point.free_count = int(sums[5])

    def project(self, point: Point, step: NDArray[Any], length: float, out: Point) -> int:
        """Write the projected step into `out` and return how many entries were clipped."""
        sums = sums_over_rows(
            projected_step,
            self.shape,
            1,
            (point.values, step, step.dtype.type(length), self.bounded, out.values),
        )
        return int(sums[0])

    def sweep(self, values: NDArray[Any], passes: int) -> None:
        """One sweep of projected block coordinate descent, in place."""
        self.asked()
        prior = self.prior
        sweep(
            prior.pointers,
            prior.neighbours,
            prior.entries,
            prior.diagonal,
            self.weight,
            self.data.gram,
            self.data.linear,
            values,
            *prior.colours,
            passes,
        )
        self.steps += 1
        self.products += 1

    def operator(self, point: Point, wide: bool) -> Operator:
        """Return the quadratic form on the entries that are free at `point`."""
        prior, data = self.prior, self.data
        return Operator(
            prior.pointers,
            prior.neighbours,
            prior.entries if wide else prior.entries_single,
            self.weight,
            data.gram if wide else data.gram_single,
            point.free,
            prior.surplus if wide else prior.surplus_single,
        )

    def widen(self) -> None:
        """Do conjugate gradients in float64 from now on."""
        self.wide = True
        rows, types = self.shape
        self.inner = ConjugateGradients(rows, types, np.float64)

    def preconditioner(self, point: Point) -> Preconditioner:
        """Choose by stiffness and by how many entries are free."""
        data, prior = self.data, self.prior
        share = point.free_count / point.free.size
        if self.close is not None and not self.low_rank_fails:
            return LowRankBlocks(self.close, data.gram_single, self.shift, self.ridge, point.free)
        if self.kappa > GENTLE and share > NEARLY_ALL and not self.masking_fails:
            if self.spectral is None:
                self.spectral = SpectralMultigrid(
                    self.basis, self.eigenvalues, self.weight, prior.graph_levels
                )
            self.spectral.free = point.free
            return self.spectral
        if not self.stiff and not self.eigenbasis_fails and share > MOSTLY_FREE:
            return SpectralJacobi(self.basis, self.eigenvalues, self.shift, point.free)
        if self.factors is None:
            self.factors = storage_for(*self.shape)
        if self.stiff:
            return TruncatedMultigrid(
                self.operator(point, False),
                self.shift,
                self.ridge,
                prior.coarsening,
                self.factors,
            )
        return FreeBlocks(data.gram_single, self.shift, self.ridge, point.free, self.factors)

    def floor(self, values: NDArray[Any]) -> float:
        """Residual that rounding these values to float32 leaves behind, roughly."""
        stiffness = self.weight * self.prior.largest_diagonal + float(self.data.eigenvalues[-1])
        norm = float(np.sqrt(total_of_squares(values)))
        return SINGLE_ROUNDING * stiffness * norm / self.scale


def projected_newton(
    work: Solve,
    point: Point,
    tolerance: float,
    maximum_steps: int,
    report: Callable[[NDArray[np.floating], float], None] | None,
) -> tuple[Point, str]:
    """Projected Newton steps until the residual is small or the allowance is spent."""
    other = Point(
        np.empty_like(point.values), np.empty_like(point.gradient), np.empty_like(point.free)
    )
    used = "spectral Jacobi"
    halved, since = np.inf, 0
    while True:
        if report is not None:
            report(point.values.copy(), point.residual)
        if point.residual <= tolerance:
            break
        if work.steps >= maximum_steps or time.perf_counter() >= work.deadline:
            break
        work.asked()
        since = 0 if point.residual < 0.5 * halved else since + 1
        halved = min(halved, point.residual) if since == 0 else halved
        if since >= STALLED and not work.wide:
            work.widen()
        narrow = point.values.dtype == np.float32
        if narrow and (work.wide or work.floor(point.values) > tolerance / 4):
            point.values = point.values.astype(np.float64)
            other.values = np.empty_like(point.values)
        preconditioner = work.preconditioner(point)
        used = type(preconditioner).__name__
        reduction = max(REDUCTION if work.bounded else 1e-3, 0.3 * tolerance / point.residual)
        patience = LOW_RANK_PATIENCE if isinstance(preconditioner, LowRankBlocks) else PATIENCE
        allowance = max(1, min(patience if work.bounded else 200, maximum_steps - work.steps))
        # The next point is not there yet, and fresh memory costs as much as a step.
        lent = (other.values, other.gradient, other.free)
        step, taken = work.inner.solve(
            work.operator(point, work.wide),
            Rounded(preconditioner, work.shape) if work.wide else preconditioner,
            point.gradient,
            reduction,
            allowance,
            work.asked,
            lent if other.values.dtype == np.float32 and not work.wide else None,
        )
        # Slow steps mean that the prior couples more than a spot's own block can see.
        if isinstance(preconditioner, SpectralMultigrid) and work.bounded:
            work.masking_fails |= taken >= MASKED_PATIENCE
            work.stiff |= work.masking_fails
        slow = taken >= patience
        work.low_rank_fails |= slow and isinstance(preconditioner, LowRankBlocks)
        if slow and work.bounded and isinstance(preconditioner, SpectralJacobi):
            work.eigenbasis_fails = True
        else:
            work.stiff |= slow
        work.steps += taken
        work.products += taken
        if _accept(work, point, step, other) or (
            work.bounded and _cut_short(work, point, step, other)
        ):
            point, other = other, point
        elif work.bounded:
            other.values[...] = point.values
            work.sweep(other.values, 3)
            work.measure(other, point)
            point, other = other, point
        elif not work.wide:
            work.widen()
        else:
            break
    precision = "float64" if point.values.dtype == np.float64 else "float32"
    return point, f"projected Newton, {used}, {precision}"


def _accept(work: Solve, point: Point, step: NDArray[Any], trial: Point) -> bool:
    """Search along the projected step; leave the accepted point in `trial`."""
    length = 1.0
    for _ in range(TRIALS):
        work.project(point, step, length, trial)
        work.measure(trial, point)
        slope, bend = trial.slope, trial.slope_after - trial.slope
        change = slope + bend / 2
        if change <= 0.05 * slope and slope < 0:
            if trial.slope_after < 0.5 * slope and trial.residual > 0.5 * point.residual:
                _lengthen(work, point, step, length, trial)
            return True
        if trial.residual < 0.5 * point.residual:
            return True
        length *= min(max(-slope / bend, 0.1), 0.7) if bend > 0 and slope < 0 else 0.25
    return False


def _lengthen(work: Solve, point: Point, step: NDArray[Any], length: float, trial: Point) -> None:
    """Go further along a step that still leads downhill at its end, if that pays.

    Nearly singular A makes steps that the bounds cut short; what is left of them is too small.
    """
    reached = trial.objective
    bend = trial.slope_after - trial.slope
    further = length * min(-trial.slope / bend if bend > 0 else 16.0, 16.0)
    work.project(point, step, further, trial)
    work.measure(trial, point)
    if not trial.objective < reached:
        work.project(point, step, length, trial)
        work.measure(trial, point)


def _cut_short(work: Solve, point: Point, step: NDArray[Any], trial: Point) -> bool:
    """Go along the step as far as some of what it would clip allow.

    Where types are nearly collinear a Newton step is many times longer than the way to the bound.
    """
    falling = (step < 0) & (point.values > 0)
    ways = point.values[falling] / -step[falling].astype(np.float64)
    ways = ways[ways < 1]
    if ways.size == 0:
        return False
    for share in SHARES_CLIPPED:
        work.project(point, step, float(np.quantile(ways, share)), trial)
        work.measure(trial, point)
        change = (trial.slope + trial.slope_after) / 2
        if change <= 0.05 * trial.slope and trial.slope < 0:
            return True
    return False
