"""Colour bars with round numbers and the quantity they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.figures.colours import MISSING, lookup_table
from napari_smoother.figures.sheet import GAP, SWATCH, Sheet
from napari_smoother.figures.text import line_height, text_width, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_smoother.figures.panels import NumberKey

BAR_WIDTH = 2.4
TICK = 0.7


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
        from matplotlib.patches import Ellipse

        width, height = self.size(sheet.font_size, room, below=below)
        axes = sheet.paper(left, top, width, height, f"key {self.key.quantity}")
        if below:
            self._draw_lying(sheet, axes, room)
        else:
            self._draw_standing(sheet, axes, room, height)
        # Showing the bar's colours as an image has moved the limits.
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        if self.key.missing:
            y = height - line_height(sheet.font_size) / 2
            axes.add_patch(Ellipse((SWATCH / 2, y), SWATCH, SWATCH, facecolor=MISSING, lw=0))
            sheet.write(axes, SWATCH + GAP, y, "no value")

    def _draw_lying(self, sheet: Sheet, axes: Axes, room: float) -> None:
        """Draw the bar below a panel: numbers below it, then the quantity."""
        size = sheet.font_size
        length = self._bar_length(size, room, below=True)
        _show(axes, self._colours()[None], (0, length, BAR_WIDTH, 0))
        for share, text in self._marks():
            x, half = share * length, text_width(text, size) / 2
            _rule(sheet, axes, (x, x), (BAR_WIDTH, BAR_WIDTH + TICK))
            middle = float(np.clip(x, half, max(length - half, half)))
            y = BAR_WIDTH + TICK + line_height(size) / 2
            sheet.write(axes, middle, y, text, across="center", up="center")
        label = "\n".join(self._label_lines(size, room, below=True))
        sheet.write(axes, 0, BAR_WIDTH + TICK + GAP / 2 + line_height(size), label, up="top")

    def _draw_standing(self, sheet: Sheet, axes: Axes, room: float, height: float) -> None:
        """Draw the bar beside a panel: numbers beside it, then the quantity, turned."""
        size = sheet.font_size
        length = self._bar_length(size, room, below=False)
        # Numbers at the ends reach half a line, and a long quantity further, beyond the bar.
        start = (height - self._missing_height(size) - length) / 2
        _show(axes, self._colours()[::-1, None], (0, BAR_WIDTH, start + length, start))
        numbers = BAR_WIDTH + TICK + GAP / 2
        for share, text in self._marks():
            y = start + (1 - share) * length
            _rule(sheet, axes, (BAR_WIDTH, BAR_WIDTH + TICK), (y, y))
            sheet.write(axes, numbers, y, text)
        widest = max(text_width(text, size) for _, text in self._marks())
        label = "\n".join(self._label_lines(size, room, below=False))
        middle = start + length / 2
        sheet.write(axes, numbers + widest + GAP, middle, label, up="center", rotation=90)

    def _colours(self) -> NDArray[np.float32]:
        return lookup_table(self.key.colormap)[:256]

    def _marks(self) -> list[tuple[float, str]]:
        """Where along the bar each number stands, from 0 to 1, and how it is written."""
        ticks, shown, _ = self._ticks()
        span = self.key.high - self.key.low
        return [
            ((tick - self.key.low) / span, text) for tick, text in zip(ticks, shown, strict=True)
        ]


def _show(
    axes: Axes, colours: NDArray[np.float32], extent: tuple[float, float, float, float]
) -> None:
    """Draw the colours of a bar."""
    axes.imshow(
        colours,
        extent=extent,
        aspect="auto",
        origin="upper",
        interpolation="nearest",
        gid=f"bar-{len(axes.figure.axes)}",
    )


def _rule(sheet: Sheet, axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Draw a tick."""
    axes.plot(
        x,
        y,
        color=sheet.ink,
        linewidth=0.5,
        linestyle="-",
        marker="",
        solid_capstyle="butt",
        clip_on=False,
    )


def _times_power(power: int) -> str:
    """Write a power of ten with raised digits; nothing for the power 0."""
    if power == 0:
        return ""
    raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"×10{raised}"
