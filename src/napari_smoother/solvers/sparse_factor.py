"""The factor of a sparse positive definite matrix: one order and one pattern for all of a graph.

Rows are ordered by approximate minimum degree, and L D L' is found in the compiled core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from napari_smoother import _core
from napari_smoother.errors import InputError
from napari_smoother.solvers.watching import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_BYTES = 6_000_000_000
"""More for one factor and its inverse would not fit beside the data on a workstation."""


class TooLarge(InputError):
    """The factor of a matrix would not fit in memory."""


@dataclass(frozen=True, eq=False)
class SparseFactor:
    """Where the entries of the factor L of L D L' lie. Build it with `SparseFactor.prepare`.

    Attributes
    ----------
    pattern
        Of the compiled core: its `size` (n), `entries` of L below the diagonal, and `order()`, the
        spots in the order of elimination.
    """

    pattern: _core.Pattern

    @classmethod
    def prepare(cls, matrix: Any, *, cancelled: Callable[[], bool] | None = None) -> SparseFactor:
        """Order a symmetric matrix and find the pattern of its factor.

        Parameters
        ----------
        matrix
            Q, n x n, sparse.
        cancelled
            Asked every few milliseconds, from the calling thread.

        Returns
        -------
        SparseFactor

        Raises
        ------
        InputError
            If the pattern is not symmetric, or an entry is not finite.
        TooLarge
            If the factor would not fit in memory.
        Cancelled
            If ``cancelled`` returned True.
        """
        rows = csr_array(matrix, dtype=np.float64)
        rows.check_format()
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        columns = rows.tocsc()
        symmetric = rows.shape[0] == rows.shape[1] and (
            np.array_equal(rows.indptr, columns.indptr)
            and np.array_equal(rows.indices, columns.indices)
        )
        if not symmetric or not np.isfinite(rows.data).all():
            raise InputError(
                "A matrix has a pattern that is not symmetric, or entries that are not finite",
                where="factorisation",
                remedy="Give a symmetric precision",
            )
        try:
            pattern = _core.make_pattern(
                np.ascontiguousarray(rows.indptr, np.int32),
                np.ascontiguousarray(rows.indices, np.int32),
                np.ascontiguousarray(rows.data),
                MOST_BYTES // 16,
                watch(cancelled, what="the factorisation"),
            )
        except _core.Refused as error:
            raise TooLarge(
                str(error),
                where="factorisation",
                remedy="Take fewer neighbours a spot, or part of the section",
            ) from error
        return cls(pattern)

    def factorise(
        self,
        shift: float = 0.0,
        factor: float = 1.0,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Factorisation | None:
        """Factor ``shift I + factor Q``.

        Parameters
        ----------
        shift, factor
            Of the identity, and of Q.
        cancelled
            As in `prepare`.

        Returns
        -------
        Factorisation or None
            None where a pivot is not safely positive: the matrix is singular or indefinite.

        Raises
        ------
        Cancelled
            If ``cancelled`` returned True.
        """
        asked = watch(cancelled, what="the factorisation")
        try:
            found = _core.make_factor(self.pattern, float(shift), float(factor), asked)
        except _core.Refused:
            return None
        return Factorisation(found)


@dataclass(frozen=True, eq=False)
class Factorisation:
    """L and D of one matrix A, from `SparseFactor.factorise`.

    Attributes
    ----------
    factor
        Of the compiled core, whose other jobs may solve with it; `size` is n.
    """

    factor: _core.Factor

    def solve(
        self, right: NDArray[Any], *, cancelled: Callable[[], bool] | None = None
    ) -> tuple[NDArray[np.float64], float]:
        """Solve A X = B.

        Parameters
        ----------
        right
            B, n x d.
        cancelled
            As in `SparseFactor.prepare`.

        Returns
        -------
        values
            X, n x d, float64.
        residual
            Largest ||b - A x|| / ||b|| over the columns.

        Raises
        ------
        InputError
            If B has another number of rows.
        Cancelled
            If ``cancelled`` returned True.
        """
        given = np.ascontiguousarray(right, np.float64)
        if given.ndim != 2 or len(given) != self.factor.size:
            raise InputError(
                f"The right-hand side has the shape {given.shape} for {self.factor.size} spots",
                where="sparse solve",
                remedy="Give one row a spot",
            )
        values = np.empty_like(given)
        residual = self.factor.solve(given, values, watch(cancelled))
        return values, residual
