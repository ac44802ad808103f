"""The Quality page: counts, genes and mitochondrial share of spots, and which are analysed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QButtonGroup,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.quality import Quality, judge
from napari_smoother.analyses.quality_settings import METRICS, Metric, QualitySettings
from napari_smoother.errors import InputError, require
from napari_smoother.figures.colours import MISSING
from napari_smoother.layers.quality_map import QualityMap
from napari_smoother.widgets.limit_field import LimitField
from napari_smoother.widgets.limit_histogram import LimitHistogram
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import Page, follow_recipe, listen, wrapped_label
from napari_smoother.widgets.type_table import colour_icon

if TYPE_CHECKING:
    from napari_smoother.analyses.histogram import Histogram
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

TITLES: dict[Metric, str] = {
    "counts": "Counts of a spot",
    "genes": "Genes of a spot",
    "mitochondrial": "Mitochondrial share of counts, %",
}
BUTTONS: dict[Metric, str] = {
    "counts": "Counts",
    "genes": "Genes",
    "mitochondrial": "Mitochondrial",
}
TIPS: dict[Metric, str] = {
    "counts": "Counts of a spot over all genes, on a logarithmic axis",
    "genes": "Genes that have a count in a spot",
    "mitochondrial": "Share of the counts of a spot that are of mitochondrial genes, in per cent",
}
HISTOGRAM_TIP = (
    ". Heights are square roots of numbers of spots, so that few spots are seen beside many. "
    "Drag a handle to leave out the spots beyond it; at the end of the axis it is no limit"
)
NAMED = 6
"""Mitochondrial genes that are named; the tooltip has all."""


class LimitRow(QGroupBox):
    """The histogram of one metric with its handles, and the exact limits under it.

    Parameters
    ----------
    metric
        Which one.

    Attributes
    ----------
    histogram, low, high, beyond
        The histogram, the fields of the least and the most, and how many spots are beyond.
    """

    def __init__(self, metric: Metric) -> None:
        super().__init__(TITLES[metric])
        tip, whole = TIPS[metric], metric == "genes"
        self.histogram = LimitHistogram(TITLES[metric].lower(), tip + HISTOGRAM_TIP)
        self.low = LimitField(f"Least {TITLES[metric].lower()}", f"At least: {tip}", whole=whole)
        self.high = LimitField(f"Most {TITLES[metric].lower()}", f"At most: {tip}", whole=whole)
        self.beyond = QLabel()
        self.beyond.setToolTip("Spots below the least, and above the most")
        self.limits = QWidget()
        fields = QHBoxLayout(self.limits)
        fields.setContentsMargins(0, 0, 0, 0)
        fields.addWidget(QLabel("from"))
        fields.addWidget(self.low, 1)
        fields.addWidget(QLabel("to"))
        fields.addWidget(self.high, 1)
        fields.addWidget(self.beyond, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.setSpacing(2)
        layout.addWidget(self.histogram)
        layout.addWidget(self.limits)

    def show_histogram(self, histogram: Histogram | None, *, limited: bool) -> None:
        """Show a histogram; without one only limits, where there are any to be taken away."""
        self.histogram.show_histogram(histogram)
        self.histogram.setVisible(histogram is not None)
        self.limits.setVisible(histogram is not None or limited)

    def show_limits(self, low: float | None, high: float | None) -> None:
        """Show limits in handles and fields."""
        self.histogram.show_limits(low, high)
        self.low.set_value(low)
        self.high.set_value(high)

    def show_beyond(self, low: int | None, high: int | None) -> None:
        """Show how many spots are beyond each limit; None where there is no limit."""
        parts = [
            f"{number:,} {side}"
            for number, side in ((low, "below"), (high, "above"))
            if number is not None
        ]
        self.beyond.setText(", ".join(parts))


class QualityPage(Page):
    """Shows the quality of spots, and leaves out those beyond limits."""

    title = "Quality"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.analysis = self.study.quality_analysis
        picture = self.scene.maps[self.analysis.name]
        assert isinstance(picture, QualityMap)
        self.map = picture
        self._trial: QualitySettings | None = None

        self.maps = QButtonGroup(self)
        self.map_buttons: dict[Metric, QPushButton] = {}
        buttons = QHBoxLayout()
        buttons.setSpacing(2)
        buttons.addWidget(QLabel("Map"))
        for metric in METRICS:
            button = QPushButton(BUTTONS[metric])
            button.setCheckable(True)
            button.setToolTip(f"{TIPS[metric]}, on the map")
            button.clicked.connect(lambda checked, metric=metric: self.map.show_metric(metric))
            self.maps.addButton(button)
            self.map_buttons[metric] = button
            buttons.addWidget(button, 1)

        self.rows = {metric: LimitRow(metric) for metric in METRICS}
        self.prefix = QLineEdit()
        self.prefix.setAccessibleName("Prefix of mitochondrial genes")
        self.prefix.setMaximumWidth(80)
        self.prefix.setToolTip(
            "What symbols of mitochondrial genes begin with, in capital or small letters"
        )
        self.recognised = wrapped_label()
        mitochondrial = QHBoxLayout()
        mitochondrial.addWidget(QLabel("Symbols begin with"))
        mitochondrial.addWidget(self.prefix)
        mitochondrial.addWidget(self.recognised, 1)
        column = self.rows["mitochondrial"].layout()
        assert isinstance(column, QVBoxLayout)
        column.insertLayout(0, mitochondrial)

        self.total = wrapped_label()
        self.by_limit = wrapped_label()
        self.all = QPushButton("Keep all spots")
        self.all.setToolTip("Takes all limits away; undo brings them back")
        swatch = QLabel()
        swatch.setPixmap(colour_icon(QColor.fromRgbF(*MISSING)).pixmap(12, 12))
        swatch.setToolTip("The colour of spots that are left out")
        summary = QHBoxLayout()
        summary.addWidget(swatch)
        summary.addWidget(self.total, 1)
        summary.addWidget(self.all)
        layout = QVBoxLayout(self)
        layout.addLayout(buttons)
        for row in self.rows.values():
            layout.addWidget(row)
        layout.addLayout(summary)
        layout.addWidget(self.by_limit)
        layout.addStretch()

        for metric, row in self.rows.items():
            row.histogram.moved.connect(
                lambda low, high, metric=metric: self._try(metric, low, high)
            )
            row.histogram.held.connect(lambda held, metric=metric: self._on_held(metric, held))
            for field in (row.low, row.high):
                field.value_changed.connect(lambda value, metric=metric: self._type(metric))
        self.prefix.editingFinished.connect(self._change_prefix)
        self.all.clicked.connect(self._keep_all)
        listen(self, self.study.section_changed, self._show_section)
        follow_recipe(self, self.study, self._show_recipe)
        listen(self, self.analysis.result_changed, self._show_result)
        self._show_section(self.study.section)

    def enter(self) -> None:
        """Show the quality of spots, and from now on keep it up to date."""
        if self.study.section is not None:
            self.scene.show_stage(self.analysis.name)
            self.analysis.active = True

    # What is shown

    def _show_section(self, section: Section | None) -> None:
        self._trial = None
        self._show_result(self.analysis.result)
        self._show_recipe(self.study.recipe)
        if self.isVisible():
            self.enter()

    def _show_recipe(self, recipe: Recipe) -> None:
        if self._trial is not None:
            return  # the hand holds a handle
        for metric, row in self.rows.items():
            row.show_limits(*recipe.quality.limits(metric))
        self.map_buttons[recipe.shown.quality].setChecked(True)
        self.prefix.setText(recipe.quality.mitochondrial_prefix)
        self.all.setEnabled(recipe.quality.are_limits)

    def _show_result(self, found: Quality | None) -> None:
        """Show the metrics of a section, and which spots are kept."""
        histograms = {} if found is None else found.metrics.histograms
        for metric, row in self.rows.items():
            limited = self.study.recipe.quality.limits(metric) != (None, None)
            row.show_histogram(histograms.get(metric), limited=limited)
            self.map_buttons[metric].setEnabled(metric in histograms)
        self.prefix.setEnabled(found is not None)
        self._show_recognised(found)
        self._show_kept(found)
        if found is not None and self.scene.shown.quality not in histograms:
            self.map.show_metric("counts")

    def _show_recognised(self, found: Quality | None) -> None:
        if found is None:
            self.recognised.setText("")
            return
        genes = found.metrics.mitochondrial_genes
        if genes:
            more = ", …" if len(genes) > NAMED else ""
            text = f"{len(genes)} genes: {', '.join(genes[:NAMED])}{more}"
        else:
            text = "No gene: the share is not known here"
        self.recognised.setText(text)
        self.recognised.setToolTip(", ".join(genes))

    def _show_kept(self, found: Quality | None) -> None:
        """Show how many spots are left out, in all and by each limit."""
        removed = {} if found is None else found.removed
        for metric, row in self.rows.items():
            row.show_beyond(removed.get(f"min_{metric}"), removed.get(f"max_{metric}"))
        if found is None:
            self.total.setText("")
            self.by_limit.setText("")
            return
        n_spots, gone = len(found.kept), found.n_removed
        self.total.setText(f"{gone:,} of {n_spots:,} spots left out ({gone / n_spots:.1%})")
        several = sum(removed.values()) > gone
        self.by_limit.setText("Some are beyond several limits" if several else "")
        self.by_limit.setVisible(several)

    # What the hand does

    def _on_held(self, metric: Metric, held: bool) -> None:
        if held:
            self._trial = self.study.recipe.quality
            if self.scene.shown.quality != metric:
                self.map.show_metric(metric)
                self.map_buttons[metric].setChecked(True)
            return
        trial, self._trial = self._trial, None
        if trial is not None:
            self._decide(trial)

    def _try(self, metric: Metric, low: float | None, high: float | None) -> None:
        """Show which spots limits would keep, without deciding for them yet."""
        if self._trial is None:
            return
        self._trial = _limited(self._trial, metric, low, high)
        row, found = self.rows[metric], self.analysis.result
        row.low.set_value(low)
        row.high.set_value(high)
        if found is not None:
            trial = judge(found.metrics, self._trial)
            self._show_kept(trial)
            self.map.show_trial(trial)

    def _type(self, metric: Metric) -> None:
        row, present = self.rows[metric], self.study.recipe.quality
        try:
            wanted = _limited(present, metric, row.low.value(), row.high.value())
        except InputError as refused:
            tell_error(refused)
            self._show_recipe(self.study.recipe)
            return
        self._decide(wanted)

    def _decide(self, wanted: QualitySettings) -> None:
        """Leave spots out, unless none would be left."""
        found, section = self.analysis.result, self.study.section
        try:
            if found is not None and section is not None:
                kept = judge(found.metrics, wanted).kept
                require(
                    bool(kept.any()),
                    f"None of {len(kept):,} spots is within these limits",
                    f"{section.name}, quality",
                    "Widen them; the limits of before stay",
                )
        except InputError as refused:
            tell_error(refused)
            wanted = self.study.recipe.quality
        self.analysis.settings = wanted
        self._show_recipe(self.study.recipe)
        self._show_kept(self.analysis.result)
        if not self.analysis.is_up_to_date:
            return
        self.map.show()

    def _change_prefix(self) -> None:
        prefix, present = self.prefix.text().strip(), self.study.recipe.quality
        if prefix == present.mitochondrial_prefix:
            return
        try:
            self.analysis.settings = replace(present, mitochondrial_prefix=prefix)
        except InputError as refused:
            tell_error(refused)
            self._show_recipe(self.study.recipe)

    def _keep_all(self) -> None:
        prefix = self.study.recipe.quality.mitochondrial_prefix
        self.analysis.settings = QualitySettings(mitochondrial_prefix=prefix)


def _limited(
    settings: QualitySettings, metric: Metric, low: float | None, high: float | None
) -> QualitySettings:
    """Return settings with other limits of a metric, whole numbers for genes."""
    if metric == "genes":
        low = None if low is None else int(low)
        high = None if high is None else int(high)
    return settings.with_limits(metric, low, high)
