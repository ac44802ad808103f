"""An embedding of the open section laid out in a plane, when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_smoother.analyses import umap_layout
from napari_smoother.analyses.context import Progress
from napari_smoother.analyses.embedding_settings import DomainSettings
from napari_smoother.analyses.embedding_source import obsm_table
from napari_smoother.analyses.umap_layout import UmapLayout
from napari_smoother.analyses.umap_settings import UmapSettings
from napari_smoother.models.reduction import neighbour_layout
from napari_smoother.study.analysis import Analysis, Request
from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.study.reduction import Reduction

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.analyses.embedding_source import FoundBy
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.study.embedding import EmbeddingAnalysis

FOUND_BY: dict[FoundBy, type[EmbeddingAnalysis[Any]]] = {
    "reduction": Reduction,
    "autoencoder": Autoencoder,
}
"""The analyses that find an embedding, by what `EmbeddingSource` calls them."""


@dataclass(frozen=True, slots=True, eq=False)
class UmapRequest(Request[UmapSettings, UmapLayout]):
    """A request that follows from that of another analysis.

    Parameters
    ----------
    of
        What the embedding is asked for with; None where the section brought it along.
    embedding
        The embedding, where it is there already.
    """

    of: Request[Any, Embedding] | None = None
    embedding: Embedding | None = None

    def asks_same(self, other: Request[UmapSettings, UmapLayout]) -> bool:
        """Whether another request asks for the same; graph and regions may not matter."""
        if (
            self.section is not other.section
            or self.settings != other.settings
            or self.quality != other.quality
        ):
            return False
        theirs = other.of if isinstance(other, UmapRequest) else None
        if self.of is None or theirs is None:
            return self.of is theirs
        return _without_domains(self.of).asks_same(_without_domains(theirs))


class Umap(Analysis[UmapSettings, UmapLayout]):
    """`napari_smoother.umap` of an embedding of a study."""

    name = umap_layout.MODEL
    field = wanted = "umap"
    work = "laying out"
    button = "Lay out"
    follows = False
    is_quick = False
    kept_records = (UmapLayout,)

    @property
    def missing(self) -> str:
        """What has to be installed first; empty when nothing has."""
        if neighbour_layout.is_installed():
            return ""
        return f"{neighbour_layout.MISSING}. {neighbour_layout.REMEDY}"

    def compute(self, request: Request[UmapSettings, UmapLayout], context: Context) -> UmapLayout:
        """Find the embedding, where it is not there, and lay it out."""
        assert isinstance(request, UmapRequest)
        section, embedding = request.section, request.embedding
        if request.of is None:
            key = request.settings.of.key
            scores, _ = obsm_table(section.adata, key, section.name)
            name = key
        else:
            if embedding is None:
                found_by = self._found_by(request.settings)
                assert found_by is not None

                def tell(news: Any) -> None:
                    if context.tell is not None and isinstance(news, Progress):
                        context.tell(news)

                found = found_by.run(request.of, cancelled=context.cancelled, tell=tell)
                embedding = found.result
            scores, name = embedding.scores, f"{embedding.kind}s"
            if request.kept is not None:
                scores = request.kept.among(scores)
        return umap_layout.compute(
            scores, section.adata.obs_names, request.settings, context, name=name
        )

    def over_all(self, found: UmapLayout, kept: KeptSpots) -> UmapLayout:
        """Return places over all spots; those that are left out have none."""
        return replace(found, spots=kept.spots, places=kept.over_all(found.places))

    def decided(self, request: Request[UmapSettings, UmapLayout]) -> dict[str, Any]:
        """Return the settings, and those of the embedding that is laid out."""
        found_by = self._found_by(request.settings)
        fields = super().decided(request)
        if found_by is not None and isinstance(request, UmapRequest) and request.of is not None:
            fields[found_by.field] = request.of.settings
        return fields

    def note(self, before: Recipe, after: Recipe, *, moved: bool) -> None:
        """Tell what a change of the recipe means here, also of that of the embedding."""
        mine = after.umap != before.umap
        if mine:
            self.settings_changed.emit(self.settings)
        found_by = self._found_by(after.umap)
        if mine or (
            found_by is not None
            and (
                moved
                or after.graph != before.graph
                or getattr(after, found_by.field) != getattr(before, found_by.field)
            )
        ):
            self.outdated.emit()

    def describe(self, result: UmapLayout) -> str:
        """Return what was laid out, and how long it took."""
        return result.describe()

    def describe_settings(self, settings: UmapSettings) -> str:
        """Return the settings in a few words."""
        return (
            f"the layout for {settings.neighbours} neighbours, minimum distance "
            f"{settings.minimum_distance:.3g}, seed {settings.seed}"
        )

    def write(self, adata: AnnData, result: UmapLayout) -> None:
        """Put the places in ``obsm["X_umap"]``."""
        result.write(adata)

    def _found_by(self, settings: UmapSettings) -> EmbeddingAnalysis[Any] | None:
        """Return the analysis that finds the embedding; None where the section brought it."""
        kind = FOUND_BY.get(settings.of.kind)
        if kind is None:
            return None
        analysis: EmbeddingAnalysis[Any] = self.study.analyses.get(kind.name) or kind(self.study)
        return analysis

    def _wanted(self) -> UmapRequest | None:
        plain = super()._wanted()
        if plain is None:
            return None
        found_by = self._found_by(plain.settings)
        return UmapRequest(
            plain.number,
            plain.section,
            plain.graph_settings,
            plain.labels,
            plain.settings,
            plain.quality,
            of=None if found_by is None else found_by._wanted(),
            embedding=None if found_by is None else _found(found_by),
        )


def _found(by: EmbeddingAnalysis[Any]) -> Embedding | None:
    """Return the embedding where it is that of settings and graph, whatever its domains are."""
    return by.result if by.is_up_to_date or by.lacks_domains_only else None


def _without_domains(request: Request[Any, Embedding]) -> Request[Any, Embedding]:
    """Return a request for the embedding alone: domains on it do not matter to a layout."""
    return replace(request, settings=replace(request.settings, domains=DomainSettings()))
