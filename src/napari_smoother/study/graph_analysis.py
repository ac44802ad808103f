"""The graph of the open section, kept as the recipe has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoother.analyses.graph import Graph
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.study.analysis import Analysis
from napari_smoother.study.section_state import GRAPH

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_smoother.analyses.context import Context
    from napari_smoother.study.analysis import Request


class GraphAnalysis(Analysis[GraphSettings, Graph]):
    """Which spots are neighbours; wanted as soon as a section is open."""

    name = GRAPH
    field = "graph"
    work = "connecting spots"

    @property
    def _always_wanted(self) -> bool:
        """Whether a section is open."""
        return self.study.section is not None

    def compute(self, request: Request[GraphSettings, Graph], context: Context) -> Graph:
        """Return the graph, which every analysis of the section shares."""
        assert request.graph is not None
        return request.graph

    def describe(self, result: Graph) -> str:
        """Return that it is there, and what is missing for more."""
        missing = "" if self.study.reference is not None else "; no reference yet"
        return f"graph ready{missing}"

    def describe_settings(self, settings: GraphSettings) -> str:
        """Return how spots were connected."""
        return "the graph of earlier settings"

    def write(self, adata: AnnData, result: Graph) -> None:
        """Put weights and distances under the keys of squidpy."""
        result.write(adata)
