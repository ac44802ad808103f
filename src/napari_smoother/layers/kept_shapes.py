"""Shapes of a napari layer, of which only those are touched that come or go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.layers.coordinates import to_rows_and_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Shapes
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line in a layer.

    Parameters
    ----------
    corners
        m x 2, (x, y) in full-resolution pixels; the line is the same as long as this is the same
        object.
    colour
        Red, green, blue, alpha from 0 to 1.
    width
        In full-resolution pixels.
    closed
        Whether it leads back to its first corner.
    """

    corners: NDArray[np.float64]
    colour: tuple[float, float, float, float]
    width: float
    closed: bool = True

    @property
    def is_one(self) -> bool:
        """Whether there is anything to be drawn."""
        return len(self.corners) > (2 if self.closed else 1)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from others."""
        return id(self.corners), self.colour, self.width


class KeptShapes:
    """The lines in a layer, as they were shown last.

    Parameters
    ----------
    layer
        Of shapes; nobody else adds any but who changes `lines` with it.
    kind
        ``"polygon"``, or ``"path"`` for a line that does not close by itself.

    Attributes
    ----------
    lines
        One for each shape of the layer, in its order.
    """

    def __init__(self, layer: Shapes, kind: str) -> None:
        self.layer = layer
        self.lines: list[Line] = []
        self._kind = kind

    def show(self, wanted: Sequence[Line]) -> None:
        """Make the layer show these lines: those it shows already stay as they are."""
        with self.layer.block_thumbnail_update():
            self._show(wanted)

    def _show(self, wanted: Sequence[Line]) -> None:
        keys = {line.key for line in wanted}
        gone = [place for place, line in enumerate(self.lines) if line.key not in keys]
        gone += range(len(self.lines), len(self.layer.data))  # left half drawn
        if gone:
            self.layer.remove(gone)
            self.lines = [line for line in self.lines if line.key in keys]
        here = {line.key for line in self.lines}
        new = [line for line in wanted if line.key not in here and line.is_one]
        if not new:
            return
        self.layer.add(
            [self._placed(line) for line in new],
            shape_type=self._kind,
            edge_width=[line.width for line in new],
            edge_color=np.array([line.colour for line in new]),
            face_color=np.array([(*line.colour[:3], 0.0) for line in new]),
        )
        self.lines += new

    def misses(self, wanted: Sequence[Line]) -> bool:
        """Whether the layer shows other lines than these."""
        keys = {line.key for line in wanted if line.is_one}
        return keys != {line.key for line in self.lines}

    def _placed(self, line: Line) -> NDArray[np.float64]:
        placed = to_rows_and_columns(line.corners)
        by_itself = self._kind == "polygon" or not line.closed
        return placed if by_itself else np.concatenate([placed, placed[:2]])
