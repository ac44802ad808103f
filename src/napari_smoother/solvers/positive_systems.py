"""Linear systems with one sparse positive definite matrix and many right-hand sides.

A sparse factorisation where the matrix is small enough or the right-hand sides are many, which
is exact to rounding; conjugate gradients with multigrid where filling in would cost more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.row_blocks import THREADS, share_out
from napari_smoother.solvers.sparse_factor import SparseFactor
from napari_smoother.solvers.sparse_product import compare_with_product
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.solvers.triangular import solve_some

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FACTORED = 60_000
"""Up to here a planar graph is factored in less time than one column is iterated."""

FACTORED_FOR_MANY = 300_000
"""Up to here it pays when there are `MANY` right-hand sides or more."""

MANY = 8
COLUMNS = 32
"""Right-hand sides that one thread solves at a time, so that a cancel is heard and memory stays
small."""

MOST_STEPS = 300
"""Conjugate gradient steps after which a matrix is taken for stiff."""

SINGULAR_PIVOT = 1e-13

CROWDED = 150
"""Multiplications for each entry of the factor from which SuperLU, which has dense blocks, is
faster than one row after the other: graphs in space, or with very many neighbours."""

REFINED = 1e-12
"""A factorisation whose relative residual is above this gets one step of refinement."""


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
        ``"factorisation"`` or ``"multigrid"``.
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
        Asked between blocks of columns.

    Returns
    -------
    Solved

    Raises
    ------
    InputError
        If A is singular to rounding.
    Cancelled
        If ``cancelled`` returned True.
    """
    n, columns = right.shape
    few = n <= FACTORED or (columns >= MANY and n <= FACTORED_FOR_MANY)
    wide = sparse.csr_array(matrix, dtype=np.float64)
    if n == 0 or columns == 0:
        return Solved(np.empty((n, columns)), 0.0, True, "factorisation")
    solve = factored(wide) if few else _iterated(wide, tolerance, cancelled)
    together = COLUMNS * (THREADS if few else 1)
    residual = 0.0
    parts = []
    for first in range(0, columns, together):
        if cancelled is not None and cancelled():
            raise Cancelled("the solve was cancelled")
        wanted = np.ascontiguousarray(right[:, first : first + together], np.float64)
        found = solve(wanted)
        worst = _worst(wide, found, wanted)
        if few and worst > REFINED:
            # Pivots were taken in the order of the graph, whatever their size.
            found += solve(wanted - wide @ found)
            worst = _worst(wide, found, wanted)
        residual = max(residual, worst)
        parts.append(found)
    values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    method = "factorisation" if few else "multigrid"
    return Solved(values, residual, residual <= tolerance, method)


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
    Cancelled
        If ``cancelled`` returned True.
    """
    wide = sparse.csr_array(matrix, dtype=np.float64)
    values = np.array(start, dtype=np.float64)
    for column in range(values.shape[1]):
        found = _nearer(
            wide, right[:, column], values[:, column], tolerance, maximum_steps, cancelled
        )
        values[:, column] = found
    residual = _largest_share(right - wide @ values, right)
    return Solved(values, residual, residual <= tolerance, "conjugate gradients")


def _nearer(
    matrix: sparse.csr_array,
    right: NDArray[Any],
    start: NDArray[np.float64],
    tolerance: float,
    maximum_steps: int,
    cancelled: Callable[[], bool] | None,
) -> NDArray[np.float64]:
    """One column by conjugate gradients, scaled by the diagonal.

    Its sums are kept from BLAS, whose threads wait for each other wherever the cores are busy,
    as they are while a window is painted: with them (and with scipy's own conjugate gradients) a
    step takes up to ten times as long.
    """
    if not right.any():
        return np.zeros_like(start)
    values = np.array(start)
    scale = 1 / matrix.diagonal()
    residual = right - matrix @ values
    enough = tolerance**2 * _dot(right, right)
    direction, before = np.zeros_like(values), 1.0
    for _ in range(maximum_steps):
        if _dot(residual, residual) <= enough:
            break
        if cancelled is not None and cancelled():
            raise Cancelled("the solve was cancelled")
        scaled = scale * residual
        slope = _dot(residual, scaled)
        direction *= slope / before
        direction += scaled
        before = slope
        product = matrix @ direction
        length = slope / _dot(direction, product)
        values += length * direction
        residual -= length * product
    return values


def _dot(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.einsum("i,i->", one, other))


def _worst(
    matrix: sparse.csr_array, found: NDArray[np.float64], wanted: NDArray[np.float64]
) -> float:
    """Largest ||b - A x|| / ||b|| over the columns."""
    _, left, size = compare_with_product(matrix, found, wanted)
    return float(np.sqrt(left / np.where(size > 0, size, 1.0)).max())


def _largest_share(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Largest norm of a column of what is left over that of the right-hand side."""
    norms = np.sqrt(np.einsum("nd,nd->d", right, right))
    shares = np.sqrt(np.einsum("nd,nd->d", left, left)) / np.where(norms > 0, norms, 1.0)
    return float(shares.max())


def factored(matrix: sparse.csr_array) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Factor a sparse positive definite matrix; return what solves for right-hand sides.

    Raises
    ------
    InputError
        If it is singular to rounding.
    """
    pattern = SparseFactor.prepare(matrix)
    order = pattern.order
    found = None
    if pattern.multiplications <= CROWDED * pattern.rows.size:
        found = pattern.factorise((0.0,), 1.0, np.zeros(1, np.uint8))
    columns: tuple[NDArray[Any], ...]
    if found is not None:
        columns, pivots = (pattern.pointers, pattern.rows, found[0][:, 0]), found[1][:, 0]
    else:
        factor = _by_superlu(matrix[order][:, order])
        if not np.array_equal(factor.perm_r, factor.perm_c):
            # Rows were exchanged, so L alone is not enough.
            return lambda right: _placed(np.asarray(factor.solve(right[order])), order)
        lower = factor.L
        order = order[np.argsort(factor.perm_c)]
        columns, pivots = (lower.indptr, lower.indices, lower.data), factor.U.diagonal()
    size = np.abs(pivots)
    if size.min() <= SINGULAR_PIVOT * size.max():
        raise _singular()

    def solve(right: NDArray[np.float64]) -> NDArray[np.float64]:
        count = right.shape[1]
        found = np.empty_like(right)
        width = min(COLUMNS, -(-count // THREADS))

        def solve_blocks(first: int, last: int) -> None:
            for block in range(first, last):
                begin, end = block * width, min((block + 1) * width, count)
                solve_some(order, *columns, pivots, right, found, begin, end)

        share_out(solve_blocks, -(-count // width), columns[1].size * count // 4, ())
        return found

    return solve


def _by_superlu(ordered: Any) -> Any:
    """Factor a matrix in the order it has, for which SuperLU works on blocks of columns."""
    from scipy.sparse.linalg import splu

    try:
        with one_blas_thread():
            return splu(
                ordered.tocsc(),
                permc_spec="NATURAL",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
    except RuntimeError as error:
        raise _singular() from error


def _placed(found: NDArray[np.float64], order: NDArray[np.int32]) -> NDArray[np.float64]:
    """Rows found in some order, where they belong."""
    placed = np.empty(found.shape)  # rows side by side, which SuperLU's are not
    placed[order] = found
    return placed


def _singular() -> InputError:
    return InputError(
        "The linear system is singular",
        where="sparse solve",
        remedy="Choose rho below the end of its range",
    )


def _iterated(
    matrix: sparse.csr_array, tolerance: float, cancelled: Callable[[], bool] | None
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    from napari_smoother.solvers.bounded_quadratic import solve_bounded_quadratic
    from napari_smoother.solvers.quadratic_terms import DataTerm, PriorTerm

    prior = PriorTerm.prepare(matrix)

    def solve(right: NDArray[np.float64]) -> NDArray[np.float64]:
        # Every column has to reach the tolerance, and the solver measures them together.
        scale = np.linalg.norm(right, axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        columns = right.shape[1]
        data = DataTerm.prepare(np.zeros((columns, columns)), right / scale)
        found = solve_bounded_quadratic(
            data,
            prior,
            1.0,
            bounded=False,
            tolerance=tolerance / np.sqrt(columns),
            maximum_steps=500,
            cancelled=cancelled,
        )
        return np.asarray(found.values, np.float64) * scale

    return solve
