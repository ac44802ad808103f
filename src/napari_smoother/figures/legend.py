"""Legends: names beside patches of colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_smoother.figures.pale import EDGE_POINTS, edge_colours
from napari_smoother.figures.sheet import GAP, SWATCH, Sheet
from napari_smoother.figures.text import line_height, text_width, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.patches import Patch

    from napari_smoother.figures.panels import Colour

COLUMN_GAP = 2.2
WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Legend:
    """Names beside patches of colour, in as many columns as needed.

    Parameters
    ----------
    heading
        What the names are.
    entries
        (name, colour) pairs.
    lines
        Whether colours are shown as lines, not as spots.
    page
        Red, green, blue of the page: spots that can hardly be seen on it have an edge.
    """

    heading: str
    entries: tuple[tuple[str, Colour], ...]
    lines: bool = False
    page: tuple[float, float, float] = WHITE

    def _columns(self, font_size: float, room: float, below: bool) -> list[Sequence[int]]:
        """Places of the entries, column by column."""
        total = len(self.entries)
        if below:
            widest = max((text_width(name, font_size) for name, _ in self.entries), default=0.0)
            cell = SWATCH + GAP + widest + COLUMN_GAP
            rows = -(-total // max(int((room + COLUMN_GAP) // cell), 1))
        else:
            heading = self._heading_height(font_size, room, below)
            lines = (room - heading) / line_height(font_size)
            rows = max(int(lines + 1e-6), 1)
            # Columns of about equal length look better than one short last column.
            rows = -(-total // max(-(-total // rows), 1))
        rows = max(rows, 1)
        return [range(start, min(start + rows, total)) for start in range(0, total, rows)]

    def _heading(self, font_size: float, room: float, below: bool) -> list[str]:
        """Lines of the heading: as wide as the entries beside a panel, as the room below it."""
        names = (text_width(name, font_size) for name, _ in self.entries)
        widest = SWATCH + GAP + max(names, default=0.0)
        return wrap(self.heading, font_size, room if below else max(widest, 20.0), bold=True)

    def _heading_height(self, font_size: float, room: float, below: bool) -> float:
        lines = len(self._heading(font_size, room, below))
        return (lines + 0.15) * line_height(font_size) if lines else 0.0

    def _widths(self, font_size: float, columns: list[Sequence[int]]) -> list[float]:
        names = [[self.entries[place][0] for place in column] for column in columns]
        return [
            SWATCH + GAP + max(text_width(name, font_size) for name in column) for column in names
        ]

    def size(self, font_size: float, room: float, *, below: bool) -> tuple[float, float]:
        """Width and height in millimetres."""
        columns = self._columns(font_size, room, below)
        widths = self._widths(font_size, columns)
        width = sum(widths) + COLUMN_GAP * max(len(columns) - 1, 0)
        rows = max((len(column) for column in columns), default=0)
        heading = self._heading(font_size, room, below)
        height = self._heading_height(font_size, room, below) + rows * line_height(font_size)
        return max([width, *(text_width(line, font_size, bold=True) for line in heading)]), height

    def draw(self, sheet: Sheet, left: float, top: float, room: float, *, below: bool) -> None:
        """Draw heading, patches and names."""
        from matplotlib.patches import Ellipse, Rectangle

        size = sheet.font_size
        width, height = self.size(size, room, below=below)
        axes = sheet.paper(left, top, width, height, f"key {self.heading}")
        for row, line in enumerate(self._heading(size, room, below)):
            sheet.write(axes, 0, (row + 0.5) * line_height(size), line, bold=True)
        first = self._heading_height(size, room, below)
        x = 0.0
        columns = self._columns(size, room, below)
        for column, column_width in zip(columns, self._widths(size, columns), strict=True):
            for row, place in enumerate(column):
                name, colour = self.entries[place]
                y = first + (row + 0.5) * line_height(size)
                edge = edge_colours(colour, self.page)[0]
                patch: Patch = (
                    Rectangle((x, y - 0.25), SWATCH, 0.5, facecolor=colour)
                    if self.lines
                    else Ellipse((x + SWATCH / 2, y), SWATCH, SWATCH, facecolor=colour)
                )
                patch.set_edgecolor((float(edge[0]), float(edge[1]), float(edge[2])))
                patch.set_linewidth(EDGE_POINTS if edge[3] else 0.0)
                patch.set_clip_on(False)
                axes.add_patch(patch)
                sheet.write(axes, x + SWATCH + GAP, y, name)
            x += column_width + COLUMN_GAP
