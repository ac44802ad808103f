"""Newton steps for losses that are not quadratic, each on the exact quadratic solver.

Around the present state the data's part is replaced by a quadratic with a Gram matrix for every
spot, the spatial prior and the bound are kept as they are (proximal Newton: Lee, Sun and Saunders
2014, SIAM J. Optim. 24), and the step to its optimum is halved until the true objective falls.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import Cancelled
from napari_smoother.solvers.local_quadratic import solve_local_quadratic
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.likelihood import Expansion, Likelihood
    from napari_smoother.solvers.quadratic_terms import PriorTerm

SUFFICIENT = 1e-4
FORCING = 0.05
SHORTEST = 1e-6


@dataclass(frozen=True)
class Minimum:
    """Where Newton's steps ended.

    Attributes
    ----------
    state
        Abundances and what else is fitted.
    value
        Data's part plus prior, at the scale of the likelihood.
    residual
        Norm of the projected gradient over the norm of the quadratic model's linear term.
    iterations
        Newton steps; `inner` counts the steps of the linear solver within them.
    history
        The objective at the start and after every step; it never rises.
    """

    state: State
    value: float
    residual: float
    iterations: int
    inner: int
    history: tuple[float, ...]
    seconds: float
    converged: bool


@dataclass(frozen=True)
class Point:
    """A state, the data's part around it, and how far from the optimum it is.

    Attributes
    ----------
    state, here
        The state and the expansion there.
    smooth
        ``weight Q B``, n x K.
    value
        Data's part plus prior.
    scale
        Norm of the linear term of the quadratic model, what residuals are measured against.
    residual
        Norm of the projected gradient over it.
    """

    state: State
    here: Expansion
    smooth: NDArray[np.float64]
    value: float
    scale: float
    residual: float

    @property
    def slopes(self) -> State:
        """Derivatives of the whole objective by every part of the state."""
        return [self.here.gradients[0] + self.smooth, *self.here.gradients[1:]]

    def slope(self, change: State) -> float:
        """Return the derivative of the whole objective along a change of the state."""
        return sum(float(np.vdot(a, b)) for a, b in zip(self.slopes, change, strict=True))


@dataclass(frozen=True)
class Problem:
    """The likelihood plus ``weight/2 tr(B' Q B)``, and Newton's step in it.

    Attributes
    ----------
    likelihood, prior, weight
        The two parts.
    nonneg
        Whether abundances must not be negative.
    cancelled
        Asked at every step.
    """

    likelihood: Likelihood
    prior: PriorTerm
    weight: float
    nonneg: bool
    cancelled: Callable[[], bool] | None = None

    def asked(self) -> None:
        """Stop when the caller wishes so."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("the fit was cancelled")

    def at(self, state: State, here: Expansion) -> Point:
        """Add the prior to an expansion."""
        assert here.model is not None
        smooth = self.weight * self.prior.product(state[0])
        value = here.value + float(np.vdot(state[0], smooth)) / 2
        scale = float(np.linalg.norm(here.model.term.linear)) or 1.0
        slopes = [here.gradients[0] + smooth, *here.gradients[1:]]
        residual = self._residual(state, slopes) / scale
        return Point(state, here, smooth, value, scale, residual)

    def step(self, point: Point, tolerance: float) -> tuple[Point | None, int, float]:
        """Go to the optimum of the quadratic model, or part of the way.

        Parameters
        ----------
        point
            Where to begin.
        tolerance
            Residual that the answer of the quadratic model should have.

        Returns
        -------
        found
            Where the objective fell; None if it fell nowhere on the way.
        inner
            Steps of the linear solver.
        length
            Share of the way that was gone.
        """
        change, inner = self.direction(point, tolerance)
        slope = point.slope(change)
        allowed = self.likelihood.noise * abs(point.value)
        length = 1.0
        while length > SHORTEST:
            state = [part + length * step for part, step in zip(point.state, change, strict=True)]
            there = self.at(state, self.likelihood.expand(state))
            if there.value <= point.value + SUFFICIENT * length * min(slope, 0.0) + allowed:
                return there, inner, length
            length /= 2
        return None, inner, 0.0

    def direction(self, point: Point, tolerance: float) -> tuple[State, int]:
        """Return the way to the optimum of the quadratic model, and steps of the linear solver."""
        model = point.here.model
        assert model is not None
        solved = solve_local_quadratic(
            model.term,
            self.prior,
            self.weight,
            start=point.state[0],
            tolerance=0.3 * tolerance,
            scale=point.scale,
            bounded=self.nonneg,
            cancelled=self.cancelled,
        )
        return model.fill(solved.values - point.state[0]), solved.steps

    def _residual(self, state: State, slopes: State) -> float:
        """Norm of the projected gradient."""
        squares = 0.0
        bounds = self.likelihood.bounds(self.nonneg)
        for part, slope, bounded in zip(state, slopes, bounds, strict=True):
            held = (part <= 0) & (slope > 0) if bounded else np.zeros(part.shape, np.bool_)
            squares += float((np.where(held, 0, slope) ** 2).sum())
        return float(np.sqrt(squares))


@one_blas_thread()
def minimise(
    likelihood: Likelihood,
    prior: PriorTerm,
    weight: float,
    start: State,
    *,
    nonneg: bool,
    tolerance: float,
    most_steps: int = 100,
    cancelled: Callable[[], bool] | None = None,
) -> Minimum:
    """Minimise the likelihood plus ``weight/2 tr(B' Q B)`` from a start where it is finite.

    Parameters
    ----------
    likelihood
        The data's part.
    prior, weight
        Q and its factor.
    start
        A state in which the likelihood is finite.
    nonneg
        Whether abundances must not be negative.
    tolerance
        Residual to stop at.
    most_steps
        Newton steps after which to give up, and say so.
    cancelled
        Asked in every step.

    Returns
    -------
    Minimum

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    began = time.perf_counter()
    problem = Problem(likelihood, prior, weight, nonneg, cancelled)
    state = [np.array(part, dtype=np.float64) for part in start]
    point = problem.at(state, likelihood.expand(state))
    history = [point.value]
    residuals: list[float] = []
    iterations = inner = 0
    while True:
        problem.asked()
        residuals.append(point.residual)
        likelihood.tell(point.state, point.residual)
        stuck = len(residuals) > 12 and point.residual > 0.5 * min(residuals[:-10])
        if point.residual <= tolerance or iterations >= most_steps or stuck:
            break
        forcing = 0 if likelihood.constant_curvature else FORCING * point.residual
        found, taken, _ = problem.step(point, max(tolerance, forcing))
        inner += taken
        if found is None:
            break
        point = found
        history.append(point.value)
        iterations += 1
    return Minimum(
        state=point.state,
        value=point.value,
        residual=point.residual,
        iterations=iterations,
        inner=inner,
        history=tuple(history),
        seconds=time.perf_counter() - began,
        converged=bool(point.residual <= tolerance),
    )
