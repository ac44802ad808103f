"""The quality of the spots of the open section, and which of them are analysed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.quality import Quality
from napari_smoother.analyses.quality_settings import QualitySettings
from napari_smoother.study.analysis import Analysis, Outcome, Request
from napari_smoother.study.section_state import QUALITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.analyses.recipe import Recipe

NO_LABELS = np.zeros(0, dtype=np.int32)


class QualityAnalysis(Analysis[QualitySettings, Quality]):
    """`napari_smoother.spot_quality` of all spots; wanted as soon as there is a limit."""

    name = QUALITY
    field = "quality"
    work = "counting"

    @property
    def _always_wanted(self) -> bool:
        """Whether spots are left out, which a saved file is to say."""
        return self.study.section is not None and self.settings.are_limits

    def _wanted(self) -> Request[QualitySettings, Quality] | None:
        """Return what has to be counted now: neither graph nor regions matter to it."""
        wanted = super()._wanted()
        if wanted is None:
            return None
        return replace(wanted, graph_settings=GraphSettings(), labels=NO_LABELS)

    def note(self, before: Recipe, after: Recipe, *, moved: bool) -> None:
        """Tell what a change of the recipe means here, where only the limits matter."""
        if after.quality != before.quality:
            super().note(before, after, moved=False)

    def run(
        self,
        request: Request[QualitySettings, Quality],
        *,
        cancelled: Callable[[], bool] | None = None,
        tell: Callable[[Any], None] | None = None,
    ) -> Outcome[QualitySettings, Quality]:
        """Count in all spots, whichever are analysed; without a graph."""
        return Outcome(request, self.compute(request, Context(cancelled, tell)))

    def compute(self, request: Request[QualitySettings, Quality], context: Context) -> Quality:
        """Find counts, genes and mitochondrial share, and which spots are kept."""
        return self.study.quality_steps.quality(request.section, request.settings, context)

    def over_all(self, found: Quality, kept: KeptSpots) -> Quality:
        """Return it as it is: it is over all spots."""
        return found

    def describe(self, result: Quality) -> str:
        """Return how many spots are kept."""
        return result.describe()

    def describe_settings(self, settings: QualitySettings) -> str:
        """Return which limits a result belongs to."""
        return "the spots kept by earlier limits"

    def write(self, adata: AnnData, result: Quality) -> None:
        """Put the metrics where scanpy has them, and which spots are kept beside."""
        result.write(adata)
