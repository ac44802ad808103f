"""Figures whose drawing can be stopped, and says how far it is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from napari_smoother.analyses.context import Context


@contextmanager
def watched(figure: Figure, context: Context) -> Iterator[None]:
    """Ask between the parts of a figure, as they are drawn, whether to stop.

    Parameters
    ----------
    figure
        Drawn inside the ``with``.
    context
        Told of every part, and asked.
    """
    from matplotlib.artist import Artist

    class Checkpoint(Artist):
        """Draws nothing; is there when its part is drawn."""

        def __init__(self, number: int, total: int) -> None:
            super().__init__()
            self.number, self.total = number, total
            self.set_zorder(-1)
            self.set_in_layout(False)

        def draw(self, renderer: Any) -> None:
            context.say("drawing the figure", self.number, self.total)

    parts = list(figure.axes)
    added = [axes.add_artist(Checkpoint(number, len(parts))) for number, axes in enumerate(parts)]
    try:
        context.look_up()
        yield
    finally:
        for checkpoint in added:
            checkpoint.remove()
