"""An embedding of a section, the domains found on it, and what its analyses share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pandas as pd

from napari_smoother.models.reduction.domains import find_domains
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.study.analysis import Analysis, AnalysisOutcome, AnalysisRequest, Progress
from napari_smoother.study.embedding_settings import EmbeddingSettings
from napari_smoother.study.expression import ChosenGenes, choose_genes
from napari_smoother.study.stage import Stage
from napari_smoother.study.view import Classes, Mixture, Numbers

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.section import Section
    from napari_smoother.study.study import Study

Chosen = TypeVar("Chosen", bound=EmbeddingSettings)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Few numbers a spot that hold what many genes say.

    Parameters
    ----------
    section
        Whose spots they are.
    kind
        What a dim is called: "spatial component".
    scores
        n x dims, float64; NaN for spots without a count.
    shares
        Of each dim in what varies: in the variance of the data for components, in that of the
        embedding for an autoencoder.
    chosen
        Which spots and genes it was made from.
    loadings
        Used genes x dims; None where there are none.
    domains
        Code of each spot's domain, 0 the largest, -1 for spots without a count; None where
        they were not asked for.
    report
        How well it was solved or trained: numbers, strings and lists.
    seconds
        Time of the solve.
    converged
        Whether the solve reached its tolerance.
    losses
        Of every epoch, where it was trained.
    """

    section: Section
    kind: str
    scores: NDArray[np.float64]
    shares: NDArray[np.float64]
    chosen: ChosenGenes
    loadings: NDArray[np.float64] | None = None
    domains: NDArray[np.integer] | None = None
    report: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    converged: bool = True
    losses: tuple[float, ...] = ()

    @property
    def n_dims(self) -> int:
        """Number of dims."""
        return int(self.scores.shape[1])

    def component(self, number: int) -> Numbers:
        """Return one dim, counted from 0."""
        return Numbers(f"{self.kind} {number + 1}", self.scores[:, number])

    def mixture(self, numbers: tuple[int, int, int]) -> Mixture:
        """Return three dims as red, green and blue."""
        red, green, blue = (f"{number + 1}" for number in numbers)
        return Mixture(
            f"{self.kind}s {red}, {green}, {blue} as red, green, blue",
            (f"{self.kind} {red}", f"{self.kind} {green}", f"{self.kind} {blue}"),
            self.scores[:, list(numbers)],
        )

    def table(self) -> pd.DataFrame:
        """Return spots x dims, with barcodes as index and the domain last where it is known."""
        names = [f"{self.kind} {number + 1}" for number in range(self.n_dims)]
        table = pd.DataFrame(self.scores, index=self.section.adata.obs_names, columns=names)
        domains = self.domain_classes()
        if domains is not None:
            table["domain"] = pd.Categorical.from_codes(
                domains.codes, categories=pd.Index(domains.names)
            )
        return table

    def domain_classes(self) -> Classes | None:
        """Return the domain of each spot; None where they were not asked for."""
        if self.domains is None:
            return None
        names = tuple(f"domain {code + 1}" for code in range(int(self.domains.max()) + 1))
        return Classes(f"spatial domain on {self.kind}s", self.domains, names)


class EmbeddingAnalysis(Analysis[Chosen, Embedding], Generic[Chosen]):
    """An analysis whose result is an embedding, with domains on it where they are wanted."""

    domain_column: str
    """Column of obs that domains are saved in."""

    def __init__(self, study: Study, settings: Chosen) -> None:
        super().__init__(study, settings)
        self.genes = Stage(self._choose_genes)
        self.linked = Stage(_among)
        self.domains = Stage(self._domains)

    @property
    def lacks_domains_only(self) -> bool:
        """Whether the embedding is that of settings and graph, and only its domains may not be."""
        shown = self.shown
        return (
            shown is not None
            and shown.request.start is None
            and shown.request.graph is self.study.graph
            and replace(shown.request.settings, domains=self.settings.domains) == self.settings
        )

    def request(self, *, settled: bool) -> AnalysisRequest[Chosen, Embedding] | None:
        """Return what has to be computed now, as `Analysis.request` does."""
        # An embedding that is there already is not found again for its domains.
        return super().request(settled=settled or self.lacks_domains_only)

    def with_domains(
        self, request: AnalysisRequest[Chosen, Embedding], embedding: Embedding
    ) -> Embedding:
        """Return an embedding with its domains, if they are wanted."""
        wanted = request.settings.domains
        if not wanted.find:
            return embedding
        self.tell(AnalysisOutcome(request, embedding, finished=False))
        self.tell(Progress("finding domains"))
        used = embedding.chosen.spots
        labels = self.domains(
            embedding.scores,
            embedding.chosen,
            self.linked(request.graph.weights, embedding.chosen),
            wanted.number,
            wanted.coupling,
            request.settings.seed,
        )
        codes = np.full(len(embedding.scores), -1)
        codes[used] = labels
        return replace(embedding, domains=codes)

    def write(self, adata: AnnData, result: Embedding) -> None:
        """Put scores, loadings and domains where scanpy users look for them."""
        adata.obsm[f"X_{self.name}"] = result.scores
        if result.loadings is not None:
            loadings = np.zeros((adata.n_vars, result.n_dims))
            loadings[result.chosen.genes] = result.loadings
            adata.varm[self.name] = loadings
        if result.domains is not None:
            names = pd.Index([str(code + 1) for code in range(int(result.domains.max()) + 1)])
            adata.obs[self.domain_column] = pd.Categorical.from_codes(
                result.domains, categories=names
            )

    def _choose_genes(self, section: Section, layer: str | None, n_genes: int) -> ChosenGenes:
        self.tell(Progress("choosing genes"))
        return choose_genes(section, layer, n_genes, self.is_cancelled)

    def _domains(
        self,
        scores: NDArray[np.float64],
        chosen: ChosenGenes,
        weights: csr_array,
        number: int,
        coupling: float,
        seed: int,
    ) -> NDArray[np.int64]:
        with one_blas_thread():
            return find_domains(
                scores[chosen.spots],
                number,
                weights=weights,
                coupling=coupling,
                seed=seed,
                cancelled=self.is_cancelled,
            ).labels


def expanded(
    scores: NDArray[np.floating], spots: NDArray[np.intp], n_spots: int
) -> NDArray[np.float64]:
    """Return the rows of used spots among all, the others NaN."""
    whole = np.full((n_spots, scores.shape[1]), np.nan)
    whole[spots] = scores
    return whole


def _among(weights: csr_array, chosen: ChosenGenes) -> csr_array:
    """Return the weights between used spots."""
    if len(chosen.spots) == weights.shape[0]:
        return weights
    kept: csr_array = weights[chosen.spots][:, chosen.spots]
    return kept
