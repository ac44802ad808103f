"""The Regions page: named classes of spots, drawn by hand or taken from tables and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses import region_edits
from napari_smoother.analyses.region_columns import regions_from_column, texts_for_none
from napari_smoother.analyses.regions import RegionClass
from napari_smoother.errors import InputError
from napari_smoother.figures.colours import categorical_palette
from napari_smoother.layers.region_effects import next_colour, next_name
from napari_smoother.layers.scene import DATA, REGIONS
from napari_smoother.widgets import files, opening, region_files
from napari_smoother.widgets.notices import tell, tell_error
from napari_smoother.widgets.page import Page, follow_recipe, form, listen, silent, wrapped_label
from napari_smoother.widgets.picture_question import PictureQuestion
from napari_smoother.widgets.region_table import RegionTable
from napari_smoother.widgets.region_tools import RegionTools
from napari_smoother.widgets.sliders import NumberSlider
from napari_smoother.widgets.spot_assignment import SpotAssignment

if TYPE_CHECKING:
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.analyses.regions import Regions
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

CHOOSE = "Take from a column…"
COPY = "Copy to another section…"


class RegionsPage(Page):
    """Draws regions over whatever map is shown, and weakens the graph between them."""

    title = "Regions"
    shows_edges = "cut"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._map = DATA  # to go back to from the colours of regions
        self.drawing = self.scene.drawing
        self.drawing_tools = RegionTools(self.drawing, self.draw)
        self.tools = self.drawing_tools.buttons
        self.table = RegionTable()
        self.unassigned = wrapped_label()
        self.coloured = QCheckBox("Colour spots by region")
        self.coloured.setToolTip(
            "Shows the region of every spot in place of the map; otherwise regions are outlines "
            "over it"
        )
        self.add = QPushButton("New region")
        self.add.setToolTip("Adds a class; the next outline you draw belongs to it")
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Removes the selected region and its outlines")
        self.undo = QPushButton("Undo")
        self.undo.setToolTip("Takes back the last change, of regions or of anything else (Ctrl+Z)")
        self.redo = QPushButton("Redo")
        self.redo.setToolTip("Makes the change again that was taken back (Ctrl+Shift+Z)")
        self.merge = QPushButton("Merge")
        self.merge.setToolTip("Joins the outlines of the region into one; no spot moves")
        edit = QHBoxLayout()
        for button in (self.add, self.remove, self.merge, self.undo, self.redo):
            edit.addWidget(button)

        self.column = QComboBox()
        self.column.setAccessibleName("Regions from a column")
        self.column.setToolTip("Takes the classes of an obs column as regions")
        self.connectivity = NumberSlider(
            0.0,
            1.0,
            tip="What an edge between two regions keeps of its weight: 0 cuts it, 1 leaves it",
        )
        self.load_button = QPushButton("Import…")
        self.load_button.setToolTip(
            "Adds the areas of a GeoJSON file, such as QuPath writes, in full-resolution pixels; "
            "or the classes of barcodes that Loupe has exported (.csv)"
        )
        self.save_button = QPushButton("Export…")
        self.save_button.setToolTip(
            "Writes the outlines as GeoJSON that QuPath reads, or the region of each barcode as "
            "a table that Loupe reads (.csv)"
        )
        self.copy = QComboBox()
        self.copy.setAccessibleName("Copy regions to another section")
        self.copy.setToolTip(
            "Copies the regions to another open section, which comes to the front: outlines "
            "stay where they are in the frame of the slide (µm, or pixels without a scale)"
        )
        self.assignment = SpotAssignment(session)
        borders = QGroupBox("Borders")
        rows = form()
        rows.addRow("Boundary connectivity", self.connectivity)
        borders.setLayout(rows)
        self.cut = wrapped_label()
        rows.addRow(self.cut)
        self.picture = PictureQuestion(session.outlines)

        source = QHBoxLayout()
        source.addWidget(self.column, 1)
        source.addWidget(self.load_button)
        source.addWidget(self.save_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.drawing_tools)
        layout.addWidget(self.coloured)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.unassigned)
        layout.addLayout(edit)
        layout.addWidget(self.assignment)
        layout.addLayout(source)
        layout.addWidget(self.copy)
        layout.addWidget(self.picture)
        layout.addWidget(borders)

        self.coloured.toggled.connect(self._colour_by_region)
        self.add.clicked.connect(self._add)
        self.remove.clicked.connect(lambda: self._remove(self.drawing.region))
        self.undo.clicked.connect(lambda: self.study.undo())
        self.redo.clicked.connect(lambda: self.study.redo())
        self.column.activated.connect(self._take_column)
        self.load_button.clicked.connect(self._ask_what_to_import)
        self.save_button.clicked.connect(self._ask_where_to_export)
        self.copy.activated.connect(self._copy)
        self.connectivity.value_changed.connect(self._change_connectivity)
        self.merge.clicked.connect(self._merge)
        self.table.chosen.connect(self.drawing.draw_into)
        self.table.renamed.connect(self._rename)
        self.table.ticked.connect(self._tick)
        self.table.colour_asked.connect(self._ask_for_colour)
        self.table.removal_asked.connect(self._remove)
        listen(self, self.drawing.drawn, self._on_drawn)
        listen(self, self.drawing.refused, tell_error)
        listen(self, self.scene.stage_changed, self._show_stage)
        listen(self, self.study.section_changed, self._show_section)
        listen(self, self.study.sections_changed, self._show_sections)
        follow_recipe(self, self.study, self._show_settings)
        listen(self, self.study.regions_changed, self._show_regions)
        listen(self, self.study.graph_changed, self._show_cut)
        self._show_section(self.study.section)
        self._show_sections()
        self._show_stage(self.scene.stage)

    def leave(self) -> None:
        """Put the tools away."""
        self.drawing.stop()

    def draw(self, tool: str) -> None:
        """Start one of the drawing tools, in a region that exists."""
        if self.study.section is None:
            return
        if tool not in ("select", "direct") and self.drawing.region is None:
            self._add()
        self.drawing.start(tool)

    def _show_section(self, section: Section | None) -> None:
        self.setEnabled(section is not None)
        with silent(self.column):
            self.column.clear()
            self.column.addItem(CHOOSE)
            if section is not None:
                obs = section.adata.obs
                self.column.addItems([str(c) for c in obs if 1 <= obs[c].nunique() <= 200])
        self.drawing_tools.show_section(section)
        self.drawing_tools.show_tool(self.drawing.tool)
        self._show_regions(self.study.regions)
        self._show_settings(self.study.recipe)

    def _show_sections(self) -> None:
        """List the sections that regions can be copied to."""
        self.copy.clear()
        self.copy.addItem(COPY)
        for place, section in enumerate(self.study.sections):
            if section is not self.study.section:
                self.copy.addItem(section.name, place)
        self.copy.setVisible(self.copy.count() > 1)

    def _copy(self, index: int) -> None:
        place = self.copy.itemData(index)
        self.copy.setCurrentIndex(0)
        if place is None:
            return
        try:
            region_files.copy_regions(self.session, place)
        except InputError as error:
            tell_error(error)

    def _show_settings(self, recipe: Recipe) -> None:
        self.connectivity.set_value(recipe.graph.boundary_connectivity)
        self.undo.setEnabled(self.study.can_undo)
        self.redo.setEnabled(self.study.can_redo)

    def _show_stage(self, stage: str) -> None:
        if stage != REGIONS:
            self._map = stage
        with silent(self.coloured):
            self.coloured.setChecked(stage == REGIONS)

    def _colour_by_region(self, on: bool) -> None:
        self.scene.show_stage(REGIONS if on else self._map)

    def _show_regions(self, regions: Regions) -> None:
        sizes = self.study.region_sizes
        names = regions.names
        drawn = self.drawing.region
        if drawn not in names:
            drawn = names[-1] if names else None
            if drawn is None:
                self.drawing.region = None
            else:
                self.drawing.draw_into(drawn)
        self.table.show_regions(regions, sizes.tolist(), drawn)
        n_spots = len(self.study.region_labels)
        self.unassigned.setText(
            f"{n_spots - int(sizes.sum()):,} of {n_spots:,} spots in no region"
        )
        self.remove.setEnabled(bool(names))
        self.merge.setEnabled(bool(regions.shapes))
        self.save_button.setEnabled(bool(names))

    def _show_cut(self) -> None:
        graph = self.study.graph
        if graph is None:
            return
        crossing = int(graph.crossing.sum())
        self.cut.setText(
            f"{crossing:,} edges between regions keep {graph.connectivity:.0%} of their weight"
            if crossing
            else "no edge joins two regions"
        )

    def _add(self) -> None:
        regions = self.study.regions
        name = next_name(regions)
        self.drawing.region = name
        self.study.regions = regions.with_class(RegionClass(name, next_colour(regions)))
        self.drawing.draw_into(name)

    def _remove(self, name: str | None) -> None:
        if name is not None:
            self.study.regions = self.study.regions.without_class(name)

    def _rename(self, before: str, after: str) -> None:
        try:
            regions = self.study.regions.with_renamed(before, after)
        except InputError as error:
            tell_error(error)
            self._show_regions(self.study.regions)
            return
        if self.drawing.region == before:
            self.drawing.region = after
        self.study.regions = regions

    def _tick(self, name: str, field: str, on: bool) -> None:
        self.study.regions = self.study.regions.with_changed(name, **{field: on})

    def _merge(self) -> None:
        if self.drawing.region is None:
            return
        try:
            self.study.regions = region_edits.merged(self.study.regions, self.drawing.region)
        except InputError as error:
            tell_error(error)

    def _ask_for_colour(self, name: str) -> None:
        regions = self.study.regions
        before = regions.classes[regions.code(name)].colour
        chosen = QColorDialog.getColor(QColor.fromRgbF(*before), self, name)
        if chosen.isValid():
            self.recolour(name, (chosen.redF(), chosen.greenF(), chosen.blueF()))

    def recolour(self, name: str, colour: tuple[float, float, float]) -> None:
        """Give a region another colour."""
        self.study.regions = self.study.regions.with_recoloured(name, colour)

    def _take_column(self, index: int) -> None:
        section = self.study.section
        if index <= 0 or section is None:
            return
        column = section.adata.obs[self.column.currentText()]
        palette = categorical_palette(max(int(column.nunique()), 1))
        colours = [(float(r), float(g), float(b)) for r, g, b, _ in palette]
        try:
            regions = regions_from_column(column, colours)
        except InputError as error:
            tell_error(error)
            return
        self.study.regions = regions
        # They have no outlines that could be seen over another map.
        self.scene.show_stage(REGIONS)
        none = [f"{number:,} spots “{text}”" for text, number in texts_for_none(column).items()]
        if none:
            tell(f"In {column.name} are {', '.join(none)}: taken for no region.")

    def _ask_what_to_import(self) -> None:
        path = files.ask_for_file(self, "Regions", region_files.TO_READ)
        if path is not None:
            region_files.import_regions(self.session, path)

    def _ask_where_to_export(self) -> None:
        section = self.study.section
        if section is None:
            return
        proposed = opening.proposed_path(section).with_suffix(".geojson")
        answer = files.ask_where_to_save(self, "Regions", proposed, region_files.TO_WRITE)
        if answer is not None:
            path, kind = answer
            if ".csv" in kind and path.suffix.lower() != ".csv":
                path = path.with_name(path.name + ".csv")
            region_files.export_regions(self.session, path)

    def _change_connectivity(self, connectivity: float) -> None:
        self.study.boundary_connectivity = connectivity

    def _on_drawn(self, name: str, n_spots: int) -> None:
        if n_spots == 0:
            tell_error(
                InputError(
                    "The outline contains no spot",
                    where=f"region {name}",
                    remedy="Draw it over the tissue, or delete it with Undo",
                )
            )
