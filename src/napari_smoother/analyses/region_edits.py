"""What a hand does to regions: areas drawn, taken away and merged, spots assigned, copies.

All are functions of the regions as they were. What is done last has the spot, but for spots of
regions that are locked: those stay in them whatever is drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely
from scipy.spatial import cKDTree

from napari_smoother.analyses.regions import AS_DRAWN, UNASSIGNED, Regions, RegionShape
from napari_smoother.errors import InputError
from napari_smoother.weights.lattice import spacing_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_smoother.analyses.spots_within import SpotsWithin


def drawn(regions: Regions, shape: RegionShape, spots: SpotsWithin) -> Regions:
    """Return the regions with one more outline, which has the spots within.

    Parameters
    ----------
    regions
        As they were.
    shape
        Of a region that is there. Where it lies over outlines of locked regions they are cut out.
    spots
        Of the section.

    Raises
    ------
    InputError
        If its region is locked.
    """
    check_unlocked(regions, shape.region)
    area = shape.area()
    free = _free_of_locked(regions, area)
    added = [shape]
    if free is not area:
        added = [RegionShape.around(shape.region, part) for part in _parts(free)]
    after = regions.with_shapes([*regions.shapes, *added])
    return _as_drawn(regions, after, [free], spots)


def painted(regions: Regions, name: str, area: shapely.Geometry, spots: SpotsWithin) -> Regions:
    """Return the regions with an area joined to the outlines of one that it touches.

    Raises
    ------
    InputError
        If the region is locked.
    """
    check_unlocked(regions, name)
    area = _free_of_locked(regions, area)
    touched = [
        (shape, own)
        for shape in regions.shapes
        if shape.region == name and shapely.intersects(own := spots.area_of(shape), area)
    ]
    joined = shapely.union_all([area, *(own for _, own in touched)])
    before = [shape for shape, _ in touched]
    like = before[0] if before else RegionShape(name, np.empty((0, 2)))
    others = [shape for shape in regions.shapes if not any(shape is one for one in before)]
    after = regions.with_shapes([*others, *_outlines_of(joined, like)])
    return _as_drawn(regions, after, [area], spots)


def subtracted(regions: Regions, name: str, area: shapely.Geometry, spots: SpotsWithin) -> Regions:
    """Return the regions with an area taken away from one: from its outlines and its spots.

    Raises
    ------
    InputError
        If the region is locked.
    """
    check_unlocked(regions, name)
    shapes: list[RegionShape] = []
    for shape in regions.shapes:
        if shape.region == name and shapely.intersects(own := spots.area_of(shape), area):
            shapes += _outlines_of(shapely.difference(own, area), shape)
        else:
            shapes.append(shape)
    code, within = regions.code(name), spots.area(area)
    after = replace(
        regions.with_shapes(shapes),
        imported=_taken_away(regions.imported, within, code, UNASSIGNED),
        assigned=_taken_away(regions.assigned, within, code, AS_DRAWN),
    )
    return _holding_locked(regions, after, spots)


def reshaped(regions: Regions, shapes: Iterable[RegionShape], spots: SpotsWithin) -> Regions:
    """Return the regions with outlines as a hand has moved them, left them out or added them.

    Outlines of locked regions are to be among the shapes as they were. Those that are not the
    same object as before have the spots within.
    """
    shapes = tuple(shapes)
    known = {id(shape) for shape in regions.shapes}
    after = regions.with_shapes(shapes)
    moved = [spots.area_of(shape) for shape in shapes if id(shape) not in known]
    return _as_drawn(regions, after, moved, spots)


def assigned(
    regions: Regions, name: str | None, chosen: NDArray[np.bool_], spots: SpotsWithin
) -> Regions:
    """Return the regions with some spots assigned to one, or to none; those of locked ones stay.

    Raises
    ------
    InputError
        If the region is locked.
    """
    if name is not None:
        check_unlocked(regions, name)
    return _holding_locked(regions, regions.with_spots(name, chosen), spots)


def merged(regions: Regions, name: str) -> Regions:
    """Return the regions with all outlines of one joined; every spot stays where it is.

    Raises
    ------
    InputError
        If the region is locked, or has fewer than two outlines.
    """
    check_unlocked(regions, name)
    own = [place for place, shape in enumerate(regions.shapes) if shape.region == name]
    if len(own) < 2:
        raise InputError(
            f"The region {name!r} has {len(own) or 'no'} outline{'s' if len(own) != 1 else ''}",
            where="merging outlines",
            remedy="Draw several, then merge them",
        )
    area: shapely.Geometry = shapely.Polygon()
    for shape in regions.shapes[: own[-1] + 1]:
        # What another region was given in between stays its own.
        area = (shapely.union if shape.region == name else shapely.difference)(area, shape.area())
    joined = _outlines_of(area, regions.shapes[own[0]])
    shapes = list(regions.shapes)
    shapes[own[-1] : own[-1] + 1] = joined
    first = set(own[:-1])
    return regions.with_shapes(shape for place, shape in enumerate(shapes) if place not in first)


def copied(
    regions: Regions,
    factor: float,
    spots: NDArray[np.float64],
    there: NDArray[np.float64],
) -> Regions:
    """Return the regions for another section that lies in the same frame.

    Parameters
    ----------
    regions
        Of a section.
    factor
        Pixels of the other section per pixel of this one.
    spots
        Positions of this section, n x 2 in its pixels.
    there
        Positions of the other, m x 2 in its pixels.

    Returns
    -------
    Regions
        Outlines as they are. Spots that a column or a hand has given a region give it to the
        spots that are nearest to them, where these are nearer than a spot's spacing.
    """
    shapes = tuple(shape.scaled(factor) for shape in regions.shapes)
    if regions.n_spots is None:
        return replace(regions, shapes=shapes)
    distance, nearest = cKDTree(factor * spots).query(there)
    far = distance >= factor * spacing_of(spots).distance

    def carried(codes: NDArray[np.int32] | None, none: int) -> NDArray[np.int32] | None:
        return None if codes is None else np.where(far, none, codes[nearest]).astype(np.int32)

    return Regions(
        regions.classes,
        shapes,
        carried(regions.imported, UNASSIGNED),
        carried(regions.assigned, AS_DRAWN),
    )


def joined(regions: Regions, others: Regions, spots: SpotsWithin) -> Regions:
    """Return the regions with others, whose spots they have then; those of one name are one.

    Raises
    ------
    InputError
        If a region of the same name is locked.
    """
    before = regions
    for region in others.classes:
        if region.name in regions.names:
            check_unlocked(regions, region.name)
        else:
            regions = regions.with_class(region)
    after = regions.with_shapes([*regions.shapes, *others.shapes])
    codes = np.array([regions.code(name) for name in others.names], dtype=np.int32)
    theirs = others.labels(spots)
    differs = (theirs >= 0) & (codes[theirs] != after.labels(spots))
    for code, name in enumerate(others.names):
        if (chosen := differs & (theirs == code)).any():
            after = after.with_spots(name, chosen)
    return _holding_locked(before, after, spots)


def check_unlocked(regions: Regions, name: str) -> None:
    """Raise an `InputError` if a region is locked, or is not there."""
    if regions.classes[regions.code(name)].locked:
        raise InputError(
            f"The region {name!r} is locked",
            where=f"region {name}",
            remedy="Unlock it in the table of the Regions page",
        )


def _free_of_locked(regions: Regions, area: shapely.Geometry) -> shapely.Geometry:
    """Return an area without what outlines of locked regions enclose; itself if that is all."""
    locked = {region.name for region in regions.classes if region.locked}
    held = [shape.area() for shape in regions.shapes if shape.region in locked]
    over = [each for each in held if shapely.intersects(each, area)]
    return shapely.difference(area, shapely.union_all(over)) if over else area


def _as_drawn(
    before: Regions, after: Regions, areas: Iterable[shapely.Geometry], spots: SpotsWithin
) -> Regions:
    """Let what was drawn last have its spots, also those that were assigned by themselves."""
    for area in areas if after.assigned is not None else ():
        within = spots.area(area)
        if (after.assigned[within] != AS_DRAWN).any():  # type: ignore[index]
            codes = after.assigned.copy()  # type: ignore[union-attr]
            codes[within] = AS_DRAWN
            after = replace(after, assigned=codes)
    return _holding_locked(before, after, spots)


def _holding_locked(before: Regions, after: Regions, spots: SpotsWithin) -> Regions:
    """Assign the spots of locked regions to them where they have lost them."""
    locked = [code for code, region in enumerate(before.classes) if region.locked]
    if not locked:
        return after
    labels = before.labels(spots)
    lost = np.isin(labels, locked) & (after.labels(spots) != labels)
    for code in np.unique(labels[lost]):
        after = after.with_spots(before.classes[code].name, lost & (labels == code))
    return after


def _taken_away(
    codes: NDArray[np.int32] | None, within: NDArray[np.intp], code: int, instead: int
) -> NDArray[np.int32] | None:
    if codes is None or not (codes[within] == code).any():
        return codes
    left = codes.copy()
    left[within[codes[within] == code]] = instead
    return left


def _parts(area: shapely.Geometry) -> list[shapely.Polygon]:
    parts = shapely.get_parts(shapely.get_parts(area))
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]


def _outlines_of(area: shapely.Geometry, like: RegionShape) -> list[RegionShape]:
    """Return the outlines of an area, known by what another is known by."""
    return [
        RegionShape.around(like.region, part, identity=like.identity, title=like.title)
        for part in _parts(area)
    ]
