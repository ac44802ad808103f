"""A prototype: noise of genes that go together within types, as a diagonal plus factors.

The pooled correlation of genes within the types of the reference has few eigenvalues beyond what
sampling alone gives (Marchenko and Pastur 1967); shrunk to what the population must have had
(Donoho, Gavish and Johnstone 2018, Ann. Stat. 46), they are factors of the noise of a spot. With
``V = D + FF'`` the fit is one of generalised least squares and `V` is never formed (Woodbury).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.linalg import eigh

from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.models.deconv.noise_model import signature_error
from napari_smoother.models.deconv.preparation import PreparedDeconvolution, normalise_counts
from napari_smoother.models.deconv.reference import PER_CELL

if TYPE_CHECKING:
    from known_sections import KnownSection

MOST_FACTORS = 30
ABOVE_CHANCE = 1.05
MOST_BEYOND_BIOLOGY = 3.0


def with_covariance(known: KnownSection, prepared: PreparedDeconvolution) -> PreparedDeconvolution:
    """The same problem, whitened by the factors too; spot norms are left as they were."""
    match = match_genes(known.var, known.reference)
    loadings = correlation_factors(known, match.reference_index)
    spread, model = known.reference.spread.of_genes(match.reference_index), prepared.noise_model
    biology = spread.biological(known.reference.mean_counts[match.reference_index])
    seen = np.minimum(spread.variance, MOST_BEYOND_BIOLOGY * biology)
    factors = loadings * np.sqrt(seen / model.cells_per_spot)[:, None]

    weighted = factors / model.noise[:, None]
    inner = np.linalg.inv(np.eye(factors.shape[1]) + weighted.T @ factors)
    signature = prepared.signature
    whitened = _whitened(signature, model.noise, weighted, inner)
    scale = np.sum(known.reference.mean_log[match.reference_index] ** 2) / np.sum(
        signature * whitened
    )
    ones = _whitened(np.ones((len(signature), 1)), model.noise, weighted, inner)[:, 0]
    whitened = scale * (whitened - np.outer(ones, ones @ signature) / ones.sum())
    gram = signature.T @ whitened
    weights = scale * (1 / model.noise - np.einsum("gr,rs,gs->g", weighted, inner, weighted))
    error = signature_error(gram, weights, model.signature_variance, intercept=False)
    expression = normalise_counts(
        sparse.csr_matrix(known.counts[:, match.section_index]),
        "counts",
        total=prepared.spot_total,
    )
    return replace(
        prepared,
        gram=(gram + gram.T) / 2 - np.diag(error),
        linear=np.ascontiguousarray(expression @ whitened),
        signature_error=error,
    )


def correlation_factors(known: KnownSection, genes: np.ndarray) -> np.ndarray:
    """G x r: leading factors of the correlation within types, above what chance gives."""
    counts = known.cells.X.toarray()
    labels = known.cells.obs["type"].to_numpy()
    share = (counts * (PER_CELL / counts.sum(axis=1, keepdims=True)))[:, genes]
    residuals = [
        share[labels == name] - share[labels == name].mean(axis=0)
        for name in known.reference.types
    ]
    apart = np.concatenate(residuals)
    n_free = len(apart) - len(residuals)
    deviation = np.sqrt((apart**2).sum(axis=0) / n_free)
    apart = np.divide(apart, deviation, out=np.zeros_like(apart), where=deviation > 0)
    leading = [max(0, len(genes) - MOST_FACTORS), len(genes) - 1]
    values, vectors = eigh(apart.T @ apart / n_free, subset_by_index=leading)
    aspect = len(genes) / n_free
    kept = np.flatnonzero(values > ABOVE_CHANCE * (1 + np.sqrt(aspect)) ** 2)
    shifted = values[kept] + 1 - aspect
    population = (shifted + np.sqrt(shifted**2 - 4 * values[kept])) / 2
    cosine = (1 - aspect / (population - 1) ** 2) / (1 + aspect / (population - 1))
    return vectors[:, kept] * np.sqrt((population - 1) * np.clip(cosine, 0, 1))


def _whitened(
    values: np.ndarray, noise: np.ndarray, weighted: np.ndarray, inner: np.ndarray
) -> np.ndarray:
    return values / noise[:, None] - weighted @ (inner @ (weighted.T @ values))
