"""The neighbours of one spot in a graph, and the spot at a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph import Graph


@dataclass(frozen=True, slots=True, eq=False)
class NeighboursOfSpot:
    """What a graph links a spot to, the strongest link first.

    Parameters
    ----------
    spot
        Number of the spot.
    spots
        Numbers of its m neighbours, those it is cut from among them.
    weights
        m, of the links; 0 where they are cut.
    shares
        m, what scaling has left of each link, 0 to 1.
    distances
        m, in full-resolution pixels.
    """

    spot: int
    spots: NDArray[np.integer]
    weights: NDArray[np.float64]
    shares: NDArray[np.float64]
    distances: NDArray[np.float64]

    def describe(self) -> str:
        """Say it in a line: how many there are, and how strongly each is linked."""
        linked = int((self.weights > 0).sum())
        if not len(self.spots):
            return "no neighbour: nothing smooths this spot"
        cut = len(self.spots) - linked
        apart = f" and {cut} cut off" if cut else ""
        listed = ", ".join(f"{weight:.2g}" for weight in self.weights[:12])
        more = ", …" if len(self.weights) > 12 else ""
        plural = "" if linked == 1 else "s"
        return f"{linked} neighbour{plural}{apart}; weights {listed}{more}"


def neighbours_of(graph: Graph, spot: int) -> NeighboursOfSpot:
    """Return the neighbours of a spot.

    Parameters
    ----------
    graph
        Of n spots.
    spot
        0 to n - 1.

    Returns
    -------
    NeighboursOfSpot
    """
    before = graph.neighbourhood
    row = slice(*before.weights.indptr[[spot, spot + 1]])
    weights = graph.weights.data[row]
    shares = weights / before.weights.data[row]
    order = np.argsort(-weights, kind="stable")
    return NeighboursOfSpot(
        spot,
        before.weights.indices[row][order],
        weights[order],
        shares[order],
        before.distances.data[row][order],
    )


def spot_at(graph: Graph, place: NDArray[np.floating], within: float) -> int | None:
    """Return the spot that is nearest to a place.

    Parameters
    ----------
    graph
        Of the spots.
    place
        (x, y) in full-resolution pixels.
    within
        Farthest that it may be, in these.

    Returns
    -------
    int or None
        None where there is no spot.
    """
    distance, spot = graph.places.query(place, distance_upper_bound=within)
    return int(spot) if np.isfinite(distance) else None
