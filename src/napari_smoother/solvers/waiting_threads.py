"""Threads that wait for a piece of work and take it up at once.

A pool of `concurrent.futures` takes 25 microseconds to hand over and to hear back; two locks take
ten, and a solve of a few thousand spots hands over sixty times.
"""

from __future__ import annotations

import os
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_free: list[WaitingThread] = []
_made = 0
_making = Lock()


class WaitingThread:
    """A thread that does one piece of work at a time, for whoever has borrowed it."""

    def __init__(self) -> None:
        self._asked, self._done = Lock(), Lock()
        self._asked.acquire()
        self._done.acquire()
        self._work: tuple[Callable[..., None], tuple[Any, ...]] | None = None
        self._error: BaseException | None = None
        Thread(target=self._serve, name="solver", daemon=True).start()

    def start(self, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Begin ``work(*arguments)``; `finish` must follow."""
        self._work = work, arguments
        self._asked.release()

    def finish(self) -> BaseException | None:
        """Wait for the work to end, and return what it raised, or an interrupt meanwhile."""
        interrupt: BaseException | None = None
        while True:
            try:
                self._done.acquire()
                break
            except KeyboardInterrupt as wish:
                # The work writes into arrays of the caller: it has to end first.
                interrupt = wish
        raised, self._error = self._error, None
        return interrupt or raised

    def _serve(self) -> None:
        while True:
            self._asked.acquire()
            assert self._work is not None
            work, arguments = self._work
            try:
                work(*arguments)
            except BaseException as error:
                self._error = error
            # Nothing of the caller's is kept alive while waiting.
            self._work = None
            del work, arguments
            self._done.release()


def borrow(count: int, most: int) -> list[WaitingThread]:
    """Return so many threads that are free, or fewer; give them back.

    Parameters
    ----------
    count
        How many are wanted.
    most
        How many there may be in all. Who finds none left works alone, which is as fast where
        others keep the processor busy.
    """
    global _made
    found: list[WaitingThread] = []
    while len(found) < count:
        try:
            found.append(_free.pop())
        except IndexError:
            with _making:
                if _made >= most:
                    break
                _made += 1
            found.append(WaitingThread())
    return found


def give_back(threads: list[WaitingThread]) -> None:
    """Let others borrow them."""
    _free.extend(threads)


def _forget() -> None:
    """Start anew in a forked child, where the threads do not exist."""
    global _made, _making
    _free.clear()
    _made, _making = 0, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
