"""Everything a study shows in a viewer, and what the hand changes there.

The scene listens to its study and paints; it listens to the shapes that are drawn and tells the
study. It holds the viewer weakly: a closed viewer is not kept alive by its study.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
from psygnal import Signal

from napari_smoother.errors import InputError
from napari_smoother.figures.colours import categorical_palette
from napari_smoother.layers import edges, region_shapes, spot_map, tissue
from napari_smoother.layers.coordinates import World
from napari_smoother.study.regions import RegionClass
from napari_smoother.study.view import (
    Classes,
    Numbers,
    View,
    deviation_of,
    dominant_types,
    misfit_of,
    proportion_of,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Layer, Points, Shapes, Vectors
    from napari.utils.events import Event
    from numpy.typing import NDArray

    from napari_smoother.section import Section
    from napari_smoother.study.regions import Regions
    from napari_smoother.study.results import Composition, Graph
    from napari_smoother.study.study import Study

Stage = Literal["data", "regions", "composition"]

COMPOSITION = "composition"
DOMINANT = ""
"""In place of a cell type: the most abundant type of each spot."""

Quantity = Literal["proportion", "deviation", "misfit"]
"""What a map of the composition shows."""


class Scene:
    """The layers of one study in one viewer.

    Parameters
    ----------
    viewer
        Where to show them.
    study
        What to show.

    Attributes
    ----------
    key_changed
        Emitted with the key to the colours on screen, or None.
    region_drawn
        Emitted with the name of a region and the number of spots in the outline just drawn.
    """

    key_changed = Signal(object)
    region_drawn = Signal(str, int)

    def __init__(self, viewer: ViewerModel, study: Study) -> None:
        self._viewer = weakref.ref(viewer)
        self.study = study
        self.view: View | None = None
        self.stage: Stage = "data"
        self.cell_type = DOMINANT
        self.quantity: Quantity = "proportion"
        self.key: spot_map.Key | None = None
        self.spot_size_factor = 1.0
        self.drawn_region: str | None = None
        self._follows_layer = True
        self._edges_wanted = False
        self._layers: dict[str, weakref.ref[Layer]] = {}
        self._shown_edges: NDArray[np.integer] | None = None
        study.section_changed.connect(self._show_section)
        study.graph_changed.connect(self._show_graph)
        study.regions_changed.connect(self._show_regions)
        study.composition_changed.connect(self._show_composition)

    # Layers that may have been taken away by hand

    def layer(self, name: str) -> Layer | None:
        """Return a layer of this scene by the name it was made under, if it is still there."""
        viewer = self._viewer()
        layer = self._layers[name]() if name in self._layers else None
        return layer if viewer is not None and layer in viewer.layers else None

    def _add(self, name: str, layer: Layer) -> Layer:
        viewer = self._viewer()
        if viewer is not None:
            selected = set(viewer.layers.selection)
            viewer.add_layer(layer)
            self._layers[name] = weakref.ref(layer)
            if name not in (region_shapes.REGIONS, tissue.SPOTS) and selected:
                viewer.layers.selection = selected & set(viewer.layers)
        return layer

    def _remove(self, *names: str) -> None:
        viewer = self._viewer()
        for name in names:
            layer = self.layer(name)
            if viewer is not None and layer is not None:
                viewer.layers.remove(layer)
            self._layers.pop(name, None)

    # The section

    @property
    def spot_diameter(self) -> float:
        """Diameter of the spots on screen, in full-resolution pixels."""
        section = self.study.section
        if section is None:
            return 1.0
        return tissue.spot_diameter(section) * self.spot_size_factor

    def _show_section(self, section: Section) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        self._remove(*list(self._layers))
        self.view, self.stage, self.cell_type, self.drawn_region = None, "data", DOMINANT, None
        self._shown_edges = None
        if section.images:
            self._add("image", tissue.image_layer(section, section.images[0]))
        self._add(tissue.SPOTS, tissue.spot_layer(section, self.spot_diameter))
        viewer.canvas.overlays.scale_bar.visible = True
        viewer.reset_view()
        self._set_key(None)

    def resize_spots(self, factor: float) -> None:
        """Draw spots `factor` times as large as they are."""
        self.spot_size_factor = factor
        for name in (tissue.SPOTS, COMPOSITION):
            layer = self.layer(name)
            if layer is not None:
                layer.size = self.spot_diameter

    def fade_image(self, opacity: float) -> None:
        """Show the tissue image with an opacity from 0 to 1."""
        layer = self.layer("image")
        if layer is not None:
            layer.opacity = opacity

    @property
    def colours(self) -> NDArray[np.floating]:
        """Colour of each spot on screen, n x 4 from 0 to 1."""
        layer = self.layer(COMPOSITION) if self.stage == "composition" else None
        return np.asarray((layer or self._spots()).face_color)

    def colour_by(self, view: View | None) -> None:
        """Colour the spots by a gene or a column; None for one plain colour.

        Raises
        ------
        InputError
            If the section has nothing of that name; the colours stay as they were.
        """
        section = self.study.section
        if section is None:
            return
        values = None if view is None else values_of(section, view)
        self.view = view
        self.stage = "data"
        layer = self._spots()
        self._put_on_top(tissue.SPOTS)
        if view is None or values is None:
            layer.face_color = tissue.PLAIN_SPOT
            layer.face_colorbar.visible = False
            self._set_key(None)
            return
        if isinstance(values, Classes):
            self._paint(layer, *spot_map.colour_classes(values))
        else:
            self._paint(
                layer,
                *spot_map.colour_numbers(
                    values, colormap=view.colormap, percentiles=(view.low, view.high)
                ),
            )
        spot_map.label(layer, section, values)

    def show_stage(self, stage: Stage) -> None:
        """Bring the map that belongs to a step of the work to the top."""
        if self.study.section is None:
            return
        if stage == "composition" and self.study.composition is not None:
            self.stage = "composition"
            self._show_composition(self.study.composition)
        elif stage == "regions":
            self.stage = "regions"
            self._colour_by_region()
        else:
            self.colour_by(self.view)

    def _spots(self) -> Points:
        layer = self.layer(tissue.SPOTS)
        if layer is None:
            section = self.study.section
            assert section is not None
            layer = self._add(tissue.SPOTS, tissue.spot_layer(section, self.spot_diameter))
        return layer

    def _put_on_top(self, name: str) -> None:
        for other in (tissue.SPOTS, COMPOSITION):
            layer = self.layer(other)
            if layer is not None:
                layer.visible = other == name
                if other != name:
                    layer.face_colorbar.visible = False

    def _paint(self, layer: Points, colours: NDArray[np.floating], key: spot_map.Key) -> None:
        spot_map.paint(layer, colours, key)
        self._set_key(key)

    def _set_key(self, key: spot_map.Key | None) -> None:
        self.key = key
        viewer = self._viewer()
        if viewer is not None:
            text = viewer.canvas.overlays.text
            wanted = key.quantity if key is not None else ""
            if text.text != wanted:
                text.text = wanted
                text.position = "top_left"
            text.visible = bool(wanted)
        self.key_changed.emit(key)

    # The graph

    def show_edges(self, visible: bool) -> None:
        """Show or hide the edges of the graph."""
        self._edges_wanted = visible
        if visible and self.study.graph is not None:
            self._show_graph(self.study.graph)
        for name in (edges.EDGES, edges.CUT_EDGES):
            layer = self.layer(name)
            if layer is not None:
                layer.visible = visible

    def _show_graph(self, graph: Graph) -> None:
        if not self._edges_wanted:
            return
        if self.layer(edges.EDGES) is None or self._shown_edges is not graph.edges:
            self._replace(edges.EDGES, edges.edge_layer(graph))
        self._shown_edges = graph.edges
        self._show_cut_edges(graph)

    def _show_cut_edges(self, graph: Graph) -> None:
        layer: Vectors | None = self.layer(edges.CUT_EDGES)
        vectors = edges.edge_vectors(graph, graph.crossing)
        if layer is None:
            if len(vectors):
                self._replace(edges.CUT_EDGES, edges.cut_edge_layer(graph))
            return
        if layer.data.shape != vectors.shape or (layer.data != vectors).any():
            self._replace(edges.CUT_EDGES, edges.cut_edge_layer(graph))
            return
        edges.show_connectivity(layer, graph)

    def _replace(self, name: str, layer: Layer) -> None:
        """Put a new layer where the old one of that name was, or just under the spots."""
        viewer = self._viewer()
        if viewer is None:
            return
        old = self.layer(name)
        below = old if old is not None else self.layer(tissue.SPOTS)
        position = viewer.layers.index(below) if below is not None else len(viewer.layers)
        if old is not None:
            layer.visible = old.visible
            self._remove(name)
        elif name == edges.CUT_EDGES and self.layer(edges.EDGES) is not None:
            position = viewer.layers.index(self.layer(edges.EDGES)) + 1
        self._add(name, layer)
        viewer.layers.move(viewer.layers.index(layer), position)

    # Regions

    def draw_region(self, name: str) -> None:
        """Make the next shapes that are drawn outlines of a region."""
        regions = self.study.regions
        colour = regions.classes[regions.code(name)].colour
        self.drawn_region = name
        region_shapes.draw_into(self.regions_layer(), name, colour)

    def start_drawing(self, mode: str) -> None:
        """Select the layer of regions and one of napari's tools for shapes."""
        viewer = self._viewer()
        if viewer is None or self.study.section is None:
            return
        layer = self.regions_layer()
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.mode = mode

    def regions_layer(self) -> Shapes:
        """Return the layer that regions are drawn in."""
        layer = self.layer(region_shapes.REGIONS)
        if layer is None:
            section = self.study.section
            if section is None:
                raise InputError(
                    "No section is open", where="regions", remedy="Open a section first"
                )
            layer = self._add(region_shapes.REGIONS, region_shapes.regions_layer(section))
            layer.events.data.connect(self._on_shapes_edited)
            with self._not_following():
                region_shapes.show_regions(layer, self.study.regions)
            self._colour_drawing(layer)
        return layer

    def _colour_drawing(self, layer: Shapes) -> None:
        regions = self.study.regions
        for region in regions.classes:
            if region.name == self.drawn_region:
                region_shapes.draw_into(layer, region.name, region.colour)

    @contextmanager
    def _not_following(self) -> Iterator[None]:
        self._follows_layer = False
        try:
            yield
        finally:
            self._follows_layer = True

    def _on_shapes_edited(self, event: Event) -> None:
        if not self._follows_layer or str(event.action) not in ("added", "changed", "removed"):
            return
        layer: Shapes = event.source
        section = self.study.section
        if section is None or layer is not self.layer(region_shapes.REGIONS):
            return
        shapes, _ = region_shapes.outlines(layer, World.of(section))
        regions = self.study.regions
        known = {region.name for region in regions.classes}
        for shape in shapes:
            if shape.region not in known:
                regions = regions.with_class(RegionClass(shape.region, next_colour(regions)))
                known.add(shape.region)
        self.stage = "regions"
        with self._not_following():
            self.study.regions = regions.with_shapes(shapes)
        if str(event.action) == "added" and shapes:
            inside = int(shapes[-1].contains(section.positions).sum())
            self.region_drawn.emit(shapes[-1].region, inside)

    def _show_regions(self, regions: Regions) -> None:
        layer = self.layer(region_shapes.REGIONS)
        if self._follows_layer and (layer is not None or regions.shapes):
            layer = self.regions_layer()
            with self._not_following():
                region_shapes.show_regions(layer, regions)
            self._colour_drawing(layer)
        if self.stage == "regions":
            self._colour_by_region()

    def _colour_by_region(self) -> None:
        regions, section = self.study.regions, self.study.section
        if section is None:
            return
        self._put_on_top(tissue.SPOTS)
        layer = self._spots()
        if not regions.classes:
            layer.face_color = tissue.PLAIN_SPOT
            layer.face_colorbar.visible = False
            self._set_key(None)
            return
        names = tuple(region.name for region in regions.classes)
        palette = np.array([(*region.colour, 1.0) for region in regions.classes])
        classes = Classes("region", self.study.region_labels, names)
        self._paint(layer, *spot_map.colour_classes(classes, palette, missing_name="no region"))
        spot_map.label(layer, section, classes)

    # Composition

    def show_type(self, cell_type: str) -> None:
        """Show the share of one cell type, or `DOMINANT` for the most abundant type."""
        self.cell_type = cell_type
        self.show_stage("composition")

    def show_quantity(self, quantity: Quantity) -> None:
        """Show proportions, their posterior deviation, or what the mixture leaves unexplained."""
        self.quantity = quantity
        self.study.wants_deviation = quantity == "deviation"
        self.show_stage("composition")

    def _composition_values(self, composition: Composition) -> Numbers | Classes | None:
        """Return what the map shows; None while it is not known yet."""
        if self.quantity == "misfit":
            return misfit_of(composition)
        if self.cell_type == DOMINANT:
            return dominant_types(composition)
        if self.quantity == "deviation":
            return deviation_of(composition, self.cell_type)
        return proportion_of(composition, self.cell_type)

    def _show_composition(self, composition: Composition | None) -> None:
        if composition is None:
            self._remove(COMPOSITION)
            if self.stage == "composition":
                self.colour_by(self.view)
            return
        layer = self.layer(COMPOSITION)
        if layer is None:
            layer = self._add(
                COMPOSITION,
                tissue.spot_layer(composition.section, self.spot_diameter, COMPOSITION),
            )
            layer.visible = False
            self.stage = "composition"
        if self.stage != "composition":
            return
        if not layer.visible:
            self._put_on_top(COMPOSITION)
        if self.cell_type not in composition.types:
            self.cell_type = DOMINANT
        values = self._composition_values(composition)
        if values is None:
            return  # the map stays as it is until the deviation is known
        if isinstance(values, Classes):
            self._paint(layer, *spot_map.colour_classes(values))
        elif self.quantity == "proportion":
            self._paint(layer, *spot_map.colour_proportion(values))
        else:
            self._paint(
                layer,
                *spot_map.colour_numbers(values, colormap="magma", percentiles=(1.0, 99.0)),
            )
        if layer.name != values.quantity:
            layer.name = values.quantity
        if composition.settled:
            spot_map.label(layer, composition.section, values)


def next_colour(regions: Regions) -> tuple[float, float, float]:
    """Return a colour that no region has yet."""
    count = len(regions.classes) + 1
    for candidate in categorical_palette(2 * count):
        colour = (float(candidate[0]), float(candidate[1]), float(candidate[2]))
        if all(region.colour != colour for region in regions.classes):
            return colour
    return (0.5, 0.5, 0.5)
