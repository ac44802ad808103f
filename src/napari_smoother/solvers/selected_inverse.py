"""Diagonal of the inverse of a sparse positive definite matrix, exactly and without the inverse.

One fill-reducing order and one symbolic factor serve all matrices ``shift I + factor Q``. Each is
factored as L D L' row by row (Davis 2005, ACM Trans. Math. Softw. 31: LDL), and the diagonal of
the inverse follows from the recursion of Takahashi, Fagan and Chen (1973) on the entries of L.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.factor_loops import invert
from napari_smoother.solvers.row_blocks import THREADS
from napari_smoother.solvers.sparse_factor import SparseFactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

SEVERAL_BYTES = 2_000_000_000
"""What several factors may take at once; beyond, one matrix is worked on at a time."""

LANES = 4
"""Shifts worked on side by side, as many as the vector registers of most processors hold."""


def inverse_diagonals(
    factored: SparseFactor,
    shifts: ArrayLike,
    factor: float = 1.0,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float64]:
    """Diagonals of the inverses of ``shift I + factor Q``, for several shifts.

    Parameters
    ----------
    factored
        Pattern of the factor of Q.
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
    result = np.empty((factored.order.size, wanted.size))
    several = 16 * LANES * THREADS * factored.rows.size < SEVERAL_BYTES
    width = LANES if several and wanted.size > 1 else 1
    stop = np.zeros(1, np.uint8)
    pool = ThreadPoolExecutor(THREADS if several else 1)
    try:
        work = [
            pool.submit(
                _some,
                factored,
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
    factored: SparseFactor,
    shifts: NDArray[np.float64],
    width: int,
    factor: float,
    stop: NDArray[np.uint8],
    out: NDArray[np.float64],
) -> bool:
    """Write a few diagonals in the order of the spots; return whether there are any."""
    # A tuple, so that loops over the lanes have a length the compiler knows.
    lanes = tuple(float(shifts[min(lane, shifts.size - 1)]) for lane in range(width))
    found = factored.factorise(lanes, factor, stop)
    if found is None:
        return False
    diagonal = np.empty((factored.order.size, width))
    invert(factored.pointers, factored.rows, *found, lanes, diagonal, stop)
    out[factored.order] = diagonal[:, : shifts.size]
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
    return inverse_diagonals(SparseFactor.prepare(matrix), [0.0])[:, 0]
