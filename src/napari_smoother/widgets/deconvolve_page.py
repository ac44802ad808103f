"""The Deconvolve page: cell types in every spot, live under the sliders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.deconvolution_steps import can_deviate
from napari_smoother.figures.panels import ClassKey
from napari_smoother.widgets import files, opening
from napari_smoother.widgets.choice_panel import ChoicePanel
from napari_smoother.widgets.counts_choice import CountsChoice
from napari_smoother.widgets.model_panel import ModelPanel
from napari_smoother.widgets.page import (
    Page,
    follow_recipe,
    form,
    listen,
    scroll_area,
    silent,
    wrapped_label,
)
from napari_smoother.widgets.process_rows import ProcessRows
from napari_smoother.widgets.sliders import NumberSlider
from napari_smoother.widgets.type_table import TypeTable

if TYPE_CHECKING:
    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.analyses.shown import Quantity
    from napari_smoother.layers.spot_map import Key
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

MAPS: dict[str, Quantity] = {
    "Proportions": "proportion",
    "Uncertainty (standard deviation)": "deviation",
    "Unexplained share of expression": "misfit",
}
MAP_TIP = (
    "Proportions; how far each may be off if the model holds (one standard deviation); "
    "or the share of a spot's expression that the mixture leaves unexplained"
)
NO_DEVIATION = (
    "Uncertainty is defined for least squares (linear and non-negative) under CAR, SAR, ICAR "
    "and ISAR"
)

NO_REFERENCE = (
    "No reference yet: drop single cells (.h5ad with a column of cell types) or a signature table "
    "(.csv, genes × types) anywhere on the window"
)


class DeconvolvePage(Page):
    """Estimates composition and follows the sliders."""

    title = "Deconvolve"
    scrolls_itself = True

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.open_button = QPushButton("Open reference…")
        self.open_button.setToolTip(
            "Single cells (.h5ad with a column of cell types) or a signature table (.csv, .tsv; "
            "genes × types)"
        )
        self.facts = wrapped_label(NO_REFERENCE)

        self.model_panel = ModelPanel(self.study)
        self.model = self.model_panel.model
        smoothing = QGroupBox("Smoothing")
        rows = form()
        self.process_rows = ProcessRows(session, rows)
        self.process, self.rho = self.process_rows.process, self.process_rows.rho
        self.lambda_ = self.process_rows.lambda_
        self.connectivity = NumberSlider(
            0.0,
            1.0,
            tip="What an edge between two regions keeps of its weight: 0 cuts it, 1 leaves it",
        )
        rows.addRow("Across borders", self.connectivity)
        self.live = QCheckBox("Live")
        self.live.setChecked(session.preview.live)
        self.live.setToolTip("Solve again at every change")
        self.solve = QPushButton("Solve")
        self.solve.setToolTip("Solves from the canonical start with the present settings")
        buttons = QHBoxLayout()
        buttons.addWidget(self.live)
        buttons.addStretch()
        buttons.addWidget(self.solve)
        rows.addRow(buttons)
        self.choice = ChoicePanel(session)
        rows.addRow(self.choice)
        smoothing.setLayout(rows)

        self.map = QComboBox()
        self.map.addItems(list(MAPS))
        self.map.setToolTip(MAP_TIP)
        self.types = TypeTable()

        reading = form()
        self.counts = CountsChoice(
            reading, lambda place: opening.choose_reference_counts(session, place)
        )
        reference = QHBoxLayout()
        reference.addWidget(self.facts, 1)
        reference.addWidget(self.open_button)
        self.consequence = wrapped_label()
        settings = QWidget()
        rows_of_settings = QVBoxLayout(settings)
        rows_of_settings.setContentsMargins(0, 0, 0, 0)
        rows_of_settings.addLayout(reference)
        rows_of_settings.addLayout(reading)
        rows_of_settings.addWidget(self.consequence)
        rows_of_settings.addWidget(self.model_panel)
        rows_of_settings.addWidget(smoothing)
        rows_of_settings.addStretch()
        found = QWidget()
        shown = form()
        shown.addRow("Map", self.map)
        rows_of_found = QVBoxLayout(found)
        rows_of_found.setContentsMargins(0, 0, 0, 0)
        rows_of_found.addLayout(shown)
        rows_of_found.addWidget(self.types.search)
        rows_of_found.addWidget(self.types, 1)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.setChildrenCollapsible(False)
        parts.addWidget(scroll_area(settings))
        parts.addWidget(found)
        parts.setStretchFactor(0, 3)
        parts.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(parts)

        self.open_button.clicked.connect(self._ask_for_reference)
        self.connectivity.value_changed.connect(self._change_connectivity)
        self.live.toggled.connect(self._change_live)
        self.solve.clicked.connect(lambda: session.preview.solve())
        self.map.currentTextChanged.connect(self._change_map)
        self.types.type_chosen.connect(self.scene.show_type)
        listen(self, self.study.section_changed, self._show_section)
        listen(self, self.study.reference_changed, self._show_reference)
        follow_recipe(self, self.study, self._show_settings)
        listen(self, self.study.composition_changed, self._show_composition)
        self._show_section(self.study.section)
        self._show_settings(self.study.recipe)
        self._show_reference(self.study.reference)

    def enter(self) -> None:
        """Show the composition, once there is one."""
        if self.study.composition is not None:
            self.scene.show_stage("composition")

    def is_key(self, key: Key) -> bool:
        """Whether the table has a colour for each class on the map."""
        return isinstance(key, ClassKey) and self.types.is_key(key)

    def _show_section(self, section: Section | None) -> None:
        self.open_button.setEnabled(section is not None)

    def _show_reference(self, reference: Reference | None) -> None:
        match, section = self.study.gene_match, self.study.section
        origin = None if reference is None else reference.origin
        self.counts.show_origin(
            origin, can_choose=reference is not None and reference.source is not None
        )
        said = [] if section is None or reference is None else [section.origin.consequence]
        said += [] if origin is None else [origin.consequence]
        self.consequence.setText("\n".join(f"⚠ {text}" for text in said if text))
        self.consequence.setVisible(any(said))
        self.solve.setEnabled(reference is not None)
        if reference is None or match is None:
            self.facts.setText(NO_REFERENCE)
        else:
            self.facts.setText(
                f"{reference.name}: {reference.n_types} types, {match.n_shared:,} genes shared "
                f"(section {match.n_section:,}, reference {match.n_reference:,})"
            )
        self._show_composition(self.study.composition)

    def _show_settings(self, recipe: Recipe) -> None:
        chosen = recipe.deconvolution
        self.connectivity.set_value(recipe.graph.boundary_connectivity)
        with silent(self.map):
            self.map.setCurrentIndex(list(MAPS.values()).index(recipe.shown.quantity))
        self._allow_deviation(can_deviate(chosen))

    def _show_composition(self, composition: Composition | None) -> None:
        self.types.show_composition(composition, self.scene.cell_type)

    def _allow_deviation(self, allowed: bool) -> None:
        """Offer the map of uncertainty only where it is defined."""
        row = list(MAPS.values()).index("deviation")
        item = self.map.model().item(row)
        if item.isEnabled() != allowed:
            item.setEnabled(allowed)
            item.setToolTip("" if allowed else NO_DEVIATION)
            self.map.setToolTip(MAP_TIP if allowed else f"{MAP_TIP}. {NO_DEVIATION}")
        if not allowed and self.map.currentIndex() == row:
            self.study.show_without_step(quantity="proportion")

    def _change_connectivity(self, connectivity: float) -> None:
        self.study.boundary_connectivity = connectivity

    def _change_map(self, name: str) -> None:
        self.scene.show_quantity(MAPS[name])
        self._show_composition(self.study.composition)

    def _change_live(self, live: bool) -> None:
        self.session.preview.live = live

    def _ask_for_reference(self) -> None:
        path = files.ask_for_file(
            self, "Reference", "Cells or signature (*.h5ad *.csv *.tsv *.txt *.csv.gz *.tsv.gz)"
        )
        if path is not None:
            opening.ask_and_open_reference(self.session, path)
