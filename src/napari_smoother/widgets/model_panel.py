"""Which model explains a spot's expression, and what data it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from qtpy.QtWidgets import QCheckBox, QComboBox, QGroupBox, QHBoxLayout, QLabel, QWidget

from napari_smoother.models.deconv.catalogue import MODELS, SectionScale, TubeLoss
from napari_smoother.models.deconv.composition import Shares
from napari_smoother.models.deconv.preparation import GeneWeights
from napari_smoother.widgets.page import form, listen, silent

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
WEIGHTS: dict[str, GeneWeights] = {
    "By noise, learnt from cells and section": "within_type",
    "Inverse variance": "inverse_variance",
    "Inverse mean": "inverse_mean",
    "All genes alike": "none",
}
SHARES: dict[str, Shares] = {"Shares of cells": "cells", "Shares of RNA": "rna"}
WITHOUT_CELLS: dict[str, str] = {
    "within_type": "Noise as the mean (no counted cells)",
    "cells": "Shares of RNA (no counted cells)",
}
"""What is done in place of these."""
LOSSES: dict[str, TubeLoss] = {"squared (l2)": "l2", "absolute (l1)": "l1"}
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
        self.tube_loss = QComboBox()
        self.tube_loss.addItems(list(LOSSES))
        self.tube_loss.setToolTip(
            "What differences outside the tube cost: their square, or their size, which is more "
            "robust and takes longer"
        )
        self.nonneg = QCheckBox("Not negative")
        self.nonneg.setToolTip("Keep abundances from going below zero")
        self.tube = QWidget()
        tube = QHBoxLayout(self.tube)
        tube.setContentsMargins(0, 0, 0, 0)
        tube.addWidget(self.tube_loss, 1)
        tube.addWidget(self.nonneg)
        self.tube_label = QLabel("Loss")
        self.scale = QComboBox()
        self.weights = QComboBox()
        self.weights.addItems(list(WEIGHTS))
        self.weights.setToolTip(
            "How much each gene counts in the fit. By noise: counting, the spread of cells within "
            "their type, and what the section adds, with a signature adjusted to the section; a "
            "signature table has no cells, and log1p does not take it: there genes count by their "
            "inverse mean"
        )
        self.shares = QComboBox()
        self.shares.addItems(list(SHARES))
        self.shares.setToolTip(
            "Shares of cells: RNA divided by the mean total of a cell of each type, which the "
            "cells of the reference tell. Shares of RNA: a type with large cells has more of it. "
            "A signature table has no cells, so its shares are always of RNA"
        )
        rows = form()
        rows.addRow("Model", self.model)
        rows.addRow(self.tube_label, self.tube)
        rows.addRow("Data", self.scale)
        rows.addRow("Genes", self.weights)
        rows.addRow("Result", self.shares)
        self.setLayout(rows)

        self.model.currentIndexChanged.connect(self._change_model)
        self.tube_loss.currentTextChanged.connect(
            lambda name: self._change(tube_loss=LOSSES[name])
        )
        self.nonneg.toggled.connect(lambda nonneg: self._change(nonneg=nonneg))
        self.scale.currentIndexChanged.connect(
            lambda row: self._change(scale=self.scale.itemData(row))
        )
        self.weights.currentIndexChanged.connect(
            lambda row: self._change(gene_weights=list(WEIGHTS.values())[row])
        )
        self.shares.currentIndexChanged.connect(
            lambda row: self._change(shares=list(SHARES.values())[row])
        )
        listen(self, study.recipe_changed, self.show_settings)
        listen(self, study.reference_changed, self._show_reference)
        self.show_settings(study.recipe)
        self._show_reference(study.reference)

    def show_settings(self, recipe: Recipe) -> None:
        """Show the model of a study and what it can be given."""
        chosen = recipe.deconvolution
        facts = MODELS[chosen.model]
        boxes = (self.model, self.tube_loss, self.scale, self.weights, self.shares)
        with silent(*boxes, self.nonneg):
            self.model.setCurrentIndex(self.model.findData(chosen.model))
            self.tube_loss.setCurrentIndex(list(LOSSES.values()).index(chosen.tube_loss))
            self.nonneg.setChecked(chosen.nonneg)
            if [self.scale.itemData(row) for row in range(self.scale.count())] != [*facts.scales]:
                self.scale.clear()
                for scale in facts.scales:
                    self.scale.addItem(SCALES[scale], scale)
            self.scale.setCurrentIndex(self.scale.findData(chosen.scale))
            self.weights.setCurrentIndex(list(WEIGHTS.values()).index(chosen.gene_weights))
            self.shares.setCurrentIndex(list(SHARES.values()).index(chosen.shares))
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
            name, value = next(iter(names.items()))
            with silent(box):
                box.setItemText(0, name if has_cells else WITHOUT_CELLS[value])

    def _change_model(self) -> None:
        self.study.deconvolution = self.study.deconvolution.with_model(self.model.currentData())

    def _change(self, **changes: Any) -> None:
        self.study.deconvolution = replace(self.study.deconvolution, **changes)


assert set(SCALES) == set(get_args(SectionScale))
assert set(WEIGHTS.values()) == set(get_args(GeneWeights))
assert set(SHARES.values()) == set(get_args(Shares))
assert set(LOSSES.values()) == set(get_args(TubeLoss))
