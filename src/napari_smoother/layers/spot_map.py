"""A point layer that shows one quantity, with its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.quantities import Mixture, Numbers
from napari_smoother.errors import InputError
from napari_smoother.figures.panels import NumberKey
from napari_smoother.figures.picture import Key, colour_classes, colour_mixture, colour_numbers
from napari_smoother.layers.recolouring import recolour
from napari_smoother.layers.tissue import SPOT_FEATURE, obs_features, section_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Points
    from numpy.typing import NDArray

    from napari_smoother.analyses.quantities import Classes
    from napari_smoother.section import Section

__all__ = [
    "SHOWN",
    "TABLE",
    "Key",
    "colour_classes",
    "colour_mixture",
    "colour_numbers",
    "label",
    "paint",
    "show_quantity",
    "table_of",
]

SHOWN = "shown"
"""Key of a layer's metadata with the features that are what its colours show."""

VALUES = "values"
"""Key of a layer's metadata with what its colours show, as they do right now."""

TABLE = "table"
"""Key of a layer's metadata with all of a result of which its colours show a part."""


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
