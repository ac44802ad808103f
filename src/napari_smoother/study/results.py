"""What a study finds: its graph and its composition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.models.deconv.composition import dominant_type, proportions, without_value
from napari_smoother.models.uncertainty import residual_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.models.deconv.preparation import PreparedDeconvolution
    from napari_smoother.models.uncertainty import PosteriorDeviation
    from napari_smoother.section import Section
    from napari_smoother.study.settings import Settings
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


@dataclass(frozen=True, eq=False)
class Composition:
    """Cell types found in each spot.

    Parameters
    ----------
    section
        The section whose spots they are.
    types
        Names of the K cell types.
    abundance
        n x K, not negative.
    settings
        The settings that this is the result of.
    residual
        Norm of the projected gradient relative to that of the linear term: how far from the
        optimum the abundance is.
    seconds
        Time of the solve.
    converged
        Whether the residual is within the tolerance.
    settled
        Whether it was solved from the canonical start, so that the same settings give the
        same numbers bit for bit; False while a slider moves and for unfinished iterates.
    prepared
        The data it was fitted to.
    deviation
        How far it may be off; None unless it was asked for.
    """

    section: Section
    types: tuple[str, ...]
    abundance: NDArray[np.floating]
    settings: Settings
    residual: float
    seconds: float
    converged: bool
    settled: bool
    prepared: PreparedDeconvolution
    deviation: PosteriorDeviation | None = None

    @property
    def n_genes(self) -> int:
        """How many genes it rests on."""
        return self.prepared.n_genes

    @cached_property
    def proportions(self) -> NDArray[np.floating]:
        """Share of each type in each spot, n x K; spots where nothing was found are NaN."""
        shares = proportions(self.abundance)
        shares[without_value(shares)] = np.nan
        return shares

    @cached_property
    def mean_proportions(self) -> NDArray[np.floating]:
        """Mean share of each type over the spots where something was found, K."""
        found = ~np.isnan(self.proportions[:, 0])
        if not found.any():
            return np.zeros(len(self.types))
        mean: NDArray[np.floating] = self.proportions.mean(axis=0, where=found[:, None])
        return mean

    @cached_property
    def dominant(self) -> NDArray[np.integer]:
        """Code of each spot's most abundant type, -1 where nothing was found."""
        return dominant_type(np.nan_to_num(self.proportions))

    @cached_property
    def misfit(self) -> NDArray[np.float64]:
        """Share of each spot's expression that the mixture leaves unexplained, n."""
        return residual_of(self.prepared, self.abundance)

    def derived(self) -> Composition:
        """Return the composition with shares and means worked out, off the main thread."""
        _ = self.mean_proportions
        return self
