"""An embedding of a section, the domains found on it, and what its analyses share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pandas as pd

from napari_smoother.analyses.context import Progress
from napari_smoother.analyses.domain_steps import DomainSteps
from napari_smoother.analyses.domains import expanded, labels_of, write_domains
from napari_smoother.analyses.embedding_settings import EmbeddingSettings
from napari_smoother.study.analysis import Analysis, Outcome, Request
from napari_smoother.study.view import Classes, Mixture, Numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.domain_steps import FoundDomains
    from napari_smoother.analyses.expression import ChosenGenes
    from napari_smoother.section import Section
    from napari_smoother.study.open_section import OpenSection

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
    domain_probabilities, domain_embedding
        n x domains, and n x directions: what the domains were found on; NaN for spots without a
        count.
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
    domains: NDArray[np.int64] | None = None
    domain_probabilities: NDArray[np.float64] | None = None
    domain_embedding: NDArray[np.float64] | None = None
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

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
        self.steps = DomainSteps(self.is_cancelled, lambda text: self.tell(Progress(text)))

    @property
    def lacks_domains_only(self) -> bool:
        """Whether the embedding is that of settings and graph, and only its domains may not be."""
        shown, wanted = self.shown, self._wanted()
        if shown is None or wanted is None or shown.request.start is not None:
            return False
        with_domains = replace(shown.request.settings, domains=self.settings.domains)
        return replace(shown.request, settings=with_domains).asks_same(wanted)

    def request(self, *, settled: bool) -> Request[Chosen, Embedding] | None:
        """Return what has to be computed now, as `Analysis.request` does."""
        # An embedding that is there already is not found again for its domains.
        return super().request(settled=settled or self.lacks_domains_only)

    def with_domains(
        self,
        request: Request[Chosen, Embedding],
        embedding: Embedding,
        found: Callable[[], tuple[FoundDomains, dict[str, Any]]],
    ) -> Embedding:
        """Return an embedding with its domains, if they are wanted."""
        if not request.settings.domains.find:
            return embedding
        self.tell(Outcome(request, embedding, finished=False))
        domains, report = found()
        spots, n_spots = embedding.chosen.spots, len(embedding.scores)
        return replace(
            embedding,
            domains=labels_of(domains, spots, n_spots),
            domain_probabilities=expanded(domains.mixture.probabilities, spots, n_spots),
            domain_embedding=expanded(domains.scores, spots, n_spots),
            report={**embedding.report, **report},
        )

    def write(self, adata: AnnData, result: Embedding) -> None:
        """Put scores, loadings and domains where scanpy users look for them."""
        adata.obsm[f"X_{self.name}"] = result.scores
        if result.loadings is not None:
            loadings = np.zeros((adata.n_vars, result.n_dims))
            loadings[result.chosen.genes] = result.loadings
            adata.varm[self.name] = loadings
        if result.domains is not None:
            assert result.domain_probabilities is not None
            assert result.domain_embedding is not None
            write_domains(
                adata,
                self.domain_column,
                result.domains,
                result.domain_probabilities,
                result.domain_embedding,
            )
