"""Whether spots of several sections lie over each other, judged by where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ASKED = 200
"""Spots of a group that are asked where they lie; more would not change the answer."""

AMONG = 0.1
"""Share of a group that lies among another one when they are of different sections.

Tiles, cores and strips that share a slide have only spots at their borders beside each other, and
those see the others on one side. Sections that are half a tissue apart still share far more.
"""

FEWEST = 3
"""Spots that have to lie among others, of however small a group."""

REACH = 3.0
"""How many times their spacing spots may be away to be around another."""

SURROUNDING = 12
"""Nearest spots that are looked at."""

WIDEST_GAP = np.pi - 0.1
"""Widest angle, seen from a spot, without another one when they are around it."""

SAME_PLACE = 0.05
"""Share of the spacing within which two spots are at the same place."""

SHARED = 0.2
"""Share of places, or of spots, that has to be taken twice without a name to say why."""

OPPOSITE = 0.12
"""Two steps of a lattice are opposite when their sum is shorter than this share of a step."""

NEARER = 0.8
"""No spot of a lattice is nearer to another than this share of a step."""


def lie_over_each_other(
    positions: NDArray[np.float64],
    labels: NDArray[np.int64],
    within: NDArray[np.int64] | None = None,
) -> bool:
    """Whether spots of two groups lie among each other in the same area.

    Parameters
    ----------
    positions
        n x 2, finite.
    labels
        Group of each spot, from 0.
    within
        Only groups that agree in this are held against each other; a group has one value.

    Returns
    -------
    bool
        True when a tenth of one group lies among the spots of another: around each, or at its
        place. Groups side by side, such as the tiles of one slide, do not.
    """
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    groups = [positions[rows] for rows in np.split(order, starts[1:])]
    parts = np.zeros(len(groups)) if within is None else within[order[starts]]
    lowest = np.array([group.min(axis=0) for group in groups])
    highest = np.array([group.max(axis=0) for group in groups])
    asked = [group[:: -(-len(group) // ASKED)] for group in groups]
    for one in range(len(groups)):
        meets = (lowest <= highest[one]).all(axis=1) & (highest >= lowest[one]).all(axis=1)
        meets &= parts == parts[one]
        meets[one] = False
        surroundings = None
        for other in np.flatnonzero(meets):
            spots = asked[other]
            near = ((spots >= lowest[one]) & (spots <= highest[one])).all(axis=1)
            needed = max(AMONG * len(spots), FEWEST)
            if near.sum() < needed:
                continue
            surroundings = surroundings or _Surroundings(groups[one])
            if surroundings.hold(spots[near]).sum() >= needed:
                return True
    return False


class _Surroundings:
    """The spots of one group, asked whether others lie among them."""

    def __init__(self, positions: NDArray[np.float64]) -> None:
        self.places = positions
        self._measure()
        if self.spacing == 0:  # most places hold several spots
            self.places = np.unique(positions, axis=0)
            self._measure()

    def _measure(self) -> None:
        from scipy.spatial import cKDTree

        self.tree = cKDTree(self.places, balanced_tree=False, compact_nodes=False)
        self.spacing = 0.0
        if len(self.places) > 1:
            asked = self.places[:: -(-len(self.places) // ASKED)]
            self.spacing = float(np.median(self.tree.query(asked, k=2)[0][:, 1]))

    def hold(self, spots: NDArray[np.float64]) -> NDArray[np.bool_]:
        most = min(SURROUNDING, len(self.places))
        distances, found = self.tree.query(spots, k=np.arange(1, most + 1))
        at_one = distances[:, 0] <= SAME_PLACE * self.spacing
        # Whoever is out of reach stands where the nearest is, and closes no gap.
        found = np.where(distances <= REACH * self.spacing, found, found[:, :1])
        steps = self.places[found] - spots[:, None]
        angles = np.sort(np.arctan2(steps[..., 1], steps[..., 0]), axis=1)
        gaps = np.diff(angles, axis=1, append=angles[:, :1] + 2 * np.pi)
        held: NDArray[np.bool_] = at_one | (gaps.max(axis=1) < WIDEST_GAP)
        return held


def places_taken_alike(places: NDArray[np.float64]) -> int:
    """How many sections lie at the same places, where that is plain to see.

    Parameters
    ----------
    places
        n x 2: positions, or rows and columns of an array.

    Returns
    -------
    int
        How many spots lie at a place, where many places hold just as many and hardly any holds
        more: spots that were each measured once in every section. 1 where few places hold
        several, or where their number varies, as with cells put to the spots of one section.
    """
    # One complex number a place sorts far faster than a row.
    _, taken = np.unique(places[:, 0] + 1j * places[:, 1], return_counts=True)
    if len(taken) < FEWEST:
        return 1
    shares = np.bincount(taken) / len(taken)
    for number in range(2, len(shares)):
        if shares[number] >= SHARED and shares[number + 1 :].sum() <= shares[number] / 3:
            return number
    return 1


def are_crossed_lattices(positions: NDArray[np.float64]) -> bool:
    """Whether the spots lie on two or more lattices, one over the other.

    On a lattice every step to a neighbour has its opposite, of the same length everywhere, and
    no spot is nearer than that. Where lattices lie over each other, spots of the others are.

    Parameters
    ----------
    positions
        n x 2, finite.

    Returns
    -------
    bool
        False for one lattice, and for positions that are not on lattices at all.
    """
    from scipy.spatial import cKDTree

    if len(positions) < 4 * SURROUNDING:
        return False
    tree = cKDTree(positions, balanced_tree=False, compact_nodes=False)
    asked = positions[:: -(-len(positions) // (2 * ASKED))]
    distances, found = tree.query(asked, k=2 * SURROUNDING + 1)
    steps = positions[found[:, 1:]] - asked[:, None]
    lengths = distances[:, 1:]
    sums = np.linalg.norm(steps[:, :, None] + steps[:, None], axis=-1)
    opposite = (sums <= OPPOSITE * lengths[:, :, None]).any(axis=2) & (lengths > 0)
    step = np.where(opposite, lengths, np.inf).min(axis=1)
    inside = np.isfinite(step)
    if inside.mean() < 0.5:
        return False
    pitch = float(np.median(step[inside]))
    alike = np.abs(step - pitch) <= OPPOSITE * pitch
    if alike.sum() < 0.6 * inside.sum():
        return False
    return bool(((lengths > 0) & (lengths < NEARER * pitch)).any(axis=1).mean() >= SHARED)
