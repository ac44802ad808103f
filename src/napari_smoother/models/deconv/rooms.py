"""Memory that threads write into, piece after piece and call after call.

Fresh memory costs as much as the work in it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Room = TypeVar("Room")


class Rooms(Generic[Room]):
    """As many rooms as were ever in use at once.

    Parameters
    ----------
    make
        Makes one.
    """

    def __init__(self, make: Callable[[], Room]) -> None:
        self._make = make
        self._free: list[Room] = []

    @contextmanager
    def one(self) -> Iterator[Room]:
        """Have a room alone."""
        # Another thread may take the last one between a look and the taking.
        try:
            room = self._free.pop()
        except IndexError:
            room = self._make()
        try:
            yield room
        finally:
            self._free.append(room)
