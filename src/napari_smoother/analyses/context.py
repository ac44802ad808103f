"""What an analysis may ask of whoever runs it: whether to stop, and to be told how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_smoother.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long run has come.

    Parameters
    ----------
    text
        What is done, in a few words.
    done, total
        Steps; a total of 0 where their number is not known.
    value
        What the run is to make small, for a curve; NaN where there is none.
    """

    text: str
    done: int = 0
    total: int = 0
    value: float = float("nan")


@dataclass(frozen=True, slots=True)
class Context:
    """Who runs an analysis, as far as the analysis knows.

    Parameters
    ----------
    cancelled
        Asked between and within the steps; True stops the work.
    tell
        Told about `Progress`, and about results that are not finished.
    """

    cancelled: Callable[[], bool] | None = None
    tell: Callable[[Any], None] | None = None

    def asked(self) -> bool:
        """Whether to stop."""
        return self.cancelled is not None and self.cancelled()

    def look_up(self) -> None:
        """Stop if told to.

        Raises
        ------
        Cancelled
            If so.
        """
        if self.asked():
            raise Cancelled("the analysis was cancelled")

    def say(self, text: str, done: int = 0, total: int = 0) -> None:
        """Tell how far it is, and stop if told to."""
        self.look_up()
        if self.tell is not None:
            self.tell(Progress(text, done, total))
