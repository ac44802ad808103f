"""The composition of the open section, kept as the recipe has it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_smoother.analyses import deconvolution
from napari_smoother.analyses.composition import Composition, Fit
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.deconvolution_steps import DeconvolutionSteps, can_deviate
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.models.deconv.fit import FitReport
from napari_smoother.models.uncertainty import PosteriorDeviation
from napari_smoother.study.analysis import Analysis, Outcome
from napari_smoother.study.kept import from_entries, to_entries

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.open_section import OpenSection


class CompositionAnalysis(Analysis[DeconvolutionSettings, Composition]):
    """Cell types in every spot; wanted as soon as there is a reference."""

    name = "composition"
    field = wanted = "deconvolution"
    needs_reference = True
    kept_records = (Fit, FitReport, PosteriorDeviation)

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
        self.steps = DeconvolutionSteps()
        study.reference_changed.connect(self._on_reference_changed)

    @property
    def _always_wanted(self) -> bool:
        """Whether there are cell types to look for."""
        return self.study.section is not None and self.study.reference is not None

    @property
    def is_quick(self) -> bool:  # type: ignore[override]
        """Whether a solve is as quick as a slider: least squares under a sparse precision."""
        return can_deviate(self.settings)

    def compute(
        self, request: Request[DeconvolutionSettings, Composition], context: Context
    ) -> Composition:
        """Find the composition; iterates of a long solve are told as passing outcomes."""
        assert request.graph is not None
        assert request.reference is not None

        def tell(composition: Composition) -> None:
            if context.tell is not None:
                context.tell(Outcome(request, composition, finished=False, passing=True))

        return deconvolution.compute(
            SectionCounts.of(request.section),
            request.reference,
            request.graph.weights,
            request.settings,
            replace(context, tell=tell),
            self.steps,
            None if request.start is None else request.start.abundance,
        )

    def to_keep(self, result: Composition) -> dict[str, Any]:
        """Return abundances, report and deviation as entries of a file."""
        return to_entries({"fit": result.fit, "deviation": result.deviation})

    def restore_from(
        self,
        kept: dict[str, Any],
        request: Request[DeconvolutionSettings, Composition],
        context: Context,
    ) -> Composition:
        """Return the composition that was kept; the data are prepared again, not fitted."""
        assert request.reference is not None
        found = from_entries(kept, self.kept_records)
        return deconvolution.restored(
            SectionCounts.of(request.section),
            request.reference,
            request.settings,
            found["fit"],
            found["deviation"],
            context,
            self.steps,
        )

    def write(self, adata: AnnData, result: Composition) -> None:
        """Put proportions and abundances under the name of the model."""
        result.write(adata)

    def complete(self, result: Composition) -> None:
        """Work out shares and means, and of a result that stays what is left unexplained."""
        result.derived()
        if result.settled:
            _ = result.misfit

    def is_optimum(self, result: Composition) -> bool:
        """Whether the solve reached its tolerance."""
        return result.converged

    def over_all(self, found: Composition, kept: KeptSpots) -> Composition:
        """Return what was found in kept spots as a result over all."""
        return found.over(kept)

    def describe(self, result: Composition) -> str:
        """Return the residual and time of a solve in a few words."""
        if not result.converged:
            return f"stopped at residual {result.residual:.0e}"
        what = "optimum" if MODELS[result.settings.model].convex else "stationary point"
        seconds = result.seconds
        time = f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
        return f"{what} · residual {result.residual:.0e} · {time}"

    def describe_passing(self, result: Composition) -> str:
        """Return how far a solve has come."""
        return f"residual {result.residual:.0e} · step {result.report.iterations}"

    def detail(self, result: Composition) -> str:
        """Return everything that is known about a fit, a line each."""
        chosen, report = result.settings, result.report
        lines = [
            f"{MODELS[chosen.model].title}, {chosen.process.upper()}, "
            f"ρ {chosen.rho:.4g}, λ {chosen.lambda_:.3g}",
            f"objective {report.objective:.6g}",
            f"residual {report.kkt_residual:.1e} (to reach: {report.tolerance:.0e})",
            f"{report.iterations:,} steps of the linear solver, {report.seconds:.3f} s",
            report.method,
            "converged" if report.converged else "not converged",
        ]
        return "\n".join([*lines, *([report.note] if report.note else [])])

    def describe_settings(self, settings: DeconvolutionSettings) -> str:
        """Return which settings a composition belongs to; model and process if they are others."""
        present = self.settings
        text = f"the result for λ {settings.lambda_:.3g}, ρ {settings.rho:.3g}"
        if settings.process != present.process:
            text += f", {settings.process.upper()}"
        if settings.model != present.model:
            text += f", {MODELS[settings.model].short}"
        return text

    def _on_reference_changed(self, reference: Reference | None) -> None:
        shown = self.shown
        if shown is not None and shown.request.reference is not reference:
            self.drop()
        if not self.is_up_to_date:
            self.outdated.emit()
