"""Keeps the result of an analysis up to date while its settings change, off the main thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QObject, QTimer, Signal

from napari_smoother.analyses.context import Progress
from napari_smoother.errors import InputError
from napari_smoother.study.analysis import Outcome
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.runner import LatestRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.study.analysis import Analysis, Request
    from napari_smoother.widgets.runner import Runner

REST = 250
"""Milliseconds without a change after which the hand is taken to rest."""

PATIENCE = 120
"""Milliseconds, at least, before the status line says that a run is under way.

Most are over by then.
"""

ITERATES_EVERY = 0.25
"""Seconds between the passing outcomes of a long run that are shown."""

FIRST_ITERATE = 0.1
"""Seconds until the first of a slow analysis is shown."""

LATEST_FIRST_ITERATE = 0.4
"""Seconds until the first of a quick one is shown, unless the run before took less.

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
    """Runs an analysis in a worker whenever its result is outdated and somebody wants it.

    While its map is in front and settings change, each run starts from what is on screen. Once
    the hand rests, the last one is run again from the canonical start, so that the numbers that
    stay do not depend on the way the slider took. Behind other maps it waits for the hand to
    rest, so that it does not slow down what is looked at.

    Parameters
    ----------
    analysis
        What to keep up to date.

    Attributes
    ----------
    status_changed
        Emitted with the new `Status`.
    progressed
        Emitted with the `Progress` of a long run.
    busy_changed
        Emitted with whether a run is under way.
    """

    status_changed = Signal(object)
    progressed = Signal(object)
    busy_changed = Signal(bool)

    def __init__(self, analysis: Analysis[Any, Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.analysis = analysis
        self.status = Status("idle", "no section open")
        self._live = True
        self._in_front = False
        self._submitted: Request[Any, Any] | None = None
        self._runner = LatestRunner(self)
        self._runner.returned.connect(self._on_outcome)
        self._runner.reported.connect(self._on_news)
        self._runner.failed.connect(self._on_failed)
        self._runner.cancelled.connect(self._on_cancelled)
        self._runner.idle.connect(lambda: self.busy_changed.emit(False))
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._settle)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self._tell_working)
        analysis.outdated.connect(self._on_outdated)
        analysis.study.section_changed.connect(self._on_section_changed)

    @property
    def live(self) -> bool:
        """Whether the result follows every change."""
        return self._live

    @live.setter
    def live(self, live: bool) -> None:
        self._live = live
        if not self.analysis.is_up_to_date:
            self._on_outdated()

    @property
    def in_front(self) -> bool:
        """Whether its map is the one that is looked at."""
        return self._in_front

    @in_front.setter
    def in_front(self, in_front: bool) -> None:
        came = in_front and not self._in_front
        self._in_front = in_front
        if came and self.analysis.active and not self.analysis.is_up_to_date:
            self._on_outdated()

    @property
    def runner(self) -> Runner:
        """What computes it."""
        return self._runner

    @property
    def is_busy(self) -> bool:
        """Whether something is being computed."""
        return self._runner.is_busy

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being computed or about to be."""
        return not self._runner.is_busy and not self._rest.isActive()

    @property
    def _follows(self) -> bool:
        return self._live and self.analysis.follows

    def solve(self) -> None:
        """Compute the result from the canonical start now, also when it does not follow."""
        self._rest.stop()
        self._submit(settled=True)

    def cancel(self) -> None:
        """Stop computing; what is on screen stays."""
        self._rest.stop()
        self._runner.cancel()

    def shut_down(self) -> None:
        """Stop for good; nothing is emitted afterwards."""
        self.analysis.outdated.disconnect(self._on_outdated, missing_ok=True)
        self.analysis.study.section_changed.disconnect(self._on_section_changed, missing_ok=True)
        self._rest.stop()
        self._patience.stop()
        self._runner.shut_down()

    def _on_section_changed(self, section: object) -> None:
        self.cancel()
        self._set_status("idle", "not computed yet")

    def _on_outdated(self) -> None:
        self._rest.stop()
        analysis = self.analysis
        if not analysis.active:
            return
        if analysis.has_kept:
            self._submit(settled=True)
        elif not self._follows:
            if self._runner.is_busy:
                return
            if analysis.is_up_to_date:  # again, after undo
                self._set_status("optimum", analysis.describe(analysis.result))
            else:
                self._tell_outdated()
        elif self._in_front:
            self._submit(settled=analysis.result is None)
            if not analysis.is_quick:
                # What takes its time begins afresh as soon as the hand rests, not after a run
                # from what is on screen that nobody would see.
                self._rest.start()
        else:
            self._rest.start()

    def _tell_working(self) -> None:
        if self._runner.is_busy and self.status.kind != "working":
            self._set_status("working", f"{self.analysis.work} …")

    def _settle(self) -> None:
        if not self._follows or self.analysis.is_up_to_date:
            return
        under_way = self._submitted if self._runner.is_busy else None
        wanted = self.analysis.request(settled=True)
        if (
            under_way is None
            or wanted is None
            or under_way.start is not None
            or not under_way.asks_same(wanted)
        ):
            self._submit(settled=True)

    def _submit(self, *, settled: bool) -> None:
        request = self.analysis.request(settled=settled)
        if request is None:
            return
        runner = self._runner
        runner.patient = self.analysis.follows and self.analysis.is_quick
        first = min(runner.granted, LATEST_FIRST_ITERATE) if runner.patient else FIRST_ITERATE
        if not self._patience.isActive():
            self._patience.start(max(PATIENCE, round(1000 * first)))
        self._submitted = request
        runner.submit(
            _Computation(self.analysis, request, first),
            self.analysis.work,
            quick=self.analysis.follows,
        )
        self.busy_changed.emit(True)

    def _on_outcome(self, outcome: Outcome[Any, Any]) -> None:
        analysis = self.analysis
        if not analysis.accept(outcome):
            return
        result = outcome.result
        good, detail = analysis.describe(result), analysis.detail(result)
        if not analysis.is_optimum(result):
            self._set_status("failed", f"not the optimum: {good}", detail)
        elif not self._follows and outcome.request.settings != analysis.settings:
            self._tell_outdated()
        elif not self._runner.has_next:
            self._set_status("optimum", good, detail)
        if self._follows and not analysis.is_up_to_date:
            self._rest.start()

    def _on_news(self, news: Outcome[Any, Any] | Progress) -> None:
        if isinstance(news, Progress):
            self._set_status("working", f"{news.text} …")
            self.progressed.emit(news)
        elif self.analysis.accept(news) and news.passing:
            far = self.analysis.describe_passing(news.result)
            self._set_status("working", f"{self.analysis.work} … {far}")

    def _on_failed(self, error: Exception) -> None:
        self.analysis.restore()
        problem = error.problem if isinstance(error, InputError) else str(error)
        self._set_status("failed", f"not computed: {problem}")
        tell_error(error)

    def _on_cancelled(self) -> None:
        self.analysis.restore()
        self._set_status("outdated", f"cancelled{self._what_is_shown(': ')}")

    def _tell_outdated(self) -> None:
        shown, button = self._what_is_shown(""), self.analysis.button
        live = "not live: " if self.analysis.follows else ""
        if shown:
            self._set_status("outdated", f"{live}{shown}; press {button} for the present")
        else:
            self._set_status("outdated", f"{live}not computed yet: press {button}")

    def _what_is_shown(self, before: str) -> str:
        shown = self.analysis.shown
        if shown is None:
            return ""
        return f"{before}showing {self.analysis.describe_settings(shown.request.settings)}"

    def _set_status(self, kind: StatusKind, text: str, detail: str = "") -> None:
        if kind != "working":
            self._patience.stop()
        status = Status(kind, text, detail)
        if status != self.status:
            self.status = status
            self.status_changed.emit(status)


class _Computation:
    """One run of an analysis, as a job for the runner."""

    def __init__(
        self, analysis: Analysis[Any, Any], request: Request[Any, Any], first: float
    ) -> None:
        self._analysis = analysis
        self._request = request
        self._first = first

    def __call__(
        self, cancelled: Callable[[], bool], report: Callable[[Any], None]
    ) -> Outcome[Any, Any]:
        last = time.perf_counter() + self._first - ITERATES_EVERY

        def tell(news: Any) -> None:
            nonlocal last
            if isinstance(news, Outcome) and news.passing:
                now = time.perf_counter()
                if now - last < ITERATES_EVERY:
                    return
                last = now
                self._analysis.complete(news.result)
            report(news)

        return self._analysis.run(self._request, cancelled=cancelled, tell=tell)
