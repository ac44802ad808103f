"""The Data page: what is open, and what its spots are coloured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleRangeSlider

from napari_smoother.analyses.gene_values import gene_names
from napari_smoother.analyses.shown import Shown, Source, View
from napari_smoother.errors import InputError
from napari_smoother.study.view import palette_fault, viewable
from napari_smoother.widgets import files, opening, recipes
from napari_smoother.widgets.counts_choice import CountsChoice
from napari_smoother.widgets.notices import tell, tell_error
from napari_smoother.widgets.page import Page, follow_recipe, form, listen, silent, wrapped_label
from napari_smoother.widgets.search_box import SearchBox
from napari_smoother.widgets.sliders import NumberSlider

if TYPE_CHECKING:
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

SOURCES: dict[str, Source] = {"Gene": "gene", "Spot column": "obs", "Table column": "obsm"}
KINDS: dict[Source, str] = {"gene": "gene", "obs": "spot column", "obsm": "table column"}
COLORMAPS = ("viridis", "magma", "inferno", "plasma", "cividis", "gray", "turbo")
NOTHING = "(one colour)"


class DataPage(Page):
    """Opens sections and colours their spots."""

    title = "Data"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._names: dict[Source, tuple[str, ...]] = {}

        self.open_button = QPushButton("Open section")
        self.open_button.setToolTip("A Space Ranger output folder, an .h5ad file, or a sample")
        menu = QMenu(self.open_button)
        menu.addAction("Space Ranger folder…", self._ask_for_folder)
        menu.addAction("AnnData file (.h5ad)…", self._ask_for_file)
        self.recent = menu.addMenu("Recent")
        self.recent.aboutToShow.connect(self._list_recent)
        menu.addSeparator()
        for sample in opening.SAMPLES:
            menu.addAction(f"Sample: {sample}", lambda name=sample: self._open_sample(name))
        self.open_button.setMenu(menu)
        self.save_button = QPushButton("Save results…")
        self.save_button.setToolTip(
            "Writes an .h5ad file with the section, its graph, regions and composition"
        )
        self.save_button.clicked.connect(self._ask_where_to_save)
        self.recipe_button = QPushButton("Recipe")
        self.recipe_button.setToolTip("Every setting, to be used for other sections")
        recipe_menu = QMenu(self.recipe_button)
        recipe_menu.addAction("Save recipe…", self._ask_where_to_save_recipe)
        recipe_menu.addAction("Open recipe…", self._ask_for_recipe)
        recipe_menu.addAction("Copy as Python", self._copy_as_python)
        self.recipe_button.setMenu(recipe_menu)
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_button)
        buttons.addWidget(self.save_button)
        buttons.addWidget(self.recipe_button)
        buttons.addStretch()

        self.facts = wrapped_label()
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

        reading = form()
        self.counts = CountsChoice(reading, lambda place: opening.choose_counts(session, place))

        self.source = QComboBox()
        self.source.addItems(list(SOURCES))
        self.source.setToolTip("Where the values to colour by are")
        self.name = SearchBox()
        self.name.setToolTip(
            "Type a part of the name and choose, or press Enter; genes are found by symbol and "
            "identifier"
        )
        self.colormap = QComboBox()
        self.colormap.addItems(list(COLORMAPS))
        self.colormap.setToolTip("Colours of numbers, from low to high")
        self.percentiles = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.percentiles.setRange(0, 100)
        self.percentiles.setDecimals(1)
        self.percentiles.setValue((1.0, 99.0))
        self.percentiles.setToolTip("Percentiles of the values at the ends of the colour bar")
        for number in self.percentiles.findChildren(QLineEdit):
            number.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # the keyboard's way to the handles
        colouring = QGroupBox("Colour spots by")
        rows = form()
        rows.addRow("From", self.source)
        rows.addRow("Name", self.name)
        rows.addRow(self.name.complaint)
        rows.addRow("Colours", self.colormap)
        rows.addRow("Contrast, %", self.percentiles)
        colouring.setLayout(rows)

        self.image = NumberSlider(
            0.0, 1.0, tip="Opacity of the tissue image: 0 hides it, 1 shows it as it is"
        )
        self.size = NumberSlider(
            0.2, 4.0, tip="Diameter of spots on screen: 1 is their true diameter"
        )
        display = QGroupBox("Display")
        rows = form()
        rows.addRow("Spot size, ×", self.size)
        rows.addRow("Image opacity", self.image)
        display.setLayout(rows)

        layout = QVBoxLayout(self)
        layout.addLayout(buttons)
        layout.addWidget(self.facts)
        layout.addLayout(reading)
        layout.addWidget(colouring)
        layout.addWidget(display)
        layout.addStretch()

        self.source.currentTextChanged.connect(self._list_names)
        self.name.name_chosen.connect(self._colour)
        self.colormap.currentTextChanged.connect(self._colour)
        self.percentiles.valueChanged.connect(self._colour)
        self.image.value_changed.connect(self.scene.fade_image)
        self.size.value_changed.connect(self.scene.resize_spots)
        self.percentiles.sliderPressed.connect(lambda: self._hold(True))
        self.percentiles.sliderReleased.connect(lambda: self._hold(False))
        self._view = self.scene.shown.view
        listen(self, self.study.section_changed, self._show_section)
        follow_recipe(self, self.study, lambda recipe: self._show_shown(recipe.shown))
        self._show_section(self.study.section)

    def enter(self) -> None:
        """Show the spots as they are coloured here."""
        self.scene.show_stage("data")

    def _show_section(self, section: Section | None) -> None:
        for widget in (self.source, self.name, self.colormap, self.percentiles, self.size):
            widget.setEnabled(section is not None)
        self.save_button.setEnabled(section is not None)
        self.recipe_button.setEnabled(section is not None)
        self.image.setEnabled(section is not None and bool(section.images))
        self.facts.setText(opening.describe(section))
        self.counts.show_origin(
            None if section is None else section.origin,
            can_choose=section is not None and section.source is not None,
        )
        self._names = viewable(section) if section is not None else {}
        self._view = self.scene.shown.view
        self._show_view(self._view)
        self._show_shown(self.scene.shown)

    def _show_shown(self, shown: Shown) -> None:
        """Show how the map is drawn; a name that is being typed stays."""
        self.size.set_value(shown.spot_size)
        self.image.set_value(shown.image_opacity)
        before, self._view = self._view, shown.view
        if shown.view == before or shown.view == self.chosen_view():
            return
        self._show_view(shown.view)

    def _show_view(self, view: View | None) -> None:
        if view is None:
            self._list_names()
            return
        with silent(self.source, self.colormap, self.percentiles):
            self.source.setCurrentIndex(list(SOURCES.values()).index(view.source))
            self.colormap.setCurrentText(view.colormap)
            self.percentiles.setValue((view.low, view.high))
        self._list_names()

    def _list_names(self) -> None:
        source, section = SOURCES[self.source.currentText()], self.study.section
        names = self._names.get(source, ())
        others: list[tuple[str, ...]] = []
        if source == "gene" and section is not None:
            genes = gene_names(section)
            others = [("", *kind) for kind in (genes.rows, *genes.others)]
        self.name.kind = KINDS[source]
        self.name.list_names([NOTHING, *names], others)
        view = self.scene.shown.view
        of_source = view is not None and view.source == source
        self.name.show_chosen(_shown(view, section) if view and of_source else NOTHING)

    def chosen_view(self) -> View | None:
        """Return what the controls ask the spots to be coloured by."""
        name, section = self.name.chosen, self.study.section
        source = SOURCES[self.source.currentText()]
        key, _, column = name.partition(" / ") if source == "obsm" else (name, "", "")
        if source == "gene" and section is not None:
            key = gene_names(section).find(name) or ""
        elif name not in self._names.get(source, ()):
            key = ""
        if not key:
            return None
        low, high = cast("tuple[float, float]", self.percentiles.value())
        return View(source, key, column, low, high, self.colormap.currentText())

    def _colour(self) -> None:
        view, section = self.chosen_view(), self.study.section
        try:
            self.scene.colour_by(view)
            fault = None if view is None or section is None else palette_fault(section, view)
        except InputError as error:
            fault = error
        if fault is not None:
            tell_error(fault)

    def _ask_for_folder(self) -> None:
        folder = files.ask_for_folder(self, "Space Ranger output folder")
        if folder is not None:
            opening.open_path(self.session, folder)

    def _ask_for_file(self) -> None:
        path = files.ask_for_file(self, "Section", "AnnData (*.h5ad)")
        if path is not None:
            opening.open_path(self.session, path)

    def _list_recent(self) -> None:
        self.recent.clear()
        for path in files.recent_sections():
            name = str(path).replace("&", "&&")
            self.recent.addAction(name, lambda path=path: opening.open_path(self.session, path))
        if self.recent.isEmpty():
            self.recent.addAction("No section opened yet").setEnabled(False)

    def _open_sample(self, name: str) -> None:
        opening.open_sample(self.session, name)

    def _ask_where_to_save_recipe(self) -> None:
        section = self.study.section
        if section is None:
            return
        proposed = opening.proposed_path(section).with_suffix(".toml")
        answer = files.ask_where_to_save(self, "Recipe", proposed, "Recipes (*.toml)")
        if answer is not None:
            path = answer[0]
            recipes.save_recipe(self.session, path if path.suffix else path.with_suffix(".toml"))

    def _ask_for_recipe(self) -> None:
        kinds = "Recipes, and figures that hold one (*.toml *.png *.tiff *.tif *.svg *.pdf)"
        path = files.ask_for_file(self, "Recipe", kinds)
        if path is not None:
            recipes.open_recipe(self.session, path)

    def _copy_as_python(self) -> None:
        try:
            script = recipes.as_python(self.study)
        except InputError as error:
            tell_error(error)
            return
        QGuiApplication.clipboard().setText(script)
        tell("The analysis is in the clipboard, as a Python script")

    def _ask_where_to_save(self) -> None:
        opening.ask_where_to_save(self.session, self)


def _shown(view: View, section: Section | None) -> str:
    """Return the line of the list that a view is of."""
    if view.source == "gene" and section is not None:
        return gene_names(section).label(view.key)
    return f"{view.key} / {view.column}" if view.column else view.key
