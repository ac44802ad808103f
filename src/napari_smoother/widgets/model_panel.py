"""Which model explains a spot's expression, and what data it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from qtpy.QtWidgets import QComboBox, QGroupBox, QHBoxLayout, QLabel, QWidget

from napari_smoother.models.deconv.catalogue import MODELS, SectionScale, TubeLoss
from napari_smoother.models.deconv.composition import Shares
from napari_smoother.models.deconv.preparation import GeneWeights
from napari_smoother.widgets.page import follow_recipe, form, listen, silent
from napari_smoother.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.models.deconv.catalogue import ModelName
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.study.study import Study

SCALES: dict[SectionScale, str] = {
    "counts": "counts per 10,000",
    "log1p": "log1p of counts per 10,000",
    "raw": "raw counts",
}
WEIGHTS: dict[GeneWeights, str] = {
    "within_type": "By noise, learnt from cells and section",
    "inverse_variance": "Inverse variance",
    "inverse_mean": "Inverse mean",
    "none": "All genes alike",
}
SHARES: dict[Shares, str] = {"cells": "Shares of cells", "rna": "Shares of RNA"}
WITHOUT_CELLS: dict[str, str] = {
    "within_type": "Noise as the mean (no counted cells)",
    "cells": "Shares of RNA (no counted cells)",
}
"""What is done in place of these."""
LOSSES: dict[TubeLoss, str] = {"l2": "squared (l2)", "l1": "absolute (l1)"}
FIELDS: dict[str, dict[str, Any]] = {
    "tube_loss": {"choices": LOSSES},
    "nonneg": {"text": "Not negative"},
    "scale": {"choices": SCALES},
    "gene_weights": {"choices": WEIGHTS},
    "shares": {"choices": SHARES},
}
TIPS: dict[ModelName, str] = {
    "nnls": "Squared differences, abundances not below zero. Follows the sliders at once",
    "linear_regression": "Squared differences; abundances may be negative, and count as zero in "
    "proportions. Follows the sliders at once",
    "dwls": "Squared differences, each gene of each spot weighing less the higher it is",
    "nusvr": "Differences inside a tube cost nothing: robust against genes that do not fit",
    "lognormreg": "Squared differences of log counts. Not convex: ends at a stationary point, "
    "not necessarily the lowest",
    "poisson": "The likelihood of counts, given the depth of each spot",
}


class ModelPanel(QGroupBox):
    """The model, its data and its genes; live, as everything on the page.

    Parameters
    ----------
    study
        Whose settings it shows and changes.
    """

    def __init__(self, study: Study, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self.study = study
        self.model = QComboBox()
        for name, facts in MODELS.items():
            self.model.addItem(facts.title, name)
        self.form = SettingsForm(study.deconvolution, FIELDS)
        self.tube_loss, self.nonneg, self.scale, self.weights, self.shares = (
            self.form[name] for name in FIELDS
        )
        self.tube = QWidget()
        tube = QHBoxLayout(self.tube)
        tube.setContentsMargins(0, 0, 0, 0)
        tube.addWidget(self.tube_loss, 1)
        tube.addWidget(self.nonneg)
        self.tube_label = QLabel("Loss")
        rows = form()
        rows.addRow("Model", self.model)
        rows.addRow(self.tube_label, self.tube)
        rows.addRow("Data", self.scale)
        rows.addRow("Genes", self.weights)
        rows.addRow("Result", self.shares)
        self.setLayout(rows)

        self.model.currentIndexChanged.connect(self._change_model)
        self.form.valueChanged.connect(lambda field, value: self._change(**{field: value}))
        follow_recipe(self, study, self.show_settings)
        listen(self, study.reference_changed, self._show_reference)
        self.show_settings(study.recipe)
        self._show_reference(study.reference)

    def show_settings(self, recipe: Recipe) -> None:
        """Show the model of a study and what it can be given."""
        chosen = recipe.deconvolution
        facts = MODELS[chosen.model]
        with silent(self.model):
            self.model.setCurrentIndex(self.model.findData(chosen.model))
        self.form.offer("scale", {scale: SCALES[scale] for scale in facts.scales})
        self.form.setValue(chosen)
        self.model.setToolTip(f"{TIPS[chosen.model]}. {facts.accuracy}")
        self.scale.setEnabled(len(facts.scales) > 1)
        self.scale.setToolTip(
            "Scale of the data that the signature is fitted on"
            if len(facts.scales) > 1
            else "The tube has one width for all genes, so they are compared as logarithms"
            if facts.chooses_bound
            else "This model is one of counts as they were counted"
        )
        self.tube.setVisible(facts.chooses_bound)
        self.tube_label.setVisible(facts.chooses_bound)

    def _show_reference(self, reference: Reference | None) -> None:
        """Only counted cells tell noise within types, and how much RNA a cell holds."""
        has_cells = reference is None or reference.spread is not None
        self.shares.setEnabled(has_cells)
        for box, names in ((self.shares, SHARES), (self.weights, WEIGHTS)):
            value, name = next(iter(names.items()))
            with silent(box):
                box.setItemText(0, name if has_cells else WITHOUT_CELLS[value])

    def _change_model(self) -> None:
        self.study.deconvolution = self.study.deconvolution.with_model(self.model.currentData())

    def _change(self, **changes: Any) -> None:
        self.study.deconvolution = replace(self.study.deconvolution, **changes)


assert set(SCALES) == set(get_args(SectionScale))
assert set(WEIGHTS) == set(get_args(GeneWeights))
assert set(SHARES) == set(get_args(Shares))
assert set(LOSSES) == set(get_args(TubeLoss))
