"""Spatial principal components of a section, and domains on them.

counts -> genes -> expression -> scatter -> eigenvectors -> scores -> domains
graph  -> precision ------------^-------------------------^---------^
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.domain_steps import (
    FORMED_GENES,
    TOLERANCE,
    DomainSteps,
    n_components,
)
from napari_smoother.analyses.domains import domain_report, expanded, spatial_domains
from napari_smoother.analyses.embedding import Embedding
from napari_smoother.analyses.embedding_settings import ExpressionSettings, ReductionSettings
from napari_smoother.analyses.expression import warn_unless_counts
from napari_smoother.solvers.spatial_eigen import FEW_GENES, leading_eigenvectors
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.weights.annotated import section_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.domain_steps import SpatialComponents
    from napari_smoother.analyses.expression import GenesBy
    from napari_smoother.weights.precision import Process

MODEL = "spatial_pca"
KIND = "spatial component"


def compute(
    adata: AnnData,
    weights: csr_array,
    settings: ReductionSettings,
    context: Context = Context(),
    steps: DomainSteps | None = None,
    start: Embedding | None = None,
    *,
    ahead: bool = False,
    tolerance: float = TOLERANCE,
    where: str = "section",
) -> Embedding:
    """Find spatial components of a section, and domains on them if they are wanted.

    Parameters
    ----------
    adata
        Spots x genes; not changed.
    weights
        Their graph, n x n.
    settings
        How.
    context
        Who asks. Told about embeddings that lack their domains yet, or their smoothing.
    steps
        That remember what they found before.
    start
        Components to start from, while a slider moves: neither is a smoothing chosen then, nor
        are domains found. None for the canonical start, after which the same settings end in
        the same bits.
    ahead
        Whether to get ready for other lambdas, which takes seconds; what is there is told
        before.
    tolerance
        Relative residual of the eigenvectors.
    where
        What the section is called in errors.

    Returns
    -------
    Embedding

    Raises
    ------
    InputError
        If data or settings cannot be used.
    Cancelled
        If the context said so.
    """
    steps = DomainSteps() if steps is None else steps
    # Small products one after another: threads would wait for each other, and for painting. And
    # two threads round otherwise than one, which is what is left to a solve that another runs
    # beside: the same settings are to end in the same bits.
    with steps.lock, one_blas_thread():
        prepared = steps.prepared(adata, where, weights, settings, context)
        scatter = prepared.scatter
        began = time.perf_counter()
        weight, k = settings.lambda_, n_components(settings, scatter)

        def embedding(components: SpatialComponents, smoothing: float) -> Embedding:
            found, spots = components.found, components.chosen.spots
            scores = steps.smoothed(components.projected, components.precision, smoothing, context)
            return Embedding(
                settings=settings,
                model=MODEL,
                kind=KIND,
                spots=adata.obs_names,
                scores=expanded(scores, spots, int(adata.n_obs)),
                shares=np.square(components.projected).sum(axis=0) / max(scatter.size, 1e-300),
                chosen=components.chosen,
                loadings=found.vectors,
                report={
                    "n_spots": len(spots),
                    "n_genes": len(components.chosen.genes),
                    "positive": int((found.values > 1e-10 * np.abs(found.values).max()).sum()),
                    "residual": found.residual,
                    "tolerance": tolerance,
                    "converged": found.converged,
                    "method": found.method,
                    "smoothing": smoothing,
                },
                seconds=time.perf_counter() - began,
                converged=found.converged,
            )

        if start is not None:
            found = leading_eigenvectors(
                steps.formed(prepared.values, prepared.precision, context),
                weight,
                k,
                start=start.loadings if _fits(start, prepared.chosen.genes) else None,
                tolerance=tolerance,
                seed=settings.seed,
                cancelled=context.cancelled,
            )
            # Chosen anew when the hand rests: that takes longer than a frame.
            smoothing = settings.smoothing
            if smoothing is None:
                smoothing = start.report["smoothing"]
            return embedding(steps.projections(prepared, found), smoothing)
        ahead = ahead and FEW_GENES < scatter.n_genes <= FORMED_GENES
        if ahead and weight > 0:
            # Forming the matrices takes seconds: something to look at meanwhile.
            glimpse = leading_eigenvectors(
                scatter, weight, k, seed=settings.seed, cancelled=context.cancelled
            )
            _tell(
                context, embedding(steps.projections(prepared, glimpse), settings.smoothing or 0.0)
            )
        components = steps.components(adata, where, weights, settings, context, tolerance)
        strength = steps.strength(components, settings, context)
        result = embedding(components, strength.lambda_)
        if settings.domains.find:
            _tell(context, result)
            began_domains = time.perf_counter()
            labelled = steps.find_on(components, strength, settings, context)
            seconds = time.perf_counter() - began_domains
            result = replace(
                result,
                domains=spatial_domains(
                    labelled, settings, components.chosen, strength, int(adata.n_obs), seconds
                ),
                report={**result.report, **domain_report(labelled, strength)},
            )
        if ahead:
            _tell(context, result)
            context.say("preparing for other λ")
            steps.formed(prepared.values, prepared.precision, context)
        return result


def _tell(context: Context, embedding: Embedding) -> None:
    if context.tell is not None:
        context.tell(embedding)


def _fits(embedding: Embedding, genes: NDArray[np.intp]) -> bool:
    return embedding.loadings is not None and np.array_equal(embedding.chosen.genes, genes)


def spatial_pca(
    adata: AnnData,
    *,
    layer: str | None = None,
    n_genes: int = 2000,
    genes_by: GenesBy = "spatial",
    scale: bool = False,
    n_latent: int = 30,
    process: Process = "icar",
    rho: float = 0.99,
    lambda_: float = 0.0,
    smoothing: float | None = None,
    seed: int = 0,
    n_neighbors: int = 6,
    library_key: str | None = None,
    key_added: str = MODEL,
    tolerance: float = TOLERANCE,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    r"""Find spatial principal components, and smooth the scores over the tissue.

    What the Reduce page of the window shows. For the genes X (spots x genes, centred) the
    loadings U maximise :math:`\|XU\|^2 - \lambda\,\mathrm{tr}(U'X'QXU)` over :math:`U'U = I`
    (Su et al. 2023, Genome Biology 24:291), and the scores XU are replaced by their posterior
    mean; see `napari_smoother.smooth_embedding`.

    Parameters
    ----------
    adata
        Spots x genes. Neighbours are taken from ``obsp["spatial_connectivities"]``; without it
        they are the mutual nearest neighbours of ``obsm["spatial"]``.
    layer
        Layer to take as it is, ``"X"`` for X itself; None for log1p of the counts of X per ten
        thousand of the spot. Genes are centred.
    n_genes
        How many genes at most.
    genes_by
        Which: ``"spatial"``, those of largest Moran's I; or ``"variable"``, those of largest
        variance beyond counting noise.
    scale
        Whether every gene is brought to unit variance.
    n_latent
        Number of components, at most that of genes.
    process, rho
        Spatial process (``"car"``, ``"sar"``, ``"icar"`` or ``"isar"``) and its autocorrelation.
    lambda_
        Strength of the penalty on components that vary between neighbours; 0 gives plain
        principal components.
    smoothing
        Lambda of the posterior mean of the scores; 0 leaves them a projection, None chooses it
        for domains, by spots that are left out.
    seed
        Of the vectors the search starts from.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.
    key_added
        ``obsm["X_" + key_added]`` gets the scores (spots x components, float64, NaN for spots
        without a count), ``varm[key_added]`` the loadings (genes x components, 0 for genes that
        are not used), ``uns["smoother"][key_added]`` the settings and the report (numbers and
        text only).
    tolerance
        Relative residual of the eigenvectors.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked between products.

    Returns
    -------
    AnnData or None
        The copy, when asked for.

    Raises
    ------
    InputError
        If expression, positions, graph or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.

    Warns
    -----
    UserWarning
        If X is taken as counts, and its values are not whole numbers.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> adata = simulate_cortex(rows=24, n_genes=150).section.adata
    >>> ns.spatial_pca(adata, n_latent=5)
    >>> adata.obsm["X_spatial_pca"].shape == (adata.n_obs, 5)
    True
    """
    settings = ReductionSettings(
        data=ExpressionSettings(layer, n_genes, scale, genes_by),
        components=n_latent,
        process=process,
        rho=rho,
        lambda_=lambda_,
        seed=seed,
        smoothing=smoothing,
    )
    weights, graph = section_graph(adata, n_neighbors, library_key)
    warn_unless_counts(adata, layer)
    found = compute(adata, weights, settings, Context(cancelled), tolerance=tolerance)
    found = replace(found, report={**found.report, "graph": graph})
    target = adata.copy() if copy else adata
    found.write(target, key_added)
    return target if copy else None
