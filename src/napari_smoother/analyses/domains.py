"""Spatial domains of a section: from counts to labels, the same for window and library.

counts -> genes -> expression -> spatial components -> coherent directions -> smoothed -> domains
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.analyses.embedding_settings import (
    DomainSettings,
    ExpressionSettings,
    ReductionSettings,
    require,
)
from napari_smoother.analyses.expression import among, choose_genes, expression
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import Cancelled
from napari_smoother.keys import with_report
from napari_smoother.models.reduction.choice_of_smoothing import (
    ChosenSmoothing,
    choose_smoothing,
)
from napari_smoother.models.reduction.coherent_components import coherent_components
from napari_smoother.models.reduction.domain_mixture import fit_domain_mixture
from napari_smoother.models.reduction.number_of_domains import choose_number
from napari_smoother.models.reduction.smoothed_embedding import smooth_columns
from napari_smoother.solvers.spatial_eigen import Eigenvectors, leading_eigenvectors
from napari_smoother.solvers.spatial_scatter import SpatialScatter
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.precision import precision as precision_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.expression import ChosenGenes, GenesBy
    from napari_smoother.models.reduction.coherent_components import CoherentComponents
    from napari_smoother.models.reduction.domain_mixture import DomainMixture
    from napari_smoother.models.reduction.number_of_domains import ChosenNumber
    from napari_smoother.weights.precision import Process

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

    Parameters
    ----------
    cancelled
        Asked within the steps.
    tell
        Told what is done, in a few words.

    Attributes
    ----------
    genes, linked, expression, precision, scatter, formed, settled, projected, coherent, smoothing,
    smoothed, smoothed_directions, shares, number, domains
        The steps.
    """

    def __init__(
        self,
        cancelled: Callable[[], bool] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._cancelled, self._tell = cancelled, tell
        self.genes = Stage(self._choose_genes)
        self.linked = Stage(among)
        self.expression = Stage(expression)
        self.precision = Stage(precision_of)
        self.scatter = Stage(SpatialScatter)
        self.formed = Stage(self._formed)
        self.settled = Stage(self._solve_from_canonical_start)
        self.projected = Stage(_projected)
        self.coherent = Stage(coherent_components)
        self.smoothing = Stage(self._choose_smoothing)
        self.smoothed = Stage(self._smoothed)
        self.smoothed_directions = Stage(self._smoothed)
        self.shares = Stage(_shares)
        self.number = Stage(self._choose_number)
        self.domains = Stage(self._fit_domains)

    def look_up(self) -> None:
        """Stop if told to.

        Raises
        ------
        Cancelled
            If so.
        """
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("the search for domains was cancelled")

    def chosen(
        self, adata: AnnData, where: str, weights: csr_array, data: ExpressionSettings
    ) -> ChosenGenes:
        """Choose spots and genes."""
        return self.genes(adata, where, data.layer, data.n_genes, data.genes_by, weights)

    def prepared(
        self, adata: AnnData, where: str, weights: csr_array, settings: ReductionSettings
    ) -> Prepared:
        """Choose genes, and bring together expression, prior and graph."""
        data = settings.data
        chosen = self.chosen(adata, where, weights, data)
        self.look_up()
        values = self.expression(adata, where, data.layer, data.scale, chosen)
        linked = self.linked(weights, chosen.spots)
        precision = self.precision(linked, settings.process, settings.rho)
        self.look_up()
        return Prepared(chosen, values, self.scatter(values, precision), precision, linked)

    def components(
        self, adata: AnnData, where: str, weights: csr_array, settings: ReductionSettings
    ) -> SpatialComponents:
        """Find spatial components from the canonical start."""
        prepared = self.prepared(adata, where, weights, settings)
        scatter, weight = prepared.scatter, settings.lambda_spatial_loss
        k = n_components(settings, scatter)
        if weight > 0:
            scatter = self.formed(prepared.values, prepared.precision)
        return self.projections(prepared, self.settled(scatter, weight, k, settings.seed))

    def projections(self, prepared: Prepared, found: Eigenvectors) -> SpatialComponents:
        """Scores of the used spots on loadings."""
        projected = self.projected(prepared.scatter, found)
        return SpatialComponents(
            prepared.chosen, prepared.precision, prepared.linked, found, projected
        )

    def strength(
        self, components: SpatialComponents, settings: ReductionSettings
    ) -> ChosenSmoothing:
        """Lambda of the smoothing: as set, or chosen."""
        if settings.smoothing is not None:
            return ChosenSmoothing(settings.smoothing, (), ())
        coherent = self.coherent(components.projected, components.linked)
        return self.smoothing(coherent, components.precision)

    def find(
        self,
        embedding: NDArray[np.float64],
        linked: csr_array,
        precision: csr_array | None,
        smoothing: float,
        wanted: DomainSettings,
        seed: int,
    ) -> FoundDomains:
        """Find domains on an embedding of used spots that is not smoothed yet."""
        coherent = self.coherent(embedding, linked)
        scores = self.smoothed_directions(coherent.scores, precision, smoothing)
        shares = self.shares(linked)
        chosen = None
        number = wanted.number
        if number is None:
            chosen = self.number(coherent.scores, precision, smoothing, seed)
            number = chosen.number
        require(
            number <= len(scores),
            f"{number} domains are asked for, and there are {len(scores)} spots",
            "domains",
            "Choose fewer than there are spots",
        )
        mixture = self.domains(scores, number, shares, wanted.coupling, seed)
        return FoundDomains(mixture, scores, coherent.autocorrelation, coherent.kept, chosen)

    def find_on(
        self,
        components: SpatialComponents,
        strength: ChosenSmoothing,
        settings: ReductionSettings,
    ) -> FoundDomains:
        """Find domains on spatial components."""
        return self.find(
            components.projected,
            components.linked,
            components.precision,
            strength.lambda_,
            settings.domains,
            settings.seed,
        )

    def solve(
        self,
        scatter: SpatialScatter,
        weight: float,
        k: int,
        seed: int,
        start: NDArray[np.float64] | None,
    ) -> Eigenvectors:
        """Find loadings from a guess; None for the canonical start."""
        return leading_eigenvectors(
            scatter, weight, k, start=start, seed=seed, cancelled=self._cancelled
        )

    # --- inside -----------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self.look_up()
        if self._tell is not None:
            self._tell(text)

    def _choose_genes(
        self,
        adata: AnnData,
        where: str,
        layer: str | None,
        n_genes: int,
        by: GenesBy,
        weights: csr_array,
    ) -> ChosenGenes:
        self._say("choosing genes")
        return choose_genes(adata, where, layer, n_genes, by, weights, self._cancelled)

    def _formed(self, values: Any, precision: csr_array) -> SpatialScatter:
        """Products by matrices that are formed once, where that takes no longer than seconds.

        Apart from those without: products by the matrices round differently, and without a
        penalty they are not worth their time.
        """
        scatter = SpatialScatter(values, precision)
        if scatter.n_genes <= FORMED_GENES:
            scatter.matrices(self.look_up)
        return scatter

    def _solve_from_canonical_start(
        self, scatter: SpatialScatter, weight: float, k: int, seed: int
    ) -> Eigenvectors:
        return self.solve(scatter, weight, k, seed, None)

    def _choose_smoothing(
        self, coherent: CoherentComponents, precision: csr_array
    ) -> ChosenSmoothing:
        self._say("choosing the smoothing")
        return choose_smoothing(coherent.scores, precision, cancelled=self._cancelled)

    def _smoothed(
        self, scores: NDArray[np.float64], precision: csr_array | None, smoothing: float
    ) -> NDArray[np.float64]:
        if smoothing == 0 or precision is None or not scores.shape[1]:
            return scores
        return smooth_columns(scores, precision, smoothing, cancelled=self._cancelled).values

    def _choose_number(
        self,
        scores: NDArray[np.float64],
        precision: csr_array | None,
        smoothing: float,
        seed: int,
    ) -> ChosenNumber:
        self._say("choosing the number of domains")
        return choose_number(scores, precision, smoothing, seed=seed, cancelled=self._cancelled)

    def _fit_domains(
        self,
        scores: NDArray[np.float64],
        number: int,
        shares: csr_array,
        coupling: float,
        seed: int,
    ) -> DomainMixture:
        self._say("finding domains")
        return fit_domain_mixture(
            scores, number, shares, coupling, seed=seed, cancelled=self._cancelled
        )


@dataclass(frozen=True, slots=True, eq=False)
class SpatialDomains:
    """Domains of a section and how they were found.

    Attributes
    ----------
    settings
        What they were found with.
    labels
        n, int64: 0 is the largest domain, -1 for spots without a count.
    probabilities
        n x domains, NaN for spots without a count.
    embedding
        n x directions: coherent, smoothed components that they were found on.
    scores
        n x components: spatial components, smoothed.
    loadings
        Used genes x components.
    chosen
        Which spots and genes were used.
    smoothing
        Lambda of the smoothing, and the curve that it was chosen by.
    autocorrelation, kept
        Moran's I of the directions, largest signal over noise first, and which were kept.
    number
        Agreement of halves for numbers of domains; None where the number was given.
    report
        Numbers, strings and lists on how it went.
    """

    settings: ReductionSettings
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    embedding: NDArray[np.float64]
    scores: NDArray[np.float64]
    loadings: NDArray[np.float64]
    chosen: ChosenGenes
    smoothing: ChosenSmoothing
    autocorrelation: NDArray[np.float64]
    kept: NDArray[np.intp]
    number: ChosenNumber | None
    report: dict[str, Any]

    def describe(self) -> str:
        """Say it in a line."""
        return (
            f"{len(np.unique(self.labels[self.labels >= 0]))} domains of "
            f"{len(self.chosen.spots):,} spots, by {len(self.kept)} directions of "
            f"{len(self.chosen.genes):,} genes, smoothed by λ {self.smoothing.lambda_:.3g}"
        )

    def write(self, adata: AnnData, key_added: str = "domain") -> None:
        """Write them into the section that they were found in; see `domains`."""
        write_domains(adata, key_added, self.labels, self.probabilities, self.embedding)
        recipe = {"model": "domains", **_plain(asdict(self.settings))}
        entry = {"recipe": recipe, "report": self.report}
        adata.uns = with_report(adata.uns, {key_added: entry})


def compute(
    adata: AnnData,
    weights: csr_array,
    settings: ReductionSettings,
    steps: DomainSteps | None = None,
    *,
    where: str = "section",
) -> SpatialDomains:
    """Find the domains of a section.

    Parameters
    ----------
    adata
        Spots x genes; not changed.
    weights
        Their graph, n x n.
    settings
        How.
    steps
        That remember what they found before.
    where
        What the section is called in errors.

    Returns
    -------
    SpatialDomains

    Raises
    ------
    InputError
        If data or settings cannot be used.
    Cancelled
        If the steps were told to stop.
    """
    steps = DomainSteps() if steps is None else steps
    began = time.perf_counter()
    # Threads round otherwise than one: the same settings are to end in the same bits.
    with one_blas_thread():
        components = steps.components(adata, where, weights, settings)
        strength = steps.strength(components, settings)
        scores = steps.smoothed(components.projected, components.precision, strength.lambda_)
        found = steps.find_on(components, strength, settings)
    spots, n_spots = components.chosen.spots, int(adata.n_obs)
    return SpatialDomains(
        settings=settings,
        labels=labels_of(found, spots, n_spots),
        probabilities=expanded(found.mixture.probabilities, spots, n_spots),
        embedding=expanded(found.scores, spots, n_spots),
        scores=expanded(scores, spots, n_spots),
        loadings=components.found.vectors,
        chosen=components.chosen,
        smoothing=strength,
        autocorrelation=found.autocorrelation,
        kept=found.kept,
        number=found.number,
        report={
            "n_spots": len(spots),
            "n_genes": len(components.chosen.genes),
            "seconds": time.perf_counter() - began,
            **domain_report(found, strength),
        },
    )


def n_components(settings: ReductionSettings, scatter: SpatialScatter) -> int:
    """How many components there can be of those wanted."""
    return min(settings.components, scatter.n_genes)


def labels_of(found: FoundDomains, spots: NDArray[np.intp], n_spots: int) -> NDArray[np.int64]:
    """Return the domain of every spot, -1 for those that are not used."""
    codes = np.full(n_spots, -1, dtype=np.int64)
    codes[spots] = found.mixture.labels
    return codes


def expanded(
    scores: NDArray[np.floating], spots: NDArray[np.intp], n_spots: int
) -> NDArray[np.float64]:
    """Return the rows of used spots among all, the others NaN."""
    whole = np.full((n_spots, scores.shape[1]), np.nan)
    whole[spots] = scores
    return whole


def domain_report(found: FoundDomains, strength: ChosenSmoothing) -> dict[str, Any]:
    """Return what was chosen, and by which curves: numbers and lists."""
    report: dict[str, Any] = {
        "n_domains": int(found.mixture.probabilities.shape[1]),
        "smoothing": strength.lambda_,
        "smoothing_strengths": list(strength.strengths),
        "smoothing_errors": list(strength.errors),
        "autocorrelation": [float(value) for value in found.autocorrelation],
        "n_directions": len(found.kept),
        "likelihood": found.mixture.likelihood,
        "converged": found.mixture.converged,
    }
    if found.number is not None:
        report["numbers"] = list(found.number.numbers)
        report["agreement"] = list(found.number.criterion)
    return report


def write_domains(
    adata: AnnData,
    key: str,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    embedding: NDArray[np.float64],
) -> None:
    """Put domains where scanpy users look for them."""
    # A domain may have won no spot: its probability stands all the same.
    names = [str(code + 1) for code in range(probabilities.shape[1])]
    found = names[: int(labels.max(initial=-1)) + 1]
    adata.obs[key] = pd.Categorical.from_codes(labels, categories=pd.Index(found))
    adata.obsm[key] = pd.DataFrame(probabilities, index=adata.obs_names, columns=names)
    adata.obsm[f"X_{key}"] = embedding


def domains(
    adata: AnnData,
    n_domains: int | None = None,
    *,
    layer: str | None = None,
    n_genes: int = 2000,
    genes_by: GenesBy = "spatial",
    scale: bool = False,
    n_components: int = 30,
    lambda_: float = 0.0,
    smoothing: float | None = None,
    process: Process = "icar",
    rho: float = 0.99,
    coupling: float = 2.0,
    seed: int = 0,
    n_neighbors: int = 6,
    library_key: str | None = None,
    key_added: str = "domain",
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Find spatial domains: layers and other parts of a tissue, from counts.

    Genes of largest Moran's I, log1p of counts per ten thousand, spatial components; of these the
    directions that vary over the tissue by more than neighbours differ, smoothed by their
    posterior mean; a Gaussian mixture with one covariance, and a hidden Markov random field on
    its labels. ``docs/domains.md`` has how well it does, against anatomists and other methods.

    Parameters
    ----------
    adata
        Spots x genes. Neighbours are taken from ``obsp["spatial_connectivities"]``; without it
        they are the mutual nearest neighbours of ``obsm["spatial"]``.
    n_domains
        How many; None to choose as many as halves of the spots agree on.
    layer
        Layer to take as it is, ``"X"`` for X itself; None for log1p of the counts of X per ten
        thousand of the spot.
    n_genes
        How many genes at most.
    genes_by
        Which: ``"spatial"``, those of largest Moran's I; or ``"variable"``, those of largest
        variance beyond counting noise.
    scale
        Whether every gene is brought to unit variance.
    n_components
        Number of spatial components, at most that of genes.
    lambda_
        Strength of the penalty on components that vary between neighbours; 0 for none.
    smoothing
        Lambda of the posterior mean of the components; None to choose it by spots left out.
    process, rho
        Spatial process (``"car"``, ``"sar"``, ``"icar"`` or ``"isar"``) and its autocorrelation.
    coupling
        What a label that all neighbours have gains in log odds; 0 for no field.
    seed
        Of the starts that are drawn.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_weights`.
    key_added
        Where the results go.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked within every step.

    Returns
    -------
    AnnData or None
        The copy, when asked for. It has

        ``obs[key_added]``
            Categories ``"1"``, the largest domain, and on; missing for spots without a count.
        ``obsm[key_added]``
            Probabilities, spots x domains.
        ``obsm["X_" + key_added]``
            The smoothed embedding that they were found on.
        ``uns["smoother"][key_added]``
            The settings and the report, with the curves of what was chosen (numbers and text).

    Raises
    ------
    InputError
        If counts, positions, graph or settings cannot be used, or sections lie over each other
        and no ``library_key`` tells them apart.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> adata = simulate_cortex(rows=24, n_genes=150).section.adata
    >>> ns.domains(adata, 6)
    >>> list(adata.obs["domain"].cat.categories)
    ['1', '2', '3', '4', '5', '6']
    """
    settings = ReductionSettings(
        data=ExpressionSettings(layer, n_genes, scale, genes_by),
        components=n_components,
        process=process,
        rho=rho,
        lambda_spatial_loss=lambda_,
        seed=seed,
        domains=DomainSettings(True, n_domains, coupling),
        smoothing=smoothing,
    )
    weights, graph = section_graph(adata, n_neighbors, library_key)
    found = compute(adata, weights, settings, DomainSteps(cancelled))
    found.report["graph"] = graph
    target = adata.copy() if copy else adata
    found.write(target, key_added)
    return target if copy else None


def _projected(scatter: SpatialScatter, found: Eigenvectors) -> NDArray[np.float64]:
    return np.asarray(scatter.project(found.vectors), dtype=np.float64)


def _shares(weights: csr_array) -> csr_array:
    """Divide the weights of every spot by their sum."""
    shares = sparse.csr_array(weights, dtype=np.float64, copy=True)
    sums = np.asarray(shares.sum(axis=1)).ravel()
    shares.data /= np.repeat(np.where(sums > 0, sums, 1.0), np.diff(shares.indptr))
    return shares


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out settings at None, which HDF5 cannot hold: they are the defaults."""
    return {
        name: _plain(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if value is not None
    }
