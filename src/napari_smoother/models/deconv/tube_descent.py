"""The optimum of nu-SVR with the absolute loss: Newton's steps around renewed multipliers.

The augmented Lagrangian of `tube_likelihood` is minimised roughly by a few Newton steps, its
multipliers are renewed, its band is narrowed while that does not shorten the steps, and so on
(a semismooth Newton augmented Lagrangian method, as of Li, Sun and Toh 2018, SIAM J. Optim. 28),
until the objective is within a share of a lower bound from the dual problem.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.models.deconv.newton import Minimum, Problem
from napari_smoother.models.deconv.tube_likelihood import TubeExpansion, lower_bound
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.tube_likelihood import TubeLikelihood
    from napari_smoother.solvers.local_terms import LocalPrior

AT_ONE_CENTRE = 3
"""Newton steps after which multipliers are renewed in any case."""

NARROWING = 0.6
FORCING, EXACT = 0.05, 1e-8
MOST_STEPS = 300


@one_blas_thread()
def minimise_tube(
    likelihood: TubeLikelihood,
    prior: LocalPrior,
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
    state = [np.array(part, dtype=np.float64) for part in start]
    point = problem.at(state, likelihood.expand(state))
    history: list[float] = []
    best, bound = state, -np.inf
    iterations = inner = at_centre = failures = 0
    shortest = 1.0
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
        # What is left is mostly of the band and not of the steps: other multipliers.
        settled = value - below <= 2 * here.rounding
        if at_centre and (settled or failures or at_centre >= AT_ONE_CENTRE):
            band = likelihood.band * (NARROWING if shortest == 1 else 1.0)
            point = problem.at(point.state, likelihood.recentre(point.state, band))
            at_centre, shortest = 0, 1.0
        found, taken, length = problem.step(point, max(FORCING * point.residual, EXACT))
        inner += taken
        iterations += 1
        at_centre += 1
        failures = 0 if found else failures + 1
        shortest = min(shortest, length)
        point = found or point
    return Minimum(
        state=best,
        value=history[-1],
        residual=share,
        iterations=iterations,
        inner=inner,
        history=tuple(history),
        seconds=time.perf_counter() - began,
        converged=bool(share <= gap),
    )
