"""Positions between the spots of a section, where values can be predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

REACH = 0.75
"""How far from a spot the new lattice goes, in distances between spots."""

RING = 4
"""Neighbours at about the same distance: on a lattice that is the spacing, while among cells at
irregular places it reaches over the gaps between them, which that to the nearest does not."""

MOST_POSITIONS = 5_000_000


def denser_positions(positions: ArrayLike, factor: float = 3.0) -> NDArray[np.float64]:
    """Hexagonal lattice over the tissue, finer than the spots.

    Parameters
    ----------
    positions
        Spots x 2, any unit.
    factor
        How many times closer the new positions are than the spots; see `distance_between`.

    Returns
    -------
    lattice
        New positions x 2 in the same unit, all within 0.75 of that distance from a spot.

    Raises
    ------
    InputError
        If there are fewer than two places, the factor is below 1, or there would be more than
        five million positions.
    """
    points = np.asarray(positions, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise InputError(
            f"Positions have the shape {points.shape}, or values that are not finite",
            where="denser grid",
            remedy="Give spots x 2",
        )
    if not (np.isfinite(factor) and factor >= 1):
        raise InputError(
            f"The factor is {factor}", where="denser grid", remedy="Choose one of at least 1"
        )
    places = np.unique(points, axis=0)
    if len(places) < 2:
        raise InputError(
            "There is only one place", where="denser grid", remedy="Give at least two spots"
        )
    tree = cKDTree(places)
    apart = distance_between(points)
    reach, step = REACH * apart, apart / factor
    low = places.min(axis=0) - reach
    size = places.max(axis=0) + reach - low
    columns, rows = int(size[0] / step) + 1, int(size[1] / (step * np.sqrt(0.75))) + 1
    if columns * rows > MOST_POSITIONS:
        raise InputError(
            f"The denser grid would have about {columns * rows} positions",
            where="denser grid",
            remedy="Choose a smaller factor",
        )
    row, column = np.indices((rows, columns)).reshape(2, -1)
    lattice = np.stack(
        [low[0] + step * (column + 0.5 * (row % 2)), low[1] + step * np.sqrt(0.75) * row], axis=1
    )
    near = np.asarray(tree.query(lattice, distance_upper_bound=reach)[0])
    return np.ascontiguousarray(lattice[np.isfinite(near)])


def distance_between(positions: NDArray[np.float64]) -> float:
    """Return the distance between spots: the median of that to the fourth nearest place.

    Parameters
    ----------
    positions
        Spots x 2, at two places or more.
    """
    places = np.unique(positions, axis=0)
    distances, _ = cKDTree(places).query(places, k=min(1 + RING, len(places)))
    return float(np.median(np.asarray(distances)[:, -1]))
