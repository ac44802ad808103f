"""Which genes vary between spots by more than counting does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BLOCK = 2**22
"""Values that are dense at a time."""


def residual_variances(
    counts: Any,
    *,
    theta: float = 100.0,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float64]:
    r"""Variance over spots of the Pearson residuals of every gene.

    .. math::
        r_{ij} = \frac{x_{ij} - \mu_{ij}}{\sqrt{\mu_{ij} + \mu_{ij}^2 / \theta}}, \qquad
        \mu_{ij} = \frac{\sum_j x_{ij} \sum_i x_{ij}}{\sum_{ij} x_{ij}}

    clipped at the square root of the number of spots: about 1 for a gene that only counting
    noise varies (Lause, Berens and Kobak 2021, Genome Biology 22:258, equations 1 to 5).

    Parameters
    ----------
    counts
        Spots x genes, sparse or dense, not negative. Spots and genes without a count have
        residuals of 0.
    theta
        Overdispersion of the negative binomial distribution.
    cancelled
        Asked between blocks of genes.

    Returns
    -------
    numpy.ndarray
        One number a gene, float64.

    Raises
    ------
    InputError
        If a count is negative or not finite.
    Cancelled
        If ``cancelled`` returned True.
    """
    by_gene = sparse.csc_array(counts)
    if not np.isfinite(by_gene.data).all() or (by_gene.data < 0).any():
        raise InputError(
            "Some counts are negative or not finite",
            where="choice of genes",
            remedy="Choose a layer of counts, or take all genes",
        )
    n_spots, n_genes = by_gene.shape
    of_spot = np.asarray(by_gene.sum(axis=1), dtype=np.float64).ravel()
    of_gene = np.asarray(by_gene.sum(axis=0), dtype=np.float64).ravel()
    share = of_gene / max(float(of_gene.sum()), 1.0)
    most = np.sqrt(n_spots)
    variances = np.zeros(n_genes)
    step = max(1, BLOCK // n_spots)
    for first in range(0, n_genes, step):
        if cancelled is not None and cancelled():
            raise Cancelled("the choice of genes was cancelled")
        these = slice(first, first + step)
        expected = np.outer(of_spot, share[these])
        residuals = by_gene[:, these].toarray() - expected
        spread = np.sqrt(expected + expected**2 / theta)
        np.divide(residuals, spread, out=residuals, where=spread > 0)
        np.clip(residuals, -most, most, out=residuals)
        variances[these] = residuals.var(axis=0)
    return variances


def most_variable(variances: NDArray[np.float64], n_genes: int) -> NDArray[np.intp]:
    """Return the genes of largest variance in the order of the data; none that is constant."""
    order = np.argsort(-variances, kind="stable")[:n_genes]
    return np.sort(order[variances[order] > 0])
