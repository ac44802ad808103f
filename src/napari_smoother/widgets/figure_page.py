"""The Figure page: what is on screen, composed for print."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.figure_settings import DOMINANT_TYPE, ON_SCREEN, FigureSettings
from napari_smoother.analyses.gene_values import gene_names
from napari_smoother.errors import InputError
from napari_smoother.figures.save import save_figure
from napari_smoother.layers.print_out import plan
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.study.view import viewable
from napari_smoother.widgets import files, opening
from napari_smoother.widgets.notices import tell, tell_error
from napari_smoother.widgets.page import Page, form, listen, silent, wrapped_label
from napari_smoother.widgets.search_box import SearchBox
from napari_smoother.widgets.settings_form import SettingsForm
from napari_smoother.widgets.sliders import ExactField

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

FORMATS = "PDF, vectors (*.pdf);;SVG, vectors (*.svg);;PNG, pixels (*.png)"
PREVIEW_DPI = 110
EXACTLY = Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchCaseSensitive
FIELDS: dict[str, dict[str, Any]] = {
    "columns": {"range": (0, 12)},
    "width_mm": {"editor": lambda: ExactField(40, 1000)},
    "dpi": {"range": (50, 2400)},
    "image": {"text": "Image"},
    "edges": {"text": "Edges"},
    "outlines": {"text": "Regions"},
    "scale_bar": {"text": "Scale bar"},
}


class FigurePage(Page):
    """Chooses panels and writes the figure."""

    title = "Figure"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.contents = QListWidget()
        self.contents.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.contents.setToolTip("One panel for each ticked line")
        self.contents.setMaximumHeight(190)
        self.origin = wrapped_label()
        self.origin.setToolTip("How the composition was found: for the legend of the figure")
        self.extra = SearchBox()
        self.extra.setToolTip("A gene or an obs column to add as a panel")
        self.extra.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.add = QPushButton("Add panel")
        self.add.setToolTip("Adds a panel of this gene or obs column, and ticks it")
        adding = QHBoxLayout()
        adding.addWidget(self.extra, 1)
        adding.addWidget(self.add)
        panels = QGroupBox("Panels")
        column = QVBoxLayout()
        column.addWidget(self.contents)
        column.addWidget(self.origin)
        column.addLayout(adding)
        panels.setLayout(column)

        self.form = SettingsForm(self.study.recipe.figure, FIELDS)
        self.columns, self.width_mm, self.dpi = (
            self.form[name] for name in ("columns", "width_mm", "dpi")
        )
        self.image, self.edges, self.outlines, self.scale_bar = (
            self.form[name] for name in ("image", "edges", "outlines", "scale_bar")
        )
        self.columns.setSpecialValueText("automatic")
        ticks = QHBoxLayout()
        for box in (self.image, self.edges, self.outlines, self.scale_bar):
            ticks.addWidget(box)
        layout_box = QGroupBox("Layout")
        rows = form()
        rows.addRow("Columns", self.columns)
        rows.addRow("Width, mm", self.width_mm)
        rows.addRow("Resolution, dpi", self.dpi)
        rows.addRow(ticks)
        layout_box.setLayout(rows)

        self.preview_button = QPushButton("Preview")
        self.preview_button.setToolTip("Draws the figure as it would be written")
        self.save_button = QPushButton("Save figure…")
        self.save_button.setToolTip("SVG and PDF keep spots and text as vectors")
        buttons = QHBoxLayout()
        buttons.addWidget(self.preview_button)
        buttons.addStretch()
        buttons.addWidget(self.save_button)
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.picture.setMinimumHeight(180)

        layout = QVBoxLayout(self)
        layout.addWidget(panels)
        layout.addWidget(layout_box)
        layout.addLayout(buttons)
        layout.addWidget(self.picture, 1)

        self.form.valueChanged.connect(lambda field, value: self._change(**{field: value}))
        self.contents.itemChanged.connect(lambda item: self._change(contents=self._ticked()))
        self.add.clicked.connect(self._add_extra)
        self.preview_button.clicked.connect(self.preview)
        self.save_button.clicked.connect(self._ask_where_to_save)
        listen(self, self.study.section_changed, self._show_section)
        listen(self, self.study.composition_changed, self._show_composition)
        listen(self, self.study.recipe_changed, lambda recipe: self.show_settings(recipe.figure))
        self._types: tuple[str, ...] = ()
        self._show_section(self.study.section)
        self._show_composition(self.study.composition)

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

    def show_settings(self, settings: FigureSettings) -> None:
        """Show a figure; a panel that is not listed, as its map is not there yet, is added."""
        self.form.setValue(settings)
        with silent(self.contents):
            for name in settings.contents:
                if not self.contents.findItems(name, EXACTLY):
                    self._list(name)
            for row in range(self.contents.count()):
                item = self.contents.item(row)
                item.setCheckState(_check(item.text() in settings.contents))

    def _change(self, **changes: Any) -> None:
        recipe = self.study.recipe
        self.study.recipe = replace(recipe, figure=replace(recipe.figure, **changes))

    def _ticked(self) -> tuple[str, ...]:
        items = [self.contents.item(row) for row in range(self.contents.count())]
        return tuple(item.text() for item in items if item.checkState() == Qt.CheckState.Checked)

    def preview(self) -> None:
        """Show the figure as it would be written."""
        try:
            planned = plan(self.scene, self.settings())
        except InputError as error:
            tell_error(error)
            return
        self.session.load(
            lambda cancelled: _as_png(planned.compose()), self._show_preview, "drawing the figure"
        )

    def save(self, path: Path) -> None:
        """Write the figure; the ending decides the format."""
        try:
            planned = plan(self.scene, self.settings())
        except InputError as error:
            tell_error(error)
            return
        dpi = planned.settings.dpi
        self.session.load(
            lambda cancelled: save_figure(planned.compose(), path, dpi=dpi),
            lambda written: tell(f"Saved {written}"),
            f"saving {path.name}",
        )

    def _show_section(self, section: Section | None) -> None:
        self.setEnabled(section is not None)
        with silent(self.contents):
            self.contents.clear()
            self._types = ()
            self._list(ON_SCREEN)
        self.show_settings(self.study.recipe.figure)
        self.picture.clear()
        columns = () if section is None else viewable(section)["obs"]
        genes = None if section is None else gene_names(section)
        shown = () if genes is None else genes.shown
        others = () if genes is None else (genes.rows, *genes.others)
        self.extra.list_names([*columns, *shown], [(*columns, *kind) for kind in others])

    def _show_composition(self, composition: Composition | None) -> None:
        types = composition.types if composition is not None else ()
        self.origin.setVisible(composition is not None)
        if composition is not None:
            chosen = composition.settings
            self.origin.setText(
                f"Composition: {MODELS[chosen.model].title}, {chosen.process.upper()}, "
                f"ρ {chosen.rho:.4g}, λ {chosen.lambda_:.3g}"
            )
        if types == self._types:
            return
        with silent(self.contents):
            for name in (DOMINANT_TYPE, *self._types, *types):
                for item in self.contents.findItems(name, EXACTLY):
                    self.contents.takeItem(self.contents.row(item))
            self._types = types
            for name in (DOMINANT_TYPE, *types) if types else ():
                self._list(name)
        self.show_settings(self.study.recipe.figure)

    def _list(self, name: str) -> None:
        item = QListWidgetItem(name)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(_check(False))
        self.contents.addItem(item)

    def _add_extra(self) -> None:
        name, contents = self.extra.currentText(), self.study.recipe.figure.contents
        if name and name not in contents:
            self._change(contents=(*contents, name))

    def _show_preview(self, png: bytes) -> None:
        pixmap = QPixmap()
        pixmap.loadFromData(png)
        self.picture.setPixmap(
            pixmap.scaled(
                self.picture.size(),
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        )

    def _ask_where_to_save(self) -> None:
        section = self.study.section
        if section is None:
            return
        proposed = opening.proposed_path(section).with_suffix(".pdf")
        answer = files.ask_where_to_save(self, "Save figure", proposed, FORMATS)
        if answer is not None:
            path, kind = answer
            if not path.suffix:
                path = path.with_suffix({"PDF": ".pdf", "SVG": ".svg"}.get(kind[:3], ".png"))
            self.save(path)


def _check(ticked: bool) -> Qt.CheckState:
    return Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked


def _as_png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=PREVIEW_DPI)
    return picture.getvalue()
