"""Waiting while the window goes on working."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEventLoop, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY = 10
"""Milliseconds between two looks at the condition."""


def wait_while(busy: Callable[[], bool]) -> None:
    """Let the window work as long as something is busy, however long that is.

    Parameters
    ----------
    busy
        Looked at now and then.
    """
    if not busy():
        return
    loop = QEventLoop()
    timer = QTimer()
    timer.setInterval(LOOK_EVERY)
    timer.timeout.connect(lambda: None if busy() else loop.quit())
    timer.start()
    loop.exec()
    timer.stop()


def pause(milliseconds: int) -> None:
    """Let the window work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()
