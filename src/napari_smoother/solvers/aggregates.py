"""Coarser and coarser graphs: spots gathered into aggregates, aggregates into larger ones.

Only the pattern lives here. It depends on Q alone and is computed once for all weights and all
free sets; the values on it are filled in by `multigrid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRONG = 0.25
"""A neighbour counts as strong from this share of the strongest coupling of the spot."""


@dataclass(frozen=True)
class Coarsening:
    """How the nodes of one level make those of the next.

    Attributes
    ----------
    aggregate
        Node of the next level that a node belongs to, or -1 for one without neighbours, int32.
    cuts, members
        Nodes of aggregate a are ``members[cuts[a]:cuts[a + 1]]``.
    pointers, neighbours
        Sparse rows of the next level's pattern, without its diagonal.
    target
        For each entry of this level, its place in the next level's rows, or -1 where it falls
        on the next level's diagonal.
    """

    aggregate: NDArray[np.int32]
    cuts: NDArray[np.int32]
    members: NDArray[np.int32]
    pointers: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    target: NDArray[np.int32]

    @property
    def nodes(self) -> int:
        """Number of nodes of the next level."""
        return int(self.cuts.size - 1)


@numba.njit(nogil=True, cache=True)
def _aggregate(pointers, neighbours, coupling, aggregate):  # type: ignore[no-untyped-def]
    """Gather strongly coupled nodes; return the number of aggregates."""
    nodes = pointers.shape[0] - 1
    threshold = np.zeros(nodes)
    for node in range(nodes):
        aggregate[node] = -1
        for place in range(pointers[node], pointers[node + 1]):
            if neighbours[place] != node:
                threshold[node] = max(threshold[node], STRONG * coupling[place])
    count = 0
    # First, nodes whose strong neighbours are all unclaimed take them.
    for node in range(nodes):
        if aggregate[node] >= 0 or threshold[node] <= 0:
            continue
        alone = True
        for place in range(pointers[node], pointers[node + 1]):
            neighbour = neighbours[place]
            if neighbour == node or coupling[place] < threshold[node]:
                continue
            if aggregate[neighbour] >= 0:
                alone = False
                break
        if not alone:
            continue
        aggregate[node] = count
        for place in range(pointers[node], pointers[node + 1]):
            neighbour = neighbours[place]
            if neighbour != node and coupling[place] >= threshold[node]:
                aggregate[neighbour] = count
        count += 1
    # Then the rest joins the aggregate it is coupled to most strongly.
    settled = aggregate.copy()
    for node in range(nodes):
        if settled[node] >= 0 or threshold[node] <= 0:
            continue
        best = 0.0
        for place in range(pointers[node], pointers[node + 1]):
            neighbour = neighbours[place]
            if neighbour != node and settled[neighbour] >= 0 and coupling[place] > best:
                best = coupling[place]
                aggregate[node] = settled[neighbour]
    # What is left by then has no claimed neighbour: it gathers its own kind.
    for node in range(nodes):
        if aggregate[node] >= 0 or threshold[node] <= 0:
            continue
        aggregate[node] = count
        for place in range(pointers[node], pointers[node + 1]):
            neighbour = neighbours[place]
            if aggregate[neighbour] < 0 and coupling[place] > 0:
                aggregate[neighbour] = count
        count += 1
    return count


@numba.njit(nogil=True, cache=True)
def _next_pattern(pointers, neighbours, aggregate, cuts, members, out_pointers, out, target):  # type: ignore[no-untyped-def]
    """List the distinct aggregates next to each, and where every entry goes."""
    groups = cuts.shape[0] - 1
    found = np.full(groups, -1, np.int64)
    total = 0
    for group in range(groups):
        begin = total
        for visit in range(cuts[group], cuts[group + 1]):
            node = members[visit]
            for place in range(pointers[node], pointers[node + 1]):
                other = aggregate[neighbours[place]]
                if other == group or other < 0:
                    target[place] = -1
                    continue
                if found[other] < begin:
                    found[other] = total
                    out[total] = other
                    total += 1
                target[place] = found[other]
        out_pointers[group + 1] = total
    return total


def _coarsen(
    pointers: NDArray[np.int32], neighbours: NDArray[np.int32], coupling: NDArray[np.float64]
) -> Coarsening | None:
    nodes = pointers.size - 1
    aggregate = np.empty(nodes, np.int32)
    count = int(_aggregate(pointers, neighbours, coupling, aggregate))
    claimed = np.flatnonzero(aggregate >= 0)
    belongs = (np.ones(claimed.size, np.bool_), (aggregate[claimed], claimed))
    grouped = sparse.coo_array(belongs, shape=(count, nodes)).tocsr()
    cuts, members = grouped.indptr.astype(np.int32), grouped.indices.astype(np.int32)
    if count == 0 or count >= members.size:
        return None
    out_pointers = np.zeros(count + 1, np.int32)
    out = np.empty(neighbours.size, np.int32)
    target = np.full(neighbours.size, -1, np.int32)
    total = _next_pattern(
        pointers, neighbours, aggregate, cuts, members, out_pointers, out, target
    )
    return Coarsening(aggregate, cuts, members, out_pointers, out[:total].copy(), target)


@numba.njit(nogil=True, cache=True)
def _sum_over_aggregates(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, diagonal, aggregate, target, root, own, between
):
    for row in range(diagonal.size):
        group = aggregate[row]
        if group < 0:
            continue
        own[group] += diagonal[row]
        for place in range(pointers[row], pointers[row + 1]):
            other = aggregate[neighbours[place]]
            if other == group:
                own[group] += entries[place]
            elif other >= 0:
                between[target[place]] += entries[place] / (root[group] * root[other])
    for group in range(own.size):
        own[group] /= root[group] * root[group]


def sum_over_aggregates(
    pointers: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    entries: NDArray[np.float64],
    diagonal: NDArray[np.float64],
    step: Coarsening,
    root: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum Q over aggregates and divide rows and columns by the roots of their sizes.

    Parameters
    ----------
    pointers, neighbours, entries, diagonal
        Q, its rows without its diagonal.
    step
        Its coarsening.
    root
        A number for each aggregate.

    Returns
    -------
    diagonal, entries
        Of the sums; the entries on the pattern of the next level.
    """
    own, between = np.zeros(step.nodes), np.zeros(step.neighbours.size)
    pattern = (pointers, neighbours, entries, diagonal)
    _sum_over_aggregates(*pattern, step.aggregate, step.target, root, own, between)
    return own, between


def coarsen(
    pointers: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    entries: NDArray[np.float64],
    smallest: int,
    most: int = 20,
    begun: tuple[Coarsening, ...] = (),
) -> tuple[Coarsening, ...]:
    """Coarsen a graph until few nodes, or none with neighbours, remain.

    Parameters
    ----------
    pointers, neighbours, entries
        Sparse rows of Q. Negative entries couple spots, the more the lower they are.
    smallest
        Stop when a level has no more nodes than this.
    most
        Levels to make at most.
    begun
        The first of them, where they are known.

    Returns
    -------
    tuple of Coarsening
        From the spots upwards; empty where nothing can be gathered.
    """
    steps: list[Coarsening] = []
    coupling = -entries
    while pointers.size - 1 > smallest and len(steps) < most:
        depth = len(steps)
        known = depth < len(begun)
        step = begun[depth] if known else _coarsen(pointers, neighbours, coupling)
        if step is None:
            break
        onward = step.target >= 0
        coupling = np.bincount(
            step.target[onward], coupling[onward], minlength=step.neighbours.size
        ).astype(np.float64)
        steps.append(step)
        pointers, neighbours = step.pointers, step.neighbours
    return tuple(steps)
