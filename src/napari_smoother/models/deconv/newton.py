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
from napari_smoother.solvers.local_quadratic import LocalPrior, solve_local_quadratic

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.likelihood import Expansion, Likelihood

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


def minimise(
    likelihood: Likelihood,
    prior: LocalPrior,
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
    state = [np.array(part, dtype=np.float64) for part in start]
    here = likelihood.expand(state)
    smooth = weight * prior.product(state[0])
    value = here.value + float(np.vdot(state[0], smooth)) / 2
    history = [value]
    residuals: list[float] = []
    iterations = inner = 0
    while True:
        if cancelled is not None and cancelled():
            raise Cancelled("the fit was cancelled")
        assert here.term is not None
        assert here.fill is not None
        slopes = [here.gradients[0] + smooth, *here.gradients[1:]]
        scale = float(np.linalg.norm(here.term.linear)) or 1.0
        residual = _residual(likelihood, state, slopes, nonneg) / scale
        residuals.append(residual)
        if likelihood.report is not None:
            likelihood.report(state[0], residual)
        stuck = len(residuals) > 12 and residual > 0.5 * min(residuals[:-10])
        if residual <= tolerance or iterations >= most_steps or stuck:
            break
        model = solve_local_quadratic(
            here.term,
            prior,
            weight,
            start=state[0],
            tolerance=0.3
            * max(tolerance, 0 if likelihood.constant_curvature else FORCING * residual),
            scale=scale,
            bounded=nonneg,
            cancelled=cancelled,
        )
        inner += model.steps
        change = here.fill(model.values - state[0])
        slope = sum(float(np.vdot(a, b)) for a, b in zip(slopes, change, strict=True))
        found = _search(likelihood, prior, weight, state, change, value, min(slope, 0.0))
        if found is None:
            break
        state, here, smooth, value = found
        history.append(value)
        iterations += 1
    return Minimum(
        state=state,
        value=value,
        residual=residual,
        iterations=iterations,
        inner=inner,
        history=tuple(history),
        seconds=time.perf_counter() - began,
        converged=bool(residual <= tolerance),
    )


def _residual(likelihood: Likelihood, state: State, slopes: State, nonneg: bool) -> float:
    """Norm of the projected gradient."""
    squares = 0.0
    for part, slope, bounded in zip(state, slopes, likelihood.bounds(nonneg), strict=True):
        held = (part <= 0) & (slope > 0) if bounded else np.zeros(part.shape, np.bool_)
        squares += float((np.where(held, 0, slope) ** 2).sum())
    return float(np.sqrt(squares))


def _search(
    likelihood: Likelihood,
    prior: LocalPrior,
    weight: float,
    state: State,
    change: State,
    value: float,
    slope: float,
) -> tuple[State, Expansion, np.ndarray, float] | None:
    """Halve the step until the objective falls enough."""
    length = 1.0
    while length > SHORTEST:
        trial = [part + length * step for part, step in zip(state, change, strict=True)]
        there = likelihood.expand(trial)
        smooth = weight * prior.product(trial[0])
        new = there.value + float(np.vdot(trial[0], smooth)) / 2
        if new <= value + SUFFICIENT * length * slope + 1e-14 * abs(value):
            return trial, there, smooth, new
        length /= 2
    return None
