"""States that can be gone back to."""

from __future__ import annotations

from typing import Generic, TypeVar

State = TypeVar("State")


class History(Generic[State]):
    """The past and undone states of an immutable value.

    Parameters
    ----------
    present
        The state to begin with.
    depth
        How many past states are kept.
    """

    def __init__(self, present: State, depth: int = 1000) -> None:
        self._past: list[State] = []
        self._undone: list[State] = []
        self._depth = depth
        self.present = present

    def record(self, state: State) -> None:
        """Make a new state the present one; what was undone is forgotten."""
        self._past = [*self._past, self.present][-self._depth :]
        self.amend(state)

    def amend(self, state: State) -> None:
        """Make a new state the present one, in the step that was recorded last."""
        self._undone.clear()
        self.present = state

    @property
    def can_undo(self) -> bool:
        """Whether there is a past state."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone state."""
        return bool(self._undone)

    def undo(self) -> None:
        """Go back one state, if there is one."""
        if self._past:
            self._undone.append(self.present)
            self.present = self._past.pop()

    def redo(self) -> None:
        """Take back the last undo, if there was one."""
        if self._undone:
            self._past.append(self.present)
            self.present = self._undone.pop()
