"""Spatial domains of a section: from counts to labels, the same for window and library."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.domain_steps import DomainSteps
from napari_smoother.analyses.embedding_settings import (
    DomainSettings,
    ExpressionSettings,
    ReductionSettings,
)
from napari_smoother.analyses.expression import warn_unless_counts
from napari_smoother.keys import with_report, without_none
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.weights.annotated import section_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.domain_steps import FoundDomains
    from napari_smoother.analyses.embedding_settings import EmbeddingSettings
    from napari_smoother.analyses.expression import ChosenGenes, GenesBy
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.models.reduction.choice_of_smoothing import (
        ChosenSmoothing,
    )
    from napari_smoother.models.reduction.number_of_domains import ChosenNumber
    from napari_smoother.weights.precision import Process


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

    settings: EmbeddingSettings
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    embedding: NDArray[np.float64]
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

    def over(self, kept: KeptSpots) -> SpatialDomains:
        """Return the domains of kept spots as those of all: others are in none."""
        return replace(
            self,
            labels=kept.over_all(self.labels, missing=-1),
            probabilities=kept.over_all(self.probabilities),
            embedding=kept.over_all(self.embedding),
            chosen=self.chosen.over(kept),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains: ``"1"``, the largest, and on."""
        return tuple(str(code + 1) for code in range(self.probabilities.shape[1]))

    def write(self, adata: AnnData, key_added: str = "domain") -> None:
        """Write them into the section that they were found in; see `domains`."""
        # A domain may have won no spot: its probability stands all the same.
        found = self.names[: int(self.labels.max(initial=-1)) + 1]
        adata.obs[key_added] = pd.Categorical.from_codes(self.labels, categories=pd.Index(found))
        adata.obsm[key_added] = pd.DataFrame(
            self.probabilities, index=adata.obs_names, columns=list(self.names)
        )
        adata.obsm[f"X_{key_added}"] = self.embedding
        recipe = {"model": "domains", **without_none(asdict(self.settings))}
        entry = {"recipe": recipe, "report": self.report}
        adata.uns = with_report(adata.uns, {key_added: entry})


def compute(
    adata: AnnData,
    weights: csr_array,
    settings: ReductionSettings,
    context: Context = Context(),
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
    context
        Who asks.
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
        If the context said so.
    """
    steps = DomainSteps() if steps is None else steps
    # Threads round otherwise than one: the same settings are to end in the same bits.
    with steps.lock, one_blas_thread():
        began = time.perf_counter()
        components = steps.components(adata, where, weights, settings, context)
        strength = steps.strength(components, settings, context)
        found = steps.find_on(components, strength, settings, context)
        seconds = time.perf_counter() - began
    return spatial_domains(found, settings, components.chosen, strength, int(adata.n_obs), seconds)


def spatial_domains(
    found: FoundDomains,
    settings: EmbeddingSettings,
    chosen: ChosenGenes,
    strength: ChosenSmoothing,
    n_spots: int,
    seconds: float,
) -> SpatialDomains:
    """Return domains of used spots as those of all.

    Parameters
    ----------
    found
        Domains of used spots.
    settings
        What they were found with.
    chosen
        Which spots and genes are used.
    strength
        Of the smoothing.
    n_spots
        Of all spots.
    seconds
        That it took.
    """
    return SpatialDomains(
        settings=settings,
        labels=labels_of(found, chosen.spots, n_spots),
        probabilities=expanded(found.mixture.probabilities, chosen.spots, n_spots),
        embedding=expanded(found.scores, chosen.spots, n_spots),
        chosen=chosen,
        smoothing=strength,
        autocorrelation=found.autocorrelation,
        kept=found.kept,
        number=found.number,
        report={
            "n_spots": len(chosen.spots),
            "n_genes": len(chosen.genes),
            "seconds": seconds,
            **domain_report(found, strength),
        },
    )


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
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.
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

    Warns
    -----
    UserWarning
        If X is taken as counts, and its values are not whole numbers.

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
        lambda_=lambda_,
        seed=seed,
        domains=DomainSettings(True, n_domains, coupling),
        smoothing=smoothing,
    )
    weights, graph = section_graph(adata, n_neighbors, library_key)
    warn_unless_counts(adata, layer)
    found = compute(adata, weights, settings, Context(cancelled))
    found = replace(found, report={**found.report, "graph": graph})
    target = adata.copy() if copy else adata
    found.write(target, key_added)
    return target if copy else None
