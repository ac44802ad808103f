"""The memoised steps from a section to its domains, for whoever asks for them again and again.

counts -> genes -> expression -> spatial components -> coherent directions -> smoothed -> domains
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.expression import among, choose_genes, expression
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import require
from napari_smoother.models.reduction.choice_of_smoothing import (
    ChosenSmoothing,
    choose_smoothing,
)
from napari_smoother.models.reduction.coherent_components import coherent_components
from napari_smoother.models.reduction.domain_mixture import fit_domain_mixture
from napari_smoother.models.reduction.domains import neighbour_shares
from napari_smoother.models.reduction.number_of_domains import choose_number
from napari_smoother.models.reduction.smoothed_embedding import smooth_columns
from napari_smoother.solvers.spatial_eigen import (
    SINGLE_LIMIT,
    Eigenvectors,
    leading_eigenvectors,
)
from napari_smoother.solvers.spatial_scatter import SpatialScatter
from napari_smoother.weights.precision import precision as precision_of

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.embedding_settings import (
        DomainSettings,
        ExpressionSettings,
        ReductionSettings,
    )
    from napari_smoother.analyses.expression import ChosenGenes, GenesBy
    from napari_smoother.models.reduction.coherent_components import CoherentComponents
    from napari_smoother.models.reduction.domain_mixture import DomainMixture
    from napari_smoother.models.reduction.number_of_domains import ChosenNumber

TOLERANCE = SINGLE_LIMIT
"""Relative residual of the eigenvectors."""

FORMED_GENES = 3000
"""Up to here X'X and X'QX are formed once, so that lambda costs the same for any section."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All that components are found from.

    Attributes
    ----------
    chosen
        Which spots and genes are used.
    values, scatter
        Their expression, and products with it.
    precision, linked
        The prior and the graph between used spots.
    """

    chosen: ChosenGenes
    values: Any
    scatter: SpatialScatter
    precision: csr_array
    linked: csr_array


@dataclass(frozen=True, slots=True, eq=False)
class SpatialComponents:
    """Spatial components of the used spots, not smoothed.

    Attributes
    ----------
    chosen
        Which spots and genes are used.
    precision, linked
        The prior and the graph between used spots.
    found
        Loadings, with how well they were solved.
    projected
        Used spots x components: the scores.
    """

    chosen: ChosenGenes
    precision: csr_array
    linked: csr_array
    found: Eigenvectors
    projected: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FoundDomains:
    """Domains of used spots, and what they were found by.

    Attributes
    ----------
    mixture
        Labels, 0 the largest domain, and probabilities.
    scores
        Used spots x directions: the smoothed embedding that they were found on.
    autocorrelation
        Moran's I of all directions, the kept ones among them.
    kept
        Which directions were kept.
    number
        Agreement of halves for numbers of domains; None where the number was given.
    """

    mixture: DomainMixture
    scores: NDArray[np.float64]
    autocorrelation: NDArray[np.float64]
    kept: NDArray[np.intp]
    number: ChosenNumber | None


class DomainSteps:
    """The steps from counts to domains, each remembered while its inputs are the same.

    One object serves all runs, of any thread: whoever asks (the context) is handed on and not
    kept.

    Attributes
    ----------
    lock
        Held by who runs through the steps.
    genes, linked, expression, precision, scatter, formed, settled, projected, coherent, smoothing,
    smoothed, smoothed_directions, shares, number, domains
        The steps.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.genes = Stage(_choose_genes)
        self.linked = Stage(among)
        self.expression = Stage(expression)
        self.precision = Stage(precision_of)
        self.scatter = Stage(SpatialScatter)
        self.formed = Stage(_formed)
        self.settled = Stage(_solve_from_canonical_start)
        self.projected = Stage(_projected)
        self.coherent = Stage(coherent_components)
        self.smoothing = Stage(_choose_smoothing)
        self.smoothed = Stage(_smoothed)
        self.smoothed_directions = Stage(_smoothed)
        self.shares = Stage(lambda weights: neighbour_shares(weights, weights.shape[0]))
        self.number = Stage(_choose_number)
        self.domains = Stage(_fit_domains)

    def chosen(
        self,
        adata: AnnData,
        where: str,
        weights: csr_array,
        data: ExpressionSettings,
        context: Context = Context(),
    ) -> ChosenGenes:
        """Choose spots and genes."""
        return self.genes(adata, where, data.layer, data.n_genes, data.genes_by, weights, context)

    def prepared(
        self,
        adata: AnnData,
        where: str,
        weights: csr_array,
        settings: ReductionSettings,
        context: Context = Context(),
    ) -> Prepared:
        """Choose genes, and bring together expression, prior and graph."""
        data = settings.data
        chosen = self.chosen(adata, where, weights, data, context)
        context.look_up()
        values = self.expression(adata, where, data.layer, data.scale, chosen)
        linked = self.linked(weights, chosen.spots)
        precision = self.precision(linked, settings.process, settings.rho)
        context.look_up()
        return Prepared(chosen, values, self.scatter(values, precision), precision, linked)

    def components(
        self,
        adata: AnnData,
        where: str,
        weights: csr_array,
        settings: ReductionSettings,
        context: Context = Context(),
        tolerance: float = TOLERANCE,
    ) -> SpatialComponents:
        """Find spatial components from the canonical start."""
        prepared = self.prepared(adata, where, weights, settings, context)
        scatter, weight = prepared.scatter, settings.lambda_
        k = n_components(settings, scatter)
        if weight > 0:
            scatter = self.formed(prepared.values, prepared.precision, context)
        found = self.settled(scatter, weight, k, settings.seed, tolerance, context)
        return self.projections(prepared, found)

    def projections(self, prepared: Prepared, found: Eigenvectors) -> SpatialComponents:
        """Scores of the used spots on loadings."""
        projected = self.projected(prepared.scatter, found)
        return SpatialComponents(
            prepared.chosen, prepared.precision, prepared.linked, found, projected
        )

    def strength(
        self,
        components: SpatialComponents,
        settings: ReductionSettings,
        context: Context = Context(),
    ) -> ChosenSmoothing:
        """Lambda of the smoothing: as set, or chosen."""
        if settings.smoothing is not None:
            return ChosenSmoothing(settings.smoothing, (), ())
        coherent = self.coherent(components.projected, components.linked)
        return self.smoothing(coherent, components.precision, context)

    def find(
        self,
        embedding: NDArray[np.float64],
        linked: csr_array,
        precision: csr_array | None,
        smoothing: float,
        wanted: DomainSettings,
        seed: int,
        context: Context = Context(),
    ) -> FoundDomains:
        """Find domains on an embedding of used spots that is not smoothed yet."""
        coherent = self.coherent(embedding, linked)
        scores = self.smoothed_directions(coherent.scores, precision, smoothing, context)
        shares = self.shares(linked)
        chosen = None
        number = wanted.number
        if number is None:
            chosen = self.number(coherent.scores, precision, smoothing, seed, context)
            number = chosen.number
        require(
            number <= len(scores),
            f"{number} domains are asked for, and there are {len(scores)} spots",
            "domains",
            "Choose fewer than there are spots",
        )
        mixture = self.domains(scores, number, shares, wanted.coupling, seed, context)
        return FoundDomains(mixture, scores, coherent.autocorrelation, coherent.kept, chosen)

    def find_on(
        self,
        components: SpatialComponents,
        strength: ChosenSmoothing,
        settings: ReductionSettings,
        context: Context = Context(),
    ) -> FoundDomains:
        """Find domains on spatial components."""
        return self.find(
            components.projected,
            components.linked,
            components.precision,
            strength.lambda_,
            settings.domains,
            settings.seed,
            context,
        )


def _choose_genes(
    adata: AnnData,
    where: str,
    layer: str | None,
    n_genes: int,
    by: GenesBy,
    weights: csr_array,
    context: Context,
) -> ChosenGenes:
    context.say("choosing genes")
    return choose_genes(adata, where, layer, n_genes, by, weights, context.cancelled)


def _formed(values: Any, precision: csr_array, context: Context) -> SpatialScatter:
    """Products by matrices that are formed once, where that takes no longer than seconds.

    Apart from those without: products by the matrices round differently, and without a
    penalty they are not worth their time.
    """
    scatter = SpatialScatter(values, precision)
    if scatter.n_genes <= FORMED_GENES:
        scatter.matrices(context.look_up)
    return scatter


def _solve_from_canonical_start(
    scatter: SpatialScatter, weight: float, k: int, seed: int, tolerance: float, context: Context
) -> Eigenvectors:
    return leading_eigenvectors(
        scatter, weight, k, tolerance=tolerance, seed=seed, cancelled=context.cancelled
    )


def _choose_smoothing(
    coherent: CoherentComponents, precision: csr_array, context: Context
) -> ChosenSmoothing:
    context.say("choosing the smoothing")
    return choose_smoothing(coherent.scores, precision, cancelled=context.cancelled)


def _smoothed(
    scores: NDArray[np.float64],
    precision: csr_array | None,
    smoothing: float,
    context: Context,
) -> NDArray[np.float64]:
    if smoothing == 0 or precision is None or not scores.shape[1]:
        return scores
    return smooth_columns(scores, precision, smoothing, cancelled=context.cancelled).values


def _choose_number(
    scores: NDArray[np.float64],
    precision: csr_array | None,
    smoothing: float,
    seed: int,
    context: Context,
) -> ChosenNumber:
    context.say("choosing the number of domains")
    return choose_number(scores, precision, smoothing, seed=seed, cancelled=context.cancelled)


def _fit_domains(
    scores: NDArray[np.float64],
    number: int,
    shares: csr_array,
    coupling: float,
    seed: int,
    context: Context,
) -> DomainMixture:
    context.say("finding domains")
    return fit_domain_mixture(
        scores, number, shares, coupling, seed=seed, cancelled=context.cancelled
    )


def n_components(settings: ReductionSettings, scatter: SpatialScatter) -> int:
    """How many components there can be of those wanted."""
    return min(settings.components, scatter.n_genes)


def _projected(scatter: SpatialScatter, found: Eigenvectors) -> NDArray[np.float64]:
    return np.asarray(scatter.project(found.vectors), dtype=np.float64)
