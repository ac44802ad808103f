"""Panels laid out on a page of given width, with letters, keys, insets and a scale bar."""

from __future__ import annotations

from string import ascii_lowercase
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.figures import drawing
from napari_smoother.figures.content import VECTOR_SPOTS, Content
from napari_smoother.figures.layout import (
    BAR_GAP,
    BLOCK_GAP,
    KEY_GAP,
    Page,
    Wishes,
    columns_of,
    lay_out,
    share_of,
)
from napari_smoother.figures.legends import keys_of
from napari_smoother.figures.sheet import Sheet
from napari_smoother.figures.text import line_height, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_smoother.figures.drawing import Extent
    from napari_smoother.figures.keys import Key
    from napari_smoother.figures.panels import EdgeOverlay, Panel, RegionOutline
    from napari_smoother.section import Section, SectionImage


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
    letters: Literal["none", "a", "A"] = "none",
    letter_size: float = 8.0,
    view: Extent | None = None,
    insets: Sequence[Extent] = (),
    vector_spots: int = VECTOR_SPOTS,
    spot_size: float = 1.0,
) -> Figure:
    """Lay out panels of a section for print.

    Every panel shows the same extent at the same scale. Spots are circles of their true
    diameter in the section's own units; classes that are hardly seen on the page have an edge.
    Panels with the same key share it. The height follows from the width.

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
        Drawn in every panel under and over the spots; explained once.
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
    letters
        Small or capital letters, bold, in front of the titles where there are several panels.
    letter_size
        Of the letters, in points.
    view
        Left, right, top, bottom of what is drawn, in full-resolution pixels; all spots when
        None.
    insets
        Extents of parts that are drawn again below every panel, enlarged, in a frame; a scale
        bar of their own goes with that of the panels.
    vector_spots
        Most spots, and most edges, of the figure that vector files hold as shapes: more are a
        picture of the resolution of the file, under text and outlines that stay shapes.
    spot_size
        Diameter of the spots, times their own.

    Returns
    -------
    matplotlib.figure.Figure
        To be written with :func:`save_figure`.

    Raises
    ------
    InputError
        If there is no panel, one does not fit the section, or a size cannot be used.
    """
    view = drawing.view_of(section) if view is None else view
    _check(section, panels, columns, width_mm, font_size, letter_size, spot_size, (view, *insets))
    if not 0 <= image_opacity <= 1:
        raise InputError(
            f"{image_opacity:g} cannot be used", where="image_opacity", remedy="Choose 0 to 1"
        )
    paper = _colour_of(background)
    marks = panel_letters(letters, len(panels))
    beside = columns_of(len(panels), columns, width_mm)
    wishes = Wishes(
        tuple(panel.title for panel in panels),
        marks,
        keys_of(panels, edges, outlines, marks, beside, paper),
        view,
        tuple(insets),
        beside,
        width_mm,
        font_size,
        letter_size,
        scale_bar,
    )
    page = lay_out(wishes)
    sheet = _new_sheet(page, paper, font_size)
    shown = (section.images[0] if section.images else None) if image == "best" else image
    diameter = spot_size * drawing.spot_diameter(section)
    content = Content(section, diameter, shown, image_opacity, edges, tuple(outlines), paper)
    content = content.rasterised_past(vector_spots, panels, (view, *insets))
    for number, panel in enumerate(panels):
        row, column = divmod(number, page.columns)
        left, top = page.lefts[column], page.tops[row]
        _write_title(sheet, page, wishes, number, left, top)
        top += page.title_heights[row]
        axes = sheet.axes(left, top, page.panel[0], page.panel[1], f"panel {number}")
        content.draw(axes, panel, view, page.panel[0], str(number))
        has_bars = scale_bar and number == (len(page.tops) - 1) * page.columns
        if has_bars:
            _draw_scale_bar(sheet, axes, page.panel[0], view, section, "scale-bar")
        for place, (inset, extent) in enumerate(zip(page.insets, insets, strict=True)):
            drawing.draw_frame(axes, extent, place, sheet.ink, f"frame-{number}-{place}")
            name = f"{number}-inset-{place}"
            part = sheet.axes(
                left + inset.left,
                top + page.inset_top[row],
                inset.width,
                inset.height,
                f"inset {place} of panel {number}",
            )
            content.draw(part, panel, extent, inset.width, name)
            drawing.draw_frame(part, extent, place, sheet.ink, f"frame-{name}")
            if has_bars:
                _draw_scale_bar(sheet, part, inset.width, extent, section, f"scale-bar-{place}")
        below = page.below
        _draw_keys(
            sheet,
            wishes.keys.of_panels[number],
            left if below else left + page.panel[0] + KEY_GAP,
            top + page.bodies[row] + KEY_GAP if below else top,
            page.room,
            below,
        )
    _draw_keys(sheet, wishes.keys.common, *page.common, page.below)
    return sheet.figure


def panel_letters(kind: Literal["none", "a", "A"], count: int) -> tuple[str, ...]:
    """Return the letter of each panel: a to z, then aa, ab and so on; none for one panel."""
    if kind == "none" or count < 2:
        return ("",) * count
    found = []
    for number in range(count):
        turn, place = divmod(number, 26)
        letter = (ascii_lowercase[turn - 1] if turn else "") + ascii_lowercase[place]
        found.append(letter if kind == "a" else letter.upper())
    return tuple(found)


def _draw_keys(
    sheet: Sheet, stack: Sequence[Key], left: float, top: float, room: float, below: bool
) -> None:
    """Draw keys under each other."""
    share = room if below else share_of(stack, room)
    for key in stack:
        key.draw(sheet, left, top, share, below=below)
        top += key.size(sheet.font_size, share, below=below)[1] + BLOCK_GAP


def _colour_of(background: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    try:
        return to_rgb(background)
    except ValueError as error:
        raise InputError(
            f"{background!r} is not a colour",
            where="background",
            remedy="Give a name or code that matplotlib knows, for example white or #202020",
        ) from error


def _new_sheet(page: Page, paper: tuple[float, float, float], font_size: float) -> Sheet:
    """Make an empty figure of the page's size."""
    from matplotlib.figure import Figure

    dark = float(np.dot((0.299, 0.587, 0.114), paper)) < 0.5
    figure = Figure(figsize=(page.width / 25.4, page.height / 25.4), facecolor=paper)
    figure.set_layout_engine("none")
    return Sheet(figure, page.width, page.height, font_size, "white" if dark else "black")


def _write_title(
    sheet: Sheet, page: Page, wishes: Wishes, number: int, left: float, top: float
) -> None:
    """Write letter and title, on as many lines as it needs."""
    letter, indent = wishes.letters[number], wishes.letter_room(number)
    cell = page.cells[number % page.columns]
    lines = wrap(wishes.titles[number], sheet.font_size, cell - indent, bold=not letter)
    if not lines and not letter:
        return
    line = line_height(sheet.font_size)
    first = max(line, line_height(wishes.letter_size) if letter else 0.0) / 2
    height = page.title_heights[number // page.columns]
    axes = sheet.paper(left, top, cell, height, f"title {number}")
    if letter:
        sheet.write(axes, 0, first, letter, bold=True, size=wishes.letter_size)
    for row, text in enumerate(lines):
        sheet.write(axes, indent, first + row * line, text, bold=not letter)


def _draw_scale_bar(
    sheet: Sheet, axes: Axes, width: float, view: Extent, section: Section, name: str
) -> None:
    """Draw the bar below a picture of a width, in the picture's own units."""
    from matplotlib.patches import Rectangle

    length, text = drawing.scale_bar_length(view, section.micrometres_per_pixel)
    millimetre = (view[1] - view[0]) / width
    middle = view[3] + (BAR_GAP + line_height(sheet.font_size) / 2) * millimetre
    bar = Rectangle(
        (view[0], middle - 0.3 * millimetre),
        length,
        0.6 * millimetre,
        facecolor=sheet.ink,
        linewidth=0,
        clip_on=False,
        gid=name,
    )
    axes.add_patch(bar)
    sheet.write(axes, view[0] + length + millimetre, middle, text)


def _check(
    section: Section,
    panels: Sequence[Panel],
    columns: int | None,
    width_mm: float,
    font_size: float,
    letter_size: float,
    spot_size: float,
    extents: Sequence[Extent],
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
        ("letter_size", letter_size, 3, 40),
        ("spot_size", spot_size, 0.01, 100),
        ("columns", columns if columns is not None else 1, 1, 100),
    ):
        if not least <= value <= most:
            raise InputError(
                f"{value:g} cannot be used", where=name, remedy=f"Choose {least} to {most}"
            )
    for left, right, top, bottom in extents:
        if not (left < right and top < bottom):
            raise InputError(
                "The part has no width or no height",
                where="part of a figure",
                remedy="Give left, right, top and bottom, rising, in full-resolution pixels",
            )
