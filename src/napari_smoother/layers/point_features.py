"""Features of any layer of points: read, added beside those that are there, and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.quantities import Classes
from napari_smoother.errors import InputError
from napari_smoother.keys import key_beside
from napari_smoother.layers import spot_map
from napari_smoother.layers.coordinates import World, data_to_world, to_xy
from napari_smoother.layers.region_shapes import outlines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Points, Shapes
    from numpy.typing import NDArray

    from napari_smoother.analyses.quantities import Numbers
    from napari_smoother.analyses.regions import RegionShape

ADDED = "added features"
"""Key of a layer's metadata with the features that were added here, and may be found anew."""

COLORMAP = "viridis"
PERCENTILES = (1.0, 99.0)


def numeric_features(layer: Points) -> list[str]:
    """Return the features that are numbers."""
    table = layer.features.select_dtypes("number")
    return [str(name) for name in table.columns]


def positions_of(layer: Points) -> NDArray[np.float64]:
    """Return where points are in the world, n x 2 or n x 3.

    Raises
    ------
    InputError
        If the layer is empty, or has another number of dimensions.
    """
    if layer.ndim not in (2, 3) or not len(layer.data):
        raise InputError(
            f"There are {len(layer.data)} points in {layer.ndim} dimensions",
            where=f"layer {layer.name}",
            remedy="Choose a layer with points in two or three dimensions",
        )
    return data_to_world(layer, np.asarray(layer.data, dtype=np.float64))


def values_of(layer: Points, names: Sequence[str]) -> NDArray[np.float64]:
    """Return features as numbers, n x features, NaN where there is none."""
    columns = [layer.features[name] for name in names]
    return np.column_stack([c.to_numpy(dtype=np.float64, na_value=np.nan) for c in columns])


def outlines_of(layer: Shapes) -> tuple[tuple[RegionShape, ...], int]:
    """Return the outlines in a layer in the world, and how many shapes are none.

    Those without a feature ``region`` are called by their numbers, from 1.

    Raises
    ------
    InputError
        If the layer is not two-dimensional.
    """
    if layer.ndim != 2:
        raise InputError(
            f"The shapes have {layer.ndim} dimensions",
            where=f"layer {layer.name}",
            remedy="Draw the regions in a layer of two dimensions",
        )
    return outlines(layer, World(1.0, "pixel"))


def regions_of(positions: NDArray[np.float64], shapes: Sequence[RegionShape]) -> pd.Categorical:
    """Return the name of the region of each point; the later of two that overlap has it.

    Parameters
    ----------
    positions
        n x 2, (row, column).
    shapes
        Outlines as (x, y) in the same unit.

    Returns
    -------
    pandas.Categorical
        n names, in the order they were drawn in; missing outside.

    Raises
    ------
    InputError
        If there is no outline, or points are not in a plane.
    """
    if not shapes:
        raise InputError(
            "No shape encloses an area",
            where="regions of points",
            remedy="Draw polygons, rectangles or ellipses first",
        )
    if positions.shape[1] != 2:
        raise InputError(
            f"The points have {positions.shape[1]} dimensions, and outlines two",
            where="regions of points",
            remedy="Choose a layer with points in two dimensions",
        )
    names = list(dict.fromkeys(shape.region for shape in shapes))
    codes = np.full(len(positions), -1)
    for shape in shapes:
        codes[shape.contains(to_xy(positions))] = names.index(shape.region)
    return pd.Categorical.from_codes(codes, categories=pd.Index(names, dtype=object))


def add_features(layer: Points, features: Mapping[str, Any]) -> list[str]:
    """Add features beside those that are there, and return what they are called.

    What was added here before is replaced; any other feature stays, and the new one gets a name
    of its own.
    """
    before = layer.metadata.get(ADDED, ())
    there = [str(name) for name in layer.features]
    names = {name: key_beside(name, there, before) for name in features}
    layer.features = layer.features.assign(
        **{names[name]: values for name, values in features.items()}
    )
    layer.metadata[ADDED] = tuple(dict.fromkeys([*before, *names.values()]))
    return list(names.values())


def coloured(shown: Numbers | Classes) -> tuple[NDArray[np.floating], spot_map.Key]:
    """Return colours of points by a feature (n x 4), and the key to them."""
    if isinstance(shown, Classes):
        return spot_map.colour_classes(shown)
    return spot_map.colour_numbers(shown, colormap=COLORMAP, percentiles=PERCENTILES)
