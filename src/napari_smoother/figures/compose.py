"""Panels laid out on a page of given width, with keys and a scale bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.figures import drawing
from napari_smoother.figures.keys import Key, key_drawing
from napari_smoother.figures.legend import Legend
from napari_smoother.figures.sheet import Sheet
from napari_smoother.figures.text import line_height, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_smoother.figures.panels import EdgeOverlay, Panel, RegionOutline
    from napari_smoother.section import Section, SectionImage

BORDER = 1.5
COLUMN_GAP = 4.0
ROW_GAP = 3.0
KEY_GAP = 2.0
BLOCK_GAP = 2.5
MOST_FOR_KEYS = 0.45
"""Share of a panel's room that keys beside it may take; wider ones go below."""


def compose_figure(
    section: Section,
    panels: Sequence[Panel],
    *,
    image: SectionImage | Literal["best"] | None = "best",
    image_opacity: float = 1.0,
    edges: EdgeOverlay | None = None,
    outlines: Sequence[RegionOutline] = (),
    columns: int | None = None,
    width_mm: float = 180.0,
    scale_bar: bool = True,
    background: str = "white",
    font_size: float = 7.0,
) -> Figure:
    """Lay out panels of a section for print.

    Every panel shows the extent of all spots, at the same scale. Spots are circles of their
    true diameter in the section's own units. The height follows from the width.

    Parameters
    ----------
    section
        Positions, spot diameter and scale.
    panels
        In reading order.
    image
        Behind the spots; ``"best"`` takes the section's best, if it has one.
    image_opacity
        0 to 1; a paler image lets the spots' colours speak.
    edges, outlines
        Drawn in every panel under and over the spots; explained beside the first.
    columns
        Panels beside each other; chosen by their number and the width when None.
    width_mm
        Of the figure; 85 and 180 are one and two columns of most journals.
    scale_bar
        Whether to draw one, below the first panel of the last row: in micrometres or
        millimetres where the scale is known, else in full-resolution pixels.
    background
        Of the page, as a matplotlib colour; text is black on light and white on dark.
    font_size
        In points.

    Returns
    -------
    matplotlib.figure.Figure
        To be written with :func:`save_figure`.

    Raises
    ------
    InputError
        If there is no panel, one does not fit the section, or a size cannot be used.
    """
    _check(section, panels, columns, width_mm, font_size)
    if not 0 <= image_opacity <= 1:
        raise InputError(
            f"{image_opacity:g} cannot be used", where="image_opacity", remedy="Choose 0 to 1"
        )
    keys = _keys(panels, edges, outlines)
    view = drawing.view_of(section)
    page = _lay_out(panels, keys, view, columns, width_mm, font_size, scale_bar)
    sheet = _new_sheet(page, background, font_size)
    shown = (section.images[0] if section.images else None) if image == "best" else image
    for number, panel in enumerate(panels):
        row, column = divmod(number, page.columns)
        left = BORDER + column * (page.cell + COLUMN_GAP)
        top = page.tops[row]
        _write_title(sheet, page, panel, left, top, number)
        top += page.title_heights[row]
        axes = sheet.axes(left, top, page.panel[0], page.panel[1], f"panel {number}")
        axes.set_xlim(view[0], view[1])
        axes.set_ylim(view[3], view[2])
        if shown is not None:
            drawing.draw_image(axes, shown, view, image_opacity, f"image-{number}")
            axes.set_xlim(view[0], view[1])
            axes.set_ylim(view[3], view[2])
        if edges is not None:
            drawing.draw_edges(axes, edges, f"edges-{number}")
        drawing.draw_spots(axes, section, panel, f"spots-{number}")
        drawing.draw_outlines(axes, outlines, 1.0, f"outline-{number}")
        bar_here = scale_bar and number == (len(page.tops) - 1) * page.columns
        if bar_here:
            _draw_scale_bar(sheet, axes, page, view, section.micrometres_per_pixel)
        _draw_keys(sheet, page, keys[number], left, top, row)
    return sheet.figure


@dataclass(frozen=True, slots=True)
class _Page:
    """Where everything goes, in millimetres.

    Parameters
    ----------
    width, height
        Of the figure.
    columns
        Panels beside each other.
    cell
        Room for a panel and its keys, from side to side.
    panel
        Width and height of the picture.
    below
        Whether keys are below panels.
    room
        What keys are measured with.
    tops
        Upper edge of each row.
    title_heights, bodies
        Of each row: its titles, and from the panels' upper edge to the keys below them.
    """

    width: float
    height: float
    columns: int
    cell: float
    panel: tuple[float, float]
    below: bool
    room: float
    tops: tuple[float, ...]
    title_heights: tuple[float, ...]
    bodies: tuple[float, ...]


def _lay_out(
    panels: Sequence[Panel],
    keys: Sequence[Sequence[Key]],
    view: drawing.Extent,
    columns: int | None,
    width: float,
    font_size: float,
    scale_bar: bool,
) -> _Page:
    """Find the largest panels that leave room for their keys."""
    if columns is None:
        columns = int(np.clip(width // 55, 1, 4))
        columns = -(-len(panels) // -(-len(panels) // columns))
    columns = min(columns, len(panels))
    cell = (width - 2 * BORDER - COLUMN_GAP * (columns - 1)) / columns
    if cell < 15:
        raise InputError(
            f"{columns} panels do not fit beside each other in {width:g} mm",
            where="columns of the figure",
            remedy="Choose fewer columns or a wider figure",
        )
    shape = (view[3] - view[2]) / (view[1] - view[0])
    key_width = _key_width(keys, cell, shape, font_size)
    below = key_width > MOST_FOR_KEYS * cell
    panel_width = cell if below or key_width == 0 else cell - KEY_GAP - key_width
    panel = (panel_width, panel_width * shape)
    room = cell if below else panel[1]

    rows = [range(s, min(s + columns, len(panels))) for s in range(0, len(panels), columns)]
    line = line_height(font_size)
    title_lines = [
        max(len(wrap(panels[k].title, font_size, cell, bold=True)) for k in row) for row in rows
    ]
    title_heights = tuple(lines * line + (0.6 if lines else 0.0) for lines in title_lines)
    bodies, tops, top = [], [], BORDER
    for number, row in enumerate(rows):
        strip = 1.0 + line if scale_bar and number == len(rows) - 1 else 0.0
        body = panel[1] + strip
        heights = [_stack_size(keys[k], font_size, room, below)[1] for k in row]
        tops.append(top)
        bodies.append(body)
        tallest = max(heights)
        needed = body + (KEY_GAP + tallest if tallest else 0) if below else max(body, tallest)
        top += title_heights[number] + needed + ROW_GAP
    return _Page(
        width,
        top - ROW_GAP + BORDER,
        columns,
        cell,
        panel,
        below,
        room,
        tuple(tops),
        title_heights,
        tuple(bodies),
    )


def _key_width(
    keys: Sequence[Sequence[Key]], cell: float, shape: float, font_size: float
) -> float:
    """Width of the widest keys when put beside panels."""
    width = 0.0
    # Wider keys make panels smaller, and smaller panels may ask for wider keys.
    for _ in range(6):
        height = max(cell - KEY_GAP - width, 0.2 * cell) * shape
        widest = max(_stack_size(stack, font_size, height, below=False)[0] for stack in keys)
        if widest <= width:
            break
        width = widest
    return width


def _stack_size(
    stack: Sequence[Key], font_size: float, room: float, below: bool
) -> tuple[float, float]:
    """Width and height of keys above one another."""
    share = room if below else _share(stack, room)
    sizes = [key.size(font_size, share, below=below) for key in stack]
    width = max((size[0] for size in sizes), default=0.0)
    height = sum(size[1] for size in sizes) + BLOCK_GAP * max(len(sizes) - 1, 0)
    return width, height


def _share(stack: Sequence[Key], room: float) -> float:
    """Height each of several keys beside a panel may take."""
    return (room - BLOCK_GAP * (len(stack) - 1)) / max(len(stack), 1)


def _draw_keys(
    sheet: Sheet, page: _Page, stack: Sequence[Key], left: float, top: float, row: int
) -> None:
    """Draw a panel's keys beside or below it."""
    if page.below:
        top += page.bodies[row] + KEY_GAP
        share = page.room
    else:
        left += page.panel[0] + KEY_GAP
        share = _share(stack, page.room)
    for key in stack:
        key.draw(sheet, left, top, share, below=page.below)
        top += key.size(sheet.font_size, share, below=page.below)[1] + BLOCK_GAP


def _keys(
    panels: Sequence[Panel], edges: EdgeOverlay | None, outlines: Sequence[RegionOutline]
) -> list[list[Key]]:
    """Keys of each panel; what is alike in all is explained beside the first."""
    keys: list[list[Key]] = [
        [] if panel.key is None else [key_drawing(panel.key)] for panel in panels
    ]
    names = dict.fromkeys((outline.name, outline.colour) for outline in outlines)
    if names:
        keys[0].append(Legend("Regions", tuple(names), lines=True))
    if edges is not None and edges.key is not None:
        keys[0].append(key_drawing(edges.key, lines=True))
    return keys


def _new_sheet(page: _Page, background: str, font_size: float) -> Sheet:
    """Make an empty figure of the page's size."""
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    try:
        red, green, blue = to_rgb(background)
    except ValueError as error:
        raise InputError(
            f"{background!r} is not a colour",
            where="background",
            remedy="Give a name or code that matplotlib knows, for example white or #202020",
        ) from error
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    size = (page.width / 25.4, page.height / 25.4)
    figure = Figure(figsize=size, facecolor=(red, green, blue))
    figure.set_layout_engine("none")
    return Sheet(figure, page.width, page.height, font_size, "white" if dark else "black")


def _write_title(
    sheet: Sheet, page: _Page, panel: Panel, left: float, top: float, number: int
) -> None:
    """Write a title, on as many lines as it needs."""
    lines = wrap(panel.title, sheet.font_size, page.cell, bold=True)
    if not lines:
        return
    height = len(lines) * line_height(sheet.font_size)
    axes = sheet.paper(left, top, page.cell, height, f"title {number}")
    for row, line in enumerate(lines):
        sheet.write(axes, 0, (row + 0.5) * line_height(sheet.font_size), line, bold=True)


def _draw_scale_bar(
    sheet: Sheet,
    axes: Axes,
    page: _Page,
    view: drawing.Extent,
    micrometres_per_pixel: float | None,
) -> None:
    """Draw the bar below a panel, in the panel's own units."""
    from matplotlib.patches import Rectangle

    length, text = drawing.scale_bar_length(view, micrometres_per_pixel)
    millimetre = (view[1] - view[0]) / page.panel[0]
    middle = view[3] + (1.0 + line_height(sheet.font_size) / 2) * millimetre
    bar = Rectangle(
        (view[0], middle - 0.3 * millimetre),
        length,
        0.6 * millimetre,
        facecolor=sheet.ink,
        linewidth=0,
        clip_on=False,
        gid="scale-bar",
    )
    axes.add_patch(bar)
    sheet.write(axes, view[0] + length + millimetre, middle, text)


def _check(
    section: Section,
    panels: Sequence[Panel],
    columns: int | None,
    width_mm: float,
    font_size: float,
) -> None:
    """Refuse what cannot be laid out."""
    if not panels:
        raise InputError(
            "The figure has no panels", where="panels", remedy="Choose at least one to show"
        )
    for panel in panels:
        if len(panel.colours) != section.n_spots:
            raise InputError(
                f"{len(panel.colours)} colours for {section.n_spots} spots",
                where=f"panel {panel.title!r}",
                remedy="Give one colour for each spot of the section",
            )
    for name, value, least, most in (
        ("width_mm", width_mm, 30, 1000),
        ("font_size", font_size, 3, 40),
        ("columns", columns if columns is not None else 1, 1, 100),
    ):
        if not least <= value <= most:
            raise InputError(
                f"{value:g} cannot be used", where=name, remedy=f"Choose {least} to {most}"
            )
