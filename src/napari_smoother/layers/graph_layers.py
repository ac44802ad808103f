"""Keeps the edges on screen up to date with the graph of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from psygnal import Signal

from napari_smoother.layers import edges
from napari_smoother.layers.coordinates import World, to_xy
from napari_smoother.layers.neighbour_highlight import NeighbourHighlight
from napari_smoother.layers.reach_ring import ReachRing
from napari_smoother.layers.region_shapes import REGIONS
from napari_smoother.printing import overlays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.graph_neighbours import NeighboursOfSpot
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.figures.colours import Colours
    from napari_smoother.layers.shelf import Shelf
    from napari_smoother.study.study import Study

EdgesShown = Literal["all", "cut", "none"]

MARGIN = 0.5
"""Of the view that edges are drawn beyond each of its sides, so that it can be moved a little."""


NARROW, WIDE = 6.0, 18.0
"""Pixels of the canvas: edges as short as the first have no casing, from the second a full one."""

FAR = 0.6
"""Opacity of edges that are as short."""

FAINT = 0.3
"""Opacity of edges beside those of the spot that is pointed at."""


class GraphLayers:
    """Every edge of a graph in view, and those between regions in a second colour.

    They lie over all maps, below outlines of regions, while a page that is about them is in front
    or the recipe keeps them over every map.

    Parameters
    ----------
    shelf
        Where the layers are.
    study
        Whose graph to show.

    Attributes
    ----------
    highlight
        The neighbours of the spot that is pointed at.
    ring
        How far the prior reaches.
    remark
        What a user has to be told of the edges on screen, or "".
    remarked
        Emitted with it when it has changed.
    """

    remarked = Signal(str)

    def __init__(self, shelf: Shelf, study: Study) -> None:
        self._shelf = shelf
        self._study = study
        self._pages: dict[int, EdgesShown] = {}
        self._shown: EdgesShown = "none"
        self._within: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self.remark = ""
        self.highlight = NeighbourHighlight(shelf, study)
        self.ring = ReachRing(shelf, study, self.highlight)
        self.highlight.pointed.connect(self._fade)
        study.graph_changed.connect(self._on_graph)
        study.recipe_changed.connect(self._on_recipe)
        if shelf.viewer is not None:
            shelf.viewer.scene.camera.events.connect(self._on_camera)

    @property
    def wanted(self) -> EdgesShown:
        """Which edges are to be seen."""
        shown, pages = self._study.recipe.shown, self._pages.values()
        if shown.edges or (shown.edges_with_graph and "all" in pages):
            return "all"
        return "cut" if shown.edges_with_graph and "cut" in pages else "none"

    def want(self, window: object, wanted: EdgesShown) -> None:
        """Note which edges the page in front of a dock is about.

        Parameters
        ----------
        window
            The dock, of which there may be several.
        wanted
            All, those that are cut between regions, or none.
        """
        self._pages[id(window)] = wanted
        self.update()

    def update(self) -> None:
        """Show or hide the edges, as recipe and pages have it."""
        graph, wanted = self._study.graph, self.wanted
        self._shown = wanted
        if wanted != "none" and graph is not None:
            self._show(graph)
        for name, seen in (
            (edges.CASING, wanted == "all"),
            (edges.EDGES, wanted == "all"),
            (edges.CUT_EDGES, wanted != "none"),
        ):
            layer = self._shelf.layer(name)
            if layer is not None and layer.visible != seen:
                layer.visible = seen

    def _on_graph(self, graph: Graph | None) -> None:
        self.update()

    def _on_recipe(self, recipe: Recipe) -> None:
        if self.wanted != self._shown:
            self.update()

    def _on_camera(self) -> None:
        graph = self._study.graph
        if graph is None or self.wanted == "none":
            return
        self._fade(self.highlight.found)
        if len(graph.edges) <= edges.MOST_IN_VIEW:
            return
        low, high = self._view(graph)
        if self._within is not None:
            kept = bool((low >= self._within[0]).all() and (high <= self._within[1]).all())
            # A window far larger than the view holds edges enough to be too many elsewhere.
            if kept and ((self._within[1] - self._within[0]) <= 4 * (high - low)).all():
                return
        self._show(graph)

    def _view(self, graph: Graph) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the corners of what is in view, (x, y) in full-resolution pixels."""
        viewer = self._shelf.viewer
        assert viewer is not None
        half = np.asarray(viewer.canvas.size, dtype=np.float64) / (2 * viewer.scene.camera.zoom)
        centre = np.asarray(viewer.scene.camera.center[-2:], dtype=np.float64)
        pixel = World.of(graph.section).pixel
        return to_xy((centre - half) / pixel), to_xy((centre + half) / pixel)

    def _chosen(self, graph: Graph) -> NDArray[np.bool_]:
        """Return which edges to draw: all, those about what is in view, or none of too many."""
        number = len(graph.edges)
        self._within = None
        if number <= edges.MOST_IN_VIEW:
            self._say("")
            return np.ones(number, dtype=bool)
        low, high = self._view(graph)
        beyond = MARGIN * (high - low)
        about = 0.0
        for by in (beyond, 0.0 * beyond):
            spots = edges.spots_within(graph, low - by, high + by)
            # Far fewer spots than edges: most views of a large section are known to be too wide.
            about = float(spots.sum()) * number / graph.section.n_spots
            if about > 2 * edges.MOST_IN_VIEW:
                continue
            chosen = edges.edges_of(graph, spots)
            if int(chosen.sum()) <= edges.MOST_IN_VIEW:
                self._within = (low - by, high + by)
                self._say("")
                return chosen
        self._say(
            f"About {about:,.0f} edges are in view, too many to tell apart: zoom in to see them, "
            f"up to {edges.MOST_IN_VIEW:,} at a time"
        )
        return np.zeros(number, dtype=bool)

    def _show(self, graph: Graph) -> None:
        chosen = self._chosen(graph)
        vectors, width = edges.edge_vectors(graph, chosen), edges.edge_width(graph)
        if self.wanted == "all":
            for name, colours, wide in (
                (edges.CASING, edges.casing_colours(graph, chosen), edges.CASING_WIDTH),
                (edges.EDGES, overlays.weight_colours(graph, chosen), 1.0),
            ):
                self._draw(graph, name, wide * width, vectors, colours)
        self._show_cut(graph, chosen & graph.crossing)
        self._fade(self.highlight.found)

    def _show_cut(self, graph: Graph, chosen: NDArray[np.bool_]) -> None:
        vectors = edges.edge_vectors(graph, chosen)
        colours = np.tile(np.array((*overlays.CUT_COLOUR, 1.0), np.float32), (len(vectors), 1))
        width = edges.CUT_WIDTH * edges.edge_width(graph)
        self._draw(graph, edges.CUT_EDGES, width, vectors, colours)
        layer = self._shelf.layer(edges.CUT_EDGES)
        if layer is not None:
            edges.show_connectivity(layer, graph)

    def _draw(
        self,
        graph: Graph,
        name: str,
        width: float,
        vectors: NDArray[np.float64],
        colours: Colours,
    ) -> None:
        """Draw lines in the layer that is there, or in a new one over all maps."""
        layer = self._shelf.layer(name)
        if layer is None:
            if len(vectors):
                layer = edges.edge_layer(graph, name, width, vectors, colours)
                self._shelf.put(name, layer, below=REGIONS)
            return
        if len(vectors) and layer.edge_width != width:
            layer.edge_width = width
        edges.draw(layer, vectors, colours)

    def _fade(self, found: NeighboursOfSpot | None) -> None:
        """Draw edges fainter while those of a spot are looked at, and from far away.

        Where edges are a few pixels long they would hide the map, and their casings each other.
        """
        graph, viewer = self._study.graph, self._shelf.viewer
        if graph is None or viewer is None or self.wanted == "none":
            return
        length = graph.typical_length * World.of(graph.section).pixel * viewer.scene.camera.zoom
        casing = min(max((length - NARROW) / (WIDE - NARROW), 0.0), 1.0)
        core = FAR + (1.0 - FAR) * casing
        beside = 1.0 if found is None else FAINT
        for name, opacity in ((edges.CASING, casing), (edges.EDGES, core)):
            layer = self._shelf.layer(name)
            if layer is not None and abs(layer.opacity - beside * opacity) > 0.01:
                layer.opacity = beside * opacity

    def _say(self, remark: str) -> None:
        if remark != self.remark:
            self.remark = remark
            self.remarked.emit(remark)
