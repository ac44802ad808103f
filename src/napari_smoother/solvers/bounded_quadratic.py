"""The exact solver behind live sliders: one convex quadratic, abundances not below zero.

    min over B >= 0 of  1/2 tr(B A B') - <C, B> + weight/2 tr(B' Q B)

Projected Newton steps (Bertsekas 1982, SIAM J. Control Optim. 20): the entries at zero with
a gradient pushing them down are held, the rest is free; conjugate gradients improve the free
entries in float32; the step is projected and kept when the objective falls enough. Gradient,
residual and objective are formed afresh in float64 after every step, so what is reported is
never the result of a recurrence. A cold start comes from the same problem on a coarser graph and
from sweeps of block coordinate descent. All of it is one call of the compiled core.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother import _core
from napari_smoother.errors import InputError
from napari_smoother.solvers.quadratic_terms import DataTerm, PriorTerm
from napari_smoother.solvers.watching import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Report = Callable[[NDArray[np.floating], float], None]


__all__ = ["DataTerm", "PriorTerm", "Solution", "solve_bounded_quadratic"]


@dataclass(frozen=True, eq=False)
class Solution:
    """An answer and what is known about it.

    Attributes
    ----------
    values
        B, shape (spots, types), float64.
    residual
        Norm of the projected gradient over the norm of C, from these values, in float64.
    objective
        Value of the objective, float64.
    steps
        Conjugate gradient steps taken.
    products
        Products with Q taken, those of gradients included.
    seconds
        Wall time.
    converged
        Whether `residual` is at or below the tolerance.
    method
        What did the work, for the curious.
    """

    values: NDArray[np.float64]
    residual: float
    objective: float
    steps: int
    products: int
    seconds: float
    converged: bool
    method: str

    @classmethod
    def from_core(
        cls,
        values: NDArray[np.float64],
        found: tuple[float, float, int, int, bool, str],
        began: float,
    ) -> Solution:
        """Take what a job of the core has written and found since a moment of the clock."""
        residual, objective, steps, products, converged, method = found
        seconds = time.perf_counter() - began
        return cls(values, residual, objective, steps, products, seconds, converged, method)


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
    preconditioner: str = "",
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
        Asked every few milliseconds; `Cancelled` is raised when it returns True.
    report
        Called with values on the way and their residual, the latest there are every few
        milliseconds.
    preconditioner
        ``"low rank"``, ``"blocks"`` or ``"multigrid"`` to measure what each of them does; empty to
        choose by stiffness.

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
    spots, types = data.linear.shape
    if spots != prior.spots or prior.types not in (1, types):
        raise InputError(
            f"The data have {spots} spots and {types} types, the precision {prior.spots} and "
            f"{prior.types}",
            where="solve_bounded_quadratic",
            remedy="Build both from the same section",
        )
    values = np.empty(data.linear.shape) if start is None else checked_start(start, data.linear)
    look = watch(cancelled, report, shape=data.linear.shape)
    found = _core.solve_bounded(
        prior.core,
        data.gram,
        data.eigenvalues,
        data.basis,
        data.linear,
        values,
        warm=start is not None,
        weight=float(weight),
        bounded=bounded,
        tolerance=float(tolerance),
        maximum_seconds=float(maximum_seconds),
        maximum_steps=int(maximum_steps),
        preconditioner=preconditioner,
        watch=look,
        iterates=report is not None,
    )
    return Solution.from_core(values, found, began)


def checked_start(start: NDArray[Any], linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a copy of a guess, once it is known to be fit for use.

    Parameters
    ----------
    start
        A guess of any number type.
    linear
        C, of the shape that it must have.

    Raises
    ------
    InputError
        If the shape is another or a value is not finite.
    """
    given = np.array(start, dtype=np.float64, order="C")
    if given.shape != linear.shape or not np.isfinite(given).all():
        raise InputError(
            f"The start has shape {given.shape} or values that are not finite",
            where="start",
            remedy=f"Pass a finite array of shape {linear.shape}, or nothing",
        )
    return given
