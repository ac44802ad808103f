"""One gene smoothed over the tissue, as an analysis of the open section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoother.analyses import imputation
from napari_smoother.analyses.gene_values import gene_names
from napari_smoother.analyses.imputation_settings import ImputationSettings
from napari_smoother.analyses.imputed import NAME, DenserGrid, Imputed
from napari_smoother.models.impute.report import ImputationReport
from napari_smoother.study.analysis import Analysis, Request

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.study.open_section import OpenSection


class Imputation(Analysis[ImputationSettings, Imputed]):
    """`napari_smoother.impute` of one gene on the graph of a study, live in lambda.

    Parameters
    ----------
    study
        Whose section and graph it is about.
    """

    name = NAME
    field = wanted = "imputation"
    kept_records = (Imputed, ImputationReport, DenserGrid)
    work = "smoothing"

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
        self.steps = imputation.ImputationSteps()

    def request(self, *, settled: bool) -> Request[ImputationSettings, Imputed] | None:
        """Return what has to be computed now; None without a gene, as `Analysis.request` does."""
        return super().request(settled=settled) if self.settings.gene else None

    def note(self, before: Recipe, after: Recipe, *, moved: bool) -> None:
        """Tell what a change of the recipe means here; without a gene there is no result."""
        if not after.imputation.gene:
            self.drop()
        super().note(before, after, moved=moved)

    def compute(self, request: Request[ImputationSettings, Imputed], context: Context) -> Imputed:
        """Find the values of all spots, and of the denser grid if it is asked for."""
        assert request.graph is not None
        return imputation.compute(
            request.section.adata,
            request.graph.weights,
            request.settings,
            context,
            self.steps,
            request.start,
            where=request.section.name,
        )

    def is_optimum(self, result: Imputed) -> bool:
        """Whether the solve reached its tolerance."""
        return result.report.converged

    def over_all(self, found: Imputed, kept: KeptSpots) -> Imputed:
        """Return what was found in kept spots as a result over all."""
        return found.over(kept)

    def describe(self, result: Imputed) -> str:
        """Return the residual and the time, and how many spots are out of reach."""
        return result.describe()

    def describe_settings(self, settings: ImputationSettings) -> str:
        """Return gene, lambda and rho."""
        section = self.study.section
        gene = settings.gene if section is None else gene_names(section).label(settings.gene)
        if settings.fixed:
            return f"{gene} filled in with ρ {settings.rho:.3g}"
        return f"{gene} smoothed with λ {settings.lambda_:.3g}, ρ {settings.rho:.3g}"

    def write(self, adata: AnnData, result: Imputed) -> None:
        """Put values in ``obsm["imputed"]``, the grid in ``uns["imputed_grid"]``."""
        result.write(adata)
