"""The bounded quadratic under the precision of a moving average, which is dense.

    min over B >= 0 of  1/2 tr(B A B') - <C, B> + weight/2 tr(B' Q B),  Q the inverse of a sparse S

A product with Q is a sparse solve. Projected Newton steps as in `bounded_quadratic`, and where
they turn out slow an exact solve for every eigenvector of A, masked to the free entries.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_smoother import _core
from napari_smoother.errors import InputError
from napari_smoother.solvers.bounded_quadratic import Solution, checked_start
from napari_smoother.solvers.watching import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.solvers.quadratic_terms import DataTerm
    from napari_smoother.solvers.sparse_factor import SparseFactor


class ImplicitPrior(Protocol):
    """A symmetric positive precision, n x n, whose inverse is sparse."""

    @property
    def shape(self) -> tuple[int, int]:
        """Spots twice."""

    @property
    def pattern(self) -> SparseFactor:
        """Where the factor of the covariance lies."""

    def covariance(self) -> csr_array:
        """Return the inverse of the precision, rows sorted."""


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
        Q by its sparse inverse.
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
        Asked every few milliseconds.
    report
        Called with values on the way and their residual, the latest there are every few
        milliseconds.

    Returns
    -------
    Solution

    Raises
    ------
    InputError
        If shapes disagree, or a covariance is not positive definite.
    Cancelled
        If ``cancelled`` returned True.
    """
    began = time.perf_counter()
    spots = data.linear.shape[0]
    if prior.shape[0] != spots:
        raise InputError(
            f"The data have {spots} spots and the precision {prior.shape[0]}",
            where="solve_with_implicit_prior",
            remedy="Build both from the same section",
        )
    values = np.empty(data.linear.shape) if start is None else checked_start(start, data.linear)
    covariance = prior.covariance()
    look = watch(cancelled, report, shape=data.linear.shape)
    try:
        found = _core.solve_implicit(
            prior.pattern.pattern,
            np.ascontiguousarray(covariance.indptr, np.int32),
            np.ascontiguousarray(covariance.indices, np.int32),
            covariance.data,
            data.gram,
            data.eigenvalues,
            data.basis,
            data.linear,
            values,
            warm=start is not None,
            weight=float(weight),
            bounded=bounded,
            tolerance=float(tolerance),
            maximum_steps=int(maximum_steps),
            watch=look,
            iterates=report is not None,
        )
    except _core.Refused as error:
        raise InputError(
            "The covariance has no inverse to rounding",
            where="solve_with_implicit_prior",
            remedy="Choose a rho further from the end of its range",
        ) from error
    return Solution.from_core(values, found, began)
