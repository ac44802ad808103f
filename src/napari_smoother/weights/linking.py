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

MOST_EDGES = 2_000_000
MOST_NEIGHBOURS = 200
"""A graph with more of both is refused.

Neighbours of neighbours are what a prior reaches anyway: 6 to 20 a spot are what it is for, and a
million cells with 60 each stay within these limits. Above, what was meant was mostly another unit:
a radius that takes in all of a slide of 3,600 spots makes 6.5 million edges, seconds of work and
0.65 GB before anything is drawn.
"""

BYTES_AN_EDGE = 100
"""Of memory while a graph is found, measured on one of 6.5 million edges."""

SAMPLED = 2_000
"""Spots whose neighbours are counted to know how many edges there will be."""

BEYOND_SPACING = 1.5
"""Times the spacing of a lattice: more than its first ring of neighbours, less than its second.

The second ring of a hexagonal lattice is 1.73 times as far as the first. On a square one the
diagonals, 1.41 times as far, are neighbours too.
"""

RING = 6
"""Neighbours that the automatic radius is to take in: as many as a hexagonal lattice has."""


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
    if radius is not None and np.ndim(radius) > 0:
        raise InputError(
            f"The radius is {radius}, not a number",
            where="graph radius",
            remedy="Give the largest distance alone; there is no smallest one here",
        )
    if delaunay:
        return delaunay_neighbours(positions, longest=radius)
    if radius is not None:
        _refuse_too_many(np.asarray(positions), radius)
        return neighbours_within(positions, radius, bandwidth=bandwidth)
    _refuse_too_many_nearest(np.asarray(positions), k)
    if tie_tolerance is None:
        tie_tolerance = spacing_of(positions).tie_tolerance
    return nearest_neighbours(positions, k, mutual=mutual, tie_tolerance=tie_tolerance)


def automatic_radius(positions: ArrayLike, spacing: float) -> float:
    """Return a radius that gives a spot about six neighbours, whatever the spots are.

    One and a half times the spacing, which takes in the ring of a lattice; or the median distance
    to the sixth nearest, where that is larger: cells lie in pairs and clusters, and lattices have
    gaps, so that the distance to the nearest says little about how far the others are.

    Parameters
    ----------
    positions
        n x 2 or n x 3, any unit.
    spacing
        Median distance to the nearest spot, in that unit.

    Returns
    -------
    radius
        In that unit.
    """
    points = np.asarray(positions, dtype=np.float64)
    if len(points) < 2:
        return BEYOND_SPACING * spacing
    return max(BEYOND_SPACING * spacing, _distance_to(min(RING, len(points) - 1), points))


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
    allowed = max(MOST_NEIGHBOURS, 2 * MOST_EDGES // len(positions))
    smaller = _distance_to(allowed, positions)
    raise InputError(
        f"A radius of {radius:,.4g} links each spot to about {each:,.0f} others: "
        f"{edges / 1e6:,.0f} million edges, {edges * BYTES_AN_EDGE / 1e9:,.1f} GB",
        where="graph radius",
        remedy=f"Take a radius below about {smaller:,.3g} (in the unit of the positions)",
    )


def _refuse_too_many_nearest(positions: np.ndarray, k: int) -> None:
    if positions.ndim != 2 or not isinstance(k, int | np.integer):
        return  # what is wrong is told by whoever links them
    n_spots = len(positions)
    each = min(int(k), n_spots - 1)
    edges = n_spots * each / 2
    if edges <= MOST_EDGES or each <= MOST_NEIGHBOURS:
        return
    raise InputError(
        f"{k:,} neighbours of each of {n_spots:,} spots are up to {2 * edges / 1e6:,.0f} million "
        f"edges, {2 * edges * BYTES_AN_EDGE / 1e9:,.1f} GB",
        where="number of neighbours",
        remedy=f"Take up to {max(MOST_NEIGHBOURS, 2 * MOST_EDGES // n_spots):,}",
    )


def _distance_to(k: int, positions: np.ndarray) -> float:
    """Return how far the k-th neighbour of a spot is, in the middle of a sample."""
    points = np.asarray(positions, dtype=np.float64)
    sampled = points[:: max(len(points) // SAMPLED, 1)]
    # A spot is its own nearest.
    return float(np.median(KDTree(points).query(sampled, k=[k + 1])[0]))
