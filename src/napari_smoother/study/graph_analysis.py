"""The graph of the open section, kept as the recipe has it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_smoother.analyses.graph import Graph
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.stage import Stage
from napari_smoother.study.analysis import Analysis
from napari_smoother.study.section_state import GRAPH

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.open_section import OpenSection


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

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
        self.edges_over_all = Stage(_edges_over_all)

    def over_all(self, found: Graph, kept: KeptSpots) -> Graph:
        """Return the graph of kept spots as one of all."""
        # The same edges are the same object, by which who draws them knows them again.
        return replace(found.over(kept), edges=self.edges_over_all(found.edges, kept))

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


def _edges_over_all(edges: NDArray[np.integer], kept: KeptSpots) -> NDArray[np.integer]:
    places: NDArray[np.integer] = kept.places[edges]
    return places
