"""The optimum of nu-SVR with the absolute loss: Newton's steps around renewed multipliers.

The augmented Lagrangian of `tube_likelihood` is minimised roughly by two Newton steps, its
multipliers are renewed where the second ends, its band is narrowed while that does not shorten
the steps, and so on (a semismooth Newton augmented Lagrangian method, as of Li, Sun and Toh 2018,
SIAM J. Optim. 28), until the objective is within a share of a lower bound from the dual problem.

Constants take a step of their own at every point, as the bound asks for pushes up and down that
are equal in every spot, and one that is off by a little costs it more than all else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.models.deconv.newton import SHORTEST, SUFFICIENT, Minimum, Point, Problem
from napari_smoother.models.deconv.tube_likelihood import TubeExpansion, lower_bound
from napari_smoother.models.deconv.tube_search import Sample, best_length
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.tube_likelihood import TubeLikelihood
    from napari_smoother.solvers.quadratic_terms import PriorTerm

AT_ONE_CENTRE = 2
"""Newton steps from one renewal of the multipliers to the next."""

NARROWING = 0.4
NARROWEST, SHARPEST = 0.05, 1e-4
"""The band is never narrower than these shares of the tube and of the band at first."""

WHOLE = 0.8
"""Length of a step that is as good as a whole one."""

FORCING, EXACT = 0.05, 1e-8
MOST_STEPS = 300


@dataclass
class _Walk:
    """Steps from point to point, and what the next one depends on.

    Attributes
    ----------
    problem, likelihood
        What is minimised.
    sample
        Spots for the length of a step.
    widest
        The band at first.
    at_centre, shortest
        Steps since multipliers were renewed, and the shortest of them.
    last
        The last length; lengths are searched for until whole steps will do.
    inner
        Steps of the linear solver so far.
    """

    problem: Problem
    likelihood: TubeLikelihood
    sample: Sample
    widest: float
    at_centre: int = 0
    shortest: float = 1.0
    last: float = 0.0
    inner: int = 0

    def at(self, here: TubeExpansion) -> Point:
        """Add the prior to an expansion."""
        return self.problem.at(here.state, here)

    def step(self, point: Point) -> Point | None:
        """Take Newton's step, or part of it, renewing multipliers at its end when that is due.

        Returns None where the objective fell nowhere on the way.
        """
        likelihood = self.likelihood
        change, inner = self.problem.direction(point, max(FORCING * point.residual, EXACT))
        self.inner += inner
        self.at_centre += 1
        due = self.at_centre >= AT_ONE_CENTRE
        slope = point.slope(change)
        allowed = likelihood.noise * abs(point.value)
        length = 1.0 if self.last == 1 else self._best_length(point, change, slope)
        while length > SHORTEST:
            state = [part + length * step for part, step in zip(point.state, change, strict=True)]
            shortest = min(self.shortest, length)
            here = self._renew(state, shortest) if due else likelihood.settle(state)
            there = self.at(here)
            value = there.value - here.value + here.before
            if value <= point.value + SUFFICIENT * length * min(slope, 0.0) + allowed:
                self.shortest, self.last = shortest, length
                if due:
                    self._adopt()
                return there
            length /= 2
        return None

    def stay(self, point: Point) -> Point:
        """Renew multipliers where no step led down."""
        there = self.at(self.likelihood.renew(point.state, self.likelihood.band))
        self.last = 0.0
        self._adopt()
        return there

    def _renew(self, state: State, shortest: float) -> TubeExpansion:
        band = self.likelihood.band
        if shortest > WHOLE:
            narrowest = max(NARROWEST * state[-1].item(), SHARPEST * self.widest)
            band = max(NARROWING * band, min(narrowest, band))
        return self.likelihood.renew(state, band)

    def _adopt(self) -> None:
        self.likelihood.adopt()
        self.at_centre, self.shortest = 0, 1.0

    def _best_length(self, point: Point, change: State, slope: float) -> float:
        smooth = self.problem.weight * self.problem.prior.product(change[0])
        stiffness = float(np.vdot(change[0], smooth + self.likelihood.ridge * change[0]))
        return best_length(slope, stiffness, self.sample.slopes(point.state, change))


@one_blas_thread()
def minimise_tube(
    likelihood: TubeLikelihood,
    prior: PriorTerm,
    weight: float,
    start: State,
    *,
    nonneg: bool,
    gap: float,
    cancelled: Callable[[], bool] | None = None,
) -> Minimum:
    """Minimise the absolute loss outside a tube plus ``weight/2 tr(B' Q B)``.

    Parameters
    ----------
    likelihood
        The data's part; its band and multipliers are changed.
    prior, weight
        Q and its factor.
    start
        Where to begin.
    nonneg
        Whether abundances must not be negative.
    gap
        Share of the objective that a lower bound may be below it at the end.
    cancelled
        Asked in every step.

    Returns
    -------
    Minimum
        Its residual is the gap to the lower bound over the objective.

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    began = time.perf_counter()
    problem = Problem(likelihood, prior, weight, nonneg, cancelled)
    walk = _Walk(problem, likelihood, Sample(likelihood), likelihood.band)
    state = [np.array(part, dtype=np.float64) for part in start]
    point = walk.at(likelihood.settle(state))
    history: list[float] = []
    best, bound = point.state, -np.inf
    iterations = failures = 0
    while True:
        problem.asked()
        here = point.here
        assert isinstance(here, TubeExpansion)
        value = point.value + here.excess
        if not history or value < history[-1]:
            best = point.state
        history.append(min([value, *history[-1:]]))
        below = lower_bound(likelihood, here, point.state, point.smooth, nonneg=nonneg)
        bound = max(bound, below)
        share = max(history[-1] - bound, 0.0) / max(abs(history[-1]), 1e-300)
        likelihood.tell(best, share)
        if share <= gap or iterations >= MOST_STEPS or failures > 2:
            break
        found = walk.step(point)
        failures = 0 if found else failures + 1
        point = found or walk.stay(point)
        iterations += 1
    return Minimum(
        state=best,
        value=history[-1],
        residual=share,
        iterations=iterations,
        inner=walk.inner,
        history=tuple(history),
        seconds=time.perf_counter() - began,
        converged=bool(share <= gap),
    )
