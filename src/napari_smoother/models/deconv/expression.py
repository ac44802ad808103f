"""Bring counts to a scale on which mixtures add up, and weigh the genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

DataScale = Literal["counts", "log1p"]
GeneWeights = Literal["within_type", "none", "inverse_mean", "inverse_variance"]

DAMPING = 0.05
"""Share of the mean over genes that is added to every gene's mean or variance, so that a gene
that hardly varies does not decide alone."""

SAMPLED_SPOTS = 4096
"""From so many spots noise and signature are found; more tell no more."""


def normalise_counts(
    counts: sparse.csr_matrix, scale: DataScale, *, total: float = 1e4
) -> sparse.csr_matrix:
    """Bring every spot to one total, and take log1p if asked.

    Parameters
    ----------
    counts
        n x G, not negative. Not changed.
    scale
        ``"counts"`` or ``"log1p"``.
    total
        The total every spot is brought to. Spots without counts stay zero.

    Returns
    -------
    scipy.sparse.csr_matrix
        n x G, float64, with the pattern of the counts, whose arrays it may share.

    Raises
    ------
    InputError
        If a count is negative or not finite.
    """
    _check_counts(counts)
    if counts.has_canonical_format:
        values = counts.data.astype(np.float64)  # a copy, also of float64
        result = sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
        result.has_canonical_format = True
    else:
        result = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
        result.sum_duplicates()
    totals = np.asarray(result.sum(axis=1)).ravel()
    factors = np.divide(total, totals, out=np.zeros_like(totals), where=totals > 0)
    result.data *= np.repeat(factors, np.diff(result.indptr))
    if scale == "log1p":
        np.log1p(result.data, out=result.data)
    return result


def sampled_spots(
    counts: sparse.csr_matrix,
    genes: NDArray[np.int64] | slice,
    totals: NDArray[np.float64],
    total: float,
) -> tuple[sparse.csr_matrix, float]:
    """Take some spots with counts, always the same.

    Parameters
    ----------
    counts
        Of the section, n x genes.
    genes
        Columns that are used.
    totals
        n: of every spot over these.
    total
        The total every spot is brought to.

    Returns
    -------
    expression : scipy.sparse.csr_matrix
        At most `SAMPLED_SPOTS` of the spots that have counts, brought to the total.
    counting : float
        Mean over them of the total over the spot's own: what counting adds to the variance of
        expression, over its mean.
    """
    used = np.flatnonzero(totals > 0)
    if used.size > SAMPLED_SPOTS:
        used = np.sort(np.random.default_rng(0).choice(used, SAMPLED_SPOTS, replace=False))
    rows: Any = counts[used][:, genes]
    expression = normalise_counts(sparse.csr_matrix(rows), "counts", total=total)
    return expression, float((total / totals[used]).mean()) if used.size else 1.0


def gene_moments(pieces: Iterable[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of every gene over the spots.

    Parameters
    ----------
    pieces
        Blocks of rows of the expression matrix, each spots x G, sparse or dense.

    Returns
    -------
    mean, variance : numpy.ndarray
        G each.
    """
    n_spots, first, second = 0, np.zeros(1), np.zeros(1)
    for piece in pieces:
        n_spots += piece.shape[0]
        first = first + np.asarray(piece.sum(axis=0)).ravel()
        second = second + np.asarray(squares(piece).sum(axis=0)).ravel()
    mean = first / n_spots
    return mean, np.maximum(second / n_spots - mean**2, 0)


def damped_weights(
    mean: NDArray[np.float64], variance: NDArray[np.float64], gene_weights: GeneWeights
) -> NDArray[np.float64]:
    """Weight of every gene before normalisation.

    Parameters
    ----------
    mean, variance
        Of every gene over the spots, on the scale of the fit.
    gene_weights
        How to weigh.

    Returns
    -------
    numpy.ndarray
        G, positive where the mean is not negative.
    """
    spread = variance if gene_weights == "inverse_variance" else mean
    if gene_weights == "none" or not spread.any():
        return np.ones(mean.shape)
    weights: NDArray[np.float64] = 1 / (spread + DAMPING * spread.mean())
    return weights


def squares(expression: Any) -> Any:
    """Square every value; sparse stays sparse.

    Parameters
    ----------
    expression
        Sparse or dense.

    Returns
    -------
    array of the same kind
    """
    is_sparse: bool = sparse.issparse(expression)
    return expression.power(2) if is_sparse else expression**2


def given_weights(gene_weights: ArrayLike, n_genes: int) -> NDArray[np.float64]:
    """Check weights that the user gave.

    Parameters
    ----------
    gene_weights
        One weight for every gene.
    n_genes
        How many there must be.

    Returns
    -------
    numpy.ndarray
        G, float64.

    Raises
    ------
    InputError
        If the shape is another, or a weight is negative or not finite.
    """
    weights = np.asarray(gene_weights, dtype=np.float64)
    if weights.shape != (n_genes,):
        raise InputError(
            f"The gene weights have the shape {weights.shape} for {n_genes} genes of the section",
            where="gene weights",
            remedy="Give one weight for every gene of the section",
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError(
            "A gene weight is negative, missing or infinite",
            where="gene weights",
            remedy="Give weights from zero up",
        )
    return weights


def check_choice(scale: object, gene_weights: object) -> None:
    """Refuse a scale or a weighting that does not exist.

    Raises
    ------
    InputError
        With the choices there are.
    """
    if scale not in get_args(DataScale):
        raise InputError(
            f"There is no data scale {scale!r}",
            where="deconvolution",
            remedy=f"Choose one of {', '.join(get_args(DataScale))}",
        )
    if isinstance(gene_weights, str) and gene_weights not in get_args(GeneWeights):
        raise InputError(
            f"There are no gene weights {gene_weights!r}",
            where="deconvolution",
            remedy=f"Choose one of {', '.join(get_args(GeneWeights))}, or give an array",
        )


def _check_counts(counts: sparse.csr_matrix) -> None:
    values = counts.data
    if values.size == 0:
        return
    lowest, highest = values.min(), values.max()  # both are NaN when any value is
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} counts are missing or infinite",
            where="counts of the section",
            remedy="Replace them by zeros, or remove these genes",
        )
    if lowest < 0:
        raise InputError(
            f"{int((values < 0).sum())} counts are negative",
            where="counts of the section",
            remedy="Give raw counts, not scaled or centred values",
        )
