"""Where everything goes on the page of a figure, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.figures.text import POINT, line_height, text_width, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_smoother.figures.drawing import Extent
    from napari_smoother.figures.keys import Key
    from napari_smoother.figures.legends import Keys

BORDER = 1.5
COLUMN_GAP = 4.0
ROW_GAP = 3.0
KEY_GAP = 2.0
BLOCK_GAP = 2.5
TITLE_GAP = 0.6
LETTER_GAP = 1.2
BAR_GAP = 1.0
INSET_GAP = 1.5
MOST_FOR_KEYS = 0.45
"""Share of the page's width that keys beside panels may take; wider ones go below."""

MOST_FOR_INSETS = 0.7
"""Height of insets relative to their panel, at most."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the layout of a page follows.

    Parameters
    ----------
    titles
        Of the panels, in reading order.
    letters
        In front of the titles; empty for none.
    keys
        What explains the panels.
    view
        Extent of a panel, in full-resolution pixels.
    insets
        Extents of the insets below each.
    columns
        Panels beside each other.
    width
        Of the page, in millimetres.
    font_size, letter_size
        In points.
    scale_bar
        Whether there is one below the first panel of the last row, and below its insets.
    """

    titles: tuple[str, ...]
    letters: tuple[str, ...]
    keys: Keys
    view: Extent
    insets: tuple[Extent, ...]
    columns: int
    width: float
    font_size: float
    letter_size: float
    scale_bar: bool

    @property
    def bar_height(self) -> float:
        """Height of a scale bar with the gap above it; 0 for none."""
        return BAR_GAP + line_height(self.font_size) if self.scale_bar else 0.0

    def letter_room(self, number: int) -> float:
        """Width of the letter of a panel with the gap behind it; 0 for none."""
        letter = self.letters[number]
        return text_width(letter, self.letter_size, bold=True) + LETTER_GAP if letter else 0.0


@dataclass(frozen=True, slots=True)
class Inset:
    """Where an inset is in its panel's room.

    Parameters
    ----------
    left
        From the panel's left edge.
    width, height
        Of the picture.
    """

    left: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Page:
    """Where everything goes, in millimetres.

    Parameters
    ----------
    width, height
        Of the figure.
    columns
        Panels beside each other.
    panel
        Width and height of every picture.
    lefts
        Left edge of the panels of each column.
    cells
        Room for a panel and its keys, from side to side, of each column.
    tops
        Upper edge of each row.
    title_heights, bodies
        Of each row: its titles, and from the panels' upper edge to the end of what is under it.
    insets
        Below every panel, in order.
    inset_top
        From the upper edge of a panel of a row to that of its insets.
    below
        Whether keys are below panels.
    room
        What keys of panels are measured with.
    common
        Left and upper edge of the keys of all panels, and what these are measured with.
    """

    width: float
    height: float
    columns: int
    panel: tuple[float, float]
    lefts: tuple[float, ...]
    cells: tuple[float, ...]
    tops: tuple[float, ...]
    title_heights: tuple[float, ...]
    bodies: tuple[float, ...]
    insets: tuple[Inset, ...]
    inset_top: tuple[float, ...]
    below: bool
    room: float
    common: tuple[float, float, float]


def columns_of(count: int, wanted: int | None, width: float) -> int:
    """Return how many of so many panels are beside each other on a page of a width."""
    if wanted is None:
        wanted = int(np.clip(width // 55, 1, 4))
        wanted = -(-count // -(-count // wanted))
    return min(wanted, count)


def lay_out(wishes: Wishes) -> Page:
    """Find the largest panels that leave room for their keys.

    Raises
    ------
    InputError
        If the panels would be too small.
    """
    count, width, columns = len(wishes.titles), wishes.width, wishes.columns
    rows = [range(s, min(s + columns, count)) for s in range(0, count, columns)]
    room = width - 2 * BORDER - COLUMN_GAP * (columns - 1)
    if room / columns < 15:
        raise InputError(
            f"{columns} panels do not fit beside each other in {width:g} mm",
            where="columns of the figure",
            remedy="Choose fewer columns or a wider figure",
        )
    shape = (wishes.view[3] - wishes.view[2]) / (wishes.view[1] - wishes.view[0])
    beside, common_width = _key_widths(wishes, columns, len(rows), room, shape)
    taken = sum(beside) + common_width
    below = taken > MOST_FOR_KEYS * room
    if below:
        beside, taken = [0.0] * columns, 0.0
    panel_width = (room - taken) / columns
    panel = (panel_width, panel_width * shape)
    cells = tuple(panel_width + keys for keys in beside)
    lefts = tuple(BORDER + sum(cells[:k]) + COLUMN_GAP * k for k in range(columns))

    insets = _inset_places(wishes.insets, panel)
    inset_height = INSET_GAP + insets[0].height if insets else 0.0
    key_room = panel_width if below else panel[1]
    title_heights, bodies, tops, inset_tops, top = [], [], [], [], BORDER
    for number, row in enumerate(rows):
        # Only the first panel of the last row has scale bars.
        bar = wishes.bar_height if number == len(rows) - 1 else 0.0
        inset_tops.append(panel[1] + bar + INSET_GAP)
        body = panel[1] + bar + inset_height + (bar if insets else 0.0)
        title = max(_title_height(wishes, k, cells[k % columns]) for k in row)
        tallest = max(
            stack_size(wishes.keys.of_panels[k], wishes.font_size, key_room, below)[1] for k in row
        )
        tops.append(top)
        title_heights.append(title)
        bodies.append(body)
        needed = body + (KEY_GAP + tallest if tallest else 0) if below else max(body, tallest)
        top += title + needed + ROW_GAP
    bottom = top - ROW_GAP
    common = _common_place(
        wishes, below, lefts[-1] + cells[-1], tops[0] + title_heights[0], bottom
    )
    tall = stack_size(wishes.keys.common, wishes.font_size, common[2], below)[1]
    if tall:
        bottom = max(bottom, common[1] + tall)
    return Page(
        width,
        bottom + BORDER,
        columns,
        panel,
        lefts,
        cells,
        tuple(tops),
        tuple(title_heights),
        tuple(bodies),
        insets,
        tuple(inset_tops),
        below,
        key_room,
        common,
    )


def _common_place(
    wishes: Wishes, below: bool, right: float, top: float, bottom: float
) -> tuple[float, float, float]:
    """Return where the keys of all panels go, and what they are measured with."""
    if below:
        return BORDER, bottom + KEY_GAP, wishes.width - 2 * BORDER
    return right + KEY_GAP, top, bottom - top


def _title_height(wishes: Wishes, number: int, cell: float) -> float:
    """Height of a title with its letter."""
    bold = not wishes.letters[number]
    room = cell - wishes.letter_room(number)
    lines = len(wrap(wishes.titles[number], wishes.font_size, room, bold=bold))
    height = lines * line_height(wishes.font_size)
    if wishes.letters[number]:
        height = max(height, line_height(wishes.letter_size))
    return height + TITLE_GAP if height else 0.0


def _key_widths(
    wishes: Wishes, columns: int, rows: int, room: float, shape: float
) -> tuple[list[float], float]:
    """Room beside the panels of each column and beside all of them for keys, with its gap."""
    widths, common, size = [0.0] * columns, 0.0, wishes.font_size
    # Wider keys make panels smaller, and smaller panels may ask for wider keys.
    for _ in range(6):
        panel = max((room - sum(widths) - common) / columns, 0.2 * room / columns)
        height = panel * shape
        found = [
            max(
                stack_size(stack, size, height, below=False)[0]
                for stack in wishes.keys.of_panels[column::columns]
            )
            for column in range(columns)
        ]
        all_rows = rows * height + (rows - 1) * ROW_GAP
        whole = stack_size(wishes.keys.common, size, all_rows, below=False)[0]
        before = (*widths, common)
        widths = [
            max(width, key + KEY_GAP if key else 0.0)
            for width, key in zip(widths, found, strict=True)
        ]
        common = max(common, whole + KEY_GAP if whole else 0.0)
        if (*widths, common) == before:
            break
    return widths, common


def _inset_places(insets: Sequence[Extent], panel: tuple[float, float]) -> tuple[Inset, ...]:
    """Put insets of one height side by side under a panel."""
    if not insets:
        return ()
    aspects = [(right - left) / (low - top) for left, right, top, low in insets]
    free = panel[0] - INSET_GAP * (len(insets) - 1)
    height = min(free / sum(aspects), MOST_FOR_INSETS * panel[1])
    places, left = [], 0.0
    for aspect in aspects:
        places.append(Inset(left, aspect * height, height))
        left += aspect * height + INSET_GAP
    return tuple(places)


def stack_size(
    stack: Sequence[Key], font_size: float, room: float, below: bool
) -> tuple[float, float]:
    """Width and height of keys above one another."""
    share = room if below else share_of(stack, room)
    sizes = [key.size(font_size, share, below=below) for key in stack]
    width = max((size[0] for size in sizes), default=0.0)
    height = sum(size[1] for size in sizes) + BLOCK_GAP * max(len(sizes) - 1, 0)
    return width, height


def share_of(stack: Sequence[Key], room: float) -> float:
    """Height each of several keys beside a panel may take."""
    return (room - BLOCK_GAP * (len(stack) - 1)) / max(len(stack), 1)


def points_per_pixel(width: float, view: Extent) -> float:
    """Points of the page that a full-resolution pixel takes in a picture of a width."""
    return width / POINT / (view[1] - view[0])
