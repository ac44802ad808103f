"""Keeps the edges on screen up to date with the graph of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoother.layers import edges
from napari_smoother.layers.tissue import SPOTS

if TYPE_CHECKING:
    import numpy as np
    from napari.layers import Vectors
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph import Graph
    from napari_smoother.layers.shelf import Shelf
    from napari_smoother.study.study import Study


class GraphLayers:
    """Every edge of a graph, and those between regions in a second colour.

    Parameters
    ----------
    shelf
        Where the layers are.
    study
        Whose graph to show.
    """

    def __init__(self, shelf: Shelf, study: Study) -> None:
        self._shelf = shelf
        self._study = study
        self._is_wanted = False
        self._shown: NDArray[np.integer] | None = None
        study.graph_changed.connect(self._show)

    def show(self, visible: bool) -> None:
        """Show or hide the edges."""
        self._is_wanted = visible
        if visible and self._study.graph is not None:
            self._show(self._study.graph)
        for name in (edges.EDGES, edges.CUT_EDGES):
            layer = self._shelf.layer(name)
            if layer is not None:
                layer.visible = visible

    def _show(self, graph: Graph | None) -> None:
        if not self._is_wanted or graph is None:
            return
        if self._shelf.layer(edges.EDGES) is None or self._shown is not graph.edges:
            self._shelf.put(edges.EDGES, edges.edge_layer(graph), below=SPOTS)
            self._shown = graph.edges
        self._show_cut(graph)

    def _show_cut(self, graph: Graph) -> None:
        layer: Vectors | None = self._shelf.layer(edges.CUT_EDGES)
        vectors = edges.edge_vectors(graph, graph.crossing)
        if layer is None and not len(vectors):
            return
        unchanged = (
            layer is not None
            and layer.data.shape == vectors.shape
            and bool((layer.data == vectors).all())
        )
        if layer is not None and unchanged:
            edges.show_connectivity(layer, graph)
        else:
            new = edges.cut_edge_layer(graph)
            self._shelf.put(edges.CUT_EDGES, new, below=SPOTS, above=edges.EDGES)
