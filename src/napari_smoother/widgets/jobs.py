"""A job for a thread: plain Python, so that it may outlive the window it works for."""

from __future__ import annotations

import threading
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_smoother.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    Work = Callable[[Callable[[], bool], Callable[[Any], None]], Any]


@dataclass(frozen=True, slots=True)
class Begun:
    """A thread has begun the job."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The job reported a value before its end."""

    value: Any


@dataclass(frozen=True, slots=True)
class Warned:
    """The job gave a warning, at a line of a file."""

    message: Warning | str
    category: type[Warning]
    filename: str
    lineno: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is over: with a result, or with an error, which is `Cancelled` if it was stopped."""

    result: Any = None
    error: BaseException | None = None


Message = Begun | Reported | Warned | Ended


class Job:
    """Work that is done once, in whichever thread calls it.

    Parameters
    ----------
    work
        Called with ``cancelled()``, which it asks often, and ``report(value)``. It must hold
        nothing of Qt: the last reference to it is dropped in the thread.
    description
        For whoever shows what is being done.
    token
        Names the owner.
    tell
        Called with the job and each `Message`, mostly from the thread. It must not raise.
    grace
        Seconds that the job is granted after it was superseded.

    Attributes
    ----------
    took
        Seconds from its begin to its end.
    superseded
        Whether a newer job waits for this one.
    stopped
        Whether the job was told to stop.
    """

    def __init__(
        self,
        work: Work,
        description: str,
        token: int,
        tell: Callable[[Job, Message], None],
        grace: float,
    ) -> None:
        self.token = token
        self.took = 0.0
        self.superseded = False
        self.stopped = False
        self._work: Work | None = work
        self._description = description
        self._tell = tell
        self._grace = grace
        self._started = 0.0
        # Whoever acquires it decides how the job ends: the thread that begins it, or whoever
        # stops it before.
        self._decided = threading.Lock()
        self._ended = threading.Event()

    def __str__(self) -> str:
        return self._description or "a short computation"

    def __call__(self) -> None:
        """Do the work and tell how it ended; nothing that is raised leaves this method."""
        work = self._work
        if work is None or not self._decided.acquire(blocking=False):
            return
        self._started = time.perf_counter()
        self._tell(self, Begun())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.showwarning = self._warn
                ended = Ended(work(self.is_cancelled, self._report))
        except BaseException as error:
            ended = Ended(error=error)
        self.took = time.perf_counter() - self._started
        del work
        self._end(ended)

    def is_cancelled(self) -> bool:
        """Whether the work should stop."""
        if self.stopped:
            return True
        return self.superseded and time.perf_counter() - self._started > self._grace

    def stop(self) -> None:
        """Tell the work to stop; a job that has not begun is over at once."""
        self.stopped = True
        if self._decided.acquire(blocking=False):
            self._end(Ended(error=Cancelled()))

    def wait(self, seconds: float) -> bool:
        """Wait for the end at most so long, and return whether it came."""
        return self._ended.wait(seconds)

    def _report(self, value: Any) -> None:
        if not self.is_cancelled():
            self._tell(self, Reported(value))

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        self._tell(self, Warned(message, category, filename, lineno))

    def _end(self, ended: Ended) -> None:
        self._work = None
        self._tell(self, ended)
        self._ended.set()
