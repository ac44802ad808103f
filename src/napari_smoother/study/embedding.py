"""What the analyses of a study that find an embedding share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from napari_smoother.analyses.domains import SpatialDomains
from napari_smoother.analyses.embedding import Embedding
from napari_smoother.analyses.embedding_settings import EmbeddingSettings
from napari_smoother.analyses.expression import ChosenGenes
from napari_smoother.models.reduction.choice_of_smoothing import ChosenSmoothing
from napari_smoother.models.reduction.number_of_domains import ChosenNumber
from napari_smoother.study.analysis import Analysis, Outcome, Request

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_smoother.analyses.context import Context, Progress
    from napari_smoother.analyses.kept_spots import KeptSpots

Chosen = TypeVar("Chosen", bound=EmbeddingSettings)


class EmbeddingAnalysis(Analysis[Chosen, Embedding], Generic[Chosen]):
    """An analysis whose result is an embedding, with domains on it where they are wanted."""

    kept_records = (Embedding, ChosenGenes, SpatialDomains, ChosenSmoothing, ChosenNumber)
    domain_column: str
    """Column of obs that domains are saved in."""

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

    def told(self, request: Request[Chosen, Embedding], context: Context) -> Context:
        """Return a context that is told of embeddings as of outcomes that are not finished."""

        def tell(news: Embedding | Progress) -> None:
            if context.tell is not None:
                is_result = isinstance(news, Embedding)
                context.tell(Outcome(request, news, finished=False) if is_result else news)

        return replace(context, tell=tell)

    def is_optimum(self, result: Embedding) -> bool:
        """Whether the solve reached its tolerance."""
        return result.converged

    def over_all(self, found: Embedding, kept: KeptSpots) -> Embedding:
        """Return what was found in kept spots as a result over all."""
        return found.over(kept)

    def describe(self, result: Embedding) -> str:
        """Return how well it was found, and the number of domains."""
        return result.describe()

    def write(self, adata: AnnData, result: Embedding) -> None:
        """Put scores, loadings and domains where scanpy users look for them."""
        result.write(adata, domain=self.domain_column)
