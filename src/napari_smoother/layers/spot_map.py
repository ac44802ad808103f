"""A point layer that shows one quantity, with its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.quantities import Mixture, Numbers
from napari_smoother.errors import InputError
from napari_smoother.figures.colours import (
    MISSING,
    categorical_palette,
    map_classes,
    map_numbers,
    percentile_limits,
)
from napari_smoother.figures.panels import ClassKey, NumberKey
from napari_smoother.layers.recolouring import recolour
from napari_smoother.layers.tissue import SPOT_FEATURE, obs_features, section_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Points
    from numpy.typing import NDArray

    from napari_smoother.analyses.quantities import Classes
    from napari_smoother.section import Section


Key = NumberKey | ClassKey

SHOWN = "shown"
"""Key of a layer's metadata with the features that are what its colours show."""

TABLE = "table"
"""Key of a layer's metadata with all of a result of which its colours show a part."""


def colour_numbers(
    numbers: Numbers,
    *,
    colormap: str,
    percentiles: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> tuple[NDArray[np.floating], NumberKey]:
    """Return the colour of each spot (n x 4) and the key to them.

    Parameters
    ----------
    numbers
        What to show.
    colormap
        Name of the colour map.
    percentiles
        Of the values, at the ends of the colour map; not used when `limits` are given.
    limits
        Values at the ends of the colour map.
    """
    low, high = limits or percentile_limits(numbers.values, *(percentiles or (0.0, 100.0)))
    colours = map_numbers(numbers.values, low, high, colormap)
    missing = bool(np.isnan(numbers.values).any())
    return colours, NumberKey(numbers.quantity, float(low), float(high), colormap, missing)


def colour_proportion(numbers: Numbers) -> tuple[NDArray[np.floating], NumberKey]:
    """Return colours and key of a proportion.

    The scale runs from 0 to the largest proportion rounded up to a twentieth, so that it stays
    where it is while a slider moves a little.
    """
    largest = np.nanmax(numbers.values, initial=0.0)
    high = max(np.ceil(20 * float(largest) - 1e-9) / 20, 0.05)
    return colour_numbers(numbers, colormap="viridis", limits=(0.0, high))


def colour_classes(
    classes: Classes,
    palette: NDArray[np.floating] | None = None,
    *,
    missing_name: str = "no value",
) -> tuple[NDArray[np.floating], ClassKey]:
    """Return the colour of each spot (n x 4) and the key to them.

    Without a palette classes have the colours they bring along, or else ours.
    """
    if palette is None:
        palette = classes.palette
    if palette is None:
        palette = categorical_palette(len(classes.names))
    pairs = tuple(
        (name, (float(red), float(green), float(blue), float(alpha)))
        for name, (red, green, blue, alpha) in zip(classes.names, palette, strict=True)
    )
    missing = bool((classes.codes < 0).any())
    key = ClassKey(classes.quantity, pairs, missing, missing_name)
    return map_classes(classes.codes, palette), key


def colour_mixture(
    mixture: Mixture, *, percentiles: tuple[float, float]
) -> tuple[NDArray[np.floating], ClassKey]:
    """Return the colour of each spot (n x 4), and a key that says what each channel is.

    Each channel is dark at the lower and full at the upper percentile of its values.
    """
    colours = np.ones((len(mixture.values), 4))
    channels = []
    pure = ((1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0))
    for channel, name in enumerate(mixture.names):
        values = mixture.values[:, channel]
        low, high = percentile_limits(values, *percentiles)
        colours[:, channel] = np.clip((values - low) / (high - low), 0.0, 1.0)
        channels.append((f"{name}: {low:.3g} to {high:.3g}", pure[channel]))
    missing = np.isnan(mixture.values).any(axis=1)
    colours[missing] = MISSING
    return colours, ClassKey(mixture.quantity, tuple(channels), bool(missing.any()))


def paint(layer: Points, colours: NDArray[np.floating], key: Key) -> None:
    """Show colours and, for numbers, their colour bar in the canvas."""
    recolour(layer, colours)
    is_number = isinstance(key, NumberKey)
    if isinstance(key, NumberKey):
        if layer.face_colormap.name != key.colormap:
            layer.face_colormap = key.colormap
        limits = (key.low, key.high)
        if layer.face_contrast_limits != limits:
            layer.face_contrast_limits = limits
    if layer.face_colorbar.visible != is_number:
        layer.face_colorbar.visible = is_number


def show_quantity(viewer: ViewerModel, quantity: str) -> None:
    """Write what colours show into a corner of the canvas."""
    text = viewer.canvas.overlays.text
    if text.text != quantity:
        text.text = quantity
        text.position = "top_left"
    text.visible = bool(quantity)


def label(layer: Points, section: Section, values: Numbers | Classes | Mixture) -> None:
    """Give each spot its name and value, which napari shows under the pointer.

    They come first. Other features of the layer stay, but for what was shown before.
    """
    shown: dict[str, Any]
    if isinstance(values, Mixture):
        shown = dict(zip(values.names, values.values.T, strict=True))
    elif isinstance(values, Numbers):
        shown = {values.quantity: np.asarray(values.values, dtype=np.float64)}
    else:
        # Not a categorical: two classes may read the same, and one may be called "none".
        names = np.array([*values.names, "none"], dtype=object)
        shown = {values.quantity: names[values.codes]}
    if SPOT_FEATURE in shown:  # the name of the barcodes
        shown[f"value of {SPOT_FEATURE}"] = shown.pop(SPOT_FEATURE)
    before = layer.metadata.get(SHOWN, ())
    others = layer.features.drop(columns=[SPOT_FEATURE, *before], errors="ignore")
    if section_of(layer) is section:  # a column of obs may have given way to what was shown
        obs = obs_features(section)
        others = others.assign(**{name: obs[name] for name in before if name in obs})
    others = others.drop(columns=list(shown), errors="ignore")
    features = pd.DataFrame({SPOT_FEATURE: section.adata.obs_names, **shown})
    layer.features = pd.concat([features, others], axis=1)
    layer.metadata[SHOWN] = tuple(shown)


def table_of(layer: Points) -> pd.DataFrame:
    """Return what a layer knows of each spot: spots x columns, barcodes as index.

    Of a composition these are all types, of an embedding all components and the domain; and in
    either case features that were added by hand.

    Raises
    ------
    InputError
        If it does not say which spot a point is.
    """
    if SPOT_FEATURE not in layer.features:
        raise InputError(
            "The points have no barcodes",
            where=f"layer {layer.name}",
            remedy="Save them with napari's own writer of points, which takes their places along",
        )
    features: pd.DataFrame = layer.features.set_index(SPOT_FEATURE)
    whole = layer.metadata.get(TABLE)
    if not isinstance(whole, pd.DataFrame):
        return features
    own = features.drop(columns=[*layer.metadata.get(SHOWN, ()), *whole], errors="ignore")
    return whole.assign(**{str(name): column.to_numpy() for name, column in own.items()})
