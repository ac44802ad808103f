"""The pattern of a sparse Cholesky factor, found once for all matrices of one graph.

Rows are ordered by minimum degree, and the pattern follows from the elimination tree (Davis 2005,
ACM Trans. Math. Softw. 31: LDL).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from napari_smoother.errors import InputError
from napari_smoother.solvers.factor_loops import (
    elimination_tree,
    factorise,
    fill_rows,
    upper_triangle,
)
from napari_smoother.solvers.minimum_degree import minimum_degree

if TYPE_CHECKING:
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
        ordered = csr_array(matrix, dtype=np.float64)
        if not ordered.has_canonical_format:
            ordered = ordered.copy()
            ordered.sum_duplicates()
        order = minimum_degree(ordered.indptr, ordered.indices)
        upper_pointers, upper_rows, upper_entries = upper_triangle(
            ordered.indptr, ordered.indices, ordered.data, order
        )
        parent, sizes = elimination_tree(upper_pointers, upper_rows)
        pointers = np.concatenate([[0], np.cumsum(sizes)])
        if 16 * pointers[-1] > MOST_BYTES:
            raise TooLarge(
                f"The factor of {order.size} spots has {pointers[-1]} entries",
                where="factorisation",
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
            upper_entries=upper_entries,
        )

    @property
    def multiplications(self) -> float:
        """How many a factorisation takes, about."""
        lengths = np.diff(self.pointers).astype(np.float64)
        return float(np.einsum("i,i->", lengths, lengths))

    def factorise(
        self, shifts: tuple[float, ...], factor: float, stop: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """L and D of ``shift I + factor Q`` for one shift or four; None where one is not positive.

        Parameters
        ----------
        shifts
            One number or four.
        factor
            Of Q.
        stop
            One number; anything but 0 ends the work early, with numbers that mean nothing.

        Returns
        -------
        lower, pivots
            Entries of L below the diagonal (entries x shifts) and D (n x shifts), or None.
        """
        lower = np.empty((self.rows.size, len(shifts)))
        pivots = np.empty((self.order.size, len(shifts)))
        done = factorise(
            self.upper_pointers,
            self.upper_rows,
            self.upper_entries,
            shifts,
            factor,
            self.parent,
            self.pointers,
            self.rows,
            lower,
            pivots,
            stop,
        )
        return (lower, pivots) if done else None
