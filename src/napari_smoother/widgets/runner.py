"""One job at a time off the main thread: in turn, or the newest one first of all."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_smoother.analyses.context import Progress
from napari_smoother.errors import Cancelled
from napari_smoother.widgets.jobs import Ended, Job, Reported
from napari_smoother.widgets.relay import relay

if TYPE_CHECKING:
    from napari_smoother.widgets.jobs import Work

GRACE = 0.15
"""Seconds that a job is granted although a newer one has come.

A slider sends changes faster than a large section is solved. Were every job stopped at once by
the next change, nothing would be drawn until the slider is released. So where the runner is
patient, a job that is stopped before its end doubles what the next is granted, up to
`LONGEST_GRACE`.
"""

LONGEST_GRACE = 1.5
LEEWAY = 1.5
"""Times what the last job took that the next is granted."""


class Runner(QObject):
    """Runs jobs in a thread, one after the other, in the order they came.

    Attributes
    ----------
    patient
        Whether jobs are short enough to be granted as long as they take.
    description
        What the present or last job does, in a few words.
    progress
        The last `Progress` that the present job reported; None before.
    busy_since
        When the present job was handed over, by `time.monotonic`.
    began
        Emitted when a job is handed over.
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

    began = Signal()
    returned = Signal(object)
    reported = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    idle = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.patient = False
        self.description = ""
        self.progress: Progress | None = None
        self.busy_since = 0.0
        self._step_since = (0.0, 0)  # when the present step was first told of, and at which count
        self._granted = GRACE
        self._current: Job | None = None
        self._waiting: deque[tuple[Work, str, bool]] = deque()
        self._is_shut_down = False
        self._relay = relay()
        self._token = self._relay.register(self)

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self._current is not None

    @property
    def granted(self) -> float:
        """Seconds that the next job is granted where the runner is patient: few take longer."""
        return self._granted

    @property
    def has_next(self) -> bool:
        """Whether a job waits for the present one to end."""
        return bool(self._waiting)

    @property
    def left(self) -> float | None:
        """Seconds until the present step is done, at the pace so far; None if not known yet."""
        now, (since, at) = time.monotonic(), self._step_since
        if self.progress is None or self.progress.done <= at:
            return None
        pace = (now - since) / (self.progress.done - at)
        return pace * (self.progress.total - self.progress.done)

    def submit(self, work: Work, description: str = "", *, quick: bool = False) -> None:
        """Run a job when those before it have ended.

        Parameters
        ----------
        work
            Called with ``cancelled()``, which it asks often, and ``report(value)``. It holds
            nothing of Qt: it is deleted in the thread.
        description
            What it does, in a few words.
        quick
            Whether it is most likely over in a moment: then napari's activity dock has no line
            for it.
        """
        if self._is_shut_down:
            return
        self._waiting.append((work, description, quick))
        if self._current is None:
            self._start_next()

    def cancel(self) -> None:
        """Stop the present job, at once if it has not begun, and drop those that wait."""
        self._waiting.clear()
        if self._current is not None:
            self._current.stop()

    def shut_down(self) -> None:
        """Stop for good; nothing is emitted afterwards. `wait_for_shut_down` waits for it."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._waiting.clear()
        self._current = None
        for worker in self._relay.forget(self._token):
            worker.finished.emit()  # so that napari takes it off its activity dock

    def receive(self, job: Job, message: object) -> None:
        """Take what the present job tells; called by the relay."""
        if isinstance(message, Reported):
            self._note(message.value)
            self.reported.emit(message.value)
        elif isinstance(message, Ended):
            self._on_ended(job, message)

    def _start_next(self) -> None:
        self._current = None
        if self._is_shut_down:
            return
        if not self._waiting:
            self.idle.emit()
            return
        work, self.description, quick = self._waiting.popleft()
        self.progress, self.busy_since = None, time.monotonic()
        grace = self._granted if self.patient else GRACE
        self._current = Job(work, self.description, self._token, self._relay.tell, grace)
        self.began.emit()
        self._relay.start(self._current, "" if quick else self.description)

    def _note(self, news: object) -> None:
        """Note how far the job is; a step is told of under one name with one total."""
        if not isinstance(news, Progress):
            return
        before, self.progress = self.progress, news
        if before is None or (before.text, before.total) != (news.text, news.total):
            self._step_since = (time.monotonic(), news.done)

    def _on_ended(self, job: Job, ended: Ended) -> None:
        if ended.error is not None and not isinstance(ended.error, Cancelled):
            self.failed.emit(ended.error)
        elif job.stopped:
            self.cancelled.emit()
        elif ended.error is not None:
            self._granted = min(2 * self._granted, LONGEST_GRACE)
        else:
            self._granted = min(max(LEEWAY * job.took, GRACE), LONGEST_GRACE)
            self.returned.emit(ended.result)
        self._start_next()


class LatestRunner(Runner):
    """Runs the newest job only: one that waits is dropped, and an older one soon stopped."""

    def submit(self, work: Work, description: str = "", *, quick: bool = False) -> None:
        """Run a job as soon as the present one has ended, which it is told to do."""
        self._waiting.clear()
        if self._current is not None:
            self._current.superseded = True
        super().submit(work, description, quick=quick)


def wait_for_shut_down() -> None:
    """Wait for the begun jobs of runners that were shut down, with one limit for all of them."""
    relay().wait_for_leaving()
