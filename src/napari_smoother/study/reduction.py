"""Spatial principal components of the open section, live in lambda and in their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoother.analyses import components
from napari_smoother.analyses.domain_steps import DomainSteps
from napari_smoother.analyses.embedding_settings import ReductionSettings
from napari_smoother.study.embedding import EmbeddingAnalysis

if TYPE_CHECKING:
    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.open_section import OpenSection


class Reduction(EmbeddingAnalysis[ReductionSettings]):
    """`napari_smoother.spatial_pca` and `napari_smoother.domains` on the graph of a study."""

    name = components.MODEL
    field = wanted = "reduction"
    domain_column = "domain"

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
        self.steps = DomainSteps()

    def compute(
        self, request: Request[ReductionSettings, Embedding], context: Context
    ) -> Embedding:
        """Find components, their scores, and domains on them."""
        assert request.graph is not None
        return components.compute(
            request.section.adata,
            request.graph.weights,
            request.settings,
            self.told(request, context),
            self.steps,
            request.start,
            ahead=self.result is None,
            where=request.section.name,
        )

    def describe_settings(self, settings: ReductionSettings) -> str:
        """Return lambda, rho and the number of components."""
        return (
            f"the result for λ {settings.lambda_:.3g}, ρ {settings.rho:.3g}, "
            f"{settings.components} components"
        )
