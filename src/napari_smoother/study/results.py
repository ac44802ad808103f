"""What a study finds: its graph and its composition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_smoother.models.deconv.composition import dominant_type, proportions, without_value
from napari_smoother.models.deconv.preparation import PreparedDeconvolution
from napari_smoother.models.uncertainty import residual_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
    from napari_smoother.models.deconv.fit import FitReport
    from napari_smoother.models.deconv.section_expression import SectionExpression
    from napari_smoother.models.uncertainty import PosteriorDeviation
    from napari_smoother.section import Section
    from napari_smoother.study.fitting import Fit
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
    settings
        The settings that this is the result of.
    data
        What it was fitted to.
    fit
        What the model found.
    cell_totals
        K: what abundances are divided by for shares of cells; None for shares of RNA.
    settled
        Whether it was solved from the canonical start, so that the same settings give the
        same numbers bit for bit; False while a slider moves and for unfinished iterates.
    deviation
        How far it may be off; None unless it was asked for and is defined.
    """

    section: Section
    settings: DeconvolutionSettings
    data: PreparedDeconvolution | SectionExpression
    fit: Fit
    cell_totals: NDArray[np.float64] | None
    settled: bool
    deviation: PosteriorDeviation | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the K cell types."""
        return self.data.types

    @property
    def n_genes(self) -> int:
        """How many genes it rests on."""
        return self.data.n_genes

    @property
    def abundance(self) -> NDArray[np.floating]:
        """Of each type in each spot, n x K; negative only in models without a bound."""
        return self.fit.abundance

    @property
    def report(self) -> FitReport:
        """Objective, residual, iterations and time of the fit."""
        return self.fit.report

    @property
    def residual(self) -> float:
        """Norm of the projected gradient, relative: how far from the optimum it is."""
        return self.fit.report.kkt_residual

    @property
    def seconds(self) -> float:
        """Time of the fit."""
        return self.fit.report.seconds

    @property
    def converged(self) -> bool:
        """Whether the residual is within the tolerance."""
        return self.fit.report.converged

    @cached_property
    def proportions(self) -> NDArray[np.floating]:
        """Share of each type in each spot, n x K; spots where nothing was found are NaN.

        Shares of cells where `cell_totals` are known, otherwise of RNA.
        """
        shares = proportions(self.abundance, self.cell_totals)
        shares[without_value(shares)] = np.nan
        return shares

    def table(self, quantity: str = "proportion") -> pd.DataFrame | None:
        """Return spots x types, with barcodes as index.

        Parameters
        ----------
        quantity
            ``"proportion"``, ``"deviation"`` of it, or what a spot has one of: no table then.
        """
        values = {"proportion": self.proportions}
        if self.deviation is not None:
            values["deviation"] = self.deviation.proportion_deviation
        if quantity not in values:
            return None
        barcodes, types = self.section.adata.obs_names, list(self.types)
        return pd.DataFrame(values[quantity], index=barcodes, columns=types)

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
    def misfit(self) -> NDArray[np.float64] | None:
        """Share of each spot that the mixture leaves unexplained, n.

        In the terms of the model: see `unexplained_share`. None for an iterate of a model that
        would need a pass over the genes for it.
        """
        if isinstance(self.data, PreparedDeconvolution):
            return residual_of(self.data, self.abundance)
        return self.fit.misfit

    def derived(self) -> Composition:
        """Return the composition with shares and means worked out, off the main thread."""
        _ = self.mean_proportions
        return self
