"""The Figure page: what is on screen, composed for print, and seen as it will be written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QMainWindow,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.figure_settings import ON_SCREEN, FigureSettings
from napari_smoother.analyses.gene_values import gene_names
from napari_smoother.errors import InputError
from napari_smoother.figures.journals import SMALLEST_TEXT, WIDTHS_MM
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.printing.contents import is_there, offered
from napari_smoother.printing.plan import plan
from napari_smoother.study.view import viewable
from napari_smoother.widgets import figure_saving
from napari_smoother.widgets.figure_drawing import FigureDrawing
from napari_smoother.widgets.figure_fields import FIELDS, NAMES, OWN_WIDTH, beside
from napari_smoother.widgets.figure_preview import FigurePreview
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import Page, follow_recipe, form, listen, silent, wrapped_label
from napari_smoother.widgets.panel_table import PanelTable, with_panel
from napari_smoother.widgets.part_rows import PartRows
from napari_smoother.widgets.search_box import SearchBox
from napari_smoother.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.figure_settings import PanelSettings
    from napari_smoother.layers.spot_map import Key
    from napari_smoother.printing.contents import Source
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session


class FigurePage(Page):
    """Chooses panels, shows the figure over the canvas, and writes it."""

    title = "Figure"

    def is_key(self, key: Key) -> bool:
        """Whether the figure shows what its colours mean: it does."""
        return True

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.show_preview = QCheckBox("Preview")
        self.show_preview.setChecked(True)
        self.show_preview.setToolTip(
            "Shows the figure over the canvas, as it will be written, and anew after each change"
        )
        self.save_button = QPushButton("Save figure…")
        self.save_button.setToolTip(
            f"PDF, SVG, PNG or TIFF, with the recipe inside ({figure_saving.SHORTCUT})"
        )
        buttons = QHBoxLayout()
        buttons.addWidget(self.show_preview)
        buttons.addStretch()
        buttons.addWidget(self.save_button)

        self.panels = PanelTable()
        self.panels.setMinimumHeight(130)
        self.panels.setMaximumHeight(230)
        self.up, self.down = QToolButton(), QToolButton()
        for button, sign, name, by in ((self.up, "↑", "up", -1), (self.down, "↓", "down", 1)):
            button.setText(sign)
            button.setAccessibleName(f"Move the panel {name}")
            button.setToolTip(f"Moves the chosen panel {name}")
            button.clicked.connect(lambda checked=False, by=by: self.panels.move_current(by))
        self.extra = SearchBox()
        self.extra.setAccessibleName("Panel to add")
        self.extra.setToolTip("A gene, an obs column or a column of an obsm table, as a panel")
        self.extra.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.add = QPushButton("Add panel")
        self.add.setToolTip("Adds a panel of this gene or column, and ticks it")
        adding = QHBoxLayout()
        for widget in (self.up, self.down):
            adding.addWidget(widget)
        adding.addWidget(self.extra, 1)
        adding.addWidget(self.add)
        self.origin = wrapped_label()
        self.origin.setToolTip("How the composition was found: for the legend of the figure")
        panels = QGroupBox("Panels")
        column = QVBoxLayout(panels)
        column.addWidget(self.panels)
        column.addLayout(adding)
        column.addWidget(self.origin)

        self.form = SettingsForm(self.study.recipe.figure, FIELDS)
        self.columns, self.width_mm, self.dpi, self.font_size, self.letters = (
            self.form[name] for name in ("columns", "width_mm", "dpi", "font_size", "letters")
        )
        self.letter_size, self.limits, self.vector_spots = (
            self.form[name] for name in ("letter_size", "limits", "vector_spots")
        )
        self.spot_size, self.image_opacity = (
            self.form[name] for name in ("spot_size", "image_opacity")
        )
        self.image, self.edges, self.outlines, self.scale_bar = (
            self.form[name] for name in ("image", "edges", "outlines", "scale_bar")
        )
        self.columns.setSpecialValueText("automatic")
        for field, name in NAMES.items():
            self.form[field].setAccessibleName(name)
        self.journal = QComboBox()
        self.journal.setAccessibleName("Width of a journal's column")
        self.journal.setToolTip("Widths that journals ask for, in millimetres")
        self.journal.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.journal.addItem(OWN_WIDTH)
        for name, width in WIDTHS_MM.items():
            self.journal.addItem(f"{name} ({width:g} mm)", width)
        self.text_note = wrapped_label()

        self.parts = PartRows(session)
        layout = QVBoxLayout(self)
        layout.addLayout(buttons)
        layout.addWidget(panels)
        layout.addWidget(self._page_box())
        layout.addWidget(self._drawn_box())
        layout.addStretch()

        self.preview = FigurePreview()
        self.preview.hide()
        self.drawing = FigureDrawing(session, self.preview, self._is_looked_at)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(120)
        self._later.timeout.connect(self.drawing.draw)
        self.destroyed.connect(self.preview.deleteLater)

        self.form.valueChanged.connect(lambda field, value: self._change(**{field: value}))
        self.journal.activated.connect(self._take_journal)
        self.panels.contents_changed.connect(lambda contents: self._change(contents=contents))
        self.panels.panel_changed.connect(self._take_panel)
        self.parts.changed.connect(lambda fields: self._change(**fields))
        self.add.clicked.connect(self._add_extra)
        self.save_button.clicked.connect(lambda: figure_saving.ask_and_save(session, self))
        self.show_preview.toggled.connect(self._place_preview)
        self.preview.closed.connect(lambda: self.show_preview.setChecked(False))
        listen(self, self.study.section_changed, self._show_section)
        listen(self, self.study.composition_changed, self._show_composition)
        listen(self, self.study.regions_changed, lambda regions: self._list_panels())
        follow_recipe(self, self.study, lambda recipe: self._show_recipe(recipe.figure))
        listen(self, self.scene.key_changed, lambda key: self._draw_soon())
        for analysis in self.study.analyses.values():
            listen(self, analysis.result_changed, lambda result: self._show_found())
        self._show_section(self.study.section)
        self._show_composition(self.study.composition)

    def _page_box(self) -> QGroupBox:
        box = QGroupBox("Page")
        rows = form()
        rows.addRow("Journal", self.journal)
        rows.addRow("Width, mm", beside(self.width_mm, "columns", self.columns))
        rows.addRow("Text, pt", beside(self.font_size, "resolution, dpi", self.dpi))
        rows.addRow("Letters", beside(self.letters, "pt", self.letter_size))
        rows.addRow(self.text_note)
        box.setLayout(rows)
        return box

    def _drawn_box(self) -> QGroupBox:
        box = QGroupBox("Drawn")
        ticks = QHBoxLayout()
        for tick in (self.image, self.edges, self.outlines, self.scale_bar):
            tick.setMinimumWidth(0)
            ticks.addWidget(tick)
        rows = form()
        rows.addRow("Colour limits", self.limits)
        rows.addRow("Spot size, ×", self.spot_size)
        rows.addRow("Image opacity", self.image_opacity)
        rows.addRow("Most vector spots", self.vector_spots)
        column = QVBoxLayout(box)
        column.addLayout(ticks)
        column.addLayout(rows)
        column.addWidget(self.parts)
        return box

    def settings(self) -> FigureSettings:
        """Return the figure that is asked for.

        Raises
        ------
        InputError
            If no panel is ticked.
        """
        settings = self.study.recipe.figure
        if not settings.contents:
            raise InputError("No panel is ticked", where="figure", remedy="Tick at least one")
        return settings

    def tick(self, *names: str) -> None:
        """Tick exactly these panels, adding those that are not listed."""
        self._change(contents=names)

    def save(self, path: Path) -> None:
        """Write the figure; the ending decides the format."""
        try:
            self.settings()
        except InputError as error:
            tell_error(error)
            return
        figure_saving.save(self.session, path)

    @property
    def is_drawing(self) -> bool:
        """Whether the preview is being drawn, or about to be."""
        return self._later.isActive() or self.drawing.is_busy

    def showEvent(self, event: QShowEvent) -> None:
        """Lay the preview over the canvas."""
        super().showEvent(event)
        self._list_panels()
        self._place_preview()

    def hideEvent(self, event: QHideEvent) -> None:
        """Give the canvas back, when another page comes to the front."""
        super().hideEvent(event)
        if not event.spontaneous() and not self.preview.is_afloat:
            self.preview.hide()

    def _is_looked_at(self) -> bool:
        in_sight = self.isVisible() or self.preview.is_afloat
        return in_sight and self.show_preview.isChecked()

    def _place_preview(self) -> None:
        window = self.window()
        if not isinstance(window, QMainWindow):
            window = self.session.window  # of a dock that floats
        canvas = window.centralWidget() if isinstance(window, QMainWindow) else None
        if canvas is None or not self._is_looked_at() or self.study.section is None:
            self.preview.hide()
            return
        self.preview.cover(canvas)
        self._draw_soon()

    def _draw_soon(self) -> None:
        """Draw the figure anew, once changes that follow each other have come."""
        if self._is_looked_at():
            self._later.start()

    def _change(self, **changes: Any) -> None:
        recipe = self.study.recipe
        self.study.recipe = replace(recipe, figure=replace(recipe.figure, **changes))

    def _take_panel(self, panel: PanelSettings) -> None:
        recipe = self.study.recipe
        self.study.recipe = replace(recipe, figure=with_panel(recipe.figure, panel))

    def _take_journal(self, place: int) -> None:
        width = self.journal.itemData(place)
        if width is not None:
            self._change(width_mm=float(width))

    def _show_recipe(self, settings: FigureSettings) -> None:
        """Show a figure; what it wants and the section has not is listed, and struck out."""
        self.form.setValue(settings)
        known = self.journal.itemData(self.journal.currentIndex())
        if known != settings.width_mm:
            with silent(self.journal):
                self.journal.setCurrentIndex(max(self.journal.findData(settings.width_mm), 0))
        smallest = min(settings.font_size, settings.letter_size)
        self.text_note.setText(
            f"The smallest text is {smallest:g} pt; most journals ask for at least "
            f"{SMALLEST_TEXT:g} pt" + (": choose larger." if smallest < SMALLEST_TEXT else ".")
        )
        self.parts.show_figure(settings)
        shown = self.scene.shown
        self.spot_size.suggest(shown.spot_size)
        self.image_opacity.suggest(shown.image_opacity)
        self._show_found()

    def _show_found(self) -> None:
        self._list_panels()
        self._draw_soon()

    def _list_panels(self) -> None:
        """List what there is, where it is looked at: results come with every move of a slider."""
        if self.study.section is None or not self.isVisible():
            return
        source = plan(self.study).source
        self.panels.show_figure(
            self.study.recipe.figure,
            offered(source),
            lambda name: is_there(source, name),
            lambda name: _has_limits(source, name),
        )

    def _show_section(self, section: Section | None) -> None:
        self.setEnabled(section is not None)
        self.panels.setRowCount(0)
        self.preview.clear()
        self._show_recipe(self.study.recipe.figure)
        columns, tables = ((), ()) if section is None else _columns(section)
        genes = None if section is None else gene_names(section)
        shown = () if genes is None else genes.shown
        others = () if genes is None else (genes.rows, *genes.others)
        self.extra.list_names(
            [*columns, *tables, *shown], [(*columns, *tables, *kind) for kind in others]
        )
        self._place_preview()

    def _show_composition(self, composition: Composition | None) -> None:
        self.origin.setVisible(composition is not None)
        if composition is not None:
            chosen = composition.settings
            self.origin.setText(
                f"Composition: {MODELS[chosen.model].title}, {chosen.process.upper()}, "
                f"ρ {chosen.rho:.4g}, λ {chosen.lambda_:.3g}"
            )
        self._show_found()

    def _add_extra(self) -> None:
        name, contents = self.extra.currentText(), self.study.recipe.figure.contents
        if name and name not in contents:
            self._change(contents=(*contents, name))


def _columns(section: Section) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = viewable(section)
    return names["obs"], names["obsm"]


def _has_limits(source: Source, name: str) -> bool:
    """Whether a panel has a colour bar, as far as that is known without its values."""
    obs = source.section.adata.obs
    if name in obs:
        return bool(pd.api.types.is_numeric_dtype(obs[name]))
    types = () if source.composition is None else source.composition.types
    return bool(name == ON_SCREEN or name in types or name not in offered(source))
