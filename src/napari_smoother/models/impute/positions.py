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

MOST_POSITIONS = 5_000_000


def denser_positions(positions: ArrayLike, factor: float = 3.0) -> NDArray[np.float64]:
    """Hexagonal lattice over the tissue, finer than the spots.

    Parameters
    ----------
    positions
        Spots x 2, any unit.
    factor
        How many times closer the new positions are than the spots, whose distance is taken as
        the median to the nearest one.

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
    apart = float(np.median(np.asarray(tree.query(places, k=2)[0])[:, 1]))
    step = apart / factor
    low = places.min(axis=0) - apart
    size = places.max(axis=0) + apart - low
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
    near = np.asarray(tree.query(lattice, distance_upper_bound=REACH * apart)[0])
    return np.ascontiguousarray(lattice[np.isfinite(near)])
