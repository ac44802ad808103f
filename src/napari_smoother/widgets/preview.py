"""Keeps a study's results up to date while its settings change, off the main thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QObject, QTimer, Signal

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.runner import LatestRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
    from napari_smoother.models.deconv.catalogue import ModelFacts
    from napari_smoother.study.pipeline import Outcome, Request
    from napari_smoother.study.study import Study

REST = 250
"""Milliseconds without a change after which the hand is taken to rest."""

PATIENCE = 120
"""Milliseconds, at least, before the status line says that a solve is under way.

Most are over by then.
"""

ITERATES_EVERY = 0.25
"""Seconds between the unfinished iterates of a long solve that are shown."""

FIRST_ITERATE = 0.1
"""Seconds until the first of a slow model is shown."""

LATEST_FIRST_ITERATE = 0.4
"""Seconds until the first of a quick model is shown, unless the solve before took less.

Painting a large section keeps the optimum waiting that comes a moment later.
"""

StatusKind = Literal["idle", "working", "optimum", "outdated", "failed"]


@dataclass(frozen=True, slots=True)
class Status:
    """What is on screen, in a few words.

    Parameters
    ----------
    kind
        Decides the colour of the lamp.
    text
        For the status line.
    detail
        More of it, for who points at the line.
    """

    kind: StatusKind
    text: str
    detail: str = ""


class Preview(QObject):
    """Runs a study's pipeline in a worker whenever its results are outdated.

    While settings change, each solve starts from what is on screen. Once the hand rests, the
    last one is solved again from the canonical start, so that the numbers that stay do not
    depend on the way the slider took.

    Parameters
    ----------
    study
        The study to keep up to date.

    Attributes
    ----------
    status_changed
        Emitted with the new `Status`.
    """

    status_changed = Signal(object)

    def __init__(self, study: Study, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.study = study
        self.status = Status("idle", "no section open")
        self._live = True
        self._submitted: Request | None = None
        self._runner = LatestRunner(self)
        self._runner.returned.connect(self._on_outcome)
        self._runner.reported.connect(self._on_iterate)
        self._runner.failed.connect(self._on_failed)
        self._runner.cancelled.connect(self._on_cancelled)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._settle)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self._tell_solving)
        study.outdated.connect(self._on_outdated)
        study.section_changed.connect(self._on_section_changed)

    @property
    def live(self) -> bool:
        """Whether composition follows every change; the graph always does."""
        return self._live

    @live.setter
    def live(self, live: bool) -> None:
        self._live = live
        if live and not self.study.is_up_to_date:
            self._on_outdated()

    @property
    def is_busy(self) -> bool:
        """Whether something is being computed."""
        return self._runner.is_busy

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being computed or about to be."""
        return not self._runner.is_busy and not self._rest.isActive()

    def solve(self) -> None:
        """Compute everything from the canonical start now, also when not live."""
        self._submit(settled=True, whole=True)

    def cancel(self) -> None:
        """Stop computing; what is on screen stays."""
        self._rest.stop()
        self._runner.cancel()

    def shut_down(self) -> None:
        """Stop for good; nothing is emitted afterwards."""
        self.study.outdated.disconnect(self._on_outdated, missing_ok=True)
        self.study.section_changed.disconnect(self._on_section_changed, missing_ok=True)
        self._rest.stop()
        self._patience.stop()
        self._runner.shut_down()

    def _on_section_changed(self, section: object) -> None:
        self._runner.cancel()

    def _on_outdated(self) -> None:
        self._rest.stop()
        self._submit(settled=self.study.composition is None, whole=self._live)
        if self._live and self.study.reference is not None and not self.study.follows_the_hand:
            # What takes its time begins afresh as soon as the hand rests, not after a solve
            # from what is on screen that nobody would see.
            self._rest.start()

    def _tell_solving(self) -> None:
        if self._runner.is_busy:
            self._set_status("working", "solving …")

    def _settle(self) -> None:
        if not self._live or self.study.is_up_to_date:
            return
        under_way = self._submitted if self._runner.is_busy else None
        wanted = self.study.request(settled=True)
        if under_way is None or wanted is None or not under_way.is_same_as(wanted):
            self._submit(settled=True, whole=True)

    def _submit(self, *, settled: bool, whole: bool) -> None:
        request = self.study.request(settled=settled)
        if request is None:
            return
        if not whole and request.reference is not None:
            request = request.without_composition()
        self._runner.patient = self.study.follows_the_hand
        first = FIRST_ITERATE
        if self._runner.patient:
            first = min(self._runner.granted, LATEST_FIRST_ITERATE)
        if request.reference is not None and not self._patience.isActive():
            self._patience.start(max(PATIENCE, round(1000 * first)))
        self._submitted = request
        self._runner.submit(_Computation(self.study, request, first))

    def _on_outcome(self, outcome: Outcome) -> None:
        if not self.study.accept(outcome):
            return
        composition = outcome.composition
        if composition is None:
            self._tell_without_composition()
            return
        if composition.converged:
            if not self._runner.has_next:
                self._set_status(
                    "optimum", describe_optimum(composition), describe_fit(composition)
                )
        else:
            self._set_status(
                "failed",
                f"not the optimum: stopped at residual {composition.residual:.0e}",
                describe_fit(composition),
            )
        if not self.study.is_up_to_date:
            self._rest.start()

    def _on_iterate(self, outcome: Outcome) -> None:
        composition = outcome.composition
        if composition is not None and self.study.accept(outcome):
            self._set_status(
                "working",
                f"solving … residual {composition.residual:.0e} · "
                f"step {composition.report.iterations}",
            )

    def _on_failed(self, error: Exception) -> None:
        self.study.restore()
        problem = error.problem if isinstance(error, InputError) else str(error)
        self._set_status("failed", f"not computed: {problem}")
        tell_error(error)

    def _on_cancelled(self) -> None:
        self.study.restore()
        composition = self.study.composition
        if composition is None:
            self._set_status("outdated", "cancelled")
        else:
            present = self.study.deconvolution
            self._set_status(
                "outdated", f"cancelled: showing {describe_settings(composition, present)}"
            )

    def _tell_without_composition(self) -> None:
        composition = self.study.composition
        if composition is not None:
            present = self.study.deconvolution
            self._set_status(
                "outdated", f"not live: showing {describe_settings(composition, present)}"
            )
        elif self.study.reference is not None:
            self._set_status("outdated", "not live: press Solve")
        else:
            self._set_status("idle", "graph ready; no reference yet")

    def _set_status(self, kind: StatusKind, text: str, detail: str = "") -> None:
        if kind != "working":
            self._patience.stop()
        status = Status(kind, text, detail)
        if status != self.status:
            self.status = status
            self.status_changed.emit(status)


class _Computation:
    """One run of the pipeline, as a job for the runner."""

    def __init__(self, study: Study, request: Request, first_iterate: float) -> None:
        self._pipeline = study.pipeline
        self._request = request
        self._first_iterate = first_iterate

    def __call__(self, cancelled: Callable[[], bool], report: Callable[[Any], None]) -> Outcome:
        last = time.perf_counter() + self._first_iterate - ITERATES_EVERY

        def report_iterate(outcome: Outcome) -> None:
            nonlocal last
            now = time.perf_counter()
            if now - last >= ITERATES_EVERY and outcome.composition is not None:
                last = now
                outcome.composition.derived()
                report(outcome)

        return self._pipeline.run(self._request, cancelled=cancelled, report=report_iterate)


def describe_optimum(composition: Composition) -> str:
    """Return the residual and time of a solve in a few words."""
    what = "optimum" if _facts(composition).convex else "stationary point"
    seconds = composition.seconds
    time = f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    return f"{what} · residual {composition.residual:.0e} · {time}"


def describe_fit(composition: Composition) -> str:
    """Return everything that is known about a fit, a line each."""
    chosen, report = composition.settings, composition.report
    lines = [
        f"{_facts(composition).title}, {chosen.process.upper()}, "
        f"ρ {chosen.rho:.4g}, λ {chosen.lambda_:.3g}",
        f"objective {report.objective:.6g}",
        f"residual {report.kkt_residual:.1e} (to reach: {report.tolerance:.0e})",
        f"{report.iterations:,} steps of the linear solver, {report.seconds:.3f} s",
        report.method,
        "converged" if report.converged else "not converged",
    ]
    return "\n".join([*lines, *([report.note] if report.note else [])])


def describe_settings(composition: Composition, present: DeconvolutionSettings) -> str:
    """Return which settings a composition belongs to; model and process if they are others."""
    chosen = composition.settings
    text = f"the result for λ {chosen.lambda_:.3g}, ρ {chosen.rho:.3g}"
    if chosen.process != present.process:
        text += f", {chosen.process.upper()}"
    if chosen.model != present.model:
        text += f", {_facts(composition).short}"
    return text


def _facts(composition: Composition) -> ModelFacts:
    return MODELS[composition.settings.model]
