"""Solve a prepared deconvolution, and say how well it was solved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.preparation import lambda_to_weight
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FitReport:
    """What is known about an answer.

    Parameters
    ----------
    objective
        ``||Y - XB' - 1g'||^2 / (G n) + lambda tr(B'QB) / (K n)``, with gene weights in the norm.
    kkt_residual
        Norm of the projected gradient over the norm of C: zero at the optimum.
    iterations
        Steps the solver took.
    seconds
        Wall time of the solve.
    converged
        Whether the residual is at or below the tolerance.
    tolerance
        What was asked for.
    method
        What the solver did.
    note
        What must be known to read the other numbers; usually empty.
    """

    objective: float
    kkt_residual: float
    iterations: int
    seconds: float
    converged: bool
    tolerance: float
    method: str
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Everything in it as numbers and text that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """An answer of a deconvolution model.

    Parameters
    ----------
    abundance
        n x K, float64.
    intercepts
        n, float64.
    report
        What is known about it.
    extra
        What only some models have: the half width of the tube of nu-SVR.
    """

    abundance: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    report: FitReport
    extra: float | None = None


def fit_abundance(
    gram: NDArray[np.float64],
    linear: NDArray[np.float64],
    data_norm: float,
    n_genes: int,
    *,
    precision: Any = None,
    lambda_: float = 0.0,
    confidences: NDArray[np.float64] | None = None,
    start: NDArray[np.floating] | None = None,
    tolerance: float = 1e-5,
    bounded: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[NDArray[np.float64], FitReport]:
    """Find the abundances that fit best, given the spatial prior.

    A confidence s_k multiplies the prior of one type. With ``B_k = Z_k / sqrt(s_k)`` it moves
    into the data term, so the solver keeps one precision for all types; the bound stays.

    Parameters
    ----------
    gram, linear, data_norm
        A (K x K), C (n x K) and the squared norm of the data.
    n_genes
        G, for the units of lambda and of the objective.
    precision
        Q, n x n sparse; or a list of K of them, one for each type; None for no prior.
    lambda_
        Strength of the prior.
    confidences
        K positive factors on the prior of each type; None for ones.
    start
        Abundances to start from, n x K.
    tolerance
        KKT residual to stop at.
    bounded
        Whether abundances must not be negative.
    cancelled
        Asked in every step.

    Returns
    -------
    abundance : numpy.ndarray
        n x K, float64.
    report : FitReport

    Raises
    ------
    InputError
        If lambda is negative, a confidence is not positive, or shapes disagree.
    Cancelled
        If ``cancelled`` returned True.
    """
    n_spots, n_types = linear.shape
    weight = lambda_to_weight(lambda_, n_genes, n_types) if precision is not None else 0.0
    scale = confidence_scale(confidences, n_types)
    begin = None if start is None else np.asarray(start) / scale
    a, c = gram * np.outer(scale, scale), linear * scale
    if isinstance(precision, list):
        _check_each(precision, n_spots, n_types)
    prior = precision if precision is not None else sparse.csr_array((n_spots, n_spots))
    solution = solve_bounded_quadratic(
        DataTerm.prepare(a, c),
        PriorTerm.prepare(prior),
        weight,
        start=begin,
        tolerance=tolerance,
        bounded=bounded,
        cancelled=cancelled,
    )
    report = FitReport(
        objective=float((2 * solution.objective + data_norm) / (n_genes * n_spots)),
        kkt_residual=float(solution.residual),
        iterations=int(solution.steps),
        seconds=float(solution.seconds),
        converged=bool(solution.converged),
        tolerance=float(tolerance),
        method=solution.method,
    )
    return solution.values * scale, report


def confidence_scale(confidences: NDArray[np.float64] | None, n_types: int) -> NDArray[np.float64]:
    """Return the factor on each type that makes its prior one of confidence 1.

    Parameters
    ----------
    confidences
        K positive numbers; None for ones.
    n_types
        K.

    Returns
    -------
    numpy.ndarray
        K: ``B = Z * scale`` turns ``s_k b_k' Q b_k`` into ``z_k' Q z_k``.

    Raises
    ------
    InputError
        If a confidence is not positive, or there is another number of them.
    """
    if confidences is None:
        return np.ones(n_types)
    given = np.asarray(confidences, dtype=np.float64)
    if given.shape != (n_types,) or not (np.isfinite(given) & (given > 0)).all():
        raise InputError(
            f"The confidences are {given.tolist()}",
            where="spatial loss",
            remedy=f"Give a positive number for each of the {n_types} cell types",
        )
    scale: NDArray[np.float64] = 1 / np.sqrt(given)
    return scale


def _check_each(precisions: list[Any], n_spots: int, n_types: int) -> None:
    shapes = {tuple(precision.shape) for precision in precisions}
    if len(precisions) != n_types or shapes != {(n_spots, n_spots)}:
        raise InputError(
            f"There are {len(precisions)} precisions of shape {shapes}",
            where="spatial loss",
            remedy=f"Give one for all or one for each of the {n_types} types, for {n_spots} spots",
        )
