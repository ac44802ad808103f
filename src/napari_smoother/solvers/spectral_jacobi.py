"""Jacobi preconditioning in the eigenbasis of A: each spot divides by d_k + weight q_ii there.

With every type free this is each spot's exact inverse block, at the cost of two small matrix
products; with some types held at zero it is only close to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.dots import keep_free, two_dots_of
from napari_smoother.solvers.row_blocks import BLOCK_ROWS, sums_over_rows
from napari_smoother.solvers.sparse_product import FAST

if TYPE_CHECKING:
    from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _solve(basis, basis_back, eigenvalues, shift, free, right, out, partial, first, last):  # type: ignore[no-untyped-def]
    rows, types = right.shape
    turned = np.empty((BLOCK_ROWS, types), np.float32)
    for block in range(first, last):
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, rows)
        here = turned[: stop - start]
        np.dot(right[start:stop], basis, here)
        for row in range(start, stop):
            for k in range(types):
                here[row - start, k] /= eigenvalues[k] + shift[row]
        np.dot(here, basis_back, out[start:stop])
        keep_free(out[start:stop], free[start:stop])
        partial[block, 0], partial[block, 1] = two_dots_of(right[start:stop], out[start:stop])


class SpectralJacobi:
    """Spectral Jacobi preconditioner (float32).

    Parameters
    ----------
    basis
        Eigenvectors of A in columns, shape (types, types), float32.
    eigenvalues
        Eigenvalues of A plus a ridge that keeps them positive, shape (types,), float32.
    shift
        ``weight * q_ii``, shape (spots,), float32.
    free
        1 where an entry is free, else 0, shape (spots, types), float32.
    """

    def __init__(
        self,
        basis: NDArray[np.float32],
        eigenvalues: NDArray[np.float32],
        shift: NDArray[np.float32],
        free: NDArray[np.float32],
    ) -> None:
        self.arguments: tuple[NDArray[np.generic], ...] = (
            basis,
            np.ascontiguousarray(basis.T),
            eigenvalues,
            shift,
            free,
        )

    def apply(self, right: NDArray[np.float32], out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the preconditioned `right` into `out`; return <right, out> and <right, right>."""
        sums = sums_over_rows(_solve, right.shape, 2, (*self.arguments, right, out))
        return float(sums[0]), float(sums[1])
