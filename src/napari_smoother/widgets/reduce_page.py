"""The Reduce page: components, three of them as colours, and spatial domains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.embedding_settings import (
    AutoencoderSettings,
    ReductionSettings,
)
from napari_smoother.layers.embedding_map import EmbeddingMap
from napari_smoother.study.embedding import EmbeddingAnalysis
from napari_smoother.widgets.agreement_bars import AgreementBars
from napari_smoother.widgets.component_table import ComponentTable
from napari_smoother.widgets.page import Page, follow_recipe, form, listen, silent
from napari_smoother.widgets.settings_form import PRIOR, SettingsForm
from napari_smoother.widgets.sliders import LogSlider, NumberSlider
from napari_smoother.widgets.training_panel import TrainingPanel

if TYPE_CHECKING:
    from napari_smoother.analyses.embedding_settings import EmbeddingSettings
    from napari_smoother.analyses.shown import EmbeddingPicture
    from napari_smoother.section import Section
    from napari_smoother.widgets.preview import Preview
    from napari_smoother.widgets.session import Session

MAPS: dict[str, EmbeddingPicture] = {
    "One component": "component",
    "Three components as red, green, blue": "mixture",
    "Spatial domains": "domains",
}
EMBEDDING: dict[str, dict[str, Any]] = {"components": {"range": (1, 100)}, **PRIOR}
DATA: dict[str, dict[str, Any]] = {
    "n_genes": {"range": (1, 1_000_000), "step": 500},
    "genes_by": {
        "choices": {"spatial": "spatially variable", "variable": "most variable"},
        "tooltip": "Spatially variable: largest Moran's I on the graph, best for domains. Most "
        "variable: largest variance of Pearson residuals, which knows nothing of the tissue",
    },
    "scale": {"text": "unit variance"},
}
SCORES: dict[str, dict[str, Any]] = {
    "smoothing": {
        "editor": lambda: LogSlider(1e-2, 1e3),
        "text": "chosen",
        "tooltip": "Takes the noise off the scores of each spot (posterior mean under the prior): "
        "0 leaves every spot to itself. Chosen: for domains, by predicting left-out spots",
    },
}
DOMAINS: dict[str, dict[str, Any]] = {
    "number": {
        "range": (1, 100),
        "text": "chosen",
        "tooltip": "How many domains to look for; 0 chooses the number, which takes some seconds",
    },
    "coupling": {"editor": lambda: NumberSlider(0.0, 10.0)},
}
PLUGIN, SCATTER = "napari-smoother", "Smoother · Embedding"
"""As the manifest has them."""

NORMALISED = "log1p of counts per 10,000"
COUNTS = "counts"
"""In its place for likelihoods of counts."""


class ReducePage(Page):
    """Finds few numbers a spot that hold what many genes say, and domains on them."""

    title = "Reduce"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.previews: dict[str, Preview] = {
            "Spatial PCA": session.reduction,
            "Spatial VAE": session.autoencoder,
        }
        self.method = QComboBox()
        self.method.addItems(list(self.previews))
        self.method.setToolTip(
            "Spatial PCA: principal components that vary smoothly, exact and live. Spatial VAE: "
            "an autoencoder with a spatial loss, trained when you press Train"
        )
        self.data = QComboBox()
        self.data.setToolTip("Values that are reduced")
        settings = session.reduction.analysis.settings
        self.embedding = SettingsForm(settings, EMBEDDING)
        self.components, self.process, self.rho, self.lambda_ = (
            self.embedding[name] for name in EMBEDDING
        )
        self.values = SettingsForm(settings.data, DATA)
        self.genes, self.genes_by, self.scale = (self.values[name] for name in DATA)
        self.scores = SettingsForm(settings, SCORES)
        self.smoothing = self.scores["smoothing"]
        self.on_embedding = SettingsForm(settings.domains, DOMAINS)
        self.domains, self.coupling = (self.on_embedding[name] for name in DOMAINS)
        model = QGroupBox("Model")
        rows = form()
        genes = QHBoxLayout()
        genes.addWidget(self.genes, 1)
        genes.addWidget(self.genes_by, 1)
        rows.addRow("Method", self.method)
        rows.addRow("Data", self.data)
        rows.addRow("Genes", genes)
        rows.addRow("Scaling", self.scale)
        rows.addRow("Components", self.components)
        rows.addRow("Process", self.process)
        model.setLayout(rows)

        self.live = QCheckBox("Live")
        self.live.setChecked(session.reduction.live)
        self.live.setToolTip("Solve again at every change")
        self.solve = QPushButton("Solve")
        self.solve.setToolTip("Solves from the canonical start with the present settings")
        smoothing = QGroupBox("Smoothing")
        self._rows = form()
        self._rows.addRow("ρ autocorrelation", self.rho)
        self._rows.addRow("λ of components", self.lambda_)
        self._rows.addRow("λ of scores", self.smoothing)
        buttons = QHBoxLayout()
        buttons.addWidget(self.live)
        buttons.addStretch()
        buttons.addWidget(self.solve)
        self._rows.addRow(buttons)
        smoothing.setLayout(self._rows)
        self.training = TrainingPanel(session.autoencoder)

        self.map = QComboBox()
        self.map.addItems(list(MAPS))
        self.map.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.map.setMinimumContentsLength(10)
        self.map.setToolTip("What is shown on the tissue")
        self.channels = tuple(QSpinBox() for _ in range(3))
        self.channel_row = QWidget()
        channels = QHBoxLayout(self.channel_row)
        channels.setContentsMargins(0, 0, 0, 0)
        for spin, prefix in zip(self.channels, ("red: ", "green: ", "blue: "), strict=True):
            spin.setMinimum(1)
            spin.setPrefix(prefix)
            spin.setToolTip("Component that gives this colour its strength")
            channels.addWidget(spin, 1)
        self.scatter = QPushButton("Scatter…")
        self.scatter.setToolTip(
            "Opens the Embedding dock: components or a UMAP as a scatter, to circle spots in"
        )
        self._compared: tuple[list[int], list[float]] | None = None
        self.agreement = AgreementBars()
        shown = form()
        map_row = QHBoxLayout()
        map_row.addWidget(self.map, 1)
        map_row.addWidget(self.scatter)
        shown.addRow("Map", map_row)
        shown.addRow("Channels", self.channel_row)
        shown.addRow("Domains", self.domains)
        shown.addRow("Agreement", self.agreement)
        shown.addRow("Coupling", self.coupling)
        self._shown_rows = shown
        self.table = ComponentTable()

        layout = QVBoxLayout(self)
        layout.addWidget(model)
        layout.addWidget(smoothing)
        layout.addWidget(self.training)
        layout.addLayout(shown)
        layout.addWidget(self.table, 1)

        self.method.currentTextChanged.connect(self._change_method)
        self.data.currentIndexChanged.connect(
            lambda row: self._change_data(layer=self.data.itemData(row))
        )
        self.values.valueChanged.connect(lambda field, value: self._change_data(**{field: value}))
        for of_embedding in (self.embedding, self.scores):
            of_embedding.valueChanged.connect(lambda field, value: self._change(**{field: value}))
        self.on_embedding.valueChanged.connect(
            lambda field, value: self._change_domains(**{field: value})
        )
        self.live.toggled.connect(self._change_live)
        self.solve.clicked.connect(lambda: session.reduction.solve())
        self.map.currentTextChanged.connect(self._change_map)
        self.scatter.clicked.connect(self._open_scatter)
        for spin in self.channels:
            spin.valueChanged.connect(self._change_map)
        self.table.component_chosen.connect(self._choose_component)
        self.agreement.number_clicked.connect(self.domains.setValue)
        listen(self, self.study.section_changed, self._show_section)
        for preview in self.previews.values():
            listen(self, preview.analysis.settings_changed, self._show_settings)
            listen(self, preview.analysis.result_changed, self._show_result)
        follow_recipe(self, self.study, lambda recipe: self._show_recipe())
        self._list_data(self.study.section)
        self._show_method()

    @property
    def analysis(self) -> EmbeddingAnalysis[Any]:
        """The analysis of the method that is chosen."""
        analysis = self.previews[self.method.currentText()].analysis
        assert isinstance(analysis, EmbeddingAnalysis)
        return analysis

    @property
    def picture(self) -> EmbeddingMap:
        """The map of the method that is chosen."""
        picture = self.scene.maps[self.analysis.name]
        assert isinstance(picture, EmbeddingMap)
        return picture

    def enter(self) -> None:
        """Show the embedding, and from now on keep it up to date."""
        if self.study.section is not None:
            self.scene.show_stage(self.analysis.name)
            self.analysis.active = True

    def _show_section(self, section: Section | None) -> None:
        self._list_data(section)
        self._show_settings()
        if self.isVisible():
            self.enter()

    def _list_data(self, section: Section | None) -> None:
        with silent(self.data):
            self.data.clear()
            self.data.addItem(NORMALISED, None)
            self.data.addItem("X as it is", "X")
            for layer in section.adata.layers if section is not None else ():
                self.data.addItem(f"layer {layer} as it is", layer)

    def _change_method(self) -> None:
        self._show_method()
        self.enter()

    def _show_method(self) -> None:
        live = self.previews[self.method.currentText()] is self.session.reduction
        self._rows.setRowVisible(self.smoothing, live)
        self.live.setVisible(live)
        self.solve.setVisible(live)
        self.training.setVisible(not live)
        self._show_picture()
        self._show_settings()

    def _show_picture(self) -> None:
        shown = self._picture_shown = self.picture.shown
        with silent(self.map, *self.channels):
            self.map.setCurrentIndex(list(MAPS.values()).index(shown.what))
            for spin, channel in zip(self.channels, shown.channels, strict=True):
                spin.setMaximum(max(channel + 1, self.analysis.settings.components))
                spin.setValue(channel + 1)
        self._show_map_rows()
        self._show_result()

    def _show_recipe(self) -> None:
        if self.picture.shown != self._picture_shown:
            self._show_picture()

    def _show_settings(self) -> None:
        settings: EmbeddingSettings = self.analysis.settings
        place = self.data.findData(settings.data.layer)
        if place < 0:  # of another section
            self._change_data(layer=None)
            return  # shown by that
        of_counts = isinstance(settings, AutoencoderSettings) and settings.likelihood != "normal"
        self.data.setItemText(0, COUNTS if of_counts else NORMALISED)
        with silent(self.data, *self.channels):
            self.data.setCurrentIndex(place)
            for spin in self.channels:
                spin.setMaximum(settings.components)
        self.embedding.setValue(settings)
        self.values.setValue(settings.data)
        self.scale.setEnabled(not of_counts)
        self.on_embedding.setValue(settings.domains)
        if isinstance(settings, ReductionSettings):
            self.scores.setValue(settings)

    def _show_result(self) -> None:
        picture = self.picture
        selected = picture.shown.component if picture.shown.what == "component" else None
        result = self.analysis.result
        self.table.show_embedding(result, selected)
        if result is not None and "smoothing" in result.report:
            self.smoothing.suggest(result.report["smoothing"])
        self._show_agreement()

    def _show_map_rows(self) -> None:
        what = MAPS[self.map.currentText()]
        self._shown_rows.setRowVisible(self.channel_row, what == "mixture")
        self._shown_rows.setRowVisible(self.domains, what == "domains")
        self._shown_rows.setRowVisible(self.coupling, what == "domains")
        self._show_agreement()

    def _show_agreement(self) -> None:
        """Draw by what the number of domains was chosen, and keep it when another is taken."""
        result = self.analysis.result
        report = result.report if result is not None else {}
        if "agreement" in report:
            self._compared = (report["numbers"], report["agreement"])
        elif result is None:
            self._compared = None
        if self._compared is not None and "n_domains" in report:
            self.agreement.show_agreement(*self._compared, in_use=report["n_domains"])
        on_domains = MAPS[self.map.currentText()] == "domains"
        self._shown_rows.setRowVisible(self.agreement, on_domains and self._compared is not None)

    def _change(self, **changes: Any) -> None:
        self.analysis.settings = replace(self.analysis.settings, **changes)

    def _change_data(self, **changes: Any) -> None:
        self._change(data=replace(self.analysis.settings.data, **changes))

    def _change_domains(self, **changes: Any) -> None:
        self._change(domains=replace(self.analysis.settings.domains, **changes))

    def _change_live(self, live: bool) -> None:
        self.session.reduction.live = live

    def _open_scatter(self) -> None:
        viewer = self.session.viewer
        if viewer is not None:
            dock, _ = viewer.window.add_plugin_dock_widget(PLUGIN, SCATTER, tabify=True)
            dock.show()
            dock.raise_()

    def _choose_component(self, number: int) -> None:
        with silent(self.map):
            self.map.setCurrentIndex(list(MAPS.values()).index("component"))
        self._show_map_rows()
        self.picture.show_component(number)

    def _change_map(self) -> None:
        picture = self.picture
        self._show_map_rows()
        what = MAPS[self.map.currentText()]
        if what == "component":
            picture.show_component(picture.shown.component)
        elif what == "mixture":
            red, green, blue = (spin.value() - 1 for spin in self.channels)
            picture.show_mixture((red, green, blue))
        else:
            picture.show_domains()
            self._change_domains(find=True)
        self._show_result()
