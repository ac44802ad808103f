"""The spatial process, its rho, whose valid range the graph decides, and lambda."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout

from napari_smoother.analyses.deconvolution_settings import INTRINSIC
from napari_smoother.weights.precision import Process
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import follow_recipe, listen
from napari_smoother.widgets.runner import LatestRunner
from napari_smoother.widgets.settings_form import PRIOR, SettingsForm

if TYPE_CHECKING:
    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.widgets.session import Session

TIPS: dict[Process, str] = {
    "icar": "Intrinsic conditional autoregression: each spot near the mean of its neighbours",
    "isar": "Intrinsic simultaneous autoregression: smoother than ICAR, over two steps of the "
    "graph",
    "car": "Conditional autoregression: pulled to zero where a spot has few neighbours",
    "sar": "Simultaneous autoregression: as CAR, over two steps of the graph",
    "sma": "Moving average: only spots up to two steps apart go together. Its precision is "
    "dense; solves take longer",
}
ENDS: dict[Process, float] = {"icar": 1.0, "isar": 1.0, "car": 0.999, "sar": 0.999, "sma": 0.9}
"""Where the slider ends, as a share of the rho at which there is no precision any more.

Near that rho a moving average asks neighbours to differ as strongly as they can, and a solve
takes long; whoever wants it can type it.
"""

DECIMALS = 4


class ProcessRows(QObject):
    """The rows *Process*, *rho* and *lambda* of a form.

    The range of CAR, SAR and SMA follows from the spectrum of the graph, which is found in a
    thread worker. A change of process keeps rho at the same share of its range.

    Parameters
    ----------
    session
        Whose study to show and change.
    rows
        The form to add to.
    with_lambda
        Whether lambda has a row, too.
    """

    def __init__(self, session: Session, rows: QFormLayout, *, with_lambda: bool = True) -> None:
        super().__init__(rows.parent())
        self.study = session.study
        choices = {"choices": {name: name.upper() for name in TIPS}}
        options = {**PRIOR, "process": choices}
        if not with_lambda:
            del options["lambda_"]
        self.form = SettingsForm(self.study.deconvolution, options)
        self.process, self.rho = self.form["process"], self.form["rho"]
        self.validity = QLabel()
        self.validity.setVisible(False)
        self.validity.setToolTip("Beyond it the process has no precision matrix on this graph")
        range_of_rho = QVBoxLayout()
        range_of_rho.setSpacing(1)
        range_of_rho.addWidget(self.rho)
        range_of_rho.addWidget(self.validity)
        rows.addRow("Process", self.process)
        rows.addRow("ρ autocorrelation", range_of_rho)
        if with_lambda:
            self.lambda_ = self.form["lambda_"]
            rows.addRow("λ smoothness", self.lambda_)
        self.limit = 1.0
        self._kept = (math.nan, 1.0)  # a rho that was set here, and its share of the range
        self._known: tuple[Any, str] | None = None
        self._runner = LatestRunner(self)
        self._runner.returned.connect(self._on_limit)
        self._runner.failed.connect(tell_error)
        session.closing.connect(self._runner.shut_down)
        self.form.valueChanged.connect(self._change)
        follow_recipe(self.process, self.study, self.show_settings)
        listen(self.process, self.study.graph_changed, self._show_graph)
        self.show_settings(self.study.recipe)

    @property
    def is_busy(self) -> bool:
        """Whether the range of rho is being found."""
        return self._runner.is_busy

    def show_settings(self, recipe: Recipe) -> None:
        """Show process, rho and its range."""
        chosen = recipe.deconvolution
        self.form.setValue(chosen)
        self.process.setToolTip(TIPS[chosen.process])
        self.process.setEnabled(self.study.graph is not None)
        self._find_limit(chosen.process, switch=False)
        self._show_validity()

    def _show_graph(self, graph: Graph) -> None:
        self.show_settings(self.study.recipe)

    def _change(self, field: str, value: Any) -> None:
        if field == "process":
            self._find_limit(value, switch=True)
        else:
            changed = {field: value}
            self.study.deconvolution = replace(self.study.deconvolution, **changed)

    def _find_limit(self, process: Process, *, switch: bool) -> None:
        """Find where rho ends for a process; `switch` sets the study to it afterwards."""
        graph = self.study.analysed_graph
        if process in INTRINSIC or graph is None:
            self._on_limit((None, process, 1.0, switch))
            return
        weights, steps = graph.weights, self.study.composition_analysis.steps
        if self._known is not None and self._known[0] is weights and self._known[1] == process:
            return
        self._runner.submit(
            lambda cancelled, report: (
                weights,
                process,
                steps.graph.rho_range(weights, process)[1],
                switch,
            )
        )

    def _on_limit(self, found: tuple[Any, Process, float, bool]) -> None:
        weights, process, limit, switch = found
        graph, chosen = self.study.analysed_graph, self.study.deconvolution
        if weights is not None and (graph is None or graph.weights is not weights):
            return  # the graph has changed since; it asks by itself
        rho, share = self._kept
        if rho != chosen.rho:
            share = min(chosen.rho / (ENDS[chosen.process] * self.limit), 1.0)
        self._known = (weights, process) if weights is not None else None
        self.limit = limit if math.isfinite(limit) else 1.0
        end = _rounded_down(ENDS[process] * self.limit)
        self.rho.set_range(0.0, end, typed=max(end, 1.0))
        if switch:
            rho = _rounded_down(share * ENDS[process] * self.limit)
            self._kept = (rho, share)
            self.study.deconvolution = replace(chosen, process=process, rho=rho)
        self.rho.set_value(self.study.deconvolution.rho)
        self._show_validity()

    def _show_validity(self) -> None:
        chosen = self.study.deconvolution
        known = chosen.process not in INTRINSIC and self._known is not None
        self.validity.setVisible(known)
        if known:
            valid = chosen.rho < self.limit
            self.validity.setText(
                f"valid below {self.limit:.4g} on this graph"
                if valid
                else f"<b>{chosen.rho:.4g} is not valid:</b> below {self.limit:.4g} on this graph"
            )


def _rounded_down(value: float) -> float:
    """Round to what the field shows, never upwards."""
    size = 10.0**DECIMALS
    return float(math.floor(value * size + 1e-9) / size)


assert set(TIPS) == set(get_args(Process))
