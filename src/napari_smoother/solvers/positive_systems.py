"""Linear systems with one sparse positive definite matrix and many right-hand sides.

A sparse factorisation, which is exact to rounding; conjugate gradients with multigrid where
filling in would cost more, as it does for large graphs in space or with very many neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sparse

from napari_smoother import _core
from napari_smoother.errors import InputError
from napari_smoother.solvers.sparse_factor import Factorisation, SparseFactor, TooLarge
from napari_smoother.solvers.watching import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_MULTIPLICATIONS = 2e10
"""Of a factorisation: more of them, some seconds, take longer than to iterate. A million spots
of a section with six neighbours take 3e9, twenty thousand in space with twelve about as many."""

COLUMNS = 32
"""Right-hand sides that are iterated together."""

MOST_STEPS = 300
"""Conjugate gradient steps after which a matrix is taken for stiff."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Answer of a linear system.

    Attributes
    ----------
    values
        n x d, float64.
    residual
        Largest ||b - A x|| / ||b|| over the columns.
    converged
        Whether `residual` is at or below the tolerance.
    method
        ``"factorisation"``, ``"multigrid"`` or ``"conjugate gradients"``.
    """

    values: NDArray[np.float64]
    residual: float
    converged: bool
    method: str


def solve_positive(
    matrix: Any,
    right: NDArray[Any],
    *,
    tolerance: float = 1e-8,
    cancelled: Callable[[], bool] | None = None,
) -> Solved:
    """Solve A X = B for a sparse symmetric positive definite A.

    Parameters
    ----------
    matrix
        A, n x n, sparse, with the pattern of a graph of spots.
    right
        B, n x d.
    tolerance
        Relative residual to iterate to; a factorisation goes to rounding.
    cancelled
        Asked every few milliseconds.

    Returns
    -------
    Solved

    Raises
    ------
    InputError
        If A is singular to rounding, or indefinite.
    Cancelled
        If ``cancelled`` returned True.
    """
    n, columns = right.shape
    if n == 0 or columns == 0:
        return Solved(np.empty((n, columns)), 0.0, True, "factorisation")
    try:
        prepared = SparseFactor.prepare(matrix, cancelled=cancelled)
    except TooLarge:
        prepared = None
    if prepared is None or prepared.pattern.operations > MOST_MULTIPLICATIONS:
        return _iterated(sparse.csr_array(matrix, dtype=np.float64), right, tolerance, cancelled)
    values, residual = _factorised(prepared, cancelled).solve(right, cancelled=cancelled)
    return Solved(values, residual, residual <= tolerance, "factorisation")


def solve_from(
    matrix: Any,
    right: NDArray[Any],
    start: NDArray[Any],
    *,
    tolerance: float = 1e-5,
    maximum_steps: int = MOST_STEPS,
    cancelled: Callable[[], bool] | None = None,
) -> Solved:
    """Improve a guess of the solution of A X = B, where that is quicker than a solve of its own.

    Conjugate gradients scaled by the diagonal: for a few columns and a matrix that is not stiff
    they take a fraction of a factorisation. The answer may stop short of the tolerance.

    Parameters
    ----------
    matrix, right, cancelled
        As for `solve_positive`.
    start
        n x d, finite.
    tolerance
        Relative residual to iterate to.
    maximum_steps
        After which a column is given up.

    Returns
    -------
    Solved

    Raises
    ------
    InputError
        If shapes disagree.
    Cancelled
        If ``cancelled`` returned True.
    """
    wide = sparse.csr_array(matrix, dtype=np.float64)
    wide.check_format()
    values = np.array(start, dtype=np.float64, order="F")
    wanted = np.asarray(right, dtype=np.float64, order="F")
    if values.ndim != 2 or values.shape != wanted.shape or wide.shape != (len(values),) * 2:
        raise InputError(
            f"A start of the shape {values.shape} for {wanted.shape} right-hand sides and a "
            f"matrix of the shape {wide.shape}",
            where="sparse solve",
            remedy="Give n x d numbers each",
        )
    pattern = np.asarray(wide.indptr, np.int32), np.asarray(wide.indices, np.int32)
    left = [0.0]
    for column in range(values.shape[1]):
        arrays = (*pattern, wide.data, wanted[:, column], values[:, column])
        left.append(_core.improve(*arrays, tolerance, maximum_steps, watch(cancelled)))
    residual = float(np.max(left))
    return Solved(
        np.ascontiguousarray(values), residual, residual <= tolerance, "conjugate gradients"
    )


def factored(matrix: Any, cancelled: Callable[[], bool] | None = None) -> Factorisation:
    """Factor a sparse positive definite matrix.

    Parameters
    ----------
    matrix
        n x n.
    cancelled
        Asked every few milliseconds.

    Returns
    -------
    Factorisation
        To solve with.

    Raises
    ------
    InputError
        If it is singular to rounding, or indefinite.
    Cancelled
        If ``cancelled`` returned True.
    """
    return _factorised(SparseFactor.prepare(matrix, cancelled=cancelled), cancelled)


def _factorised(prepared: SparseFactor, cancelled: Callable[[], bool] | None) -> Factorisation:
    found = prepared.factorise(cancelled=cancelled)
    if found is None:
        raise InputError(
            "The linear system is singular",
            where="sparse solve",
            remedy="Choose rho below the end of its range",
        )
    return found


def _iterated(
    matrix: sparse.csr_array,
    right: NDArray[Any],
    tolerance: float,
    cancelled: Callable[[], bool] | None,
) -> Solved:
    from napari_smoother.solvers.bounded_quadratic import solve_bounded_quadratic
    from napari_smoother.solvers.quadratic_terms import DataTerm, PriorTerm

    prior = PriorTerm.prepare(matrix)
    values = np.empty(right.shape)
    left = np.empty(right.shape[1])
    for first in range(0, right.shape[1], COLUMNS):
        wanted = np.ascontiguousarray(right[:, first : first + COLUMNS], np.float64)
        columns = wanted.shape[1]
        # Every column has to reach the tolerance, and the solver measures them together.
        scale = np.linalg.norm(wanted, axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        data = DataTerm.prepare(np.zeros((columns, columns)), wanted / scale)
        solution = solve_bounded_quadratic(
            data,
            prior,
            1.0,
            bounded=False,
            tolerance=tolerance / np.sqrt(columns),
            maximum_steps=500,
            cancelled=cancelled,
        )
        found = np.asarray(solution.values, np.float64) * scale
        values[:, first : first + COLUMNS] = found
        apart = np.linalg.norm(wanted - matrix @ found, axis=0)
        left[first : first + COLUMNS] = apart / scale
    residual = float(left.max())
    return Solved(values, residual, residual <= tolerance, "multigrid")
