"""The evented state of one open section, with its graph and its composition.

A study knows nothing of windows. Views listen to its signals and change its recipe; whoever
owns a thread takes the request of an analysis, runs it, and hands the outcome back.
`Study.update` does the same at once, for scripts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_smoother.study.composition_analysis import CompositionAnalysis
from napari_smoother.study.graph_analysis import GraphAnalysis
from napari_smoother.study.open_section import OpenSection
from napari_smoother.study.quality import QualityAnalysis

if TYPE_CHECKING:
    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.graph_settings import GraphSettings


class Study(OpenSection):
    """One open section with its recipe, reference and results.

    Attributes
    ----------
    quality_analysis, graph_analysis, composition_analysis
        What finds the results that every section has; others are in `analyses`.
    graph_changed
        Emitted with the new graph.
    composition_changed
        Emitted with the new composition, or None when it was taken away.
    """

    def __init__(self) -> None:
        super().__init__()
        self.quality_analysis = QualityAnalysis(self)
        self.graph_analysis = GraphAnalysis(self)
        self.composition_analysis = CompositionAnalysis(self)
        self.graph_changed = self.graph_analysis.result_changed
        self.composition_changed = self.composition_analysis.result_changed

    # Settings

    @property
    def graph_settings(self) -> GraphSettings:
        """Which spots are neighbours."""
        return self.recipe.graph

    @graph_settings.setter
    def graph_settings(self, graph: GraphSettings) -> None:
        self.recipe = replace(self.recipe, graph=graph)

    @property
    def boundary_connectivity(self) -> float:
        """What an edge between two regions keeps of its weight, 0 to 1."""
        return self.recipe.graph.boundary_connectivity

    @boundary_connectivity.setter
    def boundary_connectivity(self, connectivity: float) -> None:
        self.graph_settings = replace(self.recipe.graph, boundary_connectivity=connectivity)

    @property
    def deconvolution(self) -> DeconvolutionSettings:
        """How composition is estimated."""
        return self.recipe.deconvolution

    @deconvolution.setter
    def deconvolution(self, deconvolution: DeconvolutionSettings) -> None:
        self.recipe = replace(self.recipe, deconvolution=deconvolution)

    # Results

    @property
    def graph(self) -> Graph | None:
        """The neighbour graph, as last computed, over all spots."""
        return self.graph_analysis.result

    @property
    def analysed_graph(self) -> Graph | None:
        """The same graph over the spots that are analysed; its section is that of these."""
        return self.graph_analysis.found

    @property
    def composition(self) -> Composition | None:
        """The composition, as last computed."""
        return self.composition_analysis.result

    @property
    def is_up_to_date(self) -> bool:
        """Whether graph and composition belong to the recipe, from canonical starts."""
        if not self.graph_analysis.is_up_to_date:
            return False
        return self.composition is None or self.composition_analysis.is_up_to_date

    def update(self) -> None:
        """Bring graph and composition up to date now, from the canonical start.

        Raises
        ------
        InputError
            If no section is open, or data or settings cannot be used.
        """
        self.graph_analysis.update()
        if self.reference is not None:
            self.composition_analysis.update()
