"""Legends and colour bars: first measured, then drawn into the room they asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_smoother.figures.colours import MISSING, lookup_table
from napari_smoother.figures.panels import ClassKey, Colour, NumberKey
from napari_smoother.figures.text import FAMILY, line_height, text_width, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR_WIDTH = 2.4
TICK = 0.7
GAP = 0.9
COLUMN_GAP = 2.2
SWATCH = 2.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure measured in millimetres from its upper left corner.

    Parameters
    ----------
    figure
        Of matplotlib.
    width, height
        Of the figure.
    font_size
        In points.
    ink
        Colour of text and lines.
    """

    figure: Figure
    width: float
    height: float
    font_size: float
    ink: str

    def axes(self, left: float, top: float, width: float, height: float, label: str) -> Axes:
        """Add axes without frame."""
        axes = self.figure.add_axes(
            (
                left / self.width,
                1 - (top + height) / self.height,
                width / self.width,
                height / self.height,
            ),
            label=label,
        )
        axes.set_axis_off()
        return axes

    def paper(self, left: float, top: float, width: float, height: float, label: str) -> Axes:
        """Add axes to draw on in millimetres, y pointing down."""
        axes = self.axes(left, top, width, height, label)
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        return axes

    def write(self, axes: Axes, x: float, y: float, text: str, *, bold: bool = False) -> None:
        """Write text whose left end and middle height are given."""
        axes.text(
            x,
            y,
            text,
            fontsize=self.font_size,
            family=FAMILY,
            weight="bold" if bold else "normal",
            color=self.ink,
            va="center_baseline",
            ha="left",
            parse_math=False,
            usetex=False,
        )


class Key(Protocol):
    """Something that explains colours."""

    def size(self, font_size: float, room: float, *, below: bool) -> tuple[float, float]:
        """Width and height; ``room`` is the height beside a panel, or the width below it."""

    def draw(self, sheet: Sheet, left: float, top: float, room: float, *, below: bool) -> None:
        """Draw with the upper left corner given."""


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
    """

    heading: str
    entries: tuple[tuple[str, Colour], ...]
    lines: bool = False

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
                patch = (
                    Rectangle((x, y - 0.25), SWATCH, 0.5, facecolor=colour, linewidth=0)
                    if self.lines
                    else Ellipse((x + SWATCH / 2, y), SWATCH, SWATCH, facecolor=colour, lw=0)
                )
                patch.set_clip_on(False)
                axes.add_patch(patch)
                sheet.write(axes, x + SWATCH + GAP, y, name)
            x += column_width + COLUMN_GAP


@dataclass(frozen=True, slots=True)
class ColourBar:
    """A colour bar with round numbers and its quantity.

    Parameters
    ----------
    key
        What it shows.
    """

    key: NumberKey

    def _ticks(self) -> tuple[list[float], list[str], str]:
        """Round numbers within the limits, as written, and their common power of ten."""
        from matplotlib.ticker import MaxNLocator

        low, high = self.key.low, self.key.high
        ticks = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        slack = 1e-6 * (high - low)
        inside = [float(tick) for tick in ticks if low - slack <= tick <= high + slack]
        largest = max(abs(low), abs(high))
        power = int(np.floor(np.log10(largest)))
        power = power if not -3 <= power < 4 else 0
        step = (inside[1] - inside[0]) if len(inside) > 1 else high - low
        scaled = step / 10.0**power
        decimals = max(-int(np.floor(np.log10(scaled) + 1e-9)), 0)
        # A step of 2.5 needs a digit more than its order of magnitude says.
        if abs(round(scaled, decimals) - scaled) > 1e-6 * scaled:
            decimals += 1
        shown = [
            f"{tick / 10.0**power + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
            for tick in inside
        ]
        return inside, shown, _times_power(power)

    def _label_lines(self, font_size: float, room: float, below: bool) -> list[str]:
        """Quantity and power of ten, broken to fit."""
        power = self._ticks()[2]
        label = f"{self.key.quantity} ({power})" if power else self.key.quantity
        length = self._bar_length(font_size, room, below)
        beside = room - self._missing_height(font_size) - line_height(font_size)
        return wrap(label, font_size, length if below else max(length, beside))

    def _missing_height(self, font_size: float) -> float:
        return 1.4 * line_height(font_size) if self.key.missing else 0.0

    def _bar_length(self, font_size: float, room: float, below: bool) -> float:
        if below:
            return min(room, 45.0)
        return float(np.clip(0.7 * room, 12.0, 40.0)) - self._missing_height(font_size)

    def size(self, font_size: float, room: float, *, below: bool) -> tuple[float, float]:
        """Width and height in millimetres."""
        length = self._bar_length(font_size, room, below)
        label = self._label_lines(font_size, room, below)
        line = line_height(font_size)
        missing = SWATCH + GAP + text_width("no value", font_size) if self.key.missing else 0.0
        label_width = max((text_width(part, font_size) for part in label), default=0.0)
        if below:
            height = BAR_WIDTH + TICK + GAP / 2 + line * (1 + len(label))
            return max(length, label_width, missing), height + self._missing_height(font_size)
        ticks = max(text_width(tick, font_size) for tick in self._ticks()[1])
        across = BAR_WIDTH + TICK + GAP + ticks + GAP + line * len(label)
        along = max(length + line, label_width)
        return max(across, missing), along + self._missing_height(font_size)

    def draw(self, sheet: Sheet, left: float, top: float, room: float, *, below: bool) -> None:
        """Draw the bar, its ticks, its quantity, and the grey of no value."""
        size = sheet.font_size
        line = line_height(size)
        width, height = self.size(size, room, below=below)
        length = self._bar_length(size, room, below)
        axes = sheet.paper(left, top, width, height, f"key {self.key.quantity}")
        # The ends' numbers reach half a line beyond the bar.
        start = 0.0 if below else (height - self._missing_height(size) - length) / 2
        colours = lookup_table(self.key.colormap)[:256]
        ticks, shown, _ = self._ticks()
        place = (np.array(ticks) - self.key.low) / (self.key.high - self.key.low) * length
        style: dict[str, Any] = {
            "fontsize": size,
            "family": FAMILY,
            "color": sheet.ink,
            "parse_math": False,
            "usetex": False,
        }
        label = "\n".join(self._label_lines(size, room, below))
        stroke: dict[str, Any] = {
            "color": sheet.ink,
            "linewidth": 0.5,
            "solid_capstyle": "butt",
            "marker": "",
            "ls": "-",
        }
        image: dict[str, Any] = {
            "aspect": "auto",
            "origin": "upper",
            "interpolation": "nearest",
            "gid": f"bar-{len(sheet.figure.axes)}",
        }
        if below:
            axes.imshow(colours[None], extent=(0, length, BAR_WIDTH, 0), **image)
            for x, text in zip(place, shown, strict=True):
                axes.plot([x, x], [BAR_WIDTH, BAR_WIDTH + TICK], clip_on=False, **stroke)
                half = text_width(text, size) / 2
                middle = float(np.clip(x, half, max(length - half, half)))
                axes.text(
                    middle, BAR_WIDTH + TICK + line / 2, text, ha="center", va="center", **style
                )
            y = BAR_WIDTH + TICK + GAP / 2 + line
            axes.text(0, y, label, ha="left", va="top", linespacing=1.1, **style)
        else:
            axes.imshow(
                colours[::-1, None],
                extent=(0, BAR_WIDTH, start + length, start),
                **image,
            )
            for offset, text in zip(place, shown, strict=True):
                y = start + length - offset
                axes.plot([BAR_WIDTH, BAR_WIDTH + TICK], [y, y], clip_on=False, **stroke)
                axes.text(BAR_WIDTH + TICK + GAP / 2, y, text, va="center_baseline", **style)
            ticks_width = max(text_width(text, size) for text in shown)
            axes.text(
                BAR_WIDTH + TICK + GAP + ticks_width + GAP / 2,
                start + length / 2,
                label,
                rotation=90,
                ha="left",
                va="center",
                linespacing=1.1,
                multialignment="center",
                **style,
            )
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        if self.key.missing:
            from matplotlib.patches import Ellipse

            y = height - line / 2
            axes.add_patch(Ellipse((SWATCH / 2, y), SWATCH, SWATCH, facecolor=MISSING, lw=0))
            sheet.write(axes, SWATCH + GAP, y, "no value")


def key_drawing(key: NumberKey | ClassKey, *, lines: bool = False) -> Key:
    """Choose how a key is drawn."""
    if isinstance(key, NumberKey):
        return ColourBar(key)
    classes = (*key.classes, ("no value", MISSING)) if key.missing else key.classes
    return Legend(key.quantity, classes, lines)


def _times_power(power: int) -> str:
    """Write a power of ten with raised digits; nothing for the power 0."""
    if power == 0:
        return ""
    raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"×10{raised}"
