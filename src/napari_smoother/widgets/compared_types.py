"""The composition of groups of spots beside each other, a row a group and type."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_smoother.analyses.spot_groups import REST
from napari_smoother.layers.scene import COMPOSITION
from napari_smoother.widgets.interval_delegate import PICTURE, IntervalDelegate
from napari_smoother.widgets.page import follow_recipe, listen, silent, wrapped_label
from napari_smoother.widgets.settings_form import SettingsForm
from napari_smoother.widgets.sliders import ExactField
from napari_smoother.widgets.sorted_table import Column, SortedTable
from napari_smoother.widgets.table_buttons import TableButtons

if TYPE_CHECKING:
    import pandas as pd

    from napari_smoother.analyses.comparison import RegionComparison
    from napari_smoother.study.comparison import Comparison
    from napari_smoother.widgets.session import Session

COLUMNS = (
    Column("region", "Region", "The region, domain or class", "{region}".format_map, 92),
    Column(
        "cell_type",
        "Cell type",
        "Click a row to see the type on the tissue",
        "{cell_type}".format_map,
        104,
    ),
    Column(
        "difference",
        "Difference",
        "Mean proportion in the region minus that in its reference. The bar is the interval, the "
        "thin line no difference; orange is more, blue less, grey may be either",
        "{difference:+.3f}".format_map,
        PICTURE + 58,
    ),
    Column(
        "effect_size",
        "Effect",
        "Effect size: the difference in standard deviations of spots within regions",
        "{effect_size:+.2f}".format_map,
        52,
    ),
    Column(
        "mean",
        "Mean ± SD",
        "Mean proportion in the region, 0 to 1, and the standard deviation over its spots",
        "{mean:.3f} ± {spread:.3f}".format_map,
        100,
    ),
    Column(
        "mean_reference",
        "Reference ± SD",
        "Mean proportion in the reference, 0 to 1, and the standard deviation over its spots",
        "{mean_reference:.3f} ± {spread_reference:.3f}".format_map,
        104,
    ),
    Column(
        "lower",
        "Interval",
        "Where the true difference lies, as often as is chosen below",
        "{lower:+.3f} to {upper:+.3f}".format_map,
        122,
    ),
    Column(
        "reference", "Reference", "What the region is compared to", "{reference}".format_map, 92
    ),
)
FIELDS: dict[str, dict[str, Any]] = {
    "blocks": {"range": (2, 64)},
    "level": {"editor": lambda: ExactField(0.5, 0.999)},
}
CAVEAT = (
    "Intervals come from blocks of adjacent spots, for neighbours are alike. They are for this "
    "tissue, not for other donors, and for one row at a time. Shares sum to one: more of one type "
    "is less of others."
)


class ComparedTypes(QWidget):
    """The table of differences, what its intervals rest on, and what to do where there is none.

    Parameters
    ----------
    session
        Whose study it shows.
    comparison
        Of that study.
    """

    def __init__(self, session: Session, comparison: Comparison) -> None:
        super().__init__()
        self.is_seen = True
        self.scene, self.study, self.comparison = session.scene, session.study, comparison
        self.message = wrapped_label()
        self.summary = wrapped_label()
        self.table = SortedTable(COLUMNS)
        self.table.setAccessibleName("Composition of regions beside each other")
        self.table.setToolTip("Select a row to see its type on the tissue; click a header to sort")
        self.table.setMinimumHeight(180)
        self.delegate = IntervalDelegate(self.table)
        place = [column.key for column in COLUMNS].index("difference")
        self.table.setItemDelegateForColumn(place, self.delegate)
        self.form = SettingsForm(comparison.settings, FIELDS)
        self.blocks, self.level = (self.form[name] for name in FIELDS)
        self.blocks.setAccessibleName("Blocks in a region")
        self.level.setAccessibleName("Level of the intervals")
        self.deviation = QCheckBox("With the deconvolution's error")
        self.deviation.setToolTip(
            "Whether intervals count in how far the composition itself may be off: finds its "
            "posterior standard deviation, which takes longer, where the model has one"
        )
        self.buttons = TableButtons(
            session, self.table, "Comparison of regions", self._writer, "every difference"
        )
        self.caveat = wrapped_label(CAVEAT)
        row = QHBoxLayout()
        for text, widget in (("Blocks", self.blocks), ("Interval", self.level)):
            label = QLabel(text)
            label.setToolTip(widget.toolTip())
            row.addWidget(label)
            row.addWidget(widget)
        row.addStretch()
        below = QHBoxLayout()
        below.addWidget(self.deviation)
        below.addWidget(self.buttons, 1)
        self.content = QWidget()
        layout = QVBoxLayout(self.content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.summary)
        layout.addWidget(self.table, 1)
        layout.addLayout(row)
        layout.addLayout(below)
        layout.addWidget(self.caveat)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 4, 0, 0)
        whole.addWidget(self.message)
        whole.addWidget(self.content, 1000)
        whole.addStretch(1)

        self.table.row_chosen.connect(lambda row: self.scene.show_type(str(row["cell_type"])))
        self.deviation.toggled.connect(self._change_deviation)
        listen(self, comparison.result_changed, self.show_result)
        follow_recipe(self, self.study, self._show_recipe)
        self._show_recipe()
        self.show_result(comparison.result)

    def show_obstacle(self) -> None:
        """Say why nothing can be compared, and what to do about it, once it can be seen."""
        if not self.is_seen:
            return
        obstacle = self.comparison.obstacle
        if obstacle is None:
            self.message.setText("comparing …" if self.comparison.result is None else "")
        else:
            self.message.setText(f"{obstacle.problem}. {obstacle.remedy}.")
        self.message.setVisible(bool(self.message.text()))
        self.content.setVisible(self.comparison.result is not None)

    def show_result(self, result: RegionComparison | None) -> None:
        """List the differences of a result."""
        if result is not None:
            table = result.differences
            ends = np.abs(table[["difference", "lower", "upper"]].to_numpy())
            self.delegate.extent = float(np.nanmax(ends, initial=1e-3))
            shown = {column.key for column in COLUMNS} - {"region", "reference"}
            shown |= {name for name in ("region", "reference") if table[name].nunique() > 1}
            self.table.show_columns(sorted(shown))
            self.table.show_table(table)
            self.summary.setText(describe(result))
            self._show_type()
        self.show_obstacle()

    def _show_recipe(self, *recipe: Any) -> None:
        self.form.setValue(self.comparison.settings)
        with silent(self.deviation):
            self.deviation.setChecked(self.study.deconvolution.deviation)
        self._show_type()
        self.show_obstacle()

    def _show_type(self) -> None:
        """Mark the type that is on the map."""
        if self.comparison.result is not None:
            on_map = self.scene.stage == COMPOSITION
            self.table.show_row(cell_type=self.scene.cell_type if on_map else "")

    def _change_deviation(self, wanted: bool) -> None:
        self.study.deconvolution = replace(self.study.deconvolution, deviation=wanted)

    def _writer(self) -> Any:
        result = self.comparison.result
        return None if result is None else result.to_csv


def describe(result: RegionComparison) -> str:
    """Return what is compared, and what its intervals rest on."""
    table: pd.DataFrame = result.differences
    parts = []
    if table["region"].nunique() == 1 and table["reference"].nunique() == 1:
        parts.append(compared(table.iloc[0]))
    parts.append(f"{result.describe()}.")
    if result.report["deviation"]:
        parts.append("Intervals count in the deconvolution's error.")
    if result.unsure:
        parts.append(f"No interval, for too few spots: {', '.join(result.unsure)}.")
    if result.report["n_left_out"]:
        parts.append(f"{result.report['n_left_out']:,} spots take no part.")
    return " ".join(parts)


def compared(row: Any) -> str:
    """Return which group is compared to which, with their numbers of spots."""
    reference = "all others together" if row["reference"] == REST else row["reference"]
    return (
        f"{row['region']} ({row['n_spots']:,} spots) against {reference} "
        f"({row['n_spots_reference']:,})."
    )
