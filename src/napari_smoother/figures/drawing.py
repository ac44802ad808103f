"""What is drawn inside a panel, in full-resolution pixels, the y axis pointing down."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.figures.colours import MISSING
from napari_smoother.figures.pale import edge_colours, edge_width
from napari_smoother.figures.panels import ClassKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_smoother.figures.panels import EdgeOverlay, Panel, RegionOutline
    from napari_smoother.section import Section, SectionImage

_diameters: WeakKeyDictionary[Section, float] = WeakKeyDictionary()

Extent = tuple[float, float, float, float]
"""Left, right, top, bottom in full-resolution pixels."""


def spot_diameter(section: Section) -> float:
    """Diameter at which spots are drawn, in full-resolution pixels.

    Where the section does not know it: 0.55 of the median distance to the nearest other
    spot, as on a Visium slide; 1 for a single spot.
    """
    if section.spot_diameter is not None:
        return float(section.spot_diameter)
    if section not in _diameters:
        _diameters[section] = _found_diameter(section.positions)
    return _diameters[section]


def _found_diameter(positions: NDArray[np.float64]) -> float:
    from scipy.spatial import cKDTree

    positions = np.unique(positions, axis=0)
    if len(positions) < 2:
        return 1.0
    distance = np.asarray(cKDTree(positions).query(positions, k=2)[0])[:, 1]
    return float(0.55 * np.median(distance))


def view_of(section: Section) -> Extent:
    """Extent of the spots with a margin around."""
    low, high = section.positions.min(axis=0), section.positions.max(axis=0)
    margin = 0.75 * spot_diameter(section) + 0.02 * float((high - low).max())
    return (
        float(low[0] - margin),
        float(high[0] + margin),
        float(low[1] - margin),
        float(high[1] + margin),
    )


def draw_image(axes: Axes, image: SectionImage, view: Extent, opacity: float, name: str) -> None:
    """Draw the part of an image that lies in view.

    Pixel (row r, column c) of an image of scale s is a square about x = c / s, y = r / s
    with sides of 1 / s: a spot at (x, y) lies over row ``y * s``, column ``x * s``.
    ``name`` becomes its id in an SVG, as for everything else drawn here.
    """
    rows, columns = image.pixels.shape[:2]
    left, right, top, bottom = view
    first_column = int(np.clip(np.floor(left * image.scale), 0, columns))
    last_column = int(np.clip(np.ceil(right * image.scale) + 1, 0, columns))
    first_row = int(np.clip(np.floor(top * image.scale), 0, rows))
    last_row = int(np.clip(np.ceil(bottom * image.scale) + 1, 0, rows))
    if first_column >= last_column or first_row >= last_row:
        return
    axes.imshow(
        as_rgb(image)[first_row:last_row, first_column:last_column],
        extent=(
            (first_column - 0.5) / image.scale,
            (last_column - 0.5) / image.scale,
            (last_row - 0.5) / image.scale,
            (first_row - 0.5) / image.scale,
        ),
        origin="upper",
        interpolation="auto",
        alpha=opacity if opacity < 1 else None,
        zorder=0,
        gid=name,
    )


def as_rgb(image: SectionImage) -> NDArray[np.uint8]:
    """Turn any image into 8-bit RGB: whole numbers by their type's range, floats from 0 to 1.

    16-bit images are stretched to their own maximum, as cameras seldom fill the range;
    transparent pixels show white; of more than four channels the first three are taken.

    Raises
    ------
    InputError
        If the array is not rows x columns or rows x columns x channels.
    """
    pixels = np.asarray(image.pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3:
        raise InputError(
            f"The image has the shape {pixels.shape}",
            where=f"image {image.name}",
            remedy="Give rows x columns, or rows x columns x channels",
        )
    if pixels.dtype == np.bool_:
        share = pixels.astype(np.float32)
    elif pixels.dtype == np.uint8:
        if pixels.shape[2] == 3:
            return pixels
        share = pixels.astype(np.float32) / np.float32(255)
    elif np.issubdtype(pixels.dtype, np.integer):
        share = pixels.astype(np.float32) / np.float32(max(pixels.max(initial=1), 1))
    else:
        share = np.nan_to_num(pixels.astype(np.float32))
        if share.max(initial=0) > 1:  # floats that kept the range of 8-bit images
            share /= np.float32(255)
    colour = share[..., :3] if share.shape[2] >= 3 else np.repeat(share[..., :1], 3, axis=2)
    if share.shape[2] in (2, 4):
        alpha = share[..., -1:]
        colour = colour * alpha + (1 - alpha)
    return np.rint(255 * np.clip(colour, 0, 1)).astype(np.uint8)


def in_view(section: Section, view: Extent, diameter: float | None = None) -> NDArray[np.bool_]:
    """Return which spots of a diameter, or of their own, lie in an extent or touch it."""
    left, right, top, bottom = view
    x, y = section.positions.T
    rim = (spot_diameter(section) if diameter is None else diameter) / 2
    across = (x > left - rim) & (x < right + rim)
    return np.asarray(across & (y > top - rim) & (y < bottom + rim))


def draw_spots(
    axes: Axes,
    section: Section,
    panel: Panel,
    drawn: NDArray[np.bool_],
    name: str,
    *,
    diameter: float,
    page: tuple[float, float, float],
    points_per_pixel: float,
    as_picture: bool = False,
) -> None:
    """Draw spots as circles of a diameter in full-resolution pixels, whatever the figure's size.

    Classes whose colour can hardly be seen on the page have an edge.

    Parameters
    ----------
    axes
        Of the picture.
    section, panel
        Places and colours.
    drawn
        Which spots.
    name
        Their id in an SVG.
    diameter
        Of a spot, in full-resolution pixels.
    page
        Red, green, blue behind them.
    points_per_pixel
        Of the page, for a full-resolution pixel.
    as_picture
        Whether vector files hold pixels instead of a shape for every spot.
    """
    from matplotlib.collections import EllipseCollection

    colours = panel.colours[drawn]
    size, width, rims = diameter, 0.0, colours
    if isinstance(panel.key, ClassKey):
        edges = _edges_of_classes(panel.key, colours, page)
        pale = edges[:, 3] > 0
        if pale.any():
            # Half of an edge is outside. All have one, the others in their own colour: spots of
            # one size are written once to a vector file, and placed many times.
            width = edge_width(diameter * points_per_pixel)
            size = diameter - width / points_per_pixel
            rims = np.where(pale[:, None], edges, colours)
    spots = EllipseCollection(
        [size],
        [size],
        [0.0],
        units="xy",
        offsets=section.positions[drawn],
        offset_transform=axes.transData,
        facecolors=colours,
        edgecolors=rims if width else "none",
        linewidths=width,
        zorder=3,
        gid=name,
        rasterized=as_picture,
    )
    axes.add_collection(spots, autolim=False)


def _edges_of_classes(
    key: ClassKey, colours: NDArray[np.floating], page: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return the edge of each spot; none where colours are mixed, not those of classes."""
    known = {tuple(np.round(colour, 3)) for _, colour in key.classes} | {tuple(MISSING)}
    different, which = np.unique(np.round(colours, 3), axis=0, return_inverse=True)
    if len(different) > len(known):
        return np.zeros((len(colours), 4))
    return edge_colours(different, page)[which.ravel()]


def draw_edges(
    axes: Axes, edges: EdgeOverlay, view: Extent, name: str, *, as_picture: bool = False
) -> None:
    """Draw the graph beneath the spots, as far as it lies in view."""
    from matplotlib.collections import LineCollection

    left, right, top, bottom = view
    x, y = edges.segments[..., 0], edges.segments[..., 1]
    seen = (x.max(axis=1) > left) & (x.min(axis=1) < right)
    seen &= (y.max(axis=1) > top) & (y.min(axis=1) < bottom)
    colours = np.atleast_2d(edges.colours)
    lines = LineCollection(
        list(edges.segments[seen]),
        colors=colours[seen] if len(colours) > 1 else colours,
        linewidths=edges.width,
        capstyle="round",
        zorder=2,
        gid=name,
        rasterized=as_picture,
    )
    axes.add_collection(lines, autolim=False)


def draw_outlines(axes: Axes, outlines: Sequence[RegionOutline], width: float, name: str) -> None:
    """Draw borders of regions above the spots, ``width`` points wide."""
    from matplotlib.patches import Polygon

    for number, outline in enumerate(outlines):
        border = Polygon(
            np.asarray(outline.vertices, float),
            closed=True,
            fill=False,
            edgecolor=outline.colour,
            linewidth=width,
            joinstyle="round",
            zorder=4,
            gid=f"{name}-{number}",
        )
        axes.add_patch(border)


def round_length(limit: float) -> float:
    """Largest of 1, 2, 5, 10, 20, 50 ... (or 0.5, 0.2, 0.1 ...) not above a limit."""
    power = 10.0 ** np.floor(np.log10(limit))
    step = max(factor for factor in (1, 2, 5) if factor * power <= limit * (1 + 1e-9))
    return float(step * power)


def scale_bar_length(view: Extent, micrometres_per_pixel: float | None) -> tuple[float, str]:
    """Choose a scale bar of at most 30 % of the panel's width.

    Returns
    -------
    tuple
        Its length in full-resolution pixels, and what to write beside it.
    """
    limit = 0.3 * (view[1] - view[0])
    if micrometres_per_pixel is None:
        length = round_length(limit)
        return length, f"{length:g} px"
    micrometres = round_length(limit * micrometres_per_pixel)
    shown = f"{micrometres / 1000:g} mm" if micrometres >= 1000 else f"{micrometres:g} µm"
    return micrometres / micrometres_per_pixel, shown


FRAME_STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)))
"""Of the frames of insets, in turn: what tells them apart where there are several."""


def draw_frame(axes: Axes, extent: Extent, number: int, ink: str, name: str) -> None:
    """Draw the frame of an inset, in its panel or around itself, to be seen on any colour."""
    from matplotlib.patches import Rectangle

    left, right, top, bottom = extent
    paper = "white" if ink == "black" else "black"
    style = FRAME_STYLES[number % len(FRAME_STYLES)]
    for layer, (colour, width, line) in enumerate(((paper, 1.8, "-"), (ink, 0.8, style))):
        axes.add_patch(
            Rectangle(
                (left, top),
                right - left,
                bottom - top,
                fill=False,
                edgecolor=colour,
                linewidth=width,
                linestyle=line,
                clip_on=False,
                zorder=5 + layer,
                gid=f"{name}-{layer}",
            )
        )
