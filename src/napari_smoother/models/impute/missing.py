"""Missing values of many features under one spatial precision, exactly."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.impute.observed import (
    observed_mask,
    observed_values,
    out_of_reach,
    with_ones,
)
from napari_smoother.models.impute.report import Imputation, ImputationReport
from napari_smoother.solvers.positive_systems import Solved, solve_from, solve_positive

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

BOUNDED_COLUMNS = 8
"""Features that share one bounded solve."""

NEGATIVE = 1e-10
"""Below this share of the largest value a negative number is rounding."""

STARTED = 1_000
"""From this many unknowns on, iterating from a good start is quicker than a factorisation."""


def impute_missing(
    observations: Any,
    observed: ArrayLike,
    precision: Any,
    *,
    lambda_: float = 1.0,
    fixed: bool = True,
    nonneg: bool = False,
    tolerance: float = 1e-7,
    cancelled: Callable[[], bool] | None = None,
) -> Imputation:
    r"""Find the values of all spots from those that were observed.

    Fixed observations stay as they are and the missing values V minimise tr(V'QV), so that
    Q_mm V_m = -Q_mo Y_o. Free ones are themselves smoothed:

    .. math::
        \min_V \frac{1}{n_o F} \|V_o - Y_o\|^2 + \frac{\lambda}{n F} \mathrm{tr}(V'QV),
        \qquad \left(E + \lambda \frac{n_o}{n} Q\right) V = E Y

    for n spots, n_o observed ones (on the diagonal of E) and F features. Where rho is below 1
    the prior has the mean zero, so values far from any observation fade to zero; take rho = 1,
    or centre, if they should not.

    Parameters
    ----------
    observations
        Y, observed spots x features, array or scipy sparse matrix, in the order of the spots.
    observed
        Which spots these are: n booleans, or increasing indices.
    precision
        Q, n x n: scipy sparse matrix, or a `MovingAverage`.
    lambda_
        Strength of the prior, for free observations; 0 is the limit, which leaves them fixed.
    fixed
        Whether observations stay as they are.
    nonneg
        Whether values must not be negative.
    tolerance
        Relative residual to stop at.
    cancelled
        Asked between blocks of features.

    Returns
    -------
    Imputation

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, nothing is observed, lambda is negative, or
        negative observations are to stay fixed and non-negative.
    Cancelled
        If ``cancelled`` returned True.

    Warns
    -----
    UserWarning
        If pieces of the graph have no observation, or the bounded solve stopped early.
    """
    found = solve_missing(
        observations,
        observed,
        precision,
        lambda_=lambda_,
        fixed=fixed,
        nonneg=nonneg,
        tolerance=tolerance,
        cancelled=cancelled,
    )
    warn_of(found.report)
    return found


def warn_of(report: ImputationReport) -> None:
    """Warn the caller's caller of values that are missing, and of a solve that stopped early."""
    if report.n_unreached:
        warnings.warn(
            f"{report.n_unreached} spots are in pieces of the graph without any "
            "observation; their values are missing (NaN)",
            UserWarning,
            stacklevel=3,
        )
    if not report.converged:
        warnings.warn(
            f"The imputation stopped at a residual of {report.residual:.1e}",
            UserWarning,
            stacklevel=3,
        )


def solve_missing(
    observations: Any,
    observed: ArrayLike,
    precision: Any,
    *,
    lambda_: float,
    fixed: bool,
    nonneg: bool,
    tolerance: float,
    start: NDArray[np.float64] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Imputation:
    """Do the work of `impute_missing`; what there is to say is in the report alone.

    Parameters
    ----------
    observations, observed, precision, lambda_, fixed, nonneg, tolerance, cancelled
        As for `impute_missing`.
    start
        n x features, a guess to iterate from where that is quicker; NaN where there is none.

    Returns
    -------
    Imputation

    Raises
    ------
    InputError, Cancelled
        As `impute_missing`.
    """
    began = time.perf_counter()
    n_spots = int(precision.shape[0])
    seen = observed_mask(observed, n_spots)
    known = observed_values(observations, int(seen.sum()))
    if not (np.isfinite(lambda_) and lambda_ >= 0):
        raise InputError(
            f"lambda is {lambda_}", where="imputation", remedy="Choose a finite one of at least 0"
        )
    fixed = fixed or lambda_ == 0
    if nonneg and fixed and known.size and known.min() < 0:
        raise InputError(
            f"{int((known < 0).sum())} observations are negative, and values must not be",
            where="imputation",
            remedy="Set nonneg to False, or let observations move with fixed False",
        )
    is_sparse: bool = sparse.issparse(precision)
    joined = precision if is_sparse else precision.covariance()
    unreached = out_of_reach(joined, seen)
    reached = ~unreached
    share = float(seen.sum()) / float(reached.sum())
    weight = lambda_ * share
    guess = None if start is None else np.nan_to_num(start)
    ask = _Problem(known, seen, unreached, weight, fixed, nonneg, tolerance, guess, cancelled)
    if is_sparse:
        within = sparse.csr_array(precision, dtype=np.float64)
        found = _by_precision(within, ask)
        smooth = float(np.einsum("nd,nd->", found.values, within @ found.values))
    else:
        found = _by_covariance(joined, ask)
        smooth = float(np.einsum("nd,nd->", found.values, precision.product(found.values)))
    values = found.values
    objective = _objective(values, smooth, ask, lambda_)
    if unreached.any():
        values[unreached] = np.nan
    report = ImputationReport(
        objective=objective,
        residual=found.residual,
        n_unreached=int(unreached.sum()),
        n_bounded=found.n_bounded,
        seconds=time.perf_counter() - began,
        converged=bool(found.residual <= tolerance),
        method=found.method,
    )
    return Imputation(values, unreached, report)


@dataclass(frozen=True)
class _Problem:
    known: NDArray[np.float64]
    seen: NDArray[np.bool_]
    unreached: NDArray[np.bool_]
    weight: float
    fixed: bool
    nonneg: bool
    tolerance: float
    start: NDArray[np.float64] | None
    cancelled: Callable[[], bool] | None


@dataclass(frozen=True)
class _Found:
    """Values of all spots, zero where they are out of reach, and how they were found."""

    values: NDArray[np.float64]
    residual: float
    method: str
    n_bounded: int = 0


def _by_precision(precision: sparse.csr_array, ask: _Problem) -> _Found:
    """Solve for missing values (fixed) or for all (free), and mend those below zero."""
    seen, known = ask.seen, ask.known
    values = np.zeros((len(seen), known.shape[1]))
    if ask.fixed:
        values[seen] = known
        rows = np.flatnonzero(~(seen | ask.unreached))
        if rows.size == 0:
            return _Found(values, 0.0, "nothing missing")
        among_missing = precision[rows]
        system = sparse.csr_array(among_missing[:, rows])
        right = -(among_missing[:, np.flatnonzero(seen)] @ known)
    else:
        # What is out of reach is asked to be zero.
        rows = np.arange(len(seen))
        system = with_ones(precision, seen | ask.unreached, ask.weight)
        values[seen] = known / (1 + ask.weight)
        right = values
    solved = _solved(system, right, rows, ask)
    found, residual, method, n_bounded = solved.values, solved.residual, solved.method, 0
    if ask.nonneg:
        limit = -NEGATIVE * float(np.abs(found).max(initial=0.0))
        below = np.flatnonzero((found < limit).any(axis=0))
        n_bounded = int(below.size)
        for first in range(0, n_bounded, BOUNDED_COLUMNS):
            columns = below[first : first + BOUNDED_COLUMNS]
            found[:, columns], reached = _bounded(
                system, right[:, columns], found[:, columns], ask
            )
            residual = max(residual, reached)
            method = "bounded quadratic"
        np.maximum(found, 0, out=found)
    if ask.fixed:
        values[rows] = found
        found = values
    return _Found(found, residual, method, n_bounded)


def _solved(
    system: sparse.csr_array,
    right: NDArray[np.float64],
    rows: NDArray[np.intp],
    ask: _Problem,
) -> Solved:
    """Solve the linear systems, from the start if there is one and it leads there soon."""
    if ask.start is not None and len(rows) >= STARTED:
        near = solve_from(
            system, right, ask.start[rows], tolerance=ask.tolerance, cancelled=ask.cancelled
        )
        if near.converged:
            return near
    return solve_positive(system, right, tolerance=ask.tolerance, cancelled=ask.cancelled)


def _bounded(
    system: sparse.csr_array, right: NDArray[np.float64], start: NDArray[np.float64], ask: _Problem
) -> tuple[NDArray[np.float64], float]:
    from napari_smoother.solvers.bounded_quadratic import solve_bounded_quadratic
    from napari_smoother.solvers.quadratic_terms import DataTerm, PriorTerm

    scale = np.maximum(np.linalg.norm(right, axis=0), 1e-300)
    columns = right.shape[1]
    solution = solve_bounded_quadratic(
        DataTerm.prepare(np.zeros((columns, columns)), right / scale),
        PriorTerm.prepare(system),
        1.0,
        start=start / scale,
        tolerance=ask.tolerance,
        cancelled=ask.cancelled,
    )
    return np.asarray(solution.values, np.float64) * scale, solution.residual


def _by_covariance(covariance: Any, ask: _Problem) -> _Found:
    """Solve for a sparse covariance S: V = S_o w with (S_oo + weight I) w = Y."""
    within = sparse.csr_array(covariance)
    observed = np.flatnonzero(ask.seen)
    beside = sparse.csr_array(within[:, observed])
    system: Any = beside[observed]
    if not ask.fixed:
        system = system + ask.weight * sparse.eye_array(len(observed), format="csr")
    scale = float(system.diagonal().max())
    solved = solve_positive(
        system / scale, ask.known / scale, tolerance=ask.tolerance, cancelled=ask.cancelled
    )
    values = np.asarray(beside @ solved.values)
    if ask.fixed:
        values[observed] = ask.known
    if ask.nonneg and values.min(initial=0.0) < -NEGATIVE * np.abs(values).max(initial=0.0):
        raise InputError(
            "Some values would be negative, and a moving average cannot be bounded",
            where="imputation",
            remedy="Choose car, sar, icar or isar, or set nonneg to False",
        )
    return _Found(values, solved.residual, solved.method)


def _objective(values: NDArray[np.float64], smooth: float, ask: _Problem, lambda_: float) -> float:
    """Return the objective of the reached spots from their values and tr(V'QV)."""
    reached = int(np.count_nonzero(~ask.unreached)) * values.shape[1]
    if reached == 0:
        return 0.0
    objective = lambda_ * smooth / reached
    if not ask.fixed:
        apart = values[ask.seen] - ask.known
        objective += float(np.einsum("nd,nd->", apart, apart)) / apart.size
    return float(objective)
