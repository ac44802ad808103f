"""Spatial principal components of the open section, live in lambda and in their number."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.models.reduction.smoothed_embedding import smooth_columns
from napari_smoother.solvers.spatial_eigen import (
    FEW_GENES,
    Eigenvectors,
    leading_eigenvectors,
)
from napari_smoother.solvers.spatial_scatter import SpatialScatter
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.study.analysis import AnalysisOutcome, Progress
from napari_smoother.study.embedding import Embedding, EmbeddingAnalysis, expanded
from napari_smoother.study.embedding_settings import ReductionSettings
from napari_smoother.study.expression import expression
from napari_smoother.study.stage import Stage
from napari_smoother.weights.precision import precision as precision_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.study.analysis import AnalysisRequest
    from napari_smoother.study.study import Study

FORMED_GENES = 3000
"""Up to here X'X and X'QX are formed once, so that lambda costs the same for any section."""

KIND = "spatial component"


class Reduction(EmbeddingAnalysis[ReductionSettings]):
    """`napari_smoother.models.reduction.spatial_pca` on the graph of a study, kept live.

    counts -> genes -> expression -> scatter -> eigenvectors -> scores -> domains
    graph  -> precision ------------^-------------------------^---------^
    """

    name = "spatial_pca"
    domain_column = "domain"

    def __init__(self, study: Study) -> None:
        super().__init__(study, ReductionSettings())
        self.expression = Stage(expression)
        self.precision = Stage(precision_of)
        self.scatter = Stage(SpatialScatter)
        self.settled = Stage(self._solve_from_canonical_start)
        self.smoothed = Stage(self._smoothed)

    @one_blas_thread()
    def compute(self, request: AnalysisRequest[ReductionSettings, Embedding]) -> Embedding:
        """Find components, their scores, and domains on them.

        Small products one after another: threads would wait for each other, and for painting.
        And two threads round otherwise than one, which is what is left to a solve that another
        runs beside: the same settings are to end in the same bits.
        """
        section, settings = request.section, request.settings
        data = settings.data
        chosen = self.genes(section, data.layer, data.n_genes)
        self.look_up()
        values = self.expression(section, data.layer, data.scale, chosen)
        linked = self.linked(request.graph.weights, chosen)
        precision = self.precision(linked, settings.process, settings.rho)
        self.look_up()
        began = time.perf_counter()
        scatter = self.scatter(values, precision)
        weight, k = settings.lambda_spatial_loss, settings.components

        def embedding(found: Eigenvectors) -> Embedding:
            projected = np.asarray(scatter.project(found.vectors), dtype=np.float64)
            scores = self.smoothed(projected, precision, settings.smoothing)
            return Embedding(
                section=section,
                kind=KIND,
                scores=expanded(scores, chosen.spots, section.n_spots),
                shares=np.square(projected).sum(axis=0) / max(scatter.size, 1e-300),
                chosen=chosen,
                loadings=found.vectors,
                report={
                    "n_spots": len(chosen.spots),
                    "n_genes": len(chosen.genes),
                    "positive": int((found.values > 1e-10 * np.abs(found.values).max()).sum()),
                    "residual": found.residual,
                    "converged": found.converged,
                    "method": found.method,
                },
                seconds=time.perf_counter() - began,
                converged=found.converged,
            )

        if request.start is not None:
            start = request.start.loadings if _fits(request.start, chosen.genes) else None
            return embedding(self._solve(scatter, weight, k, settings.seed, start))
        if self.result is None and FEW_GENES < scatter.n_genes <= FORMED_GENES:
            # Forming the matrices takes seconds: something to look at meanwhile.
            glimpse = self._solve(scatter, weight, k, settings.seed, None)
            self.tell(AnalysisOutcome(request, embedding(glimpse), finished=False))
            self.tell(Progress("preparing for other λ"))
        settled = embedding(self.settled(scatter, weight, k, settings.seed))
        return self.with_domains(request, settled)

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
            f"the result for λ {settings.lambda_spatial_loss:.3g}, ρ {settings.rho:.3g}, "
            f"{settings.components} components"
        )

    def recipe(self, settings: ReductionSettings, result: Embedding) -> dict[str, Any]:
        """Return settings and report."""
        return {"settings": asdict(settings), "report": result.report}

    def _solve_from_canonical_start(
        self, scatter: SpatialScatter, weight: float, k: int, seed: int
    ) -> Eigenvectors:
        if scatter.n_genes <= FORMED_GENES:
            # Always before a result that stays: products by the matrices round differently.
            scatter.matrices(self.look_up)
        return self._solve(scatter, weight, k, seed, None)

    def _solve(
        self,
        scatter: SpatialScatter,
        weight: float,
        k: int,
        seed: int,
        start: NDArray[np.float64] | None,
    ) -> Eigenvectors:
        return leading_eigenvectors(
            scatter, weight, k, start=start, seed=seed, cancelled=self.is_cancelled
        )

    def _smoothed(
        self, scores: NDArray[np.float64], precision: csr_array, smoothing: float
    ) -> NDArray[np.float64]:
        if smoothing == 0:
            return scores
        return smooth_columns(scores, precision, smoothing, cancelled=self.is_cancelled).values


def _fits(embedding: Embedding, genes: NDArray[np.intp]) -> bool:
    return embedding.loadings is not None and np.array_equal(embedding.chosen.genes, genes)
