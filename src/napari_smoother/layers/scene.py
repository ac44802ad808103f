"""Everything a study shows in a viewer, and what the hand changes there.

The scene listens to its study and paints the maps of spots; the edges of the graph and the
outlines of regions have modules of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari.layers import Image, Points
from psygnal import Signal

from napari_smoother.analyses.stage import Stage
from napari_smoother.layers import spot_map, tissue
from napari_smoother.layers.graph_layers import GraphLayers
from napari_smoother.layers.plain_text import as_text
from napari_smoother.layers.region_drawing import RegionDrawing
from napari_smoother.layers.shelf import Shelf
from napari_smoother.printing.on_screen import (
    composition_picture,
    picture_on_screen,
    region_picture,
    view_picture,
)
from napari_smoother.study.view import values_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from napari.utils.events import Event
    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.analyses.shown import Quantity, Shown, View
    from napari_smoother.figures.picture import Colouring
    from napari_smoother.section import Section
    from napari_smoother.study.study import Study

DATA = "data"
REGIONS = "regions"
COMPOSITION = "composition"
REFERENCE = "reference"
"""Key of the metadata of spots with the reference that came with their section."""

DOMINANT = ""
"""In place of a cell type: the most abundant type of each spot."""


class Picture(Protocol):
    """The map of an analysis, as far as a scene knows it."""

    def show(self) -> None:
        """Put it in front."""

    def resize(self, diameter: float) -> None:
        """Draw its spots in another size."""


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
    stage_changed
        Emitted with the step of the work whose map is in front: `DATA`, `REGIONS`,
        `COMPOSITION`, or the name of an analysis.
    maps
        The maps of analyses, by name.
    shelf
        The layers.
    graph
        The edges of the graph.
    drawing
        The outlines of regions.
    """

    key_changed = Signal(object)
    stage_changed = Signal(str)

    def __init__(self, viewer: ViewerModel, study: Study) -> None:
        self.shelf = Shelf(viewer)
        self.study = study
        self.maps: dict[str, Picture] = {}
        self._on_top = tissue.SPOTS
        self._painted = study.recipe.shown
        self._values = Stage(values_of)
        self.key: spot_map.Key | None = None
        study.section_changed.connect(self._show_section)
        study.recipe_changed.connect(self._on_recipe_changed)
        self.graph = GraphLayers(self.shelf, study)
        self.drawing = RegionDrawing(self.shelf, study)
        self.drawing.put_away.connect(self.select_map)
        study.regions_changed.connect(self._on_regions_changed)
        study.composition_changed.connect(self._show_composition)
        # After napari itself has taken note of a new layer.
        viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        viewer.layers.events.removed.connect(self._on_removed)

    def layer(self, name: str) -> Layer | None:
        """Return a layer of this scene by the name it was made under, if it is still there."""
        return self.shelf.layer(name)

    # What the recipe says is shown

    @property
    def shown(self) -> Shown:
        """Which map is on screen, and how it is drawn."""
        return self.study.recipe.shown

    @property
    def stage(self) -> str:
        """The step of the work whose map is in front."""
        return self.shown.stage

    @property
    def cell_type(self) -> str:
        """The cell type that the map of the composition shows, or `DOMINANT`."""
        return self.shown.cell_type

    def change(self, **changes: Any) -> None:
        """Show something else: fields of `Shown`; one step of the history."""
        shown = replace(self.shown, **changes)
        if shown == self.shown:
            self._paint()
        else:
            self.study.recipe = replace(self.study.recipe, shown=shown)

    def _on_recipe_changed(self, recipe: Recipe) -> None:
        before, shown = self._painted, recipe.shown
        if shown == before or self.study.section is None:
            return
        self._painted = shown
        if shown.spot_size != before.spot_size:
            self._resize_spots()
        if shown.image_opacity != before.image_opacity:
            self._fade_image()
        if shown.stage != before.stage:
            self.stage_changed.emit(shown.stage)
        drawn = replace(
            shown,
            spot_size=before.spot_size,
            image_opacity=before.image_opacity,
            edges=before.edges,
            edges_with_graph=before.edges_with_graph,
            reach=before.reach,
            scatter=before.scatter,
            comparison=before.comparison,
        )
        if drawn != before:
            self._paint()

    # The section

    @property
    def spot_diameter(self) -> float:
        """Diameter of the spots on screen, in full-resolution pixels."""
        section = self.study.section
        if section is None:
            return 1.0
        return tissue.spot_diameter(section) * self.shown.spot_size

    def _show_section(self, section: Section) -> None:
        viewer = self.shelf.viewer
        if viewer is None:
            return
        self.shelf.clear()
        self._on_top, self.drawing.region = tissue.SPOTS, None
        before, self._painted = self._painted, self.shown
        for name in (tissue.IMAGE, tissue.SPOTS):
            self._show_layer(section, name)
        viewer.layers.selection.active = self.layer(tissue.SPOTS)
        viewer.canvas.overlays.scale_bar.visible = True
        viewer.fit_to_view(layers=[self._spots()])
        self._set_key(None)
        self._fade_image()
        self.graph.update()
        if before.stage != self.stage:
            self.stage_changed.emit(self.stage)
        self._paint()

    def _show_layer(self, section: Section, name: str) -> Layer | None:
        """Show image or spots of a section, in the layer that a reader made of it if there is."""
        viewer = self.shelf.viewer
        kind = Points if name == tissue.SPOTS else Image
        for layer in viewer.layers if viewer is not None else ():
            if isinstance(layer, kind) and tissue.section_of(layer) is section:
                self.shelf.adopt(name, layer)
                break
        else:
            layer = tissue.section_layer(section, name)
            if layer is None:
                return None
            self.shelf.add(name, layer)
        if isinstance(layer, Points):
            tissue.protect(layer)
            layer.face_color = tissue.PLAIN_SPOT  # whatever it showed, there is no key to it
            if self.shown.spot_size != 1:
                layer.size = self.spot_diameter
        return layer

    def open_shown(self) -> None:
        """Open the section that a reader has shown last, if there is one."""
        viewer = self.shelf.viewer
        for layer in reversed(viewer.layers if viewer is not None else []):
            if self._open_section_of(layer):
                return

    def _on_inserted(self, event: Event) -> None:
        self._open_section_of(event.value)

    def _open_section_of(self, layer: Layer) -> bool:
        """Open the section of spots, with the reference that came with them."""
        section = tissue.section_of(layer) if isinstance(layer, Points) else None
        if section is None or section is self.study.section:
            return False
        reference = layer.metadata.get(REFERENCE)
        self.study.open(section, beside=True)
        if reference is not None:
            self.study.set_reference(reference)
        return True

    def resize_spots(self, factor: float) -> None:
        """Draw spots `factor` times as large as they are."""
        self.change(spot_size=factor)

    def _resize_spots(self) -> None:
        for name in self._map_names:
            layer = self.layer(name)
            if layer is not None:
                layer.size = self.spot_diameter
        for shown in self.maps.values():
            shown.resize(self.spot_diameter)

    def fade_image(self, opacity: float) -> None:
        """Show the tissue image with an opacity from 0 to 1."""
        self.change(image_opacity=opacity)

    def _fade_image(self) -> None:
        layer = self.layer(tissue.IMAGE)
        if layer is not None:
            layer.opacity = self.shown.image_opacity

    @property
    def colours(self) -> NDArray[np.floating] | None:
        """Colour of each spot on screen, n x 4 from 0 to 1; None where no map is there."""
        layer = self.map_on_top
        return None if layer is None else np.asarray(layer.face_color)

    @property
    def view_extent(self) -> tuple[float, float, float, float] | None:
        """Left, top, right, bottom of what is in view, in full-resolution pixels, if spots are."""
        layer = self.map_on_top
        if layer is None:
            return None
        corners = np.asarray(layer.corner_pixels, dtype=np.float64)
        (top, left), (bottom, right) = corners[:, -2:]
        return (left, top, right, bottom) if left < right and top < bottom else None

    @property
    def painted(self) -> Colouring | None:
        """Colours and key on screen, where something else than the recipe has painted them."""
        study, section, colours = self.study, self.study.section, self.colours
        if section is None or self.key is None or colours is None:
            return None
        found = {name: analysis.result for name, analysis in study.analyses.items()}
        picture = picture_on_screen(
            section, study.recipe, study.region_labels, study.composition, found, self._values
        )
        if picture is not None and picture.values.quantity == self.key.quantity:
            return None
        return colours, self.key

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
        if view is not None:
            self._values(section, view)
        self.change(stage=DATA, view=view)

    def _colour_by_view(self) -> None:
        section, view = self.study.section, self.shown.view
        assert section is not None
        layer = self._spots()
        self.put_on_top(tissue.SPOTS)
        if view is None:
            self._paint_plain(layer)
            return
        picture = view_picture(section, view, self._values)
        values = picture.values
        self.paint(layer, values, *picture.colours())
        spot_map.label(layer, section, values)

    def show_stage(self, stage: str) -> None:
        """Bring the map that belongs to a step of the work to the top."""
        known = {DATA, REGIONS, *self.maps}
        if self.study.composition is not None:
            known.add(COMPOSITION)
        before = self.stage
        self.study.turn_to(stage if stage in known else DATA)
        if self.stage == before:
            self._paint()

    def _paint(self) -> None:
        """Paint the map in front as the recipe has it."""
        if self.study.section is None:
            return
        if self.stage == COMPOSITION and self.study.composition is not None:
            self._show_composition(self.study.composition)
        elif self.stage in self.maps:
            self.maps[self.stage].show()
        elif self.stage == REGIONS:
            self._colour_by_region()
        else:
            self._colour_by_view()

    def _spots(self) -> Points:
        layer = self.layer(tissue.SPOTS)
        if layer is None:
            section = self.study.section
            assert section is not None
            layer = self._show_layer(section, tissue.SPOTS)
        return layer

    @property
    def _map_names(self) -> tuple[str, ...]:
        return (tissue.SPOTS, COMPOSITION, *self.maps)

    def put_on_top(self, name: str) -> None:
        """Show one map, hide the others, and select it in place of one that was selected."""
        self._on_top = name
        maps = {other: self.layer(other) for other in self._map_names}
        for other, layer in maps.items():
            if layer is not None:
                layer.visible = other == name
                if other != name:
                    layer.face_colorbar.visible = False
        viewer, shown = self.shelf.viewer, maps[name]
        if viewer is not None and shown is not None:
            active = viewer.layers.selection.active
            if active is None or active in maps.values():
                viewer.layers.selection.active = shown

    @property
    def map_on_top(self) -> Points | None:
        """The layer of the map in front, if it is there."""
        return self.layer(self._on_top)

    def _on_removed(self, event: Event) -> None:
        """Show the data where the map in front was deleted by hand; it comes back when asked for.

        Told by napari after the layer is gone.
        """
        if self.shelf.name_of(event.value) != self._on_top or self.study.section is None:
            return
        if self._on_top == tissue.SPOTS:
            self._set_key(None)
        else:
            self.show_stage(DATA)

    def select_map(self) -> None:
        """Select the layer of the map on top, so that the pointer tells what it shows."""
        viewer, layer = self.shelf.viewer, self.layer(self._on_top)
        if viewer is not None and layer is not None:
            viewer.layers.selection.active = layer

    def shows(self, layer: Layer) -> bool:
        """Whether a layer is the map on top."""
        return layer is self.layer(self._on_top)

    def paint(
        self,
        layer: Points,
        values: Numbers | Classes | Mixture,
        colours: NDArray[np.floating],
        key: spot_map.Key,
    ) -> None:
        """Show values by their colours in the map on top, with the key to them."""
        spot_map.paint(layer, colours, key)
        layer.metadata[spot_map.VALUES] = values
        self._set_key(key)

    def _paint_plain(self, layer: Points) -> None:
        layer.face_color = tissue.PLAIN_SPOT
        layer.face_colorbar.visible = False
        layer.metadata.pop(spot_map.VALUES, None)
        self._set_key(None)

    def _set_key(self, key: spot_map.Key | None) -> None:
        self.key = key
        viewer = self.shelf.viewer
        if viewer is not None:
            spot_map.show_quantity(viewer, key.quantity if key is not None else "")
        self.key_changed.emit(key)

    # Regions

    def _on_regions_changed(self) -> None:
        if self.stage == REGIONS:
            self._colour_by_region()

    def _colour_by_region(self) -> None:
        regions, section = self.study.regions, self.study.section
        if section is None:
            return
        self.put_on_top(tissue.SPOTS)
        layer = self._spots()
        picture = region_picture(regions, self.study.region_labels)
        if picture is None:
            self._paint_plain(layer)
            return
        self.paint(layer, picture.values, *picture.colours())
        spot_map.label(layer, section, picture.values)

    # Composition

    def show_type(self, cell_type: str) -> None:
        """Show the share of one cell type, or `DOMINANT` for the most abundant type."""
        self.change(stage=COMPOSITION, cell_type=cell_type)

    def show_quantity(self, quantity: Quantity) -> None:
        """Show proportions, their posterior deviation, or what the mixture leaves unexplained.

        A deviation is that of one type: of the first where none is chosen.
        """
        study, composition, cell_type = self.study, self.study.composition, self.cell_type
        if quantity == "deviation" and cell_type == DOMINANT and composition is not None:
            cell_type = composition.types[0]
        study.recipe = replace(
            study.recipe,
            shown=replace(self.shown, stage=COMPOSITION, quantity=quantity, cell_type=cell_type),
            deconvolution=replace(study.deconvolution, deviation=quantity == "deviation"),
        )

    def _show_composition(self, composition: Composition | None) -> None:
        section = self.study.section
        if composition is None or section is None:
            self.shelf.remove(COMPOSITION)
            if self.stage == COMPOSITION:
                self._paint()
            return
        layer = self.layer(COMPOSITION)
        if layer is None:
            # Above the spots, but below outlines of regions.
            layer = tissue.spot_layer(section, self.spot_diameter, COMPOSITION)
            layer.visible = False
            self.shelf.put(COMPOSITION, layer, below="", above=tissue.SPOTS)
            if self.stage not in (COMPOSITION, *self.maps):
                # Told before it is painted, which follows.
                self._painted = replace(self.shown, stage=COMPOSITION)
                self.study.turn_to(COMPOSITION)
                self.stage_changed.emit(COMPOSITION)
        if self.stage != COMPOSITION:
            return
        if not layer.visible:
            self.put_on_top(COMPOSITION)
        picture = composition_picture(composition, self.shown)
        if picture is None:
            return  # the map stays as it is until the deviation is known
        values = picture.values
        self.paint(layer, values, *picture.colours())
        layer.metadata[spot_map.TABLE] = composition.table(self.shown.quantity)
        if layer.name != as_text(values.quantity):
            layer.name = as_text(values.quantity)
        if composition.settled:
            spot_map.label(layer, section, values)
