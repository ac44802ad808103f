"""The composition of the open section, kept as the recipe has it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.models.deconv.fit import FitReport
from napari_smoother.models.uncertainty import PosteriorDeviation
from napari_smoother.study.analysis import Analysis, Outcome
from napari_smoother.study.fitting import Fit, can_deviate
from napari_smoother.study.results import Composition

if TYPE_CHECKING:
    from napari_smoother.analyses.context import Context
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.open_section import OpenSection


class CompositionAnalysis(Analysis[DeconvolutionSettings, Composition]):
    """Cell types in every spot; wanted as soon as there is a reference."""

    name = "composition"
    field = "deconvolution"
    needs_reference = True

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
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

        return self.study.pipeline.composition(
            request.section,
            request.reference,
            request.graph,
            request.settings,
            start=request.start,
            context=replace(context, tell=tell),
        )

    def to_keep(self, result: Composition) -> dict[str, Any]:
        """Return abundances, report and deviation."""
        deviation = result.deviation
        return {
            "abundance": result.fit.abundance,
            "misfit": result.fit.misfit,
            "report": result.report.as_dict(),
            "deviation": None if deviation is None else as_dict(deviation),
        }

    def restore_from(
        self, kept: Any, request: Request[DeconvolutionSettings, Composition], context: Context
    ) -> Composition:
        """Return the composition that was kept; the data are prepared again, not fitted."""
        assert request.reference is not None
        deviation = kept["deviation"]
        fit = Fit(kept["abundance"], FitReport(**kept["report"]), kept["misfit"])
        return self.study.pipeline.restored(
            request.section,
            request.reference,
            request.settings,
            fit,
            None if deviation is None else PosteriorDeviation(**deviation),
            context,
        )

    def complete(self, result: Composition) -> None:
        """Work out shares and means, which what is on screen needs."""
        result.derived()

    def is_optimum(self, result: Composition) -> bool:
        """Whether the solve reached its tolerance."""
        return result.converged

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


def as_dict(deviation: PosteriorDeviation) -> dict[str, Any]:
    """Return the fields of a deviation, arrays as they are."""
    return {field.name: getattr(deviation, field.name) for field in fields(deviation)}
