"""Whether spots lie on a lattice, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.weights.neighbours import TIE, nearest_neighbours

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from napari_smoother.weights.neighbours import Neighbourhood

NEARLY = 0.1
"""Distances that differ from the median by less than this share are nearly the median."""

MOST = 0.75
"""Share of spots that have their nearest at nearly the median distance, on a lattice.

Of points scattered at random about a seventh do. Not all spots of a lattice do, since tissue and
filtering leave some alone.
"""

LATTICE_TIE = 0.15
"""Distances on a lattice that differ by less are equal.

The second ring of a hexagonal lattice is 1.73 times as far as the first, that of a square one
1.41 times, so that nothing but rounding and a stretched slide lies within this share.
"""


@dataclass(frozen=True, slots=True)
class Spacing:
    """How far apart spots are.

    Parameters
    ----------
    distance
        Median distance to the nearest other spot, in the unit of the positions; 1 where there
        is no other spot.
    is_lattice
        Whether most spots have their nearest at nearly this distance.
    """

    distance: float
    is_lattice: bool

    @property
    def tie_tolerance(self) -> float:
        """What `nearest_neighbours` should take for equal distances.

        Positions of a Visium slide are whole pixels: its lattice is only seen with a tolerance,
        and without one spots at a border get edges to the second ring.
        """
        return LATTICE_TIE if self.is_lattice else TIE


def spacing_of(positions: ArrayLike) -> Spacing:
    """Measure the distance between neighbouring spots.

    Parameters
    ----------
    positions
        n x 2 or n x 3, any unit.
    """
    graph = nearest_neighbours(positions, 1, mutual=False).distances
    counts = np.diff(graph.indptr)
    linked = np.flatnonzero(counts)
    if not linked.size:
        return Spacing(1.0, False)
    nearest = np.minimum.reduceat(graph.data, graph.indptr[linked])
    median = float(np.median(nearest))
    if median <= 0:
        return Spacing(1.0, False)
    alike = np.abs(nearest - median) <= NEARLY * median
    return Spacing(median, bool(alike.mean() >= MOST))


def nearest_on_section(positions: ArrayLike, k: int = 6, *, mutual: bool = True) -> Neighbourhood:
    """Link every spot to its k nearest, seeing a lattice through rounding to whole pixels.

    Parameters
    ----------
    positions
        n x 2 or n x 3, any unit.
    k, mutual
        As in `nearest_neighbours`.

    Returns
    -------
    Neighbourhood
    """
    tolerance = spacing_of(positions).tie_tolerance
    return nearest_neighbours(positions, k, mutual=mutual, tie_tolerance=tolerance)
