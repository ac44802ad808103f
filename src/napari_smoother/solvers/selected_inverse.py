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
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import splu

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.factor_loops import (
    elimination_tree,
    factorise,
    fill_rows,
    invert,
)
from napari_smoother.solvers.row_blocks import THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

MOST_BYTES = 6_000_000_000
"""More for one factor and its inverse would not fit beside the data on a workstation."""

SEVERAL_BYTES = 2_000_000_000
"""What several factors may take at once; beyond, one matrix is worked on at a time."""

LANES = 4
"""Shifts worked on side by side, as many as the vector registers of most processors hold."""


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
        parent, sizes = elimination_tree(upper_pointers, upper_rows)
        pointers = np.concatenate([[0], np.cumsum(sizes)])
        if 16 * pointers[-1] > MOST_BYTES:
            raise TooLarge(
                f"The factor of {order.size} spots has {pointers[-1]} entries",
                where="exact variances",
                remedy="Take fewer neighbours a spot, or part of the section",
            )
        rows = np.empty(pointers[-1], np.int32)
        fill_rows(upper_pointers, upper_rows, parent, pointers, rows)
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
        several = 16 * LANES * THREADS * self.rows.size < SEVERAL_BYTES
        width = LANES if several and wanted.size > 1 else 1
        stop = np.zeros(1, np.uint8)
        pool = ThreadPoolExecutor(THREADS if several else 1)
        try:
            work = [
                pool.submit(
                    self._some,
                    wanted[first : first + width],
                    width,
                    float(factor),
                    stop,
                    result[:, first : first + width],
                )
                for first in range(0, wanted.size, width)
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

    def _some(
        self,
        shifts: NDArray[np.float64],
        width: int,
        factor: float,
        stop: NDArray[np.uint8],
        out: NDArray[np.float64],
    ) -> bool:
        """Write a few diagonals in the order of the spots; return whether there are any."""
        # A tuple, so that loops over the lanes have a length the compiler knows.
        lanes = tuple(float(shifts[min(lane, shifts.size - 1)]) for lane in range(width))
        pivots = np.empty((self.order.size, width))
        lower = np.empty((self.rows.size, width))
        pattern = (self.pointers, self.rows)
        upper = (self.upper_pointers, self.upper_rows, self.upper_entries)
        if not factorise(*upper, lanes, factor, self.parent, *pattern, lower, pivots, stop):
            return False
        diagonal = np.empty((self.order.size, width))
        invert(*pattern, lower, pivots, lanes, diagonal, stop)
        out[self.order] = diagonal[:, : shifts.size]
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
