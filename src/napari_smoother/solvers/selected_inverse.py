"""Diagonal of the inverse of a sparse positive definite matrix, exactly and without the inverse.

One fill-reducing order and one symbolic factor serve all matrices ``shift I + factor Q``. Each is
factored as L D L' row by row (Davis 2005, ACM Trans. Math. Softw. 31: LDL), and the diagonal of
the inverse follows from the recursion of Takahashi, Fagan and Chen (1973) on the entries of L.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import splu

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.row_blocks import THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

MOST_BYTES = 6_000_000_000
"""More for one factor and its inverse would not fit beside the data on a workstation."""

SEVERAL_BYTES = 1_000_000_000
"""Above this a single matrix is worked on at a time."""

PIVOT = 1e-13
"""Smallest share of its diagonal entry that rounding alone cannot leave as a pivot."""


class TooLarge(InputError):
    """The factor of a matrix would not fit in memory."""


@dataclass(frozen=True, eq=False)
class SparseFactor:
    """Where the entries of the factor L lie, for one Q. Build it with `SparseFactor.prepare`.

    Attributes
    ----------
    order
        Spots in the order of elimination, n.
    parent
        Elimination tree, n.
    pointers, rows
        Columns of L below the diagonal, rows ascending.
    upper_pointers, upper_rows, upper_entries
        Columns of the upper triangle of the ordered Q with its diagonal, float64.
    """

    order: NDArray[np.int32]
    parent: NDArray[np.int32]
    pointers: NDArray[np.int64]
    rows: NDArray[np.int32]
    upper_pointers: NDArray[np.int32]
    upper_rows: NDArray[np.int32]
    upper_entries: NDArray[np.float64]

    @classmethod
    def prepare(cls, matrix: csr_array) -> SparseFactor:
        """Order a symmetric matrix and find the pattern of its factor.

        Parameters
        ----------
        matrix
            Q, n x n.

        Returns
        -------
        SparseFactor

        Raises
        ------
        TooLarge
            If the factor would not fit in memory.
        """
        order = _fill_reducing(matrix)
        ordered = csc_array(matrix)[order][:, order].tocsc()
        ordered.sum_duplicates()
        columns = np.repeat(np.arange(order.size), np.diff(ordered.indptr))
        above = ordered.indices <= columns
        counts = np.bincount(columns[above], minlength=order.size)
        upper_pointers = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        upper_rows = ordered.indices[above].astype(np.int32)
        parent, sizes = _elimination_tree(upper_pointers, upper_rows)
        pointers = np.concatenate([[0], np.cumsum(sizes)])
        if 16 * pointers[-1] > MOST_BYTES:
            raise TooLarge(
                f"The factor of {order.size} spots has {pointers[-1]} entries",
                where="exact variances",
                remedy="Take fewer neighbours a spot, or part of the section",
            )
        rows = np.empty(pointers[-1], np.int32)
        _fill_rows(upper_pointers, upper_rows, parent, pointers, rows)
        return cls(
            order=order,
            parent=parent,
            pointers=pointers,
            rows=rows,
            upper_pointers=upper_pointers,
            upper_rows=upper_rows,
            upper_entries=ordered.data[above].astype(np.float64),
        )

    def inverse_diagonals(
        self,
        shifts: ArrayLike,
        factor: float = 1.0,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> NDArray[np.float64]:
        """Diagonals of the inverses of ``shift I + factor Q``, for several shifts.

        Parameters
        ----------
        shifts
            m numbers.
        factor
            Of Q.
        cancelled
            Asked some ten times a second, from the calling thread.

        Returns
        -------
        numpy.ndarray
            n x m, float64, exact to rounding.

        Raises
        ------
        InputError
            If one of the matrices is singular or indefinite.
        Cancelled
            If ``cancelled`` returned True.
        """
        wanted = np.asarray(shifts, dtype=np.float64).ravel()
        result = np.empty((self.order.size, wanted.size))
        stop = np.zeros(1, np.uint8)
        several = 16 * self.rows.size < SEVERAL_BYTES
        pool = ThreadPoolExecutor(min(THREADS, wanted.size) if several else 1)
        try:
            work = [
                pool.submit(self._one, float(shift), float(factor), stop, result[:, place])
                for place, shift in enumerate(wanted)
            ]
            waiting = set(work)
            while waiting:
                if cancelled is not None and cancelled():
                    raise Cancelled("the variances were cancelled")
                waiting = wait(waiting, timeout=0.1).not_done
                if any(done.done() and not done.result() for done in work):
                    raise InputError(
                        "A matrix is singular or indefinite, so its inverse has no diagonal",
                        where="exact variances",
                        remedy="Choose a rho inside the valid range, or a larger lambda",
                    )
        finally:
            stop[0] = 1
            pool.shutdown(wait=True, cancel_futures=True)
        return result

    def _one(
        self, shift: float, factor: float, stop: NDArray[np.uint8], out: NDArray[np.float64]
    ) -> bool:
        """Write one diagonal in the order of the spots; return whether there is one."""
        pivots = np.empty(self.order.size)
        lower = np.empty(self.rows.size)
        pattern = (self.pointers, self.rows)
        upper = (self.upper_pointers, self.upper_rows, self.upper_entries)
        if not _factorise(*upper, shift, factor, self.parent, *pattern, lower, pivots, stop):
            return False
        diagonal = np.empty(self.order.size)
        _invert(*pattern, lower, pivots, diagonal, stop)
        out[self.order] = diagonal
        return True


def inverse_diagonal(matrix: csr_array) -> NDArray[np.float64]:
    """Diagonal of the inverse of one sparse positive definite matrix.

    Parameters
    ----------
    matrix
        n x n, symmetric.

    Returns
    -------
    numpy.ndarray
        n, float64, exact to rounding.

    Raises
    ------
    InputError
        If it is singular or indefinite.
    """
    return SparseFactor.prepare(matrix).inverse_diagonals([0.0])[:, 0]


def _fill_reducing(matrix: csr_array) -> NDArray[np.int32]:
    """Minimum degree order of the pattern; the values are of no account."""
    pattern = csr_array(
        (np.full(matrix.nnz, -1.0), matrix.indices, matrix.indptr), shape=matrix.shape
    )
    safe = pattern + eye_array(matrix.shape[0]) * (2.0 + np.diff(matrix.indptr).max(initial=0))
    analysed = splu(
        csc_array(safe),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return np.argsort(analysed.perm_c).astype(np.int32)


@njit(nogil=True, cache=True)
def _elimination_tree(upper_pointers, upper_rows):  # type: ignore[no-untyped-def]
    """Parent of every column, and number of entries below its diagonal."""
    n = upper_pointers.size - 1
    parent = np.full(n, -1, np.int32)
    seen = np.full(n, -1, np.int32)
    sizes = np.zeros(n, np.int64)
    for row in range(n):
        seen[row] = row
        for place in range(upper_pointers[row], upper_pointers[row + 1]):
            node = upper_rows[place]
            while seen[node] != row:
                if parent[node] < 0:
                    parent[node] = row
                sizes[node] += 1
                seen[node] = row
                node = parent[node]
    return parent, sizes


@njit(nogil=True, cache=True)
def _fill_rows(upper_pointers, upper_rows, parent, pointers, rows):  # type: ignore[no-untyped-def]
    """Rows of every column of L: a row lies in all columns on its paths up the tree."""
    n = parent.size
    seen = np.full(n, -1, np.int32)
    end = pointers[:-1].copy()
    for row in range(n):
        seen[row] = row
        for place in range(upper_pointers[row], upper_pointers[row + 1]):
            node = upper_rows[place]
            while seen[node] != row:
                rows[end[node]] = row
                end[node] += 1
                seen[node] = row
                node = parent[node]


@njit(nogil=True, cache=True, error_model="numpy")
def _factorise(  # type: ignore[no-untyped-def]
    upper_pointers, upper_rows, upper_entries, shift, factor, parent, pointers, rows, lower,
    pivots, stop,
):  # fmt: skip
    """L and D of ``shift I + factor Q``; False where a pivot is not safely positive."""
    n = parent.size
    seen = np.full(n, -1, np.int32)
    path = np.empty(n, np.int32)
    stack = np.empty(n, np.int32)
    value = np.zeros(n)
    end = pointers[:-1].copy()
    for row in range(n):
        if stop[0]:
            return True
        top = n
        seen[row] = row
        value[row] = shift
        for place in range(upper_pointers[row], upper_pointers[row + 1]):
            node = upper_rows[place]
            value[node] += factor * upper_entries[place]
            length = 0
            while seen[node] != row:
                path[length] = node
                length += 1
                seen[node] = row
                node = parent[node]
            while length > 0:
                length -= 1
                top -= 1
                stack[top] = path[length]
        own = value[row]
        pivot = own
        value[row] = 0.0
        for visit in range(top, n):
            node = stack[visit]
            entry = value[node]
            value[node] = 0.0
            for place in range(pointers[node], end[node]):
                value[rows[place]] -= lower[place] * entry
            scaled = entry / pivots[node]
            pivot -= scaled * entry
            lower[end[node]] = scaled
            end[node] += 1
        if not pivot > PIVOT * own:
            return False
        pivots[row] = pivot
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _invert(pointers, rows, lower, pivots, diagonal, stop):  # type: ignore[no-untyped-def]
    """Diagonal of (L D L')^-1 by the recursion of Takahashi, from the last column backwards."""
    n = pivots.size
    inverse = np.empty(rows.size)
    weight = np.zeros(n)  # the column of L at hand, zero outside its pattern
    total = np.zeros(n)
    for step in range(n):
        if stop[0]:
            return
        j = n - 1 - step
        first, end = pointers[j], pointers[j + 1]
        for e in range(first, end):
            weight[rows[e]] = lower[e]
            total[rows[e]] = 0.0
        for e in range(first, end):
            k = rows[e]
            mine = lower[e]
            own = diagonal[k] * mine
            for f in range(pointers[k], pointers[k + 1]):
                i = rows[f]
                entry = inverse[f]
                total[i] += mine * entry
                own += weight[i] * entry
            total[k] += own
        value = 1.0 / pivots[j]
        for e in range(first, end):
            k = rows[e]
            inverse[e] = -total[k]
            value += lower[e] * total[k]
            weight[k] = 0.0
        diagonal[j] = value
