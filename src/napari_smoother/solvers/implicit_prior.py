"""The bounded quadratic under a prior that is known only by its products.

    min over B >= 0 of  1/2 tr(B A B') - <C, B> + weight/2 tr(B' Q B)

The precision of a moving average is dense, but a product with it takes two sparse solves.
Projected Newton steps as in `bounded_quadratic`, with spectral Jacobi in front of the conjugate
gradients, and where they turn out slow an exact solve for every eigenvector of A, masked to the
free entries: nothing here needs the entries of Q.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.bounded_quadratic import Solution
from napari_smoother.solvers.conjugate_gradients import ConjugateGradients
from napari_smoother.solvers.projected_newton import RIDGE
from napari_smoother.solvers.spectral_jacobi import SpectralJacobi

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.solvers.conjugate_gradients import Preconditioner
    from napari_smoother.solvers.quadratic_terms import DataTerm

POWER_STEPS = 12
"""Power iterations for a bound on Q; the bound has a tenth to spare."""

INNER_STEPS = 60
"""Conjugate gradient steps before the free set is looked at again."""

SLOW = 15
"""Steps of one inner solve from which exact systems pay for their factors."""


class ImplicitPrior(Protocol):
    """A symmetric positive precision, n x n."""

    @property
    def shape(self) -> tuple[int, int]:
        """Spots twice."""

    def product(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return Q B, n x K."""

    def shifted_inverse(
        self, shift: float, weight: float
    ) -> Callable[[NDArray[np.floating]], NDArray[np.float64]]:
        """Return what solves ``(shift I + weight Q) z = r`` for n values."""


@dataclass(frozen=True)
class _Operator:
    prior: ImplicitPrior
    weight: float
    gram: NDArray[np.float64]
    free: NDArray[np.float32]

    def apply(self, values: NDArray[np.float32], out: NDArray[np.float32]) -> float:
        """Write the product into `out` and return <values, product>."""
        product = (values @ self.gram + self.weight * self.prior.product(values)) * self.free
        out[...] = product
        return float(np.vdot(values, product))


@dataclass(frozen=True)
class _ExactSystems:
    """The whole quadratic form inverted in the eigenbasis of A, then masked."""

    basis: NDArray[np.float64]
    inverses: list[Callable[[NDArray[np.floating]], NDArray[np.float64]]]
    free: NDArray[np.float32]

    def apply(self, right: NDArray[np.float32], out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""
        turned = right @ self.basis
        solved = np.column_stack([solve(turned[:, k]) for k, solve in enumerate(self.inverses)])
        out[...] = (solved @ self.basis.T) * self.free
        return float(np.vdot(right, out)), float(np.vdot(right, right))


@dataclass
class _Point:
    values: NDArray[np.float64]
    gradient: NDArray[np.float64]
    free: NDArray[np.float32]
    residual: float
    objective: float


class _Solve:
    """The terms of one call, and its counters."""

    def __init__(self, data: DataTerm, prior: ImplicitPrior, weight: float, bounded: bool) -> None:
        self.data, self.prior, self.weight, self.bounded = data, prior, weight, bounded
        self.steps = self.products = 0
        self._bound = 0.0

    def measure(self, values: NDArray[np.float64]) -> _Point:
        """Form gradient, free set, residual and objective afresh."""
        data = self.data
        smooth = self.weight * self.prior.product(values)
        self.products += 1
        gradient = values @ data.gram - data.linear + smooth
        held = (values <= 0) & (gradient >= 0) if self.bounded else np.zeros(values.shape, bool)
        residual = float(np.linalg.norm(np.where(held, 0, gradient))) / (data.linear_norm or 1.0)
        objective = float(np.vdot(values, gradient - data.linear)) / 2
        return _Point(values, gradient, (~held).astype(np.float32), residual, objective)

    def bound(self) -> float:
        """Return a number above the largest eigenvalue of the quadratic form."""
        if self._bound == 0:
            vector = np.random.default_rng(0).standard_normal(self.prior.shape[0])
            size = 1.0
            for _ in range(POWER_STEPS):
                vector = self.prior.product(vector / np.linalg.norm(vector))
                size = float(np.linalg.norm(vector))
            self._bound = 1.1 * (float(self.data.eigenvalues[-1]) + self.weight * size)
        return self._bound

    def along(self, point: _Point, step: NDArray[np.float32]) -> _Point | None:
        """Search along the projected step."""
        length = 1.0
        for _ in range(5):
            values = point.values + length * step
            if self.bounded:
                np.maximum(values, 0, out=values)
            trial = self.measure(values)
            moved = values - point.values
            slope = float(np.vdot(moved, point.gradient))
            if slope < 0 and trial.objective - point.objective <= 0.05 * slope:
                return trial
            if trial.residual < 0.5 * point.residual:
                return trial
            bend = float(np.vdot(moved, trial.gradient)) - slope
            length *= min(max(-slope / bend, 0.1), 0.7) if bend > 0 and slope < 0 else 0.25
        return None

    def safe_steps(self, point: _Point) -> _Point:
        """Take a few projected gradient steps, which never raise the objective."""
        for _ in range(4):
            values = point.values - point.gradient / self.bound()
            point = self.measure(np.maximum(values, 0, out=values) if self.bounded else values)
            self.steps += 1
        return point


def solve_with_implicit_prior(
    data: DataTerm,
    prior: ImplicitPrior,
    weight: float,
    *,
    start: NDArray[Any] | None = None,
    tolerance: float = 1e-5,
    maximum_steps: int = 5000,
    bounded: bool = True,
    cancelled: Callable[[], bool] | None = None,
    report: Callable[[NDArray[np.floating], float], None] | None = None,
) -> Solution:
    """Minimise ``1/2 tr(B A B') - <C, B> + weight/2 tr(B' Q B)`` over B, or over B >= 0.

    Parameters
    ----------
    data
        The data term.
    prior
        Q by its products.
    weight
        Factor of the prior, not negative.
    start
        A guess, n x K; never modified.
    tolerance
        Projected-gradient norm over ||C|| at which the answer counts as converged.
    maximum_steps
        Stop after this many steps, with what was reached by then.
    bounded
        Whether B must not be negative.
    cancelled
        Asked at every step.
    report
        Called with a copy of the values so far and their residual after every outer step.

    Returns
    -------
    Solution
        With values in float64.

    Raises
    ------
    InputError
        If shapes disagree.
    Cancelled
        If ``cancelled`` returned True.
    """
    began = time.perf_counter()
    spots, types = data.linear.shape
    if prior.shape[0] != spots:
        raise InputError(
            f"The data have {spots} spots and the precision {prior.shape[0]}",
            where="solve_with_implicit_prior",
            remedy="Build both from the same section",
        )

    def asked() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled("the solve was cancelled")

    asked()
    work = _Solve(data, prior, weight, bounded)
    values = np.zeros((spots, types)) if start is None else np.array(start, np.float64, order="C")
    point = work.measure(np.maximum(values, 0, out=values) if bounded else values)
    inner = ConjugateGradients(spots, types)
    basis = data.basis.astype(np.float32)
    eigenvalues = data.eigenvalues + RIDGE * float(data.eigenvalues[-1]) + 1e-30
    # The mean of the diagonal that a random vector sees stands for every entry.
    probe = np.where(np.random.default_rng(0).random(spots) < 0.5, -1.0, 1.0)
    mean_diagonal = float(np.vdot(probe, prior.product(probe))) / spots
    shift = np.full(spots, weight * mean_diagonal, dtype=np.float32)
    stalled = 0
    inverses: list[Callable[[NDArray[np.floating]], NDArray[np.float64]]] = []
    slow = False
    while True:
        if report is not None:
            report(point.values.copy(), point.residual)
        if point.residual <= tolerance or work.steps >= maximum_steps or stalled == 3:
            break
        preconditioner: Preconditioner = SpectralJacobi(
            basis, eigenvalues.astype(np.float32), shift, point.free
        )
        if slow:
            for eigenvalue in eigenvalues[len(inverses) :]:
                asked()
                inverses.append(prior.shifted_inverse(float(eigenvalue), weight))
            preconditioner = _ExactSystems(data.basis, inverses, point.free)
        step, taken = inner.solve(
            _Operator(prior, weight, data.gram, point.free),
            preconditioner,
            point.gradient.astype(np.float32),
            max(0.1 if bounded else 1e-3, 0.3 * tolerance / point.residual),
            min(INNER_STEPS, maximum_steps - work.steps),
            asked,
        )
        slow |= taken >= SLOW
        work.steps += max(taken, 1)
        work.products += taken
        new = work.along(point, step)
        if new is None:
            new = work.safe_steps(point)
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
        method="projected Newton, products by sparse solves",
    )
