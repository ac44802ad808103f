"""Spatial processes: from a weighted graph to the precision matrix of a Gaussian Markov field.

With weights W >= 0, D = diag(W 1) and autocorrelation rho:

- `car` (conditional autoregression): Q = I - rho W
- `sar` (simultaneous autoregression): Q = (I - rho W)'(I - rho W)
- `icar` (intrinsic CAR): Q = D - rho W
- `isar` (intrinsic SAR): as SAR, on W with rows scaled to sum to 1
- `sma` (moving average): Q = [(I + rho W)(I + rho W')]^-1, see `MovingAverage`

A spot without neighbours has Q_ii = 1 in all of them: it is pulled to zero by itself, and the
precision stays regular there whatever rho is. Only the symmetric part of a matrix counts in a
quadratic form, so `car` and `icar` of row-scaled weights are symmetrised.

Besag 1974 (CAR), Whittle 1954 (SAR), Besag, York and Mollie 1991 (intrinsic CAR).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Process = Literal["car", "sar", "icar", "isar", "sma"]
"""Name of a spatial process."""

LANCZOS = 1e-4
"""Relative accuracy of the extreme eigenvalues of more than 200 spots."""


def precision(
    weights: csr_array,
    process: Process,
    rho: float,
    *,
    standardise: bool = False,
    check: bool = True,
) -> csr_array:
    """Precision matrix of a spatial process on a graph.

    Parameters
    ----------
    weights
        n x n, non-negative, zero diagonal, sorted indices. Stored zeros (cut edges) are left
        out of the precision.
    process
        `car`, `sar`, `icar` or `isar`. The precision of `sma` is dense and refused: use
        `MovingAverage`.
    rho
        Autocorrelation; see `rho_range`.
    standardise
        Scale rows and columns so that every spot has a marginal variance of 1. A singular
        precision has no variances: it gets a unit diagonal instead (for `icar` at rho = 1,
        the normalised Laplacian).
    check
        Whether to make sure that the precision is not indefinite. That costs nothing while
        |rho| times the largest row sum is below 1, and always for `icar` up to |rho| = 1.

    Returns
    -------
    precision
        n x n float64, symmetric, sorted indices.

    Raises
    ------
    InputError
        If the process is unknown, weights are negative or not finite, or the precision is
        indefinite; the message gives the valid range of rho.
    """
    if process not in get_args(Process) or process == "sma":
        raise _unknown(process)
    check_weights(weights)
    symmetric = process in ("car", "icar") and is_symmetric(weights)
    if check:
        check_rho(weights, process, rho, symmetric=symmetric)
    if process in ("car", "icar"):
        own = _row_sums(weights) if process == "icar" else None
        matrix = _conditional(weights if symmetric else symmetric_part(weights), own, rho)
    else:
        scaled = row_scaled(weights) if process == "isar" else weights
        residual = _conditional(scaled, None, rho)
        matrix = (residual.T @ residual).tocsr()
        matrix.sort_indices()
    if standardise:
        from napari_smoother.weights.standardise import standardised

        matrix = standardised(matrix, singular=is_singular(weights, process, rho))
    return matrix


def rho_range(weights: csr_array, process: Process) -> tuple[float, float]:
    """Open interval of rho in which the precision is positive definite.

    1 / smallest and 1 / largest eigenvalue of the matrix that rho multiplies (W; for `icar`
    and `isar` W scaled by its row sums), by Lanczos iterations: above 200 spots to 1e-4, on
    the safe side. `sar` and `isar` are semi-definite beyond it too, but no longer the
    stationary process; `sma` is invertible in the mirrored interval. Infinite where nothing
    limits rho.

    Parameters
    ----------
    weights
        n x n, non-negative, zero diagonal.
    process
        Name of the process.

    Returns
    -------
    lowest, highest
        The end of the interval itself is singular.
    """
    check_weights(weights)
    sums = _row_sums(weights)
    if process in ("icar", "isar"):
        scale = 1 / np.sqrt(np.where(sums > 0, sums, 1.0))
        matrix = _scaled(symmetric_part(weights), scale, scale)
    else:
        matrix = symmetric_part(weights)
    lowest, highest = _extreme_eigenvalues(matrix)
    if process in ("icar", "isar") and highest > 0 and is_symmetric(weights):
        highest = 1.0  # the constant vector, exactly
    if process == "sma":
        lowest, highest = -highest, -lowest
    return (1 / lowest if lowest < 0 else -np.inf, 1 / highest if highest > 0 else np.inf)


def check_rho(
    weights: csr_array, process: Process, rho: float, *, symmetric: bool | None = None
) -> None:
    """Raise an `InputError` with the valid range where the precision would be indefinite.

    `sar`, `isar` and `sma` are products of a matrix and its transpose and cannot be. Whether
    the weights are symmetric is looked up unless told.
    """
    if not np.isfinite(rho):
        raise InputError(
            f"rho is {rho}", where=f"process {process}", remedy="Give a finite number"
        )
    if process not in ("car", "icar"):
        return
    if symmetric is None:
        symmetric = is_symmetric(weights)
    if _surely_within(weights, process, rho, symmetric):
        return
    lowest, highest = rho_range(weights, process)
    # At the very end the precision is semi-definite, which is allowed; rounding decides there.
    if lowest * (1 + 1e-9) <= rho <= highest * (1 + 1e-9):
        return
    raise InputError(
        f"With rho = {rho:g} the precision is indefinite",
        where=f"process {process}",
        remedy=f"Choose rho between {lowest:.6g} and {highest:.6g}"
        + (", or the process icar, which allows -1 to 1" if process == "car" else ""),
    )


def is_singular(weights: csr_array, process: Process, rho: float) -> bool:
    """Whether rho is at an end of its range, where the precision has no inverse."""
    if process in ("icar", "isar") and abs(rho) < 1 and is_symmetric(weights):
        return False
    sums = _row_sums(weights)
    if process in ("icar", "isar") and rho == 1 and is_symmetric(weights):
        return bool((sums > 0).any())
    if process not in ("icar", "isar") and abs(rho) * _largest_row(weights) < 1 - 1e-9:
        return False
    lowest, highest = rho_range(weights, process)
    return bool(np.isclose(rho, [lowest, highest], rtol=1e-8, atol=0).any())


def row_scaled(weights: csr_array) -> csr_array:
    """Divide every row by its sum; rows that sum to 0 stay 0. The pattern is kept."""
    sums = _row_sums(weights)
    data = weights.data / np.repeat(np.where(sums > 0, sums, 1.0), np.diff(weights.indptr))
    return csr_array((data, weights.indices, weights.indptr), shape=weights.shape)


def is_symmetric(weights: csr_array) -> bool:
    """Whether the matrix (sorted indices) equals its transpose, to rounding, with its pattern."""
    turned = weights.T.tocsr()
    return (
        np.array_equal(turned.indptr, weights.indptr)
        and np.array_equal(turned.indices, weights.indices)
        and np.allclose(turned.data, weights.data, rtol=1e-12, atol=0)
    )


def check_weights(weights: csr_array) -> None:
    """Raise an `InputError` unless the weights are square, finite and non-negative."""
    if weights.shape[0] != weights.shape[1]:
        raise InputError(
            f"Weights have the shape {weights.shape}",
            where="weight matrix",
            remedy="Give spots x spots",
        )
    if weights.nnz and not (weights.data.min() >= 0 and np.isfinite(weights.data.max())):
        raise InputError(
            "Some weights are negative or not finite",
            where="weight matrix",
            remedy="Clip similarities at 0 before scaling by them",
        )


def _row_sums(weights: csr_array) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = weights @ np.ones(weights.shape[1])
    return sums


def _conditional(weights: csr_array, own: NDArray[np.float64] | None, rho: float) -> csr_array:
    """Diagonal minus rho W, without stored zeros; `own` None is a diagonal of 1."""
    diagonal = np.ones(weights.shape[0]) if own is None else np.where(own > 0, own, 1.0)
    return csr_array(diags_array(diagonal) - rho * weights)


def symmetric_part(weights: csr_array) -> csr_array:
    """Return the mean of weights and their transpose; themselves where they are symmetric."""
    if is_symmetric(weights):
        return weights
    half = csr_array((weights + weights.T) * 0.5)
    half.sort_indices()
    return half


def _scaled(matrix: csr_array, left: NDArray[np.float64], right: NDArray[np.float64]) -> csr_array:
    data = matrix.data * np.repeat(left, np.diff(matrix.indptr)) * right[matrix.indices]
    return csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _largest_row(weights: csr_array) -> float:
    """Bound on the modulus of every eigenvalue of the symmetric part (Gershgorin)."""
    rows = _row_sums(weights)
    columns = np.bincount(weights.indices, weights.data, minlength=weights.shape[0])
    return float((0.5 * (rows + columns)).max(initial=0.0))


def _surely_within(weights: csr_array, process: Process, rho: float, symmetric: bool) -> bool:
    if process == "icar" and symmetric:
        return abs(rho) <= 1
    if process == "icar":
        # Diagonally dominant rows of the symmetric part are enough.
        rows = _row_sums(weights)
        columns = np.bincount(weights.indices, weights.data, minlength=weights.shape[0])
        return bool((0.5 * abs(rho) * (rows + columns) <= rows * (1 + 1e-12)).all())
    return abs(rho) * _largest_row(weights) <= 1


def _extreme_eigenvalues(matrix: csr_array) -> tuple[float, float]:
    n = matrix.shape[0]
    if n < 200:
        values = np.linalg.eigvalsh(matrix.toarray())
        return float(values[0]), float(values[-1])
    if matrix.nnz == 0 or matrix.data.max() == 0:
        return 0.0, 0.0
    start = np.random.default_rng(0).standard_normal(n)
    try:
        values = eigsh(
            matrix, k=2, which="BE", v0=start, ncv=40, tol=LANCZOS, return_eigenvectors=False
        )
    except ArpackNoConvergence:
        # Large regular lattices: the bound by row sums is then sharp, and always on the safe side.
        largest = _largest_row(matrix)
        return -largest, largest
    # Lanczos approaches from inside; this is the side on which no indefinite matrix passes.
    return float(values.min()) * (1 + LANCZOS), float(values.max()) * (1 + LANCZOS)


def _unknown(process: str) -> InputError:
    return InputError(
        f"Unknown spatial process {process!r}",
        where="precision",
        remedy="Take car, sar, icar or isar, or MovingAverage for sma",
    )
