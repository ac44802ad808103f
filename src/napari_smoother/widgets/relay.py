"""Between the threads and the window: starts jobs, and delivers what they tell."""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from functools import cache
from itertools import count
from queue import SimpleQueue
from typing import Protocol
from weakref import WeakValueDictionary, finalize

from napari.qt.threading import FunctionWorker, create_worker
from napari.utils.notifications import notification_manager
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QObject, Qt, QThreadPool, Signal

from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.jobs import Begun, Ended, Job, Message, Warned


class Owner(Protocol):
    """Whoever has a job, and hears of it."""

    def receive(self, job: Job, message: Message) -> None:
        """Take what a job tells."""

    def shut_down(self) -> None:
        """Stop for good."""


THREADS = 32
"""A runner has one job at a time, and a window about eight runners, most of them idle.

The number of cores is no measure: two long jobs on two cores would keep every quick one waiting.
"""

CLOSING_LIMIT = 5.0
"""Seconds that closing waits for all jobs together that do not stop when they are told to.

Only the end of the program waits longer: a file that is being written is written to its end.
"""


class _Worker(FunctionWorker):
    """napari's worker, whose signals the relay emits: the thread touches nothing of Qt.

    An exception that leaves `run`, as one about a deleted Qt object would, ends the program.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.setAutoDelete(False)
        self._job = job

    def run(self) -> None:
        """Run the job; called by a thread of the pool."""
        self._job()


class Relay(QObject):
    """Runs jobs in a pool of threads and delivers their messages in the main thread.

    There is one in a program, which lives as long as the program, so that a job can tell
    something at any time. What nobody waits for any more is dropped.
    """

    _arrived = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._pool = QThreadPool()
        self._pool.setMaxThreadCount(THREADS)
        # What is told waits in a queue of Python's: Qt would delete what waits in an event at
        # the very end, after Python.
        self._messages: SimpleQueue[tuple[Job, Message]] = SimpleQueue()
        self._runners: WeakValueDictionary[int, Owner] = WeakValueDictionary()
        self._tokens = count()
        self._workers: dict[Job, _Worker] = {}
        # Kept for a while: the thread may still be in `run` when the end is delivered.
        self._ended: deque[_Worker] = deque(maxlen=THREADS)
        self._leaving: list[Job] = []
        self._is_open = True
        self._lock = threading.RLock()
        self._arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        # Kept, because everything of Qt, this and the pool too, would go with it.
        self._application = QCoreApplication.instance()
        self._application.aboutToQuit.connect(self.close_runners)
        atexit.register(self._close)

    def register(self, runner: Owner) -> int:
        """Return the token that a runner's jobs bear."""
        token = next(self._tokens)
        self._runners[token] = runner
        # Its signal `destroyed` would come in the middle of a garbage collection.
        finalize(runner, self.forget, token).atexit = False
        return token

    def start(self, job: Job, description: str) -> None:
        """Run a job in a thread; with a description it is shown in napari's activity dock."""
        worker = create_worker(
            job,
            _start_thread=False,
            _ignore_errors=True,
            _worker_class=_Worker,
            _progress={"desc": as_text(description)} if description else None,
        )
        self._workers[job] = worker
        self._pool.start(worker)

    def tell(self, job: Job, message: Message) -> None:
        """Take a message from a job, in any thread."""
        self._messages.put((job, message))
        with self._lock:
            if self._is_open:
                self._arrived.emit()

    def forget(self, token: int) -> list[_Worker]:
        """Stop the jobs of a runner, deliver nothing more of them, and return their workers."""
        self._runners.pop(token, None)
        # A list, because a garbage collection may call this in any thread.
        running = [pair for pair in list(self._workers.items()) if pair[0].token == token]
        for job, _ in running:
            job.stop()
            self._leaving.append(job)
        return [worker for _, worker in running]

    def wait_for_leaving(self) -> None:
        """Wait for the jobs of forgotten runners, once for each and not beyond the limit."""
        leaving, self._leaving = self._leaving, []
        deadline = time.monotonic() + CLOSING_LIMIT
        for job in leaving:
            job.wait(max(deadline - time.monotonic(), 0.0))

    def close_runners(self) -> None:
        """Shut down every runner, and wait for their jobs."""
        for runner in list(self._runners.values()):
            runner.shut_down()
        self.wait_for_leaving()

    def _close(self) -> None:
        # The program ends: Qt's objects go, and the threads must not touch this one any more.
        with self._lock:
            self._is_open = False
        self.close_runners()
        self._pool.waitForDone()

    def _deliver(self) -> None:
        job, message = self._messages.get_nowait()
        if isinstance(message, Warned):
            notification_manager.receive_warning(
                message.message, message.category, message.filename, message.lineno
            )
            return
        worker = self._workers[job]
        if isinstance(message, Ended):
            del self._workers[job]
            self._pool.tryTake(worker)  # one that was stopped before it began waits there still
            self._ended.append(worker)
        runner = self._runners.get(job.token)
        if runner is None:
            return
        if not isalive(runner):  # Qt has deleted it with its parent
            self.forget(job.token)
            return
        if isinstance(message, Begun):
            worker.started.emit()
            return
        if isinstance(message, Ended):
            worker.finished.emit()
        runner.receive(job, message)


@cache
def relay() -> Relay:
    """Return the one relay of the program."""
    return Relay()
