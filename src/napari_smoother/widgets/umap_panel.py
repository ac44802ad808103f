"""The settings of a UMAP, the button that lays it out, and how far that is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QGroupBox, QHBoxLayout, QPushButton

from napari_smoother.study.plotted_embedding import sources_of
from napari_smoother.study.umap import Umap
from napari_smoother.widgets.page import form, listen, silent, text_label, wrapped_label
from napari_smoother.widgets.settings_form import SettingsForm
from napari_smoother.widgets.sliders import NumberSlider
from napari_smoother.widgets.status_line import Lamp

if TYPE_CHECKING:
    from napari_smoother.analyses.umap_settings import UmapSettings
    from napari_smoother.widgets.preview import Preview, Status

FIELDS: dict[str, dict[str, Any]] = {
    "neighbours": {"range": (2, 200)},
    "minimum_distance": {"editor": lambda: NumberSlider(0.0, 1.0)},
    "seed": {"range": (0, 9999)},
}
UNTRAINED = "Train the spatial autoencoder on the Reduce page first"


class UmapPanel(QGroupBox):
    """Lays an embedding out in a process beside the window, and stops at once.

    Parameters
    ----------
    preview
        Of the UMAP.
    """

    def __init__(self, preview: Preview) -> None:
        super().__init__("UMAP")
        self.preview = preview
        assert isinstance(preview.analysis, Umap)
        self.analysis = preview.analysis
        self.of = QComboBox()
        self.of.setAccessibleName("Embedding that is laid out")
        self.of.setToolTip("The embedding that is laid out in a plane; found first, if need be")
        self.form = SettingsForm(self.analysis.settings, FIELDS)
        self.neighbours, self.distance, self.seed = (self.form[name] for name in FIELDS)
        for name, widget in (
            ("Neighbours", self.neighbours),
            ("Minimum distance", self.distance),
            ("Seed", self.seed),
        ):
            widget.setAccessibleName(name)
        self.lay_out = QPushButton("Lay out")
        self.lay_out.setToolTip(
            "Lays the spots out with these settings, in a process beside the window. The first "
            "time takes some seconds more"
        )
        self.stop = QPushButton("Cancel")
        self.stop.setToolTip("Stops at once; the layout that was there before stays")
        self.lamp, self.text = Lamp(), wrapped_label()
        numbers, state = QHBoxLayout(), QHBoxLayout()
        numbers.addWidget(self.neighbours, 1)
        numbers.addWidget(text_label("seed"))
        numbers.addWidget(self.seed, 1)
        state.addWidget(self.lamp)
        state.addWidget(self.text, 1)
        state.addWidget(self.lay_out)
        state.addWidget(self.stop)
        rows = form()
        rows.addRow("Of", self.of)
        rows.addRow("Neighbours", numbers)
        rows.addRow("Minimum distance", self.distance)
        rows.addRow(state)
        self.setLayout(rows)

        self.of.activated.connect(lambda row: self._change("of", self.of.itemData(row)))
        self.form.valueChanged.connect(self._change)
        self.lay_out.clicked.connect(self._lay_out)
        self.stop.clicked.connect(preview.cancel)
        preview.status_changed.connect(self._show_status)
        preview.busy_changed.connect(self._show_busy)
        listen(self, self.analysis.settings_changed, self._show_settings)
        listen(self, self.analysis.study.section_changed, self.list_sources)
        for name in ("spatial_pca", "spatial_vae"):
            found_by = self.analysis.study.analyses.get(name)
            if found_by is not None:
                listen(self, found_by.result_changed, lambda: self._show_busy(preview.is_busy))
        self.list_sources()

    def list_sources(self) -> None:
        """Offer the embeddings of the section."""
        with silent(self.of):
            self.of.clear()
            for source, label in sources_of(self.analysis.study.section).items():
                if source.kind != "umap":
                    self.of.addItem(label, source)
        self._show_settings(self.analysis.settings)

    @property
    def missing(self) -> str:
        """Why nothing can be laid out; empty where something can."""
        of = self.analysis.settings.of
        if self.analysis.missing:
            return self.analysis.missing
        trained = self.analysis.study.analyses.get("spatial_vae")
        if of.kind == "autoencoder" and (trained is None or trained.result is None):
            return UNTRAINED
        return ""

    def _show_settings(self, settings: UmapSettings) -> None:
        self.form.setValue(settings)
        places = [self.of.itemData(row) for row in range(self.of.count())]
        with silent(self.of):
            if settings.of not in places:  # of another section
                self.of.addItem(settings.of.key, settings.of)
                places.append(settings.of)
            self.of.setCurrentIndex(places.index(settings.of))
        self._show_busy(self.preview.is_busy)

    def _change(self, field: str, value: Any) -> None:
        changed = {field: value}
        self.analysis.settings = replace(self.analysis.settings, **changed)

    def _lay_out(self) -> None:
        self.analysis.active = True
        self.preview.solve()

    def _show_busy(self, busy: bool) -> None:
        ready = self.analysis.study.section is not None and not self.missing
        self.lay_out.setEnabled(ready and not busy)
        self.stop.setEnabled(busy)
        self._show_status(self.preview.status)

    def _show_status(self, status: Status) -> None:
        missing = "" if self.preview.is_busy else self.missing
        self.lamp.show_kind("idle" if missing else status.kind)
        self.text.setText(missing or status.text)
