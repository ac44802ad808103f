"""What is being done in a session: how far it is, how long it takes yet, and how to stop it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakMethod, ref

from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.widgets.runner import Runner

NOTICED = 0.5
"""Seconds after which work is told of, with the means to stop it."""

LOOK_EVERY = 250
"""Milliseconds between two looks at the work."""


class UnderWay(QObject):
    """Knows the runners of a session, and which of them is to be told of.

    Attributes
    ----------
    changed
        Emitted whenever what is to be told may have changed.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # Weak: a page may close before the session does.
        self._watched: list[tuple[ref[Runner], WeakMethod[Callable[[], None]]]] = []
        self._looks = QTimer(self)
        self._looks.setInterval(LOOK_EVERY)
        self._looks.timeout.connect(self._look)

    def watch(self, runner: Runner, stop: Callable[[], None] | None = None) -> None:
        """Tell of a runner's work from now on; of several, the one watched first comes first.

        Parameters
        ----------
        runner
            Whose work it is.
        stop
            Stops it, a method; the runner's own `cancel` where None is given.
        """
        self._watched.append((ref(runner), WeakMethod(stop or runner.cancel)))
        runner.began.connect(self._looks.start)
        runner.idle.connect(self._look)

    @property
    def current(self) -> Runner | None:
        """The runner whose work is to be told of."""
        return next((runner for runner, _ in self._there() if is_noticed(runner)), None)

    def cancel(self) -> None:
        """Stop the work that is told of; what was there before stays."""
        current = self.current
        for runner, stop in self._there():
            if runner is current:
                stop()

    def _there(self) -> list[tuple[Runner, Callable[[], None]]]:
        known = [(runner(), stop()) for runner, stop in self._watched]
        return [(runner, stop) for runner, stop in known if runner and stop]

    def _look(self) -> None:
        if not any(runner.is_busy for runner, _ in self._there()):
            self._looks.stop()
        self.changed.emit()


def is_noticed(runner: Runner) -> bool:
    """Whether a runner has been busy for so long that it is to be told of."""
    return runner.is_busy and time.monotonic() - runner.busy_since >= NOTICED


def describe(runner: Runner) -> str:
    """Say what is done, how far it is, and how long it takes yet."""
    progress = runner.progress
    if progress is None or not progress.total:
        what = runner.description if progress is None else progress.text
        return f"{what} … {duration(time.monotonic() - runner.busy_since)}"
    text = f"{progress.text} … {progress.done:,} of {progress.total:,}"
    if runner.left is not None:
        text += f", about {duration(runner.left)} left"
    return text


def duration(seconds: float) -> str:
    """Return a duration in the unit it is read in.

    >>> duration(7.2), duration(200), duration(8000)
    ('7 s', '3 min', '2.2 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
