"""Genes that differ between groups of spots: volcano and table, each linked to the map."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.gene_ranking import CAVEAT
from napari_smoother.analyses.gene_values import gene_names
from napari_smoother.analyses.shown import ComparisonShown, View
from napari_smoother.errors import InputError
from napari_smoother.layers.scene import DATA
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import follow_recipe, listen, silent, wrapped_label
from napari_smoother.widgets.settings_form import SettingsForm
from napari_smoother.widgets.sliders import ExactField
from napari_smoother.widgets.sorted_table import Column, SortedTable
from napari_smoother.widgets.table_buttons import TableButtons
from napari_smoother.widgets.volcano import Volcano

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_smoother.analyses.context import Progress
    from napari_smoother.analyses.gene_ranking import GeneRanking
    from napari_smoother.study.ranked_genes import RankedGenes
    from napari_smoother.widgets.preview import Preview
    from napari_smoother.widgets.session import Session


def p_text(row: Mapping[str, Any]) -> str:
    """Return an adjusted p-value; one of 0 is too small for a number."""
    value = row["adjusted_p_value"]
    return f"{value:.1e}" if value else "< 1e-307"


COLUMNS = (
    Column("name", "Gene", "Click a row to see the gene on the tissue", "{name}".format_map, 84),
    Column(
        "log2_fold_change",
        "log₂ FC",
        "Log2 fold change: of the means of log1p of counts per 10,000, as scanpy has it",
        "{log2_fold_change:+.2f}".format_map,
        54,
    ),
    Column(
        "share_difference",
        "Δ spots",
        "Difference of the shares of spots that express the gene",
        "{share_difference:+.0%}".format_map,
        52,
    ),
    Column(
        "share",
        "Spots",
        "Share of the spots of the region that express it",
        "{share:.0%}".format_map,
        48,
    ),
    Column(
        "share_reference",
        "Ref.",
        "Share of the spots of the reference that express it",
        "{share_reference:.0%}".format_map,
        42,
    ),
    Column(
        "adjusted_p_value",
        "Adj. p",
        "P-value of a Wilcoxon test, adjusted for the number of genes by Benjamini and Hochberg; "
        "takes spots for independent, so that it is too small",
        p_text,
        62,
    ),
    Column("score", "Score", "Z-score of the rank sum", "{score:.1f}".format_map, 46),
)
FIELDS: dict[str, dict[str, Any]] = {
    "tie_correct": {
        "text": "Correct for ties",
        "tooltip": "Whether the variance of rank sums is corrected for ties, of which genes that "
        "few spots express have many: without it, their scores are too small. Takes up to three "
        "times as long; scanpy by itself does not do it",
    }
}


class ComparedGenes(QWidget):
    """Ranks genes in a thread, and lists those that differ by enough.

    Parameters
    ----------
    session
        Whose study it shows.
    preview
        Of the ranking.
    """

    def __init__(self, session: Session, preview: Preview) -> None:
        super().__init__()
        self.is_seen = True
        self.session, self.scene, self.study = session, session.scene, session.study
        self.preview = preview
        self.ranking: RankedGenes = preview.analysis  # type: ignore[assignment]
        self._table = pd.DataFrame()
        self._symbols: pd.Series[str] = pd.Series(dtype=object)
        self._listed_of: tuple[Any, ...] = ()

        self.message = wrapped_label()
        self.rank = QPushButton("Rank genes")
        self.stop = QPushButton("Cancel")
        self.stop.setToolTip("Stops within some hundred genes; what was ranked before stays")
        self.form = SettingsForm(self.study.recipe.comparison, FIELDS)
        self.ties = self.form["tie_correct"]
        self.bar = QProgressBar()
        self.bar.setFormat("%v of %m genes")
        self.group = QComboBox()
        self.group.setToolTip("Whose genes are listed")
        self.group.setAccessibleName("Region whose genes are listed")
        self.group.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.fold, self.level = ExactField(0.0, 100.0), ExactField(0.0, 1.0)
        self.search = QLineEdit()
        self._explain_filters()
        self.volcano = Volcano()
        self.table = SortedTable(COLUMNS)
        self.table.setAccessibleName("Genes that differ")
        self.table.setToolTip("Select a row to see its gene on the tissue; click a header to sort")
        self.table.setMinimumHeight(150)
        self.summary = wrapped_label()
        self.buttons = TableButtons(
            session,
            self.table,
            "Genes of regions",
            self._writer,
            "every gene of every region, whatever is listed,",
        )
        self.caveat = wrapped_label(CAVEAT)
        self._lay_out()

        self.rank.clicked.connect(self._rank)
        self.stop.clicked.connect(preview.cancel)
        self.group.currentTextChanged.connect(lambda name: self._show(group=name))
        self.fold.value_changed.connect(lambda value: self._show(fold_change=value))
        self.level.value_changed.connect(lambda value: self._show(adjusted_p=value))
        self.search.textChanged.connect(self._list)
        self.volcano.gene_chosen.connect(self.colour_by)
        self.table.row_chosen.connect(lambda row: self.colour_by(str(row["gene"])))
        preview.progressed.connect(self._show_progress)
        preview.busy_changed.connect(self.show_state)
        preview.status_changed.connect(self.show_state)
        listen(self, self.ranking.result_changed, self.show_result)
        follow_recipe(self, self.study, self._show_recipe)
        self.show_result(self.ranking.result)

    def _explain_filters(self) -> None:
        for field, name, tip in (
            (
                self.fold,
                "Least log2 fold change",
                "Lists genes whose log2 fold change is as large, up or down: 1 is twice or half",
            ),
            (
                self.level,
                "Largest adjusted p-value",
                "Lists genes whose adjusted p-value is at most this, from 0 to 1",
            ),
            (
                self.search,
                "Search for a gene",
                "A part of a symbol or identifier: lists all such genes, however little they "
                "differ",
            ),
        ):
            field.setToolTip(tip)
            field.setAccessibleName(name)
        self.search.setPlaceholderText("search for a gene")
        self.search.setClearButtonEnabled(True)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.rank, 1)
        buttons.addWidget(self.stop)
        filters = QHBoxLayout()
        filters.addWidget(QLabel("|log₂ FC| ≥"))
        filters.addWidget(self.fold, 1)
        filters.addWidget(QLabel("adj. p ≤"))
        filters.addWidget(self.level, 1)
        find = QHBoxLayout()
        find.addWidget(self.group, 2)
        find.addWidget(self.search, 1)
        below = QHBoxLayout()
        below.addWidget(self.ties)
        below.addWidget(self.buttons, 1)
        self.content = QWidget()
        inside = QVBoxLayout(self.content)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addLayout(find)
        inside.addWidget(self.volcano)
        inside.addLayout(filters)
        inside.addWidget(self.summary)
        inside.addWidget(self.table, 1)
        inside.addLayout(below)
        inside.addWidget(self.caveat)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.message)
        layout.addWidget(self.content, 1000)
        layout.addStretch(1)

    @property
    def shown(self) -> ComparisonShown:
        """What is listed."""
        return self.scene.shown.comparison

    def colour_by(self, gene: str) -> None:
        """Show a gene, by its row name, on the tissue."""
        view = self.scene.shown.view
        chosen = View("gene", gene)
        if view is not None:
            chosen = replace(view, source="gene", key=gene, column="")
        try:
            self.scene.colour_by(chosen)
        except InputError as error:
            tell_error(error)

    def show_result(self, result: GeneRanking | None) -> None:
        """Take a ranking over."""
        section = self.study.section
        if result is not None and section is not None:
            names = gene_names(section)
            self._symbols = pd.Series(dict(zip(names.rows, names.shown, strict=True)))
            with silent(self.group):
                self.group.clear()
                self.group.addItems(list(result.ranked))
            self.group.setVisible(len(result.ranked) > 1)
        self._listed_of = ()
        self._show_recipe()

    def _show_recipe(self, *recipe: Any) -> None:
        shown, result = self.shown, self.ranking.result
        self.form.setValue(self.study.recipe.comparison)
        self.fold.set_value(shown.fold_change)
        self.level.set_value(shown.adjusted_p)
        if result is not None:
            group = shown.group if shown.group in result.ranked else result.ranked[0]
            with silent(self.group):
                self.group.setCurrentText(group)
            wanted = (result, group, shown.fold_change, shown.adjusted_p)
            if wanted != self._listed_of:
                self._take(result, group)
                self._listed_of = wanted
        self.show_state()
        self._show_gene()

    def _take(self, result: GeneRanking, group: str) -> None:
        if self._listed_of[:2] != (result, group):
            self._table = result.table(group)
            names = self._symbols.reindex(self._table["gene"]).to_numpy()
            self._table.insert(0, "name", names)
        self._list()

    def _list(self, *text: str) -> None:
        """List the genes that differ by enough, or those that are searched for."""
        if self.ranking.result is None or self._table.empty:
            return
        table, shown = self._table, self.shown
        differs = (np.abs(table["log2_fold_change"]) >= shown.fold_change) & (
            table["adjusted_p_value"] <= shown.adjusted_p
        )
        listed, searched = differs.to_numpy(), self.search.text().strip().casefold()
        if searched:
            listed = np.array(
                [
                    searched in f"{name}\n{gene}".casefold()
                    for name, gene in zip(table["name"], table["gene"], strict=True)
                ]
            )
        self.table.show_table(table[listed].reset_index(drop=True))
        self.volcano.show_ranking(
            table, table["name"].to_numpy(), listed, (shown.fold_change, shown.adjusted_p)
        )
        self.show_state()
        self._show_gene()

    def _show_gene(self) -> None:
        """Mark the gene that is on the map."""
        view = self.scene.shown.view
        on_map = self.scene.stage == DATA and view is not None and view.source == "gene"
        section = self.study.section
        gene = ""
        if on_map and view is not None and section is not None:
            gene = gene_names(section).find(view.key) or ""
        self.volcano.show_gene(gene)
        if "gene" in self.table.rows.table:
            self.table.show_row(gene=gene)

    def show_state(self, *news: Any) -> None:
        """Show whether genes can be ranked, are being ranked, or belong to earlier settings.

        To know takes a look at all spots, so it waits until the page can be seen.
        """
        if not self.is_seen:
            return
        ranking, busy, result = self.ranking, self.preview.is_busy, self.ranking.result
        obstacle = ranking.obstacle
        text = ranking.missing
        if not text and obstacle is not None:
            text = f"{obstacle.problem}. {obstacle.remedy}."
        elif not text and self.preview.status.kind == "failed":
            text = self.preview.status.text
        elif not text and result is not None and not busy and not ranking.is_up_to_date:
            text = "These genes are of earlier settings: press Rank genes for the present ones."
        elif not text and result is None and not busy:
            text = "Press Rank genes to see which differ. It takes some seconds."
        self.message.setText(text)
        self.message.setVisible(bool(text))
        can = not ranking.missing and obstacle is None
        self.rank.setEnabled(can and not busy)
        self.rank.setToolTip(
            ranking.missing
            or "Ranks all genes by a Wilcoxon test of log1p of counts per 10,000 (scanpy), while "
            "the window goes on"
        )
        self.ties.setEnabled(can)
        self.stop.setEnabled(busy)
        self.bar.setVisible(busy)
        self.content.setVisible(result is not None)
        if result is not None:
            self.summary.setText(self._summary(result))

    def _summary(self, result: GeneRanking) -> str:
        group = self.group.currentText() or result.ranked[0]
        reference = result.reference or "all others together"
        sizes = dict(zip(result.groups.names, result.groups.sizes, strict=True))
        others = sizes.get(result.reference, sum(sizes.values()) - sizes[group])
        text = (
            f"{self.table.rows.rowCount():,} of {len(result.genes):,} genes: {group} "
            f"({sizes[group]:,} spots) against {reference} ({others:,})."
        )
        few = [name for name in result.few if name in (group, result.reference)]
        return text + (f" Few spots, rough p-values: {', '.join(few)}." if few else "")

    def _show_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)  # 0 to 0 for work of unknown length
        self.bar.setValue(progress.done)

    def _rank(self) -> None:
        self.ranking.active = True
        self.bar.setRange(0, 0)
        self.preview.solve()

    def _show(self, **changes: Any) -> None:
        self.scene.change(comparison=replace(self.shown, **changes))

    def _writer(self) -> Any:
        result = self.ranking.result
        if result is None:
            return None
        named = (self._symbols.index != self._symbols).any()
        return partial(result.to_csv, symbols=self._symbols if named else None)
