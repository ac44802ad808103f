"""The map of an embedding: one dim, three of them as colours, or its domains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_smoother.layers.analysis_map import AnalysisMap
from napari_smoother.printing.on_screen import embedding_values

if TYPE_CHECKING:
    import pandas as pd

    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
    from napari_smoother.analyses.shown import EmbeddingShown


class EmbeddingMap(AnalysisMap["Embedding"]):
    """Shows an embedding.

    Parameters
    ----------
    scene
        Where it is shown.
    analysis
        That finds the embedding.
    """

    @property
    def shown(self) -> EmbeddingShown:
        """Which of its pictures is shown."""
        shown: EmbeddingShown = getattr(self.scene.shown, self.analysis.field)
        return shown

    def values(self, result: Embedding) -> Numbers | Classes | Mixture | None:
        """Return what is shown; None while domains are not known yet."""
        return embedding_values(result, self.shown)

    def table(self, result: Embedding) -> pd.DataFrame:
        """Return every component, and the domains where they are known."""
        return result.table()

    def show_component(self, number: int) -> None:
        """Show one dim, counted from 0."""
        self._change(what="component", component=number)

    def show_mixture(self, channels: tuple[int, int, int]) -> None:
        """Show three dims as red, green and blue."""
        self._change(what="mixture", channels=channels)

    def show_domains(self) -> None:
        """Show domains, as soon as they are known."""
        self._change(what="domains")

    def _change(self, **changes: Any) -> None:
        analysis = self.analysis
        shown: dict[str, Any] = {analysis.field: replace(self.shown, **changes)}
        self.scene.change(stage=analysis.name, **shown)
