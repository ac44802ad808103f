"""The layers every section has: its image and its spots."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import pandas as pd
from napari.layers import Image, Points

from napari_smoother.layers.coordinates import World, to_rows_and_columns
from napari_smoother.layers.plain_text import as_text
from napari_smoother.section import Section
from napari_smoother.weights.lattice import spacing_of

if TYPE_CHECKING:
    import numpy as np
    from napari.layers import Layer
    from napari.utils.events import Event
    from numpy.typing import NDArray

    from napari_smoother.section import SectionImage

IMAGE = "image"
SPOTS = "spots"
SPOT_FEATURE = "spot"
"""The feature that holds the barcode of each spot."""

SECTION = "section"
"""Key of a layer's metadata with the section it shows."""

PLAIN_SPOT = "#9ea8b8"
SHARE_OF_SPACING = 0.55
"""Diameter of a spot of unknown size relative to the spacing, as on a Visium slide."""

_spacings: WeakKeyDictionary[Section, float] = WeakKeyDictionary()


def section_layer(section: Section, name: str) -> Layer | None:
    """Return one of the two layers that a section is shown in: `IMAGE` or `SPOTS`.

    Spots have their barcodes and the columns of obs as features.

    Parameters
    ----------
    section
        What to show.
    name
        Which layer.

    Returns
    -------
    Layer or None
        It knows its section (see `section_of`). None where there is no image.
    """
    if name == SPOTS:
        layer = spot_layer(section, spot_diameter(section))
        layer.features = obs_features(section)
    elif section.images:
        layer = image_layer(section, section.images[0])
    else:
        return None
    layer.name = as_text(f"{section.name}: {layer.name}")
    layer.metadata = {SECTION: section}
    return layer


def section_of(layer: Layer) -> Section | None:
    """Return the section that a layer shows; None for layers of anything else."""
    section = layer.metadata.get(SECTION)
    return section if isinstance(section, Section) else None


def obs_features(section: Section) -> pd.DataFrame:
    """Return barcode and obs columns of each spot, for napari to show under the pointer."""
    obs = section.adata.obs
    # Of columns with one name a table of features has the first.
    own = obs.loc[:, ~obs.columns.duplicated() & (obs.columns != SPOT_FEATURE)]
    barcodes = pd.Series(section.adata.obs_names.to_numpy(), name=SPOT_FEATURE)
    features: pd.DataFrame = pd.concat([barcodes, own.reset_index(drop=True)], axis=1)
    return features


def image_layer(section: Section, image: SectionImage) -> Image:
    """Return the layer of a tissue image, its pixels placed under the spots."""
    world = World.of(section)
    side = world.pixel / image.scale
    return Image(
        image.pixels,
        name=as_text(f"image ({image.name})"),
        rgb=image.pixels.ndim == 3,
        scale=(side, side),
        units=world.units,
        interpolation2d="linear",
    )


def spot_diameter(section: Section) -> float:
    """Return the diameter to draw spots with, in full-resolution pixels."""
    if section.spot_diameter:
        return section.spot_diameter
    if section not in _spacings:  # a search of all spots, for every move of a slider
        _spacings[section] = spacing_of(section.positions).distance
    return SHARE_OF_SPACING * _spacings[section]


def spot_layer(section: Section, diameter: float, name: str = SPOTS) -> Points:
    """Return a layer with one point a spot.

    Parameters
    ----------
    section
        Whose spots they are.
    diameter
        In full-resolution pixels.
    name
        Of the layer.
    """
    return point_layer(section.positions, World.of(section), diameter, name)


def point_layer(
    positions: NDArray[np.float64], world: World, diameter: float, name: str
) -> Points:
    """Return a layer with a point at each position.

    Parameters
    ----------
    positions
        n x 2, (x, y) in full-resolution pixels.
    world
        Of the section.
    diameter
        In full-resolution pixels.
    name
        Of the layer.
    """
    layer = Points(
        to_rows_and_columns(positions),
        name=name,
        size=diameter,
        scale=world.scale,
        units=world.units,
        border_width=0,
        face_color=PLAIN_SPOT,
        # With a smallest size napari gives points below it a border, which hides their colour.
        canvas_size_limits=(0, 10_000),
    )
    protect(layer)
    return layer


def protect(layer: Points) -> None:
    """Let no tool add, move or remove spots; what layer data of napari do not hold.

    napari lets a layer be edited again whenever its dimensions change.
    """
    layer.face_colorbar.visible = False
    layer.editable = False
    layer.events.editable.connect(_close_to_editing)


def _close_to_editing(event: Event) -> None:
    if event.source.editable:
        event.source.editable = False
