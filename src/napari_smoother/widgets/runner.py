"""One job at a time in a thread worker: in turn, or the newest one first of all."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari.qt.threading import FunctionWorker, create_worker
from qtpy.QtCore import QObject, Signal

from napari_smoother.errors import Cancelled
from napari_smoother.solvers.row_blocks import beside_a_window

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[Callable[[], bool], Callable[[Any], None]], Any]

GRACE = 0.15
"""Seconds that a job is granted although a newer one has come.

A slider sends changes faster than a large section is solved. Were every job stopped at once by
the next change, nothing would be drawn until the hand rests. So where the runner is patient, a
job that is stopped before its end doubles what the next is granted, up to `LONGEST_GRACE`.
"""

LONGEST_GRACE = 1.5
LEEWAY = 1.5
"""Times what the last job took that the next is granted."""

GIVE_WAY = 0.012
"""Seconds that the window lets a job go first: less than a frame takes to paint."""

WHOLE_WAY = 0.025
"""The same where jobs are so short that they end within it, and paint their result at once."""

SHORT = 0.045
"""Seconds up to which a job is short: beside painting it takes longer than alone."""


@dataclass(slots=True)
class _Run:
    """A job on its way."""

    job: Job
    description: str
    started: float = 0.0
    took: float = 0.0
    grace: float = GRACE
    superseded: bool = False
    stopped: bool = False
    abandoned: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def is_cancelled(self) -> bool:
        """Whether the job should stop; asked inside its loops."""
        late = time.perf_counter() - self.started > self.grace
        return self.stopped or (self.superseded and late)


class _Worker(FunctionWorker):
    """A thread worker that may outlive the window it works for."""

    job: _Run

    def run(self) -> None:
        """Work, and say so to whoever is still there."""
        try:
            super().run()
        except RuntimeError:
            # The half of it that is Qt's went with the window, while it did what cannot be
            # stopped: compiling, mostly. An exception that leaves this method ends the program.
            if not self.job.abandoned:
                raise


class Runner(QObject):
    """Runs jobs in a thread worker, one after the other, in the order they came.

    A job is called with ``cancelled()``, which it asks often, and ``report(value)``.

    Attributes
    ----------
    patient
        Whether jobs are short enough to be granted as long as they take.
    took
        Seconds of the last job that came to its end; 0 at first.
    returned
        Emitted in the main thread with a job's result.
    reported
        Emitted in the main thread with what a job reports.
    failed
        Emitted in the main thread with the exception a job raised.
    cancelled
        Emitted in the main thread when a job stopped because it was told to by `cancel`.
    idle
        Emitted when there is no job left.
    """

    returned = Signal(object)
    reported = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    idle = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._current: _Run | None = None
        self._grace = GRACE
        self.took = 0.0
        self.patient = False
        self._waiting: deque[_Run] = deque()

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self._current is not None

    @property
    def granted(self) -> float:
        """Seconds that the next job is granted where the runner is patient: few take longer."""
        return self._grace

    @property
    def has_next(self) -> bool:
        """Whether a job waits for the present one to end."""
        return bool(self._waiting)

    def submit(self, job: Job, description: str = "") -> None:
        """Run a job when those before it have ended.

        Parameters
        ----------
        job
            What to run.
        description
            Shown in napari's activity dock; empty for quick jobs, which are not shown.
        """
        self._waiting.append(_Run(job, description))
        if self._current is None:
            self._start_next()

    def give_way(self) -> None:
        """Let the present job go first for a moment, if it is the newest.

        Painting keeps Python from every thread: a quick job that starts beside it ends only
        after the painting.
        """
        if self._current is not None and not self._waiting:
            short = self.patient and 0 < self.took < SHORT
            self._current.done.wait(WHOLE_WAY if short else GIVE_WAY)

    def cancel(self) -> None:
        """Stop the present job at its next look, and drop those that wait."""
        self._waiting.clear()
        if self._current is not None:
            self._current.stopped = True

    def shut_down(self, patience: float = 10.0) -> None:
        """Stop everything and wait for the thread, so that nothing outlives the window."""
        current = self._current
        self.cancel()
        self.blockSignals(True)
        if current is not None:
            current.abandoned = True
            current.done.wait(patience)

    def _start_next(self) -> None:
        run = self._waiting.popleft() if self._waiting else None
        self._current = run
        if run is None:
            self.idle.emit()
            return
        run.started = time.perf_counter()
        run.grace = self._grace if self.patient else GRACE
        worker = create_worker(
            self._execute,
            run,
            _start_thread=False,
            _ignore_errors=True,
            _worker_class=_Worker,
            _progress={"desc": run.description} if run.description else None,
        )
        worker.job = run
        worker.returned.connect(self._on_returned)
        worker.errored.connect(self._on_errored)
        worker.start()

    def _execute(self, run: _Run) -> tuple[_Run, Any]:
        # Runs in the worker's thread.
        def report(value: Any) -> None:
            if not run.is_cancelled():
                self.reported.emit(value)

        try:
            with beside_a_window():
                return run, run.job(run.is_cancelled, report)
        except Cancelled:
            return run, Cancelled
        finally:
            run.took = time.perf_counter() - run.started
            run.done.set()

    def _on_returned(self, outcome: tuple[_Run, Any]) -> None:
        run, result = outcome
        if run.stopped:
            self.cancelled.emit()
        elif result is Cancelled:
            self._grace = min(2 * self._grace, LONGEST_GRACE)
        else:
            self.took = run.took
            self._grace = min(max(LEEWAY * run.took, GRACE), LONGEST_GRACE)
            self.returned.emit(result)
        self._start_next()

    def _on_errored(self, error: Exception) -> None:
        self.failed.emit(error)
        self._start_next()


class LatestRunner(Runner):
    """Runs the newest job only: one that waits is dropped, and an older one soon stopped."""

    def submit(self, job: Job, description: str = "") -> None:
        """Run a job as soon as the present one has ended, which it is told to do."""
        self._waiting.clear()
        if self._current is not None:
            self._current.superseded = True
        super().submit(job, description)
