"""The map of an embedding: one dim, three of them as colours, or its domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_smoother.layers.analysis_map import AnalysisMap

if TYPE_CHECKING:
    import pandas as pd

    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.analyses.embedding_settings import EmbeddingSettings
    from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
    from napari_smoother.layers.scene import Scene
    from napari_smoother.study.analysis import Analysis

What = Literal["component", "mixture", "domains"]


class EmbeddingMap(AnalysisMap["Embedding"]):
    """Shows an embedding.

    Parameters
    ----------
    scene
        Where it is shown.
    analysis
        That finds the embedding.

    Attributes
    ----------
    what
        Which of its pictures is shown.
    component
        The dim that is shown, counted from 0.
    channels
        The dims that are red, green and blue.
    """

    def __init__(self, scene: Scene, analysis: Analysis[EmbeddingSettings, Embedding]) -> None:
        super().__init__(scene, analysis)
        self.what: What = "component"
        self.component = 0
        self.channels = (0, 1, 2)

    def values(self, result: Embedding) -> Numbers | Classes | Mixture | None:
        """Return what is shown; None while domains are not known yet."""
        last = result.n_dims - 1
        if self.what == "domains":
            return result.domain_classes()
        if self.what == "mixture":
            red, green, blue = (min(channel, last) for channel in self.channels)
            return result.mixture((red, green, blue))
        return result.component(min(self.component, last))

    def table(self, result: Embedding) -> pd.DataFrame:
        """Return every component, and the domains where they are known."""
        return result.table()

    def show_component(self, number: int) -> None:
        """Show one dim, counted from 0."""
        self.what, self.component = "component", number
        self.scene.show_stage(self.analysis.name)

    def show_mixture(self, channels: tuple[int, int, int]) -> None:
        """Show three dims as red, green and blue."""
        self.what, self.channels = "mixture", channels
        self.scene.show_stage(self.analysis.name)

    def show_domains(self) -> None:
        """Show domains, as soon as they are known."""
        self.what = "domains"
        self.scene.show_stage(self.analysis.name)
