"""Waiting while the window goes on working."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QEventLoop, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 60.0
"""Seconds that `wait_until` waits."""

LOOK_EVERY = 10
"""Milliseconds between two looks at the condition."""


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Let the window work until a condition holds.

    Parameters
    ----------
    condition
        Looked at now and then.
    patience
        Seconds to wait at most.

    Raises
    ------
    TimeoutError
        If it does not hold in time.
    """
    if condition():
        return
    deadline = time.monotonic() + patience
    loop = QEventLoop()
    timer = QTimer()
    timer.setInterval(LOOK_EVERY)
    timer.timeout.connect(lambda: loop.quit() if condition() or _is_past(deadline) else None)
    timer.start()
    loop.exec()
    timer.stop()
    if not condition():
        raise TimeoutError(f"The window was not ready after {patience:.0f} s")


def pause(milliseconds: int) -> None:
    """Let the window work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def _is_past(deadline: float) -> bool:
    return time.monotonic() > deadline
