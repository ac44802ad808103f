"""The Impute page: one gene smoothed over the tissue, seen against its raw values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.gene_values import SCALE, gene_names
from napari_smoother.analyses.imputation_settings import MOST_HELD_OUT
from napari_smoother.analyses.imputed import NAME
from napari_smoother.analyses.observed_spots import class_columns
from napari_smoother.layers.imputation_map import ImputationMap
from napari_smoother.study.imputation import Imputation
from napari_smoother.widgets.page import Page, follow_recipe, form, listen, silent, wrapped_label
from napari_smoother.widgets.raw_against_smoothed import RawAgainstSmoothed
from napari_smoother.widgets.search_box import SearchBox
from napari_smoother.widgets.settings_form import PRIOR, SettingsForm
from napari_smoother.widgets.sliders import ExactField

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_smoother.analyses.imputation_settings import ImputationSettings
    from napari_smoother.analyses.imputed import Imputed
    from napari_smoother.analyses.shown import ImputationPicture
    from napari_smoother.models.deconv.gene_names import GeneNames
    from napari_smoother.section import Section
    from napari_smoother.widgets.preview import Preview
    from napari_smoother.widgets.session import Session

NO_GENE = "(type a gene)"
NO_COLUMN = "(none)"
FIELDS: dict[str, dict[str, Any]] = {
    **PRIOR,
    "fixed": {"choices": {False: "Smoothed", True: "Kept, only others filled in"}},
    "nonneg": {"text": "Not below zero"},
    "seed": {"range": (0, 9999)},
    "denser": {"text": "Denser grid, ×"},
    "factor": {"editor": lambda: ExactField(1.5, 10.0)},
}
MAPS: dict[ImputationPicture, tuple[str, str]] = {
    "raw": ("Raw", "The gene as it was measured"),
    "smoothed": ("Smoothed", "The gene after smoothing, in the colours of the raw one"),
    "both": ("Side by side", "Raw at the left, smoothed at the right, in the same colours"),
    "difference": ("Difference", "Smoothed minus raw"),
}
NOT_OBSERVED = ("False", "0", "no", "No")
"""Classes that say that a spot was not observed: the first guess at what to hide."""


def imputation_of(session: Session) -> tuple[Imputation, ImputationMap, Preview]:
    """Return the imputation of a session, its map, and what keeps it up to date."""
    if NAME not in session.analyses:
        session.add_analysis(Imputation(session.study), ImputationMap)
    analysis = session.study.analyses[NAME]
    shown_by: Any = session.scene.maps[NAME]
    return cast("Imputation", analysis), cast("ImputationMap", shown_by), session.analyses[NAME]


class ImputePage(Page):
    """Smooths a gene, live, and holds spots out to show how far to trust that."""

    title = "Impute"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.analysis, self.map, self.preview = imputation_of(session)
        self._genes: GeneNames | None = None
        self._classes: dict[str, tuple[str, ...]] = {}
        self._listed: Section | None = None

        self.form = SettingsForm(self.analysis.settings, FIELDS)
        self.process, self.rho, self.lambda_ = (self.form[name] for name in PRIOR)
        self.observed, self.nonneg, self.seed, self.denser, self.factor = (
            self.form[name] for name in FIELDS if name not in PRIOR
        )
        self.gene = SearchBox("gene")
        self.gene.setToolTip(
            "Type a part of the symbol or identifier and choose, or press Enter; "
            f"values are {SCALE}"
        )
        chosen = form()
        chosen.addRow("Gene", self.gene)
        chosen.addRow(self.gene.complaint)

        self.facts = wrapped_label()
        self.plot = RawAgainstSmoothed()
        layout = QVBoxLayout(self)
        layout.addLayout(chosen)
        layout.addWidget(self._map_group())
        layout.addWidget(self._smoothing_group())
        layout.addWidget(self._hiding_group())
        layout.addWidget(self.facts)
        layout.addWidget(self.plot)
        layout.addStretch()

        self.gene.name_chosen.connect(self._choose_gene)
        self.form.valueChanged.connect(lambda field, value: self._set(**{field: value}))
        self.column.currentTextChanged.connect(self._choose_column)
        self.hidden_class.currentTextChanged.connect(lambda name: self._set(hidden_class=name))
        self.held_out.valueChanged.connect(lambda percent: self._set(held_out=percent / 100))
        self.live.toggled.connect(self._change_live)
        self.solve.clicked.connect(self.preview.solve)
        self.own_limits.toggled.connect(lambda own: self.map.change(own_limits=own))
        self.hold.pressed.connect(lambda: self._hold_raw(True))
        self.hold.released.connect(lambda: self._hold_raw(False))
        listen(self, self.study.section_changed, self._show_section)
        follow_recipe(self, self.study, lambda recipe: self._show_picture())
        listen(self, self.analysis.settings_changed, self._show_settings)
        listen(self, self.analysis.result_changed, self._show_result)
        self._show_section(self.study.section)
        self._show_picture()
        self._show_settings(self.analysis.settings)
        self._show_result(self.analysis.result)

    def _map_group(self) -> QGroupBox:
        self.maps = QButtonGroup(self)
        self.map_buttons: dict[ImputationPicture, QPushButton] = {}
        buttons = QHBoxLayout()
        buttons.setSpacing(2)
        for shown, (name, tip) in MAPS.items():
            button = QPushButton(name)
            button.setCheckable(True)
            button.setToolTip(tip)
            button.clicked.connect(lambda checked, shown=shown: self.map.change(what=shown))
            self.maps.addButton(button)
            self.map_buttons[shown] = button
            buttons.addWidget(button)
        self._before_raw = self.map.shown
        self.hold = QPushButton("Hold to see raw")
        self.hold.setToolTip("Shows the raw gene for as long as the button is held")
        self.own_limits = QCheckBox("Own colour limits")
        self.own_limits.setToolTip(
            "Spreads the colours over the smoothed values; otherwise raw and smoothed share the "
            "limits of the raw ones. Side by side they always do"
        )
        second = QHBoxLayout()
        second.addWidget(self.own_limits)
        second.addStretch()
        second.addWidget(self.hold)
        self.factor.setSingleStep(0.5)
        third = QHBoxLayout()
        third.addWidget(self.denser)
        third.addWidget(self.factor)
        third.addStretch()
        group = QGroupBox("Map")
        rows = QVBoxLayout(group)
        for row in (buttons, second, third):
            rows.addLayout(row)
        return group

    def _smoothing_group(self) -> QGroupBox:
        self.live = QCheckBox("Live")
        self.live.setChecked(self.preview.live)
        self.live.setToolTip("Smooth again at every change")
        self.solve = QPushButton("Solve")
        self.solve.setToolTip("Smooths with the present settings")
        buttons = QHBoxLayout()
        buttons.addWidget(self.nonneg)
        buttons.addStretch()
        buttons.addWidget(self.live)
        buttons.addWidget(self.solve)
        group = QGroupBox("Smoothing")
        rows = form()
        rows.addRow("Observed spots", self.observed)
        rows.addRow("Process", self.process)
        rows.addRow("ρ autocorrelation", self.rho)
        rows.addRow("λ smoothness", self.lambda_)
        rows.addRow(buttons)
        group.setLayout(rows)
        return group

    def _hiding_group(self) -> QGroupBox:
        self.column, self.hidden_class = QComboBox(), QComboBox()
        self.column.setToolTip("An obs column of classes or truth values")
        self.hidden_class.setToolTip(
            "Spots of this class are hidden, and predicted from the others"
        )
        for box in (self.column, self.hidden_class):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(6)
        where = QHBoxLayout()
        where.addWidget(self.column, 3)
        where.addWidget(QLabel("is"))
        where.addWidget(self.hidden_class, 2)
        self.held_out = QSpinBox()
        self.held_out.setRange(0, round(100 * MOST_HELD_OUT))
        self.held_out.setSuffix(" %")
        self.held_out.setKeyboardTracking(False)
        self.held_out.setToolTip(
            "Share of the other spots to hide at random, to see how well they are predicted"
        )
        share = QHBoxLayout()
        share.addWidget(self.held_out, 1)
        share.addWidget(QLabel("seed"))
        share.addWidget(self.seed, 1)
        group = QGroupBox("Hide spots from the smoothing")
        rows = form()
        rows.addRow("Where", where)
        rows.addRow("At random", share)
        group.setLayout(rows)
        return group

    # The study tells

    def enter(self) -> None:
        """Show the smoothed gene: the one of the Data page, if none was chosen here."""
        view = self.scene.shown.view
        if not self.analysis.settings.gene and view is not None and view.source == "gene":
            self.analysis.settings = replace(self.analysis.settings, gene=view.key)
        self._come_forward()

    def showEvent(self, event: QShowEvent) -> None:
        """List genes and columns once they can be seen."""
        super().showEvent(event)
        self._list_names()

    def _show_section(self, section: Section | None) -> None:
        settings = self.analysis.settings
        if settings.gene and (section is None or settings.gene not in section.adata.var_names):
            settings = replace(settings, gene="")
        if settings.hidden_column:
            classes = {} if section is None else class_columns(section)
            if settings.hidden_class not in classes.get(settings.hidden_column, ()):
                settings = replace(settings, hidden_column="", hidden_class="")
        self.analysis.settings = settings
        self.setEnabled(section is not None)
        self.facts.setText("")
        if self.isVisible():
            self._list_names()

    def _list_names(self) -> None:
        section = self.study.section
        if section is self._listed:
            return
        self._listed = section
        self._genes = None if section is None else gene_names(section)
        self._classes = {} if section is None else class_columns(section)
        with silent(self.gene, self.column):
            if self._genes is None:
                self.gene.list_names([NO_GENE])
            else:
                others = (self._genes.rows, *self._genes.others)
                self.gene.list_names(
                    [NO_GENE, *self._genes.shown], [("", *kind) for kind in others]
                )
            self.column.clear()
            self.column.addItems([NO_COLUMN, *self._classes])
        self._show_settings(self.analysis.settings)

    def _show_settings(self, chosen: ImputationSettings) -> None:
        self.form.setValue(chosen)
        with silent(self.gene, self.column, self.hidden_class, self.held_out):
            if (self._find(self.gene.chosen) or "") != chosen.gene or not chosen.gene:
                self.gene.show_chosen(self._label(chosen.gene) or NO_GENE)
            self.column.setCurrentText(chosen.hidden_column or NO_COLUMN)
            self._list_classes(chosen.hidden_column)
            self.hidden_class.setCurrentText(chosen.hidden_class)
            self.held_out.setValue(round(100 * chosen.held_out))
        self.lambda_.setEnabled(not chosen.fixed)
        self.factor.setEnabled(chosen.denser)
        self.hidden_class.setEnabled(bool(chosen.hidden_column))
        self.seed.setEnabled(chosen.held_out > 0)
        self.solve.setEnabled(bool(chosen.gene))

    def _list_classes(self, column: str) -> None:
        names = self._classes.get(column, ())
        if [self.hidden_class.itemText(i) for i in range(self.hidden_class.count())] != [*names]:
            self.hidden_class.clear()
            self.hidden_class.addItems(list(names))

    def _show_result(self, imputed: Imputed | None) -> None:
        self.facts.setText("" if imputed is None else describe(imputed))
        self.plot.show_imputed(imputed)

    # The hand changes

    def _find(self, name: str) -> str | None:
        return None if self._genes is None else self._genes.find(name)

    def _label(self, gene: str) -> str:
        return gene if self._genes is None else self._genes.label(gene)

    def _choose_gene(self, name: str) -> None:
        gene = self._find(name)
        if gene is not None:  # otherwise the line that says what to do
            self._set(gene=gene)

    def _choose_column(self, name: str) -> None:
        column = name if name in self._classes else ""
        names = self._classes.get(column, ("",))
        guess = next((each for each in NOT_OBSERVED if each in names), names[0])
        self._set(hidden_column=column, hidden_class=guess)

    def _set(self, **changes: Any) -> None:
        self.analysis.settings = replace(self.analysis.settings, **changes)
        self._come_forward()

    def _come_forward(self) -> None:
        if not self.analysis.settings.gene:
            return
        if self.scene.stage != NAME:
            self.scene.show_stage(NAME)
        if not self.analysis.active:
            self.analysis.active = True

    def _show_picture(self) -> None:
        """Show which picture is on screen."""
        shown = self.map.shown
        with silent(self.own_limits):
            self.map_buttons[shown.what].setChecked(True)
            self.own_limits.setChecked(shown.own_limits)
        self.own_limits.setEnabled(shown.what == "smoothed")

    def _hold_raw(self, held: bool) -> None:
        if held:
            self._before_raw = self.map.shown
        shown = replace(self._before_raw, what="raw") if held else self._before_raw
        self.study.show_without_step(imputation=shown)

    def _change_live(self, live: bool) -> None:
        self.preview.live = live


def describe(imputed: Imputed) -> str:
    """Return what is worth knowing of a result besides its map."""
    n_spots, n_seen = len(imputed.values), int(imputed.observed.sum())
    n_compared, n_empty = int(imputed.compared.sum()), int(np.isnan(imputed.raw).sum())
    seen = f"All {n_spots:,} spots" if n_seen == n_spots else f"{n_seen:,} of {n_spots:,} spots"
    empty = f", {n_empty:,} have no counts" if n_empty else ""
    done = "filled in" if imputed.fixed else "smoothed"
    parts = [
        f"{seen} observed{empty}. Pearson r of raw and {done}: {imputed.correlation:.3f} "
        f"over {n_compared:,} spots."
    ]
    hidden = imputed.hidden
    if hidden is not None:
        parts.append(
            f"At {hidden.count:,} hidden spots the prediction is off by {hidden.error:.3g}, the "
            f"mean of the observed spots by {hidden.error_of_mean:.3g} (root mean square, "
            f"{SCALE}). Raw values are noisy themselves: no prediction comes to 0."
        )
    if imputed.n_unreached:
        parts.append(
            f"{imputed.n_unreached:,} spots have no value and are grey: no observed spot is in "
            "their piece of the graph. Join it on the Graph page, or hide fewer spots."
        )
    return "\n".join(parts)
