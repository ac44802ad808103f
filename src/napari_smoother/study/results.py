"""What a study finds: its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.section import Section
    from napari_smoother.weights.neighbours import Neighbourhood
    from napari_smoother.weights.summary import GraphSummary


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The neighbour graph of a section, scaled by its regions.

    Parameters
    ----------
    section
        The section it connects.
    neighbourhood
        Before scaling.
    weights
        After scaling, on the same pattern: cut edges are explicit zeros.
    summary
        Counts of what is in `weights`.
    edges
        m x 2 int, each pair of neighbours once.
    edge_weights
        m, before scaling.
    crossing
        m, whether an edge joins two regions.
    connectivity
        What crossing edges keep of their weight.
    """

    section: Section
    neighbourhood: Neighbourhood
    weights: csr_array
    summary: GraphSummary
    edges: NDArray[np.integer]
    edge_weights: NDArray[np.float64]
    crossing: NDArray[np.bool_]
    connectivity: float
