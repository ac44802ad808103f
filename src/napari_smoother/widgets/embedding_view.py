"""The Embedding dock: a scatter of an embedding, linked with the tissue both ways."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
)

from napari_smoother.analyses import region_edits
from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.errors import InputError
from napari_smoother.layers.region_effects import next_colour, next_name
from napari_smoother.study.plotted_embedding import plotted, sources_of
from napari_smoother.study.umap import FOUND_BY
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import (
    Page,
    follow_recipe,
    form,
    listen,
    silent,
    while_kept,
    wrapped_label,
)
from napari_smoother.widgets.scatter_canvas import ScatterCanvas
from napari_smoother.widgets.umap_panel import UmapPanel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QKeyEvent, QShowEvent

    from napari_smoother.analyses.embedding_source import EmbeddingSource
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.analyses.regions import Regions
    from napari_smoother.study.plotted_embedding import PlottedEmbedding
    from napari_smoother.widgets.session import Session

POINTER_RESTS = 40
"""Milliseconds without a move of the mouse after which a spot is marked on the tissue."""

WAITING: dict[str, str] = {
    "reduction": "The spatial components are not there yet",
    "autoencoder": "Train the spatial autoencoder on the Reduce page",
    "umap": "Press Lay out",
    "obsm": "The section has no such table",
}


class EmbeddingView(Page):
    """A scatter of an embedding: what is circled here is brought out on the tissue."""

    title = "Embedding"

    def __init__(self, session: Session, parent: Any = None) -> None:
        super().__init__(session, parent)
        self.highlight = session.highlight
        self.source, self.across, self.up = QComboBox(), QComboBox(), QComboBox()
        for box, name, tip in (
            (self.source, "Embedding", "The embedding whose spots are plotted, each a point"),
            (self.across, "Across", "The dim of the embedding that grows to the right"),
            (self.up, "Up", "The dim of the embedding that grows upwards"),
        ):
            box.setAccessibleName(name)
            box.setToolTip(tip)
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        axes = QHBoxLayout()
        axes.addWidget(self.across, 1)
        axes.addWidget(self.up, 1)
        chosen = form()
        chosen.addRow("Embedding", self.source)
        chosen.addRow("Axes", axes)
        self.umap = UmapPanel(session.umap)
        self.canvas = ScatterCanvas()
        self.canvas.setAccessibleName("Scatter of the embedding")
        self.canvas.setToolTip(
            "Drag to circle spots (Shift adds, Alt takes away), drag with the right button to "
            "move, turn the wheel to zoom, double-click to see all. Enter makes a region of "
            "what is circled, Escape lets it go"
        )
        self.facts = wrapped_label()
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the region")
        self.name.setToolTip("Name of the region; that of one that is there adds the spots to it")
        self.make = QPushButton("Make region")
        self.make.setToolTip("Makes a region of the circled spots (Enter)")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Lets the circled spots go (Escape)")
        region = QHBoxLayout()
        region.addWidget(self.name, 1)
        region.addWidget(self.make)
        region.addWidget(self.clear)
        layout = QVBoxLayout(self)
        layout.addLayout(chosen)
        layout.addWidget(self.umap)
        layout.addWidget(self.canvas, 1)
        layout.addWidget(self.facts)
        layout.addLayout(region)

        self._plotted: PlottedEmbedding | None = None
        self._shown = self.scene.shown.scatter
        self._spots: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._points: NDArray[np.float64] = np.empty((0, 2))
        self._before: NDArray[np.bool_] | None = None
        self._pointed = -1
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(POINTER_RESTS)
        self._rest.timeout.connect(lambda: self.highlight.point_at(self._pointed))

        self.source.activated.connect(lambda row: self._choose(self.source.itemData(row)))
        self.across.activated.connect(lambda dim: self._show_in_recipe(across=dim))
        self.up.activated.connect(lambda dim: self._show_in_recipe(up=dim))
        self.canvas.begun.connect(self._begin)
        self.canvas.drawing.connect(self._select)
        self.canvas.drawn.connect(self._select)
        self.canvas.pointed.connect(self._point_at)
        self.canvas.confirmed.connect(self.make_region)
        self.canvas.dismissed.connect(self.highlight.clear)
        self.name.returnPressed.connect(self.make_region)
        self.make.clicked.connect(self.make_region)
        self.clear.clicked.connect(self.highlight.clear)
        listen(self, self.study.section_changed, self._show_section)
        follow_recipe(self, self.study, self._show_recipe)
        listen(self, self.study.regions_changed, self._show_regions)
        listen(self, self.scene.key_changed, self._show_colours)
        listen(self, self.highlight.changed, self._show_selected)
        for name in (session.umap.analysis.name, *(kind.name for kind in FOUND_BY.values())):
            listen(self, self.study.analyses[name].result_changed, self._show_result)
        session.umap.busy_changed.connect(self._show_points)  # what is waited for
        self._listen_to_the_tissue()
        self._show_section()

    def enter(self) -> None:
        """Find what is plotted, if it is not there; the map stays."""
        self._want_embedding()
        self._show_colours()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what was not shown while nobody saw it."""
        super().showEvent(event)
        self._show_points()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Let the selection go."""
        if event.key() == Qt.Key.Key_Escape:
            self.highlight.clear()
        else:
            super().keyPressEvent(event)

    # The study tells

    def _show_section(self) -> None:
        self.setEnabled(self.study.section is not None)
        with silent(self.source):
            self.source.clear()
            for source, label in sources_of(self.study.section).items():
                self.source.addItem(label, source)
        self._show_regions(self.study.regions)
        self._show_settings()
        if self.isVisible():
            self._want_embedding()

    def _show_recipe(self, recipe: Recipe) -> None:
        if recipe.shown.scatter != self._shown:
            self._show_settings()

    def _show_settings(self) -> None:
        self._shown = shown = self.scene.shown.scatter
        sources = [self.source.itemData(row) for row in range(self.source.count())]
        with silent(self.source):
            self.source.setCurrentIndex(sources.index(shown.of) if shown.of in sources else -1)
        self.umap.setVisible(shown.of.kind == "umap")
        self._plotted = None
        self._show_points()

    def _show_result(self) -> None:
        self._plotted = None
        self._show_points()

    def _show_points(self) -> None:
        """Plot what the recipe says, as far as it is there."""
        if self._plotted is not None or not self.isVisible():
            return
        shown = self._shown
        self._plotted = found = plotted(self.study, shown.of)
        dims = () if found is None else found.dims
        for box, dim in ((self.across, shown.across), (self.up, shown.up)):
            with silent(box):
                box.clear()
                box.addItems(list(dims))
                box.setCurrentIndex(min(dim, len(dims) - 1))
            box.setEnabled(len(dims) > 2)
        if found is None:
            self._spots, self._points = np.empty(0, dtype=np.intp), np.empty((0, 2))
            axes = ("", "")
        else:
            across, up = self.across.currentIndex(), self.up.currentIndex()
            pairs = found.scores[:, [across, up]]
            self._spots = np.flatnonzero(np.isfinite(pairs).all(axis=1))
            self._points = pairs[self._spots]
            axes = (found.axis(across), found.axis(up))
        laid_out = shown.of.kind == "umap" and self.session.umap.is_busy
        message = "Laying out …" if laid_out else WAITING[shown.of.kind]
        self.canvas.show_points(self._points, axes, message)
        self._show_colours()
        self._show_selected(self.highlight.spots)

    def _show_colours(self) -> None:
        section = self.study.section
        if section is None or not self.isVisible() or not len(self._spots):
            return
        colours = self.scene.colours
        if colours is not None and len(colours) == section.n_spots > self._spots[-1]:
            self.canvas.show_colours(colours[self._spots])

    def _show_selected(self, spots: NDArray[np.bool_] | None) -> None:
        fits = spots is not None and len(self._spots) and len(spots) > self._spots[-1]
        self.canvas.select(spots[self._spots] if spots is not None and fits else None)
        self.make.setEnabled(spots is not None)
        self.clear.setEnabled(spots is not None)
        self._tell()

    def _show_regions(self, regions: Regions) -> None:
        self.name.setPlaceholderText(next_name(regions))

    def _tell(self) -> None:
        """Say how many spots there are, or what is under the pointer."""
        section = self.study.section
        if section is None or self._plotted is None:
            self.facts.setText("")
            return
        if self._pointed >= 0:
            self.facts.setText(str(section.adata.obs_names[self._pointed]))
            return
        parts = [f"{len(self._spots):,} spots"]
        left_out = section.n_spots - len(self._spots)
        if left_out:
            parts.append(f"{left_out:,} without counts or numbers are left out")
        if self.highlight.spots is not None:
            parts.insert(0, f"{int(self.highlight.spots.sum()):,} circled of")
            parts = [f"{parts[0]} {parts[1]}", *parts[2:]]
        self.facts.setText(" · ".join(parts))

    # The hand changes

    def _want_embedding(self) -> None:
        """Have spatial components found; a training and a layout are asked for by hand."""
        if self._shown.of.kind == "reduction" and self.study.section is not None:
            analysis = self.session.reduction.analysis
            if not analysis.active:
                analysis.active = True

    def _choose(self, source: EmbeddingSource) -> None:
        self._show_in_recipe(of=source, across=0, up=1)
        self._want_embedding()

    def _show_in_recipe(self, **changes: Any) -> None:
        self.scene.change(scatter=replace(self._shown, **changes))

    def _begin(self) -> None:
        self._before = self.highlight.spots

    def _select(self, outline: NDArray[np.float64]) -> None:
        """Bring out the spots within an outline of the scatter, with those of before or not."""
        section = self.study.section
        if section is None:
            return
        spots = np.zeros(section.n_spots, dtype=bool)
        spots[self._spots] = RegionShape("", outline).contains(self._points)
        held, before = QApplication.keyboardModifiers(), self._before
        if before is not None and held & Qt.KeyboardModifier.ShiftModifier:
            spots |= before
        elif before is not None and held & Qt.KeyboardModifier.AltModifier:
            spots = before & ~spots
        self.highlight.select(spots)

    def make_region(self) -> None:
        """Make a region of the circled spots, or add them to the one that is named."""
        spots, regions = self.highlight.spots, self.study.regions
        if spots is None:
            return
        name = self.name.text() or next_name(regions)
        try:
            if name not in {region.name for region in regions.classes}:
                regions = regions.with_class(RegionClass(name, next_colour(regions)))
            regions = region_edits.assigned(regions, name, spots, self.study.spots)
        except InputError as error:
            tell_error(error)
            return
        self.highlight.clear()  # first, for each map that is painted would fade anew
        self.study.regions = regions
        self.name.clear()

    # Pointing, both ways

    def _point_at(self, point: int) -> None:
        spot = int(self._spots[point]) if 0 <= point < len(self._spots) else -1
        if spot != self._pointed:
            self._pointed = spot
            self.canvas.mark(point)
            self._tell()
            self._rest.start()

    def _listen_to_the_tissue(self) -> None:
        viewer = self.session.viewer
        if viewer is not None:
            callbacks = viewer.mouse_move_callbacks
            callbacks.append(while_kept(self, self._on_tissue_pointed, callbacks.remove))

    def _on_tissue_pointed(self, viewer: Any, event: Any) -> None:
        """Mark the point of the spot that is under the pointer on the tissue."""
        layer = self.scene.map_on_top
        if not self.isVisible() or layer is None or not len(self._spots):
            return
        spot = layer.get_value(event.position, world=True)
        point = -1
        if spot is not None:
            place = int(np.searchsorted(self._spots, spot))
            if place < len(self._spots) and self._spots[place] == spot:
                point = place
        self.canvas.mark(point)
