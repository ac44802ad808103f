"""What becomes of an area that is drawn or painted, and the colour of a region that is new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_smoother.analyses import region_edits
from napari_smoother.figures.colours import categorical_palette

if TYPE_CHECKING:
    import shapely

    from napari_smoother.analyses.regions import Colour, Regions
    from napari_smoother.analyses.spots_within import SpotsWithin

Effect = Literal["add", "subtract", "spots", "no spots"]
"""An outline of the region, taken away from it, its spots assigned to the region, or to none."""

WITH_ALT: dict[Effect, Effect] = {
    "add": "subtract",
    "subtract": "subtract",
    "spots": "no spots",
    "no spots": "no spots",
}


def applied(
    regions: Regions, name: str, area: shapely.Geometry, effect: Effect, spots: SpotsWithin
) -> Regions:
    """Return the regions after an area was painted.

    Parameters
    ----------
    regions
        As they were.
    name
        Of the region that is painted into.
    area
        In full-resolution pixels.
    effect
        What becomes of it.
    spots
        Of the section.

    Raises
    ------
    InputError
        If the region is locked.
    """
    if effect == "add":
        return region_edits.painted(regions, name, area, spots)
    if effect == "subtract":
        return region_edits.subtracted(regions, name, area, spots)
    chosen = np.zeros(len(spots), dtype=bool)
    chosen[spots.area(area)] = True
    return region_edits.assigned(regions, name if effect == "spots" else None, chosen, spots)


def next_colour(regions: Regions) -> Colour:
    """Return a colour that no region has yet."""
    taken = {region.colour for region in regions.classes}
    palette = categorical_palette(2 * len(taken) + 2)
    free = ((float(red), float(green), float(blue)) for red, green, blue, _ in palette)
    return next(colour for colour in free if colour not in taken)


def next_name(regions: Regions) -> str:
    """Return a name that no region has yet."""
    known = {region.name for region in regions.classes}
    return next(
        name for number in range(1, len(known) + 2) if (name := f"Region {number}") not in known
    )
