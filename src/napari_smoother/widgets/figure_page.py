"""The Figure page: what is on screen, composed for print."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDoubleSpinBox,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QSpinBox,
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
from napari_smoother.widgets.page import Page, form, listen, wrapped_label
from napari_smoother.widgets.search_box import SearchBox

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

FORMATS = "PDF, vectors (*.pdf);;SVG, vectors (*.svg);;PNG, pixels (*.png)"
PREVIEW_DPI = 110


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
        adding = QHBoxLayout()
        adding.addWidget(self.extra, 1)
        adding.addWidget(self.add)
        panels = QGroupBox("Panels")
        column = QVBoxLayout()
        column.addWidget(self.contents)
        column.addWidget(self.origin)
        column.addLayout(adding)
        panels.setLayout(column)

        self.columns = QSpinBox()
        self.columns.setRange(0, 12)
        self.columns.setSpecialValueText("automatic")
        self.columns.setToolTip("Panels beside each other")
        self.width_mm = QDoubleSpinBox()
        self.width_mm.setRange(40, 1000)
        self.width_mm.setValue(180)
        self.width_mm.setSuffix(" mm")
        self.width_mm.setToolTip("Width of the figure: a journal's column is about 85 or 180 mm")
        self.dpi = QSpinBox()
        self.dpi.setRange(50, 2400)
        self.dpi.setValue(300)
        self.dpi.setToolTip("Dots per inch of PNG files, and of the image inside SVG and PDF")
        self.image = QCheckBox("Image")
        self.edges = QCheckBox("Edges")
        self.outlines = QCheckBox("Regions")
        self.scale_bar = QCheckBox("Scale bar")
        for box in (self.image, self.outlines, self.scale_bar):
            box.setChecked(True)
        ticks = QHBoxLayout()
        for box in (self.image, self.edges, self.outlines, self.scale_bar):
            ticks.addWidget(box)
        layout_box = QGroupBox("Layout")
        rows = form()
        rows.addRow("Columns", self.columns)
        rows.addRow("Width", self.width_mm)
        rows.addRow("Resolution, dpi", self.dpi)
        rows.addRow(ticks)
        layout_box.setLayout(rows)

        self.preview_button = QPushButton("Preview")
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

        self.add.clicked.connect(self._add_extra)
        self.preview_button.clicked.connect(self.preview)
        self.save_button.clicked.connect(self._ask_where_to_save)
        listen(self, self.study.section_changed, self._show_section)
        listen(self, self.study.composition_changed, self._show_composition)
        self._types: tuple[str, ...] = ()
        self._show_section(self.study.section)
        self._show_composition(self.study.composition)

    def settings(self) -> FigureSettings:
        """Return the figure that the controls ask for.

        Raises
        ------
        InputError
            If no panel is ticked.
        """
        items = [self.contents.item(row) for row in range(self.contents.count())]
        ticked = tuple(item.text() for item in items if item.checkState() == Qt.CheckState.Checked)
        if not ticked:
            raise InputError("No panel is ticked", where="figure", remedy="Tick at least one")
        return FigureSettings(
            contents=ticked,
            columns=self.columns.value(),
            width_mm=self.width_mm.value(),
            image=self.image.isChecked(),
            edges=self.edges.isChecked(),
            outlines=self.outlines.isChecked(),
            scale_bar=self.scale_bar.isChecked(),
        )

    def tick(self, *names: str) -> None:
        """Tick exactly these panels, adding those that are not listed."""
        listed = {self.contents.item(row).text() for row in range(self.contents.count())}
        for name in names:
            if name not in listed:
                self._list(name)
        for row in range(self.contents.count()):
            item = self.contents.item(row)
            checked = Qt.CheckState.Checked if item.text() in names else Qt.CheckState.Unchecked
            item.setCheckState(checked)

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
        dpi = self.dpi.value()
        self.session.load(
            lambda cancelled: save_figure(planned.compose(), path, dpi=dpi),
            lambda written: tell(f"Saved {written}"),
            f"saving {path.name}",
        )

    def _show_section(self, section: Section | None) -> None:
        self.setEnabled(section is not None)
        self.contents.clear()
        self._types = ()
        self._list(ON_SCREEN, ticked=True)
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
        for name in (DOMINANT_TYPE, *self._types):
            for item in self.contents.findItems(name, Qt.MatchFlag.MatchExactly):
                self.contents.takeItem(self.contents.row(item))
        self._types = types
        for name in (DOMINANT_TYPE, *types) if types else ():
            self._list(name)

    def _list(self, name: str, *, ticked: bool = False) -> None:
        item = QListWidgetItem(name)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        self.contents.addItem(item)

    def _add_extra(self) -> None:
        name = self.extra.currentText()
        if name and not self.contents.findItems(name, Qt.MatchFlag.MatchExactly):
            self._list(name, ticked=True)

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


def _as_png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=PREVIEW_DPI)
    return picture.getvalue()
