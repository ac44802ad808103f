"""What a study knows of one of its open sections."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.figure_settings import FigureSettings
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.shown import Shown
from napari_smoother.analyses.spots_within import SpotsWithin
from napari_smoother.study.history import History
from napari_smoother.study.session_record import SessionRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.models.deconv.genes import GeneMatch
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section


GRAPH = "graph"
"""Name of the analysis whose result the others share."""

QUALITY = "quality"
"""Name of the analysis that counts in every spot."""

MADE_AGAIN = frozenset({GRAPH, QUALITY, "region_comparison"})
"""Names of the analyses whose results are made again in no time: no work is lost with them."""


@dataclass(slots=True, eq=False)
class SectionState:
    """One open section with all that belongs to it.

    Parameters
    ----------
    section
        None before any was opened.
    history
        Of its recipe.
    labels
        Code of the region of each spot, -1 for none; n int32.
    record
        What came with it when it was opened.
    record_labels
        The labels of then.
    record_reference
        The reference of then.
    reference, gene_match
        Cell types that are looked for, and which genes they share with the section.
    outcomes
        What analyses have found, by name, while another section is in front.
    active
        Names of the analyses whose results are wanted.
    saved_recipe, saved_results
        What was decided when it was opened or saved last, and the results of then, by name;
        None where no file has any of it.
    spots
        Which of them lie within outlines.
    """

    section: Section | None = None
    history: History[Recipe] = field(default_factory=lambda: History(Recipe()))
    labels: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    record: SessionRecord = field(default_factory=lambda: SessionRecord(Recipe()))
    record_labels: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    record_reference: Reference | None = None
    reference: Reference | None = None
    gene_match: GeneMatch | None = None
    outcomes: dict[str, Any] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    saved_recipe: Recipe | None = None
    saved_results: dict[str, Any] = field(default_factory=dict)
    spots: SpotsWithin = field(default_factory=lambda: SpotsWithin(np.empty((0, 2))))

    def has_unsaved_work(self) -> bool:
        """Whether anything was decided or found that no file has.

        What is shown does not count, nor does what is made again in no time.
        """
        saved = self.saved_recipe
        if saved is None or _decided(self.history.present) != _decided(saved):
            return True
        return any(
            outcome.result is not self.saved_results.get(name)
            for name, outcome in self.outcomes.items()
            if name not in MADE_AGAIN and not outcome.is_kept
        )


def _decided(recipe: Recipe) -> Recipe:
    return replace(recipe, shown=Shown(), figure=FigureSettings())
