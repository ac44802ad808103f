"""The Regions page: named classes of spots, drawn by hand or taken from a column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.regions import RegionClass, regions_from_column
from napari_smoother.errors import InputError
from napari_smoother.figures.colours import categorical_palette
from napari_smoother.layers.region_drawing import next_colour, next_name
from napari_smoother.widgets import files, opening
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import Page, form, listen, silent, wrapped_label
from napari_smoother.widgets.sliders import NumberSlider
from napari_smoother.widgets.type_table import colour_icon

if TYPE_CHECKING:
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.analyses.regions import Regions
    from napari_smoother.section import Section
    from napari_smoother.study.imported_outlines import DrawnOn, ImportedOutlines
    from napari_smoother.widgets.session import Session

TOOLS = {
    "Polygon": ("add_polygon", "Click corner after corner; double-click to close"),
    "Lasso": ("add_polygon_lasso", "Draw around the region with the button held"),
    "Rectangle": ("add_rectangle", "Drag from corner to corner"),
    "Ellipse": ("add_ellipse", "Drag from the centre outwards"),
    "Select": ("select", "Move, resize or delete outlines"),
}
CHOOSE = "Take from a column…"


class PictureQuestion(QWidget):
    """Asks whether imported outlines were drawn on a smaller picture, and scales them if so.

    Parameters
    ----------
    outlines
        That come from files.
    """

    def __init__(self, outlines: ImportedOutlines) -> None:
        super().__init__()
        self._outlines = outlines
        self.text = wrapped_label()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.scale: dict[str, QPushButton] = {}
        self.leave = QPushButton("Leave as they are")
        self.leave.setToolTip("The outlines are in full-resolution pixels already")
        self.leave.clicked.connect(outlines.leave)
        self._buttons = QHBoxLayout()
        self._buttons.addWidget(self.leave)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(self._buttons)
        listen(self, outlines.offered, self._show)
        self._show(outlines.offer)

    def _show(self, pictures: tuple[DrawnOn, ...]) -> None:
        for button in self.scale.values():
            button.deleteLater()
        self.scale = {}
        for at, drawn_on in enumerate(pictures):
            button = QPushButton(f"Scale from {drawn_on.picture}")
            button.setToolTip(
                f"Divides the outlines by {drawn_on.scale:.4g}; they then hold "
                f"{drawn_on.n_spots:,} spots"
            )
            button.clicked.connect(lambda _=False, one=drawn_on: self._outlines.scale(one))
            self._buttons.insertWidget(at, button)
            self.scale[drawn_on.picture] = button
        names = " or the ".join(
            f"{drawn_on.picture} picture ({drawn_on.n_spots:,} spots)" for drawn_on in pictures
        )
        self.text.setText(
            f"The outlines of {self._outlines.source} look drawn on the {names}. Scale them?"
        )
        self.setVisible(bool(pictures))


class RegionsPage(Page):
    """Draws regions, and weakens the graph between them."""

    title = "Regions"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["", "Region", "Spots"])
        self.table.verticalHeader().setVisible(False)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setToolTip(
            "Select the region to draw into. Double-click a name to rename, a colour to change it"
        )
        self.unassigned = wrapped_label()

        self.add = QPushButton("New region")
        self.add.setToolTip("Adds a class; the next outline you draw belongs to it")
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Removes the selected region and its outlines")
        self.undo = QPushButton("Undo")
        self.undo.setToolTip("Takes back the last change, of regions or of anything else (Ctrl+Z)")
        self.redo = QPushButton("Redo")
        self.redo.setToolTip("Makes the change again that was taken back (Ctrl+Shift+Z)")
        edit = QHBoxLayout()
        for button in (self.add, self.remove, self.undo, self.redo):
            edit.addWidget(button)

        self.tools = {}
        drawing = QHBoxLayout()
        for name, (mode, tip) in TOOLS.items():
            button = QPushButton(name)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, mode=mode: self.draw(mode))
            drawing.addWidget(button)
            self.tools[name] = button
        self.column = QComboBox()
        self.column.setToolTip("Takes the classes of an obs column as regions")

        self.connectivity = NumberSlider(
            0.0,
            1.0,
            tip="What an edge between two regions keeps of its weight: 0 cuts it, 1 leaves it",
        )
        self.load_button = QPushButton("Import…")
        self.load_button.setToolTip(
            "Adds the areas of a GeoJSON file, such as QuPath writes, in full-resolution pixels"
        )
        self.save_button = QPushButton("Export…")
        self.save_button.setToolTip("Writes the outlines as GeoJSON that QuPath reads")
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
        layout.addLayout(drawing)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.unassigned)
        layout.addLayout(edit)
        layout.addLayout(source)
        layout.addWidget(self.picture)
        layout.addWidget(borders)

        self.add.clicked.connect(self._add)
        self.remove.clicked.connect(self._remove)
        self.undo.clicked.connect(lambda: self.study.undo())
        self.redo.clicked.connect(lambda: self.study.redo())
        self.column.activated.connect(self._take_column)
        self.load_button.clicked.connect(self._ask_what_to_import)
        self.save_button.clicked.connect(self._ask_where_to_export)
        self.connectivity.value_changed.connect(self._change_connectivity)
        self.table.currentCellChanged.connect(self._select)
        self.table.itemChanged.connect(self._rename)
        self.table.cellDoubleClicked.connect(self._ask_for_colour)
        listen(self, self.scene.drawing.drawn, self._on_drawn)
        listen(self, self.study.section_changed, self._show_section)
        listen(self, self.study.recipe_changed, self._show_settings)
        listen(self, self.study.regions_changed, self._show_regions)
        listen(self, self.study.graph_changed, self._show_cut)
        self._show_section(self.study.section)

    def enter(self) -> None:
        """Colour the spots by region."""
        self.scene.show_stage("regions")

    def draw(self, mode: str) -> None:
        """Start one of napari's drawing tools, in a region that exists."""
        if self.study.section is None:
            return
        if mode != "select" and self.scene.drawing.region is None:
            self._add()
        self.scene.show_stage("regions")
        self.scene.drawing.start(mode)

    def _show_section(self, section: Section | None) -> None:
        self.setEnabled(section is not None)
        with silent(self.column):
            self.column.clear()
            self.column.addItem(CHOOSE)
            if section is not None:
                obs = section.adata.obs
                self.column.addItems([str(c) for c in obs if 1 <= obs[c].nunique() <= 200])
        self._show_regions(self.study.regions)
        self._show_settings(self.study.recipe)

    def _show_settings(self, recipe: Recipe) -> None:
        self.connectivity.set_value(recipe.graph.boundary_connectivity)
        self.undo.setEnabled(self.study.can_undo)
        self.redo.setEnabled(self.study.can_redo)

    def _show_regions(self, regions: Regions) -> None:
        sizes = self.study.region_sizes
        names = [region.name for region in regions.classes]
        drawn = self.scene.drawing.region
        if drawn not in names:
            drawn = names[-1] if names else None
            if drawn is None:
                self.scene.drawing.region = None
            else:
                self.scene.drawing.draw_into(drawn)
        with silent(self.table):
            self.table.setRowCount(len(names))
            for row, region in enumerate(regions.classes):
                swatch = QTableWidgetItem()
                swatch.setIcon(colour_icon(QColor.fromRgbF(*region.colour)))
                swatch.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
                count = QTableWidgetItem(f"{int(sizes[row]):,}")
                count.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
                count.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, 0, swatch)
                self.table.setItem(row, 1, QTableWidgetItem(region.name))
                self.table.setItem(row, 2, count)
            if drawn is not None:
                self.table.selectRow(names.index(drawn))
        n_spots = len(self.study.region_labels)
        self.unassigned.setText(
            f"{n_spots - int(sizes.sum()):,} of {n_spots:,} spots in no region"
        )
        self.remove.setEnabled(bool(names))
        self.save_button.setEnabled(bool(regions.shapes))

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
        self.scene.drawing.region = name
        self.study.regions = regions.with_class(RegionClass(name, next_colour(regions)))
        self.scene.drawing.draw_into(name)

    def _remove(self) -> None:
        if self.scene.drawing.region is not None:
            self.study.regions = self.study.regions.without_class(self.scene.drawing.region)

    def _select(self, row: int, column: int, *before: int) -> None:
        if 0 <= row < len(self.study.regions.classes):
            self.scene.drawing.draw_into(self.study.regions.classes[row].name)

    def _rename(self, item: QTableWidgetItem) -> None:
        if item.column() != 1:
            return
        before = self.study.regions.classes[item.row()].name
        after = item.text()
        if after == before:
            return
        try:
            regions = self.study.regions.with_renamed(before, after)
        except InputError as error:
            tell_error(error)
            self._show_regions(self.study.regions)
            return
        self.scene.drawing.region = after
        self.study.regions = regions

    def _ask_for_colour(self, row: int, column: int) -> None:
        if column != 0:
            return
        region = self.study.regions.classes[row]
        chosen = QColorDialog.getColor(QColor.fromRgbF(*region.colour), self, region.name)
        if chosen.isValid():
            self.recolour(region.name, (chosen.redF(), chosen.greenF(), chosen.blueF()))

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
        self.study.turn_to("regions")
        self.study.regions = regions
        self.scene.show_stage("regions")

    def _ask_what_to_import(self) -> None:
        path = files.ask_for_file(self, "Regions", "GeoJSON (*.geojson *.json)")
        if path is not None:
            opening.import_regions(self.session, path)

    def _ask_where_to_export(self) -> None:
        section = self.study.section
        if section is None:
            return
        proposed = opening.proposed_path(section).with_suffix(".geojson")
        answer = files.ask_where_to_save(self, "Regions", proposed, "GeoJSON (*.geojson)")
        if answer is not None:
            opening.export_regions(self.session, answer[0])

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
