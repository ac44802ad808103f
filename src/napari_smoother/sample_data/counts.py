"""Counts of spots and of single cells, drawn from signatures and proportions.

A spot's expected counts are its depth times the mixture of the signatures; counts are
negative binomial around them. Every signature sums to one, so that proportions are
proportions of the RNA a spot caught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPOTS_AT_A_TIME = 4096
"""Rows drawn at once, so that dense counts never take more than some tens of megabytes."""


def draw_signatures(
    owners: Sequence[Sequence[int]], n_types: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Mean expression of each cell type.

    Parameters
    ----------
    owners
        For each gene the types that it marks.
    n_types
        Number of cell types.
    rng
        Where randomness comes from.

    Returns
    -------
    numpy.ndarray
        Types x genes, each row summing to one.
    """
    n_genes = len(owners)
    level = rng.lognormal(0.0, 1.2, n_genes)
    # A quarter of the genes differ between types without being anyone's marker.
    spread = np.where(rng.random(n_genes) < 0.25, 0.8, 0.2)
    expression = level * np.exp(spread * rng.standard_normal((n_types, n_genes)))
    strength = rng.uniform(8.0, 30.0, n_genes)
    leak = rng.uniform(0.02, 0.2, n_genes)
    for gene, types in enumerate(owners):
        if types:
            expression[:, gene] = leak[gene] * np.exp(0.2 * rng.standard_normal(n_types))
            expression[list(types), gene] = strength[gene]
    return np.asarray(expression / expression.sum(axis=1, keepdims=True), np.float64)


def platform_effect(n_genes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Factor for each gene between single cells and spots: log-normal, 20 % either way."""
    return np.asarray(rng.lognormal(0.0, 0.2, n_genes), np.float64)


def draw_proportions(
    profiles: NDArray[np.float64],
    fields: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    concentration: float = 60.0,
) -> NDArray[np.float64]:
    """Draw the composition of spots around the profile of their region.

    Parameters
    ----------
    profiles
        Spots x types, rows summing to one: the profile of each spot's region.
    fields
        Spots x types: the smooth part of the logarithm's deviation from it.
    rng
        Where randomness comes from.
    concentration
        Of the Dirichlet distribution from spot to neighbouring spot.

    Returns
    -------
    numpy.ndarray
        Spots x types, rows summing to one.
    """
    mean = profiles * np.exp(fields)
    mean /= mean.sum(axis=1, keepdims=True)
    drawn = rng.standard_gamma(concentration * mean)
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True), np.float64)


def draw_counts(
    proportions: NDArray[np.float64],
    signatures: NDArray[np.float64],
    depth: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    dispersion: float,
) -> sparse.csr_matrix:
    """Draw negative-binomial counts of mixtures.

    Parameters
    ----------
    proportions
        Spots x types.
    signatures
        Types x genes.
    depth
        Expected total counts, one per spot.
    rng
        Where randomness comes from.
    dispersion
        The variance is ``mean + dispersion * mean**2``.

    Returns
    -------
    scipy.sparse.csr_matrix
        Spots x genes, whole numbers as float32.
    """
    blocks = []
    shape = np.float32(1 / dispersion)
    for start in range(0, len(proportions), SPOTS_AT_A_TIME):
        rows = slice(start, start + SPOTS_AT_A_TIME)
        mean = (proportions[rows] * depth[rows, None]) @ signatures
        mean *= rng.standard_gamma(shape, mean.shape, dtype=np.float32) / shape
        blocks.append(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)))
    counts: sparse.csr_matrix = sparse.vstack(blocks, format="csr")
    return counts
