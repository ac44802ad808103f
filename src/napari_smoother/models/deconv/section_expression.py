"""The expression of a section as models want it that weigh every gene of every spot anew.

Least squares needs the genes only summed (`preparation`). The other models pass over them in
every step, so the shared genes are brought to the scale of the fit once and kept, sparse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import sparse

from napari_smoother.counts.rows import csr_chunks
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv.catalogue import check_scale, data_scale
from napari_smoother.models.deconv.expression import (
    DAMPING,
    check_choice,
    damped_weights,
    gene_moments,
    given_weights,
    normalise_counts,
    sampled_spots,
)
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.models.deconv.noise_model import fit_noise_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.deconv.catalogue import ModelName, SectionScale
    from napari_smoother.models.deconv.expression import GeneWeights
    from napari_smoother.models.deconv.reference import Reference

SPOTS_PER_PIECE = 256
PSEUDO_COUNT = 1.0
"""Added before the logarithm by log-normal regression."""


@dataclass(frozen=True, slots=True, eq=False)
class SectionExpression:
    """The shared genes of a section and of a reference on one scale.

    Parameters
    ----------
    model
        The model it was made for.
    signature
        X, G x K, float64.
    expression
        Y, G x m, CSC float64: the m spots that have counts.
    gene_weights
        G, after normalisation.
    types
        The K cell types.
    genes
        The G shared genes, as the section spells them.
    empty
        n, bool: spots without a single count in the shared genes. They take no part.
    """

    model: ModelName
    signature: NDArray[np.float64]
    expression: Any
    gene_weights: NDArray[np.float64]
    types: tuple[str, ...]
    genes: pd.Index[str]
    empty: NDArray[np.bool_]

    @property
    def n_genes(self) -> int:
        """Number of shared genes, G."""
        return len(self.genes)

    @property
    def n_types(self) -> int:
        """Number of cell types, K."""
        return len(self.types)


def express_section(
    counts: Any,
    section_var: pd.DataFrame | pd.Index[str],
    reference: Reference,
    *,
    model: ModelName,
    scale: SectionScale,
    gene_weights: GeneWeights | ArrayLike,
    cancelled: Callable[[], bool] | None = None,
) -> SectionExpression:
    r"""Bring section and reference to the scale a model is fitted on.

    On the scales ``"counts"`` and ``"log1p"`` every spot has the total that the types of the
    reference have over the shared genes, as in `prepare_deconvolution`; on ``"raw"`` counts stay
    what they are, and the signature is brought to their mean total. Abundances add up to about
    one, on average over the spots.

    Weights are normalised so that lambda asks for about the same smoothness in every model: the
    mean diagonal of the curvature of the loss at the section's mean expression is that of
    unweighted least squares on ``log1p`` (`prepare_deconvolution`). That curvature is ``x^2`` for
    losses of differences, ``x^2 / (m + 1)^2`` for those of logarithms and ``x^2 / m`` for Poisson
    counts of the mean m.

    Parameters
    ----------
    counts
        n x section genes, raw counts, sparse.
    section_var
        ``var`` of the section, or only its gene names.
    reference
        Mean expression of every cell type.
    model, scale
        What is fitted, and on which scale: see `MODELS`.
    gene_weights
        As in `prepare_deconvolution`, on the scale of the fit. With ``"within_type"`` the loss of
        a gene, whose own curvature says what variance it takes for granted, weighs as its noise
        does: for Poisson a quasi-likelihood (Wedderburn 1974, Biometrika 61). Without counted
        cells the noise goes with the mean, as Poisson itself has it.
    cancelled
        Asked between the steps.

    Returns
    -------
    SectionExpression

    Raises
    ------
    InputError
        If a count is negative or not finite, too few genes are shared, weights are unusable, or
        no spot has a count in the shared genes.
    Cancelled
        If ``cancelled`` returned True.
    """
    check_scale(model, scale)
    check_choice("counts" if scale == "raw" else scale, gene_weights)
    match = match_genes(section_var, reference)
    mean_counts = reference.mean_counts[match.reference_index]
    mean_log = reference.mean_log[match.reference_index]
    total = float(mean_counts.sum(axis=0).mean())
    pieces: list[Any] = []
    for chunk in csr_chunks(counts):
        _ask(cancelled)
        pieces.append(chunk[:, match.section_index])
    shared: sparse.csr_matrix = sparse.vstack(pieces, format="csr")
    if scale == "raw":
        expression = shared
        _refuse_bad(expression.data)
    else:
        expression = normalise_counts(shared, data_scale(scale), total=total)
    empty = np.asarray(shared.sum(axis=1)).ravel() == 0
    if empty.all():
        raise InputError(
            "No spot has a count in the shared genes",
            where="counts of the section",
            remedy="Check that section and reference belong together",
        )
    expression = expression[~empty]
    mean, variance = gene_moments([expression])
    _ask(cancelled)
    if scale == "raw":
        signature = mean_counts * (float(mean.sum()) / total if total > 0 else 1.0)
    else:
        signature = mean_counts if scale == "counts" else mean_log
    by_noise = isinstance(gene_weights, str) and gene_weights == "within_type"
    spread = reference.spread_for(gene_weights, scale)
    if spread is not None and mean_counts.any():
        totals = np.asarray(shared.sum(axis=1)).ravel()
        noise_model = fit_noise_model(
            *sampled_spots(shared, slice(None), totals, total),
            mean_counts,
            spread.of_genes(match.reference_index),
            cancelled=cancelled,
        )
        unit = signature.sum() / mean_counts.sum()
        signature = noise_model.signature * unit
        weights = 1 / (noise_model.noise * unit**2)
    elif isinstance(gene_weights, str):
        weights = damped_weights(mean, variance, cast("GeneWeights", gene_weights))
    else:
        weights = given_weights(gene_weights, len(section_var))[match.section_index]
    if by_noise:
        weights = weights / _curvature(model, mean)
    curvature = weights * _curvature(model, mean)
    energy = float((curvature[:, None] * signature**2).sum())
    if energy == 0:
        raise InputError(
            "No shared gene with a weight is expressed by any cell type",
            where=reference.name,
            remedy="Use a reference of the same tissue, or other gene weights",
        )
    columns = sparse.csc_matrix(expression.T)
    columns.sort_indices()
    return SectionExpression(
        model=model,
        signature=np.ascontiguousarray(signature),
        expression=columns,
        gene_weights=weights * (float((mean_log**2).sum()) / energy),
        types=reference.types,
        genes=match.names,
        empty=empty,
    )


def unexplained_share(
    given: SectionExpression,
    abundance: NDArray[np.floating],
    intercepts: NDArray[np.floating],
    *,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float64]:
    """Share of every spot that the mixture leaves unexplained, in the terms of its model.

    Parameters
    ----------
    given
        What was fitted.
    abundance, intercepts
        n x K and n.
    cancelled
        Asked at every piece of the spots.

    Returns
    -------
    numpy.ndarray
        n: root of the weighted sum over genes of what is left, over that of what one constant
        for all genes of the spot leaves. Squares of differences of expression; of logarithms
        (of counts plus one) for log-normal regression; deviances for Poisson regression, whose
        constant is the spot's mean count. 0 is a perfect fit, 1 no better than a constant; NaN
        for spots without counts.
    """
    used = np.flatnonzero(~given.empty)
    weights = given.gene_weights / given.gene_weights.sum()
    result = np.full(given.empty.size, np.nan)
    depth = np.ones(used.size)
    if given.model == "poisson":
        totals = np.asarray(given.expression.sum(axis=0)).ravel()
        depth = totals / totals.mean()
    for first in range(0, used.size, SPOTS_PER_PIECE):
        _ask(cancelled)
        piece = slice(first, first + SPOTS_PER_PIECE)
        spots = used[piece]
        seen = given.expression[:, piece].toarray()
        fitted = given.signature @ abundance[spots].T.astype(np.float64) + intercepts[spots]
        if given.model == "poisson":
            fitted *= depth[piece]
            flat = np.broadcast_to(weights @ seen, seen.shape)
            left, before = _deviance(seen, fitted, weights), _deviance(seen, flat, weights)
        else:
            if given.model == "lognormreg":
                seen, fitted = np.log(seen + PSEUDO_COUNT), np.log(fitted + PSEUDO_COUNT)
            left = weights @ (seen - fitted) ** 2
            before = weights @ (seen - weights @ seen) ** 2
        known = before > 0
        result[spots[known]] = np.sqrt(left[known] / before[known])
    return result


def _deviance(
    seen: NDArray[np.float64], mean: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted sum over genes of ``y log(y / m) - y + m``."""
    counted = seen > 0
    share = np.divide(seen, mean, out=np.ones_like(seen), where=counted & (mean > 0))
    total: NDArray[np.float64] = weights @ (seen * np.log(share) - seen + mean)
    return np.maximum(total, 0)


def _curvature(model: ModelName, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second derivative of a gene's loss by its fitted value, at the mean expression."""
    if model == "lognormreg":
        return 1 / (mean + PSEUDO_COUNT) ** 2
    if model == "poisson":
        return 1 / (mean + DAMPING * float(mean.mean()))
    return np.ones(mean.shape)


def _refuse_bad(values: NDArray[np.float64]) -> None:
    if values.size and not (np.isfinite(values).all() and values.min() >= 0):
        raise InputError(
            f"{int((~(values >= 0) | ~np.isfinite(values)).sum())} counts are negative, missing "
            "or infinite",
            where="counts of the section",
            remedy="Give raw counts, not scaled or centred values",
        )


def _ask(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled
