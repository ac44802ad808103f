"""The composition of a section: what a deconvolution finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.keys import warn_of_paths, with_report, without_none
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.models.deconv.composition import dominant_type, proportions, without_value
from napari_smoother.models.deconv.preparation import PreparedDeconvolution
from napari_smoother.models.uncertainty import residual_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.models.deconv.fit import FitReport
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.models.deconv.section_expression import SectionExpression
    from napari_smoother.models.uncertainty import PosteriorDeviation


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a model found in a section.

    Parameters
    ----------
    abundance
        n x K.
    report
        What is known about it.
    misfit
        n: share of every spot that is left unexplained, where that took a pass over the genes;
        None for least squares, which has it at hand, and for iterates.
    """

    abundance: NDArray[np.floating]
    report: FitReport
    misfit: NDArray[np.float64] | None = None

    def over(self, kept: KeptSpots) -> Fit:
        """Return what was found in kept spots as that of all: nothing in the others."""
        misfit = self.misfit
        return replace(
            self,
            abundance=kept.over_all(self.abundance, missing=0.0),
            misfit=None if misfit is None else kept.over_all(misfit),
        )


@dataclass(frozen=True, eq=False)
class Composition:
    """Cell types found in each spot.

    Parameters
    ----------
    counts
        Of the section whose spots they are.
    reference
        The cell types that were looked for.
    settings
        The settings that this is the result of.
    data
        What it was fitted to.
    fit
        What the model found.
    settled
        Whether it was solved from the canonical start, so that the same settings give the
        same numbers bit for bit; False while a slider moves and for unfinished iterates.
    deviation
        How far it may be off; None unless it was asked for and is defined.
    weights_given
        Whether genes had weights of their own, which no setting names.
    """

    counts: SectionCounts
    reference: Reference
    settings: DeconvolutionSettings
    data: PreparedDeconvolution | SectionExpression
    fit: Fit
    settled: bool
    deviation: PosteriorDeviation | None = None
    weights_given: bool = False

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
    def cell_totals(self) -> NDArray[np.float64] | None:
        """What abundances are divided by for shares of cells, K; None for shares of RNA."""
        return self.reference.totals_for(self.settings.shares)

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
            ``"proportion"``, ``"deviation"`` of it, ``"abundance"``, or what a spot has one of:
            no table then.
        """
        if quantity == "proportion":
            return self._table_of(self.proportions)
        if quantity == "abundance":
            return self._table_of(np.where(self.data.empty[:, None], np.nan, self.abundance))
        if quantity == "deviation" and self.deviation is not None:
            return self._table_of(self.deviation.proportion_deviation)
        return None

    def _table_of(self, values: NDArray[np.floating]) -> pd.DataFrame:
        return pd.DataFrame(values, index=self.counts.spots, columns=list(self.types))

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

    def over(self, kept: KeptSpots) -> Composition:
        """Return the composition of kept spots as that of all: others are as without counts."""
        data: PreparedDeconvolution | SectionExpression
        empty = kept.over_all(self.data.empty, missing=True)
        if isinstance(self.data, PreparedDeconvolution):
            data = replace(
                self.data,
                empty=empty,
                linear=kept.over_all(self.data.linear, missing=0.0),
                spot_norm=kept.over_all(self.data.spot_norm, missing=0.0),
            )
        else:
            data = replace(self.data, empty=empty)  # the others hold no row of expression
        deviation = self.deviation
        if deviation is not None:
            deviation = replace(
                deviation,
                deviation=kept.over_all(deviation.deviation),
                proportion_deviation=kept.over_all(deviation.proportion_deviation),
                noise_variance=kept.over_all(deviation.noise_variance),
                degrees_of_freedom=kept.over_all(deviation.degrees_of_freedom),
                at_bound=kept.over_all(deviation.at_bound, missing=False),
            )
        return replace(
            self,
            counts=SectionCounts.of(kept.whole),
            data=data,
            fit=self.fit.over(kept),
            deviation=deviation,
        ).derived()

    def describe(self) -> str:
        """Say it in a line."""
        chosen = self.settings
        how = (
            "optimum"
            if self.converged and MODELS[chosen.model].convex
            else "stationary point"
            if self.converged
            else "not the optimum"
        )
        return (
            f"{len(self.types)} cell types in {len(self.counts.spots):,} spots by "
            f"{MODELS[chosen.model].short}, {self.n_genes:,} genes, {chosen.process.upper()}, "
            f"ρ {chosen.rho:.3g}, λ {chosen.lambda_:.3g}: {how}, residual {self.residual:.0e}"
        )

    def write(
        self,
        adata: AnnData,
        key_added: str | None = None,
        further: Mapping[str, Any] | None = None,
    ) -> None:
        """Write it into the section that it was found in.

        Parameters
        ----------
        adata
            Of the same spots.
        key_added
            None for the name of the model. ``obsm[key_added]`` gets the proportions, NaN where
            nothing was found; ``obsm[key_added + "_abundance"]`` the abundances, NaN for spots
            without a count; ``obsm[key_added + "_deviation"]`` the standard deviations of the
            proportions, where they are known; ``uns["smoother"][key_added]`` recipe and report.
        further
            What else belongs to the recipe: the graph, where counts were looked for. None in it
            stands for the default.

        Warns
        -----
        UserWarning
            If names of types could not be columns of a file.
        """
        key = self.settings.model if key_added is None else key_added
        warn_of_paths(self.types, "The cell types")
        adata.obsm[key] = self.table()
        adata.obsm[f"{key}_abundance"] = self.table("abundance")
        if self.deviation is not None:
            adata.obsm[f"{key}_deviation"] = self.table("deviation")
        entry = {"recipe": self._recipe(further or {}), "report": self._report()}
        adata.uns = with_report(adata.uns, {key: entry})

    def _recipe(self, further: Mapping[str, Any]) -> dict[str, Any]:
        chosen, origin = self.settings, self.reference.origin
        recipe: dict[str, Any] = {
            **asdict(chosen),
            "reference": self.reference.name,
            "reference_counts": None if origin is None else origin.describe(),
            "counts": self.counts.origin.describe(),
            "shares": "rna" if self.cell_totals is None else "cells",
            "tolerance": self.report.tolerance,
            **further,
        }
        if self.weights_given:
            recipe["gene_weights"] = "given"
        elif chosen.gene_weights == "within_type":
            spread = self.reference.spread_for(chosen.gene_weights, chosen.scale)
            recipe["noise_from"] = "mean" if spread is None else "cells"
        if not MODELS[chosen.model].chooses_bound:
            del recipe["tube_loss"], recipe["nonneg"]
        return without_none(recipe)

    def _report(self) -> dict[str, Any]:
        return {
            "n_spots": len(self.counts.spots),
            "n_without_value": int(self.data.empty.sum()),
            "n_genes": self.n_genes,
            "n_types": len(self.types),
            **self.report.as_dict(),
        }
