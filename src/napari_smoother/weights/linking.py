"""Neighbours by any rule, once it is known how many there will be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from napari_smoother.errors import InputError
from napari_smoother.weights.delaunay import delaunay_neighbours
from napari_smoother.weights.lattice import spacing_of
from napari_smoother.weights.neighbours import nearest_neighbours, neighbours_within

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from napari_smoother.weights.neighbours import Neighbourhood

MOST_EDGES = 20_000_000
MOST_NEIGHBOURS = 200
"""A graph with more of both is refused.

Neighbours of neighbours are what a prior reaches anyway: 6 to 20 a spot are what it is for, and
300,000 cells with 60 each stay within these limits. Above, a graph alone takes more than half a
gigabyte, every solve streams it a hundred times, and what was meant was mostly another unit.
"""

BYTES_AN_EDGE = 56
"""Of memory while a graph is built: two entries of weight, distance and column, and a copy."""

SAMPLED = 2_000
"""Spots whose neighbours are counted to know how many edges there will be."""


def link(
    positions: ArrayLike,
    *,
    k: int = 6,
    mutual: bool = True,
    tie_tolerance: float | None = None,
    radius: float | None = None,
    bandwidth: float | None = None,
    delaunay: bool = False,
) -> Neighbourhood:
    """Link spots that are neighbours.

    Parameters
    ----------
    positions
        n x 2 or n x 3, any unit.
    k, mutual
        Each spot with its k nearest, where neither a radius nor a triangulation is wanted; see
        `nearest_neighbours`.
    tie_tolerance
        Of `nearest_neighbours`; None to see a lattice through rounding to whole pixels.
    radius
        All spots within it; of a triangulation, the length of the longest edge.
    bandwidth
        With a radius: weights fall with distance as a Gaussian of this standard deviation.
    delaunay
        Whether neighbours are those of the Delaunay triangulation.

    Returns
    -------
    Neighbourhood

    Raises
    ------
    InputError
        If positions or numbers cannot be used, or there would be more edges than can be worked
        with: said at once, before anything is built.
    """
    if delaunay:
        return delaunay_neighbours(positions, longest=radius)
    if radius is not None:
        _refuse_too_many(np.asarray(positions), radius)
        return neighbours_within(positions, radius, bandwidth=bandwidth)
    if tie_tolerance is None:
        tie_tolerance = spacing_of(positions).tie_tolerance
    return nearest_neighbours(positions, k, mutual=mutual, tie_tolerance=tie_tolerance)


def expected_edges(positions: ArrayLike, radius: float) -> float:
    """Return about how many edges a radius makes, from a sample of the spots.

    Parameters
    ----------
    positions
        n x 2 or n x 3, any unit.
    radius
        Largest distance, in that unit.
    """
    points = np.asarray(positions, dtype=np.float64)
    n_spots = len(points)
    # The same spots every time, from all over the section.
    sampled = points[:: max(n_spots // SAMPLED, 1)]
    found = KDTree(points).query_ball_point(sampled, radius, return_length=True)
    return float(np.mean(found) - 1) * n_spots / 2


def _refuse_too_many(positions: np.ndarray, radius: float) -> None:
    usable = positions.ndim == 2 and len(positions) > 1 and positions.dtype.kind in "iuf"
    if not usable or not np.isfinite(positions).all() or not (np.isfinite(radius) and radius > 0):
        return  # what is wrong is told by whoever links them
    edges = expected_edges(positions, radius)
    each = 2 * edges / len(positions)
    if edges <= MOST_EDGES or each <= MOST_NEIGHBOURS:
        return
    share = max(MOST_NEIGHBOURS / each, MOST_EDGES / edges)
    smaller = radius * share ** (1 / positions.shape[1])
    raise InputError(
        f"A radius of {radius:,.4g} links each spot to about {each:,.0f} others: "
        f"{edges / 1e6:,.0f} million edges, {edges * BYTES_AN_EDGE / 1e9:,.1f} GB",
        where="graph radius",
        remedy=f"Take a radius below about {smaller:,.3g} (in the unit of the positions)",
    )
