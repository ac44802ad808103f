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
    ExpressionSettings,
    ReductionSettings,
)
from napari_smoother.layers.embedding_map import EmbeddingMap
from napari_smoother.study.embedding import EmbeddingAnalysis
from napari_smoother.widgets.agreement_bars import AgreementBars
from napari_smoother.widgets.component_table import ComponentTable
from napari_smoother.widgets.page import Page, form, listen, silent
from napari_smoother.widgets.sliders import LogSlider, NumberSlider
from napari_smoother.widgets.training_panel import TrainingPanel

if TYPE_CHECKING:
    from napari_smoother.analyses.embedding_settings import EmbeddingSettings
    from napari_smoother.analyses.expression import GenesBy
    from napari_smoother.analyses.shown import EmbeddingPicture
    from napari_smoother.section import Section
    from napari_smoother.weights.precision import Process
    from napari_smoother.widgets.preview import Preview
    from napari_smoother.widgets.session import Session

PROCESSES: dict[str, Process] = {"ICAR": "icar", "ISAR": "isar"}
MAPS: dict[str, EmbeddingPicture] = {
    "One component": "component",
    "Three components as red, green, blue": "mixture",
    "Spatial domains": "domains",
}
GENES_BY: dict[str, GenesBy] = {"spatially variable": "spatial", "most variable": "variable"}
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
        self.genes = QSpinBox()
        self.genes.setRange(1, 1_000_000)
        self.genes.setSingleStep(500)
        self.genes.setKeyboardTracking(False)
        self.genes.setToolTip(
            "At most so many genes: those of largest Moran's I, which vary over the tissue, or "
            "those that vary between spots by most beyond counting"
        )
        self.genes_by = QComboBox()
        self.genes_by.addItems(list(GENES_BY))
        self.genes_by.setToolTip(
            "Spatially variable: largest Moran's I on the graph, best for domains. Most variable: "
            "largest variance of Pearson residuals, which knows nothing of the tissue"
        )
        self.scale = QCheckBox("unit variance")
        self.scale.setToolTip("Bring every gene to the same variance, so that none decides alone")
        self.components = QSpinBox()
        self.components.setRange(1, 100)
        self.components.setKeyboardTracking(False)
        self.components.setToolTip("Numbers kept of each spot")
        self.process = QComboBox()
        self.process.addItems(list(PROCESSES))
        self.process.setToolTip(
            "Spatial process of the prior: intrinsic conditional (ICAR) or simultaneous (ISAR) "
            "autoregression"
        )
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

        self.rho = NumberSlider(
            0.0, 1.0, decimals=3, tip="Autocorrelation of the prior, 0 (none) to 1 (intrinsic)"
        )
        self.lambda_ = LogSlider(
            1e-3, 10.0, tip="Penalty on components that vary between neighbours: 0 for none"
        )
        self.smoothing = LogSlider(
            1e-2,
            1e3,
            tip="Takes the noise off the scores of each spot (posterior mean under the prior): "
            "0 leaves every spot to itself",
        )
        self.chosen = QCheckBox("chosen")
        self.chosen.setToolTip(
            "Choose λ of scores by predicting spots that are left out, for domains; moving the "
            "slider takes it in hand"
        )
        self.live = QCheckBox("Live")
        self.live.setChecked(session.reduction.live)
        self.live.setToolTip("Solve again at every change")
        self.solve = QPushButton("Solve")
        self.solve.setToolTip("Solves from the canonical start with the present settings")
        smoothing = QGroupBox("Smoothing")
        self._rows = form()
        self._rows.addRow("ρ autocorrelation", self.rho)
        self._rows.addRow("λ of components", self.lambda_)
        self._scores_row = scores = QHBoxLayout()
        scores.addWidget(self.smoothing, 1)
        scores.addWidget(self.chosen)
        self._rows.addRow("λ of scores", scores)
        buttons = QHBoxLayout()
        buttons.addWidget(self.live)
        buttons.addStretch()
        buttons.addWidget(self.solve)
        self._rows.addRow(buttons)
        smoothing.setLayout(self._rows)
        self.training = TrainingPanel(session.autoencoder)

        self.map = QComboBox()
        self.map.addItems(list(MAPS))
        self.map.setToolTip("EmbeddingPicture is shown on the tissue")
        self.channels = tuple(QSpinBox() for _ in range(3))
        self.channel_row = QWidget()
        channels = QHBoxLayout(self.channel_row)
        channels.setContentsMargins(0, 0, 0, 0)
        for spin, prefix in zip(self.channels, ("red: ", "green: ", "blue: "), strict=True):
            spin.setMinimum(1)
            spin.setPrefix(prefix)
            spin.setToolTip("Component that gives this colour its strength")
            channels.addWidget(spin, 1)
        self._compared: tuple[list[int], list[float]] | None = None
        self.domains = QSpinBox()
        self.domains.setRange(0, 100)
        self.domains.setSpecialValueText("chosen")
        self.domains.setKeyboardTracking(False)
        self.domains.setToolTip(
            "How many domains to look for; 0 chooses the number, which takes some seconds"
        )
        self.agreement = AgreementBars()
        self.coupling = NumberSlider(
            0.0, 10.0, tip="How much neighbours like to be in one domain, in log odds"
        )
        shown = form()
        shown.addRow("Map", self.map)
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
        self.genes.valueChanged.connect(lambda number: self._change_data(n_genes=number))
        self.genes_by.currentTextChanged.connect(
            lambda name: self._change_data(genes_by=GENES_BY[name])
        )
        self.scale.toggled.connect(lambda scale: self._change_data(scale=scale))
        self.components.valueChanged.connect(lambda number: self._change(components=number))
        self.process.currentTextChanged.connect(lambda name: self._change(process=PROCESSES[name]))
        self.rho.valueChanged.connect(lambda rho: self._change(rho=rho))
        self.lambda_.valueChanged.connect(lambda lambda_: self._change(lambda_=lambda_))
        self.smoothing.valueChanged.connect(lambda lambda_: self._change(smoothing=lambda_))
        self.chosen.toggled.connect(
            lambda chosen: self._change(smoothing=None if chosen else self.smoothing.value())
        )
        self.domains.valueChanged.connect(
            lambda number: self._change_domains(number=number or None)
        )
        self.coupling.valueChanged.connect(
            lambda coupling: self._change_domains(coupling=coupling)
        )
        self.live.toggled.connect(self._change_live)
        self.solve.clicked.connect(lambda: session.reduction.solve())
        self.map.currentTextChanged.connect(self._change_map)
        for spin in self.channels:
            spin.valueChanged.connect(self._change_map)
        self.table.component_chosen.connect(self._choose_component)
        self.agreement.number_clicked.connect(self.domains.setValue)
        listen(self, self.study.section_changed, self._show_section)
        for preview in self.previews.values():
            listen(self, preview.analysis.settings_changed, self._show_settings)
            listen(self, preview.analysis.result_changed, self._show_result)
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
        self._rows.setRowVisible(self._scores_row, live)
        self.live.setVisible(live)
        self.solve.setVisible(live)
        self.training.setVisible(not live)
        with silent(self.map, *self.channels):
            self.map.setCurrentIndex(list(MAPS.values()).index(self.picture.shown.what))
            for spin, channel in zip(self.channels, self.picture.shown.channels, strict=True):
                spin.setMaximum(max(channel + 1, self.analysis.settings.components))
                spin.setValue(channel + 1)
        self._show_map_rows()
        self._show_settings()
        self._show_result()

    def _show_settings(self) -> None:
        settings: EmbeddingSettings = self.analysis.settings
        boxes = (self.data, self.process, self.genes, self.components, self.scale, self.domains)
        with silent(*boxes, self.genes_by, self.chosen, *self.channels):
            place = self.data.findData(settings.data.layer)
            if place < 0:  # of another section
                place = 0
                self.analysis.settings = replace(settings, data=ExpressionSettings())
            of_counts = isinstance(settings, AutoencoderSettings) and (
                settings.likelihood != "normal"
            )
            self.data.setItemText(0, COUNTS if of_counts else NORMALISED)
            self.scale.setEnabled(not of_counts)
            self.data.setCurrentIndex(place)
            self.process.setCurrentIndex(list(PROCESSES.values()).index(settings.process))
            self.genes.setValue(settings.data.n_genes)
            self.scale.setChecked(settings.data.scale)
            self.components.setValue(settings.components)
            self.genes_by.setCurrentIndex(list(GENES_BY.values()).index(settings.data.genes_by))
            self.domains.setValue(settings.domains.number or 0)
            if isinstance(settings, ReductionSettings):
                self.chosen.setChecked(settings.smoothing is None)
            for spin in self.channels:
                spin.setMaximum(settings.components)
        sliders = [
            (self.rho, settings.rho),
            (self.lambda_, settings.lambda_),
            (self.coupling, settings.domains.coupling),
        ]
        if isinstance(settings, ReductionSettings) and settings.smoothing is not None:
            sliders.append((self.smoothing, settings.smoothing))
        for slider, value in sliders:
            if slider.value() != value:
                slider.show_number(value)

    def _show_result(self) -> None:
        picture = self.picture
        selected = picture.shown.component if picture.shown.what == "component" else None
        result = self.analysis.result
        self.table.show_embedding(result, selected)
        if result is not None and self.chosen.isChecked() and "smoothing" in result.report:
            self.smoothing.show_number(result.report["smoothing"])
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
