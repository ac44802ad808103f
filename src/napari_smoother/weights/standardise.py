"""Marginal variances of a Gaussian Markov field, and precisions scaled to unit variance.

The diagonal of the inverse is found by the recursion of Takahashi, Fagan and Chen (1973) on the
entries of the sparse Cholesky factor, without forming the inverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy.sparse import csr_array
from scipy.sparse.linalg import splu

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def standardised(matrix: csr_array, *, singular: bool) -> csr_array:
    """Scale rows and columns of a precision so that its marginal variances are 1.

    Parameters
    ----------
    matrix
        n x n precision.
    singular
        Whether it has no inverse; it then gets a unit diagonal instead.

    Returns
    -------
    precision
        The same pattern.
    """
    variance = 1 / matrix.diagonal() if singular else marginal_variances(matrix)
    scale = np.sqrt(variance)
    data = matrix.data * np.repeat(scale, np.diff(matrix.indptr)) * scale[matrix.indices]
    return csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def marginal_variances(matrix: csr_array) -> NDArray[np.float64]:
    """Diagonal of the inverse of a sparse positive definite matrix.

    Parameters
    ----------
    matrix
        n x n, symmetric, positive definite.

    Returns
    -------
    variances
        n float64, exact to rounding.

    Raises
    ------
    InputError
        If the matrix is singular or indefinite.
    """
    refused = InputError(
        "The precision has no inverse, so its spots have no variances",
        where="marginal variances",
        remedy="Choose a rho inside the valid range",
    )
    try:
        factor = splu(
            matrix.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError as error:
        raise refused from error
    pivots = factor.U.diagonal()
    # A pivot that rounding alone could have left of its diagonal means singular.
    permuted = np.empty_like(pivots)
    permuted[factor.perm_c] = matrix.diagonal()
    if not (pivots > 1e-13 * permuted).all():
        raise refused
    if not np.array_equal(factor.perm_r, factor.perm_c):
        return _by_solving(factor, matrix.shape[0])
    lower = factor.L.tocsc()
    lower.sort_indices()
    inverse, complete = _takahashi(lower.indptr, lower.indices, lower.data, pivots)
    if not complete:
        # Entries of the factor that cancelled exactly are not stored; the recursion needs them.
        return _by_solving(factor, matrix.shape[0])
    return np.asarray(inverse[factor.perm_c])


def _by_solving(factor: object, n: int) -> NDArray[np.float64]:
    variances = np.empty(n)
    for first in range(0, n, 256):
        columns = np.arange(first, min(first + 256, n))
        unit = np.zeros((n, len(columns)))
        unit[columns, np.arange(len(columns))] = 1
        solved = factor.solve(unit)  # type: ignore[attr-defined]
        variances[columns] = solved[columns, np.arange(len(columns))]
    return variances


@njit(nogil=True, cache=True)
def _takahashi(indptr, indices, data, pivots):  # type: ignore[no-untyped-def]
    """Diagonal of (L D L')^-1; the unit diagonal of L is stored first in each column."""
    n = pivots.size
    inverse = np.zeros(data.size)
    row_sum = np.zeros(n)
    factor = np.zeros(n)
    inside = np.zeros(n, np.bool_)
    for j in range(n - 1, -1, -1):
        first, end = indptr[j] + 1, indptr[j + 1]
        for e in range(first, end):
            inside[indices[e]] = True
            factor[indices[e]] = data[e]
            row_sum[indices[e]] = 0.0
        met = 0
        for e in range(first, end):
            k = indices[e]
            for f in range(indptr[k], indptr[k + 1]):
                i = indices[f]
                if inside[i]:
                    met += 1
                    row_sum[i] += data[e] * inverse[f]
                    if i != k:
                        row_sum[k] += factor[i] * inverse[f]
        size = end - first
        if met != size * (size + 1) // 2:
            return pivots, False
        own = 1.0 / pivots[j]
        for e in range(first, end):
            inverse[e] = -row_sum[indices[e]]
            own -= data[e] * inverse[e]
            inside[indices[e]] = False
        inverse[indptr[j]] = own
    diagonal = np.empty(n)
    for j in range(n):
        diagonal[j] = inverse[indptr[j]]
    return diagonal, True
