"""Spatial principal components of the open section, live in lambda and in their number."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.context import Progress
from napari_smoother.analyses.domain_steps import FORMED_GENES, n_components
from napari_smoother.analyses.domains import domain_report, expanded
from napari_smoother.analyses.embedding_settings import ReductionSettings
from napari_smoother.solvers.spatial_eigen import FEW_GENES
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.study.analysis import Outcome
from napari_smoother.study.embedding import Embedding, EmbeddingAnalysis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.domain_steps import FoundDomains, SpatialComponents
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.open_section import OpenSection

KIND = "spatial component"


class Reduction(EmbeddingAnalysis[ReductionSettings]):
    """`napari_smoother.domains` on the graph of a study, its components kept live.

    counts -> genes -> expression -> scatter -> eigenvectors -> scores -> domains
    graph  -> precision ------------^-------------------------^---------^
    """

    name = "spatial_pca"
    field = "reduction"
    domain_column = "domain"

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)

    @one_blas_thread()
    def compute(
        self, request: Request[ReductionSettings, Embedding], context: Context
    ) -> Embedding:
        """Find components, their scores, and domains on them.

        Small products one after another: threads would wait for each other, and for painting.
        And two threads round otherwise than one, which is what is left to a solve that another
        runs beside: the same settings are to end in the same bits.
        """
        section, settings, steps = request.section, request.settings, self.steps
        assert request.graph is not None
        weights = request.graph.weights
        prepared = steps.prepared(section.adata, section.name, weights, settings)
        scatter = prepared.scatter
        began = time.perf_counter()
        weight, k = settings.lambda_, n_components(settings, scatter)

        def embedding(components: SpatialComponents, smoothing: float) -> Embedding:
            found, spots = components.found, components.chosen.spots
            scores = steps.smoothed(components.projected, components.precision, smoothing)
            return Embedding(
                section=section,
                kind=KIND,
                scores=expanded(scores, spots, section.n_spots),
                shares=np.square(components.projected).sum(axis=0) / max(scatter.size, 1e-300),
                chosen=components.chosen,
                loadings=found.vectors,
                report={
                    "n_spots": len(spots),
                    "n_genes": len(components.chosen.genes),
                    "positive": int((found.values > 1e-10 * np.abs(found.values).max()).sum()),
                    "residual": found.residual,
                    "converged": found.converged,
                    "method": found.method,
                    "smoothing": smoothing,
                },
                seconds=time.perf_counter() - began,
                converged=found.converged,
            )

        if request.start is not None:
            scatter = steps.formed(prepared.values, prepared.precision)
            guess = request.start.loadings if _fits(request.start, prepared.chosen.genes) else None
            found = steps.solve(scatter, weight, k, settings.seed, guess)
            # Chosen anew when the hand rests: that takes longer than a frame.
            smoothing = settings.smoothing
            if smoothing is None:
                smoothing = request.start.report["smoothing"]
            return embedding(steps.projections(prepared, found), smoothing)
        first = self.result is None and FEW_GENES < scatter.n_genes <= FORMED_GENES
        if first and weight > 0:
            # Forming the matrices takes seconds: something to look at meanwhile.
            glimpse = steps.solve(scatter, weight, k, settings.seed, None)
            shown = embedding(steps.projections(prepared, glimpse), settings.smoothing or 0.0)
            self.tell(Outcome(request, shown, finished=False))
        components = steps.components(section.adata, section.name, weights, settings)
        strength = steps.strength(components, settings)

        def domains() -> tuple[FoundDomains, dict[str, Any]]:
            found = steps.find_on(components, strength, settings)
            return found, domain_report(found, strength)

        result = self.with_domains(request, embedding(components, strength.lambda_), domains)
        if first:
            self.tell(Outcome(request, result, finished=False))
            self.tell(Progress("preparing for other λ"))
            steps.formed(prepared.values, prepared.precision)
        return result

    def is_optimum(self, result: Embedding) -> bool:
        """Whether the eigenvectors reached their tolerance."""
        return result.converged

    def describe(self, result: Embedding) -> str:
        """Return residual, time and number of domains."""
        parts = [
            "optimum" if result.converged else "stopped",
            f"residual {result.report['residual']:.0e}",
            f"{1000 * result.seconds:.0f} ms",
        ]
        if result.report["positive"] < result.n_dims:
            parts.append(f"only {result.report['positive']} of {result.n_dims} gain at this λ")
        if result.domains is not None:
            parts.append(f"{len(np.unique(result.domains[result.domains >= 0]))} domains")
        return " · ".join(parts)

    def describe_settings(self, settings: ReductionSettings) -> str:
        """Return lambda, rho and the number of components."""
        return (
            f"the result for λ {settings.lambda_:.3g}, ρ {settings.rho:.3g}, "
            f"{settings.components} components"
        )

    def recipe(self, settings: ReductionSettings, result: Embedding) -> dict[str, Any]:
        """Return settings and report."""
        return {"settings": asdict(settings), "report": result.report}


def _fits(embedding: Embedding, genes: NDArray[np.intp]) -> bool:
    return embedding.loadings is not None and np.array_equal(embedding.chosen.genes, genes)
