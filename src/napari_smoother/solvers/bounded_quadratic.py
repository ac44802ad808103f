"""The exact solver behind live sliders: one convex quadratic, abundances not below zero.

    min over B >= 0 of  1/2 tr(B A B') - <C, B> + weight/2 tr(B' Q B)

Projected Newton steps (Bertsekas 1982, SIAM J. Control Optim. 20): the entries at zero with
a gradient pushing them down are held, the rest is free; conjugate gradients improve the free
entries in float32; the step is projected and kept when the objective falls enough. Gradient,
residual and objective are formed afresh in float64 after every step, so what is reported is
never the result of a recurrence. A cold start comes from the same problem on a coarser graph and
from sweeps of block coordinate descent, which also help wherever a Newton step fails.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.solvers.cold_start import find_zeros
from napari_smoother.solvers.coordinate_descent import sweep
from napari_smoother.solvers.projected_newton import Point, Solve, projected_newton
from napari_smoother.solvers.quadratic_terms import DataTerm, PriorTerm
from napari_smoother.solvers.separable import solve_each_spot

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.solvers.quadratic_terms import ReorderedPrior

    Report = Callable[[NDArray[np.floating], float], None]


__all__ = ["DataTerm", "PriorTerm", "Solution", "solve_bounded_quadratic", "warm_up"]


@dataclass(frozen=True, eq=False)
class Solution:
    """An answer and what is known about it.

    Attributes
    ----------
    values
        B, shape (spots, types), float32, or float64 where float32 could not hold an answer of
        the tolerance asked for.
    residual
        Norm of the projected gradient over the norm of C, from these values, in float64.
    objective
        Value of the objective, float64.
    steps
        Conjugate gradient steps and sweeps taken.
    products
        Products with Q taken, those of sweeps and gradients included.
    seconds
        Wall time.
    converged
        Whether `residual` is at or below the tolerance.
    method
        What did the work, for the curious.
    """

    values: NDArray[np.floating]
    residual: float
    objective: float
    steps: int
    products: int
    seconds: float
    converged: bool
    method: str


def _start(data: DataTerm, prior: PriorTerm, start: Any, bounded: bool) -> NDArray[Any] | None:
    if data.linear.shape[0] != prior.spots:
        raise InputError(
            f"The data have {data.linear.shape[0]} spots and the precision {prior.spots}",
            where="solve_bounded_quadratic",
            remedy="Build both from the same section",
        )
    if start is None:
        return None
    given = np.asarray(start)
    if given.shape != data.linear.shape or not np.isfinite(given).all():
        raise InputError(
            f"The start has shape {given.shape} or values that are not finite",
            where="start",
            remedy=f"Pass a finite array of shape {data.linear.shape}, or nothing",
        )
    dtype = np.float64 if given.dtype == np.float64 else np.float32
    copy = np.array(given, dtype=dtype, order="C")
    return np.maximum(copy, 0, out=copy) if bounded else copy


def _in_order(report: Report | None, closer: ReorderedPrior) -> Report | None:
    """Put the spots of what is reported back in their order."""
    if report is None:
        return None
    return lambda values, residual: report(closer.back(values), residual)


def solve_bounded_quadratic(
    data: DataTerm,
    prior: PriorTerm,
    weight: float,
    *,
    start: NDArray[Any] | None = None,
    tolerance: float = 1e-5,
    maximum_seconds: float = np.inf,
    maximum_steps: int = 5000,
    bounded: bool = True,
    cancelled: Callable[[], bool] | None = None,
    report: Report | None = None,
) -> Solution:
    """Minimise ``1/2 tr(B A B') - <C, B> + weight/2 tr(B' Q B)`` over B, or over B >= 0.

    Parameters
    ----------
    data, prior
        The two terms, prepared once.
    weight
        Factor of the prior, not negative; 0 gives every spot its own least squares.
    start
        A guess, usually the answer for the settings before; never modified.
    tolerance
        Projected-gradient norm over ||C|| at which the answer counts as converged.
    maximum_seconds, maximum_steps
        Stop after this time or this many steps, with what was reached by then.
    bounded
        Whether B must not be negative.
    cancelled
        Asked at every step; `Cancelled` is raised when it returns True.
    report
        Called with a copy of the values so far and their residual after every outer step.

    Returns
    -------
    Solution

    Raises
    ------
    InputError
        If shapes disagree, the weight is negative or anything is not finite.
    Cancelled
        If `cancelled` returned True.
    """
    began = time.perf_counter()
    if not (np.isfinite(weight) and weight >= 0):
        raise InputError(
            f"The weight of the prior is {weight}",
            where="weight",
            remedy="Choose a finite weight of at least 0",
        )
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise InputError(
            f"The tolerance is {tolerance}", where="tolerance", remedy="Choose one above 0"
        )
    guess = _start(data, prior, start, bounded)
    closer = prior.closer
    if closer is not None:
        data, prior = closer.data(data), closer.prior
        guess = None if guess is None else guess[closer.order]
        report = _in_order(report, closer)
    work = Solve(data, prior, float(weight), bounded, began + maximum_seconds, cancelled)
    work.asked()
    cold = guess is None
    values: NDArray[Any]
    if data.linear_norm == 0:
        values = np.zeros(work.shape, np.float32)
        method = "zero"
    elif weight == 0 and bounded:
        values = solve_each_spot(data.gram, data.linear, guess, work.asked)
        method = "active set at every spot"
    else:
        values = np.zeros(work.shape, np.float32) if guess is None else guess
        method = ""
    point = Point(values, np.zeros(work.shape, np.float32), np.zeros(work.shape, np.float32))
    if cold and not method and bounded:
        find_zeros(work, point.values)
    work.measure(point, point)
    if not method:
        point, method = projected_newton(work, point, tolerance, maximum_steps, report)
    return Solution(
        values=point.values if closer is None else closer.back(point.values),
        residual=point.residual,
        objective=point.objective,
        steps=work.steps,
        products=work.products,
        seconds=time.perf_counter() - began,
        converged=bool(point.residual <= tolerance),
        method=method,
    )


def warm_up() -> None:
    """Compile every kernel, or load it from the cache, on a tiny problem.

    A view calls this in a background thread when it starts, so that the first slider does not
    wait for the compiler.
    """
    import scipy.sparse as sparse

    # Long enough a chain for several coarse levels, and for a start on a coarser graph.
    spots = 1100
    chain = sparse.csr_array(2.0 * np.eye(spots) - np.eye(spots, k=1) - np.eye(spots, k=-1))
    prior = PriorTerm.prepare(chain)
    line = np.sin(np.arange(spots) / 9.0)
    data = DataTerm.prepare(np.array([[2.0, 0.5], [0.5, 1.0]]), np.stack([line, -line], axis=1))
    for weight, bounded, start in (
        (0.0, True, None),
        (1.0, True, None),
        (1.0, True, np.full((spots, 2), 3.0)),
        (1.0, False, None),
        (1e5, True, None),
        (1e5, True, np.full((spots, 2), 3.0)),
        (1e5, False, None),
    ):
        solve_bounded_quadratic(data, prior, weight, start=start, bounded=bounded, tolerance=1e-8)
    wide = Solve(data, prior, 10.0, True, np.inf, None)
    wide.widen()
    gradient, free = (np.zeros((spots, 2), np.float32) for _ in range(2))
    point = Point(np.zeros((spots, 2)), gradient, free)
    wide.measure(point, point)
    projected_newton(wide, point, 1e-8, 10, None)
    rows = (prior.pointers, prior.neighbours, prior.entries, prior.diagonal)
    both = (*rows, 1.0, data.gram, data.linear)
    for dtype in (np.float32, np.float64):
        for passes in (0, 1):
            sweep(*both, np.zeros((spots, 2), dtype), *prior.colours, passes)
