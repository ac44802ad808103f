"""Principal components of the features of spots, dense or sparse, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, issparse

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LARGEST_GRAM = 4000
"""Up to so many features (or spots) a matrix of their products is formed."""


def principal_components(features: ArrayLike | Any, n_components: int) -> NDArray[np.float64]:
    """Leading principal components of standardised features, exactly.

    Features are centred and divided by their standard deviation (ddof 1); constant ones are
    left out. Signs are fixed (largest loading positive), so that the answer is the same
    everywhere.

    Parameters
    ----------
    features
        Spots x features, dense or sparse. Sparse stays sparse.
    n_components
        How many to keep; never more than there are.

    Returns
    -------
    scores
        Spots x components, float64.
    """
    given: Any = features
    sparse = issparse(given)
    table: Any = (csr_array(given) if sparse else np.asarray(given)).astype(np.float64)
    n = table.shape[0]
    mean = np.asarray(table.mean(axis=0)).ravel()
    if sparse:
        # Sum of squares about the mean: entries that are stored, and those that are not.
        column = table.indices
        stored = np.bincount(column, minlength=table.shape[1])
        about = np.bincount(column, (table.data - mean[column]) ** 2, minlength=table.shape[1])
        spread = about + (n - stored) * mean**2
    else:
        spread = ((table - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(spread / max(n - 1, 1))
    varying = deviation > 1e-12 * np.maximum(np.abs(mean), np.finfo(float).tiny)
    table, mean, deviation = table[:, varying], mean[varying], deviation[varying]
    rank = min(n_components, n, table.shape[1])
    if rank == 0:
        return np.zeros((n, 0))
    table = table @ _diagonal(1 / deviation) if sparse else (table - mean) / deviation
    shift = mean / deviation if sparse else np.zeros(len(mean))
    if min(table.shape) <= LARGEST_GRAM:
        return _components_by_gram(table, shift, rank)
    return _components_by_lanczos(table, shift, rank)


def _diagonal(values: NDArray[np.float64]) -> csr_array:
    n = len(values)
    return csr_array((values, np.arange(n), np.arange(n + 1)), shape=(n, n))


def _components_by_gram(table: Any, shift: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """Scores from the eigenvectors of the smaller of both Gram matrices."""
    n, m = table.shape
    if m <= n:
        gram = _dense(table.T @ table) - n * np.outer(shift, shift)
        loadings = _leading(gram, rank)[1]
        scores = table @ loadings - shift @ loadings
        return _signed(scores, loadings)
    gram = _dense(table @ table.T)
    gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    values, vectors = _leading(gram, rank)
    root = np.sqrt(np.maximum(values, 0))
    return _signed(vectors * root, table.T @ vectors - np.outer(shift, vectors.sum(axis=0)))


def _leading(
    gram: NDArray[np.float64], rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest eigenvalues, descending, and their vectors."""
    n = len(gram)
    if n <= 300 or 8 * rank > n:
        values, vectors = np.linalg.eigh(gram)
        return values[::-1][:rank], vectors[:, ::-1][:, :rank]
    from scipy.sparse.linalg import eigsh

    # Several times faster than a dense decomposition, and as exact at this tolerance.
    start = np.random.default_rng(0).standard_normal(n)
    ncv = min(n, max(60, 3 * rank))
    values, vectors = eigsh(gram, k=rank, which="LA", v0=start, ncv=ncv, tol=1e-10)
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def _components_by_lanczos(
    table: Any, shift: NDArray[np.float64], rank: int
) -> NDArray[np.float64]:
    from scipy.sparse.linalg import LinearOperator, svds

    n, m = table.shape
    centred = LinearOperator(
        (n, m),
        matvec=lambda v: table @ v.ravel() - shift @ v.ravel(),
        rmatvec=lambda u: table.T @ u.ravel() - shift * u.sum(),
        dtype=np.float64,
    )
    start = np.random.default_rng(0).standard_normal(min(n, m))
    vectors, values, loadings = svds(centred, k=rank, v0=start)
    order = np.argsort(values)[::-1]
    return _signed(vectors[:, order] * values[order], loadings[order].T)


def _dense(matrix: Any) -> NDArray[np.float64]:
    return np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())


def _signed(scores: NDArray[np.float64], loadings: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = np.abs(loadings).argmax(axis=0)
    sign = np.where(loadings[largest, np.arange(loadings.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(scores) * sign
