"""Values of spots drawn on the tissue in one call, for scripts and notebooks."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.figures.colours import (
    categorical_palette,
    map_classes,
    map_numbers,
    percentile_limits,
)
from napari_smoother.figures.compose import compose_figure
from napari_smoother.figures.panels import ClassKey, Colour, NumberKey, Panel
from napari_smoother.palette import class_palette

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.figures.panels import EdgeOverlay, RegionOutline
    from napari_smoother.section import Section, SectionImage


def spatial_figure(
    section: Section,
    values: ArrayLike,
    *,
    quantity: str,
    title: str = "",
    colormap: str = "viridis",
    percentiles: tuple[float, float] = (1.0, 99.0),
    limits: tuple[float, float] | None = None,
    palette: Mapping[str, Sequence[float]] | None = None,
    image: SectionImage | Literal["best"] | None = "best",
    image_opacity: float = 1.0,
    edges: EdgeOverlay | None = None,
    outlines: Sequence[RegionOutline] = (),
    width_mm: float = 85.0,
    font_size: float = 7.0,
) -> Figure:
    """Draw one value of every spot on the tissue.

    Parameters
    ----------
    section
        The spots, in the order of ``values``.
    values
        One per spot: numbers, or classes (a categorical, strings or truth values). NaN and
        None are drawn in grey and named in the key.
    quantity
        What the values are, with their unit: shown in the key.
    title
        Above the panel.
    colormap, percentiles, limits
        For numbers: matplotlib's name, and the range shown, by percentile unless given.
    palette
        For classes: name to (red, green, blue[, alpha]) from 0 to 1, for some or all. Others
        have the colours in ``uns["<column>_colors"]`` where the values are an obs column.
    image
        Behind the spots; ``"best"`` takes the section's best, if it has one.
    image_opacity
        0 to 1; a paler image lets the spots' colours speak.
    edges, outlines
        Drawn under and over the spots.
    width_mm
        Of the figure; 85 and 180 are one and two columns of most journals.
    font_size
        In points.

    Returns
    -------
    matplotlib.figure.Figure
        To be written with :func:`save_figure`.

    Raises
    ------
    InputError
        If there is not one value for each spot.
    """
    panel = value_panel(
        section,
        values,
        quantity=quantity,
        title=title,
        colormap=colormap,
        limits=limits,
        percentiles=percentiles,
        palette=palette,
    )
    return compose_figure(
        section,
        [panel],
        image=image,
        image_opacity=image_opacity,
        edges=edges,
        outlines=outlines,
        width_mm=width_mm,
        font_size=font_size,
    )


def spatial_grid(
    section: Section,
    values: Mapping[str, ArrayLike],
    *,
    quantity: str | Mapping[str, str],
    shared_limits: bool = False,
    colormap: str = "viridis",
    percentiles: tuple[float, float] = (1.0, 99.0),
    palette: Mapping[str, Sequence[float]] | None = None,
    image: SectionImage | Literal["best"] | None = "best",
    image_opacity: float = 1.0,
    columns: int | None = None,
    width_mm: float = 180.0,
    font_size: float = 7.0,
) -> Figure:
    """Draw several values of every spot, a panel each.

    Parameters
    ----------
    section
        The spots, in the order of the values.
    values
        Title of a panel to its values, as :func:`spatial_figure` takes them.
    quantity
        What the values are, with their unit, shown in the keys: one for all panels, or
        title to quantity.
    shared_limits
        Whether all numbers share one range, so that colours compare between panels.
    colormap, percentiles, palette, image, image_opacity, width_mm, font_size
        As for :func:`spatial_figure`.
    columns
        Panels beside each other; chosen by their number and the width when None.

    Returns
    -------
    matplotlib.figure.Figure
        To be written with :func:`save_figure`.

    Raises
    ------
    InputError
        If there is no panel, or not one value for each spot.
    """
    limits = None
    if shared_limits:
        numbers = [_numbers(value) for value in values.values() if _are_numbers(value)]
        if numbers:
            limits = percentile_limits(np.concatenate(numbers), *percentiles)
    panels = [
        value_panel(
            section,
            value,
            quantity=quantity if isinstance(quantity, str) else quantity.get(title, title),
            title=title,
            colormap=colormap,
            limits=limits,
            percentiles=percentiles,
            palette=palette,
        )
        for title, value in values.items()
    ]
    return compose_figure(
        section,
        panels,
        image=image,
        image_opacity=image_opacity,
        columns=columns,
        width_mm=width_mm,
        font_size=font_size,
    )


def value_panel(
    section: Section,
    values: ArrayLike,
    *,
    quantity: str,
    title: str = "",
    colormap: str = "viridis",
    percentiles: tuple[float, float] = (1.0, 99.0),
    limits: tuple[float, float] | None = None,
    palette: Mapping[str, Sequence[float]] | None = None,
) -> Panel:
    """Colour values for :func:`compose_figure`; parameters as for :func:`spatial_figure`."""
    if np.shape(values) != (section.n_spots,):
        raise InputError(
            f"Values of the shape {np.shape(values)} for {section.n_spots} spots",
            where=title or quantity,
            remedy="Give one value for each spot, in the order of the section",
        )
    if _are_numbers(values):
        numbers = _numbers(values)
        low, high = limits or percentile_limits(numbers, *percentiles)
        missing = bool(np.isnan(numbers).any())
        key = NumberKey(quantity, low, high, colormap, missing)
        return Panel(title, map_numbers(numbers, low, high, colormap), key)
    codes, names = _classes(values)
    colours = _class_colours(names, palette or {}, _palette_of_column(section, values, names))
    entries: tuple[tuple[str, Colour], ...] = tuple(
        (name, (float(r), float(g), float(b), float(a)))
        for name, (r, g, b, a) in zip(names, colours, strict=True)
    )
    class_key = ClassKey(quantity, entries, bool((codes < 0).any()))
    return Panel(title, map_classes(codes, colours), class_key)


def _are_numbers(values: ArrayLike) -> bool:
    """Whether values are drawn with a colour bar, not with a legend."""
    import pandas as pd

    dtype = pd.Series(values).dtype
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    """Numbers of any kind as float64, NaN where there is none."""
    import pandas as pd

    return np.asarray(pd.Series(values).to_numpy(np.float64, na_value=np.nan), np.float64)


def _classes(values: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Codes (-1 for none) and names in order of a categorical, or sorted as text."""
    import pandas as pd

    series = pd.Series(values)
    if not isinstance(series.dtype, pd.CategoricalDtype):
        absent = series.isna()
        names = sorted({str(value) for value in series[~absent]})
        series = pd.Series(
            pd.Categorical(series.astype(str).where(~absent, None), categories=names)
        )
    codes = series.cat.codes.to_numpy().astype(np.int64)
    return codes, [str(name) for name in series.cat.categories]


def _palette_of_column(
    section: Section, values: ArrayLike, names: list[str]
) -> NDArray[np.float32] | None:
    """Colours in ``uns`` of an obs column, where that is what the values are."""
    import pandas as pd

    obs = section.adata.obs
    if not isinstance(values, pd.Series) or values.name not in obs:
        return None
    if _classes(obs[values.name])[1] != names:
        return None
    try:
        return class_palette(section.adata.uns, str(values.name), names, where=section.name)
    except InputError as fault:
        warnings.warn(str(fault), UserWarning, stacklevel=4)
        return None


def _class_colours(
    names: Sequence[str],
    palette: Mapping[str, Sequence[float]],
    own: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Colours of classes: those given, and those of the column or else ours for the others."""
    colours = categorical_palette(len(names)) if own is None else own
    for place, name in enumerate(names):
        if name in palette:
            given = tuple(palette[name])
            colours[place] = (*given, 1.0) if len(given) == 3 else given
    return colours
