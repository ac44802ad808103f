"""What a graph looks like: how many edges, pieces, isolated spots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from napari_smoother.weights.scaling import rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


HALVED = 0.5
NEARLY_CUT = 0.05
"""Shares of its full weight below which an edge is called weakened, and nearly cut."""

BINS = 20
"""Of the histogram of shares."""


@dataclass(frozen=True, slots=True, eq=False)
class Weakening:
    """How much scalings have left of edges: shares of the weight before, from 0 to 1.

    Parameters
    ----------
    n_edges
        Pairs of neighbours, cut ones among them.
    n_cut
        Those that keep nothing.
    n_nearly_cut
        Those that keep something, but less than `NEARLY_CUT`.
    n_halved
        Those that keep something, but less than `HALVED`; nearly cut ones among them.
    counts
        Edges that keep something, in `BINS` equal steps of the share from 0 to 1.
    """

    n_edges: int
    n_cut: int
    n_nearly_cut: int
    n_halved: int
    counts: NDArray[np.int64]

    @property
    def most_is_lost(self) -> bool:
        """Whether more than half of the edges are cut or nearly cut."""
        return self.n_cut + self.n_nearly_cut > self.n_edges / 2


def weakening(shares: NDArray[np.float64]) -> Weakening:
    """Count what edges have kept of their weight.

    Parameters
    ----------
    shares
        One for each pair of neighbours, from 0 to 1.
    """
    kept = shares[shares > 0]
    # The last step includes its end, and what rounding has put a trifle beyond.
    counts = np.histogram(np.minimum(kept, 1.0), BINS, (0.0, 1.0))[0].astype(np.int64)
    return Weakening(
        n_edges=len(shares),
        n_cut=len(shares) - len(kept),
        n_nearly_cut=int((kept < NEARLY_CUT).sum()),
        n_halved=int((kept < HALVED).sum()),
        counts=counts,
    )


@dataclass(frozen=True, slots=True, eq=False)
class GraphSummary:
    """Figures of a graph. An edge is a pair of spots, counted once; a cut one has weight 0.

    Parameters
    ----------
    n_spots
        Number of spots.
    n_edges
        Pairs that are linked (weight above 0).
    n_cut
        Pairs of neighbours whose weight has been scaled to 0.
    mean_degree
        Linked neighbours of a spot, on average.
    n_components
        Pieces that the graph falls into; an isolated spot is one.
    n_isolated
        Spots without a linked neighbour.
    components
        Piece of each spot, n codes from 0.
    """

    n_spots: int
    n_edges: int
    n_cut: int
    mean_degree: float
    n_components: int
    n_isolated: int
    components: NDArray[np.int32]


def graph_summary(weights: csr_array) -> GraphSummary:
    """Count edges, pieces and isolated spots of a graph.

    Parameters
    ----------
    weights
        n x n. A pair counts when either of both entries is stored; it is cut when both are 0.
        The diagonal is not looked at.
    """
    n = int(weights.shape[0])
    linked = _without(weights, weights.data != 0)
    if _is_symmetric_pattern(weights):
        n_pairs, n_linked = _off_diagonal(weights) // 2, _off_diagonal(linked) // 2
    else:
        n_pairs, n_linked = (_off_diagonal(m + m.T) // 2 for m in (_ones(weights), _ones(linked)))
    n_components, components = connected_components(linked, directed=False)
    alone = np.bincount(components, minlength=n_components) == 1
    return GraphSummary(
        n_spots=n,
        n_edges=n_linked,
        n_cut=n_pairs - n_linked,
        mean_degree=2 * n_linked / n if n else 0.0,
        n_components=int(n_components),
        n_isolated=int(alone.sum()),
        components=components,
    )


def edge_list(
    weights: csr_array,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Every edge once: spots i < j and the stored value, cut edges (0) included.

    Parameters
    ----------
    weights
        n x n with a symmetric pattern; the upper triangle is read.

    Returns
    -------
    i, j, value
        Three arrays with one entry for each edge, ordered by i, then j.
    """
    rows = rows_of(weights)
    upper = weights.indices > rows
    return rows[upper], weights.indices[upper], weights.data[upper]


def _without(weights: csr_array, kept: NDArray[np.bool_]) -> csr_array:
    if kept.all():
        return weights
    before = np.concatenate([[0], np.cumsum(kept)])
    return csr_array(
        (weights.data[kept], weights.indices[kept], before[weights.indptr]), shape=weights.shape
    )


def _ones(weights: csr_array) -> csr_array:
    return csr_array((np.ones(weights.nnz), weights.indices, weights.indptr), shape=weights.shape)


def _off_diagonal(weights: csr_array) -> int:
    return int(np.count_nonzero(weights.indices != rows_of(weights)))


def _is_symmetric_pattern(weights: csr_array) -> bool:
    turned = weights.T.tocsr()
    return np.array_equal(turned.indptr, weights.indptr) and np.array_equal(
        turned.indices, weights.indices
    )
