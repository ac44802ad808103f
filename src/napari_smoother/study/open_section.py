"""The open section, and what was decided about it.

It knows nothing of windows: views listen to its signals and change its recipe.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.regions import Regions
from napari_smoother.analyses.shown import Shown
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.study.history import History
from napari_smoother.study.pipeline import Pipeline
from napari_smoother.study.session_record import SessionRecord, read_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph_settings import GraphSettings
    from napari_smoother.models.deconv.genes import GeneMatch
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section


class OpenSection:
    """One open section with its recipe, the history of that, and a reference.

    Attributes
    ----------
    section_changed
        Emitted when a section was opened.
    recipe_changed
        Emitted with the new recipe.
    regions_changed
        Emitted when classes, shapes or the region of a spot changed.
    reference_changed
        Emitted when a reference was given or taken away.
    remarked
        Emitted with what a user has to be told about a section that was opened.
    analyses
        What is found from section and recipe, by name.
    """

    section_changed = Signal(object)
    recipe_changed = Signal(Recipe)
    regions_changed = Signal(Regions)
    reference_changed = Signal(object)
    remarked = Signal(str)

    def __init__(self) -> None:
        self.pipeline = Pipeline()
        # Each an `Analysis`, which knows its section: the section need not know what it is.
        self.analyses: dict[str, Any] = {}
        self._section: Section | None = None
        self._reference: Reference | None = None
        self._gene_match: GeneMatch | None = None
        self._history: History[Recipe] = History(Recipe())
        self._labels: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._step: str = "closed"
        self._record = SessionRecord(Recipe())
        self._record_labels = self._labels
        self._kept_reference: Reference | None = None

    # What is open

    @property
    def section(self) -> Section | None:
        """The open section."""
        return self._section

    def open(self, section: Section, record: SessionRecord | None = None) -> None:
        """Make a section the open one; results and history of the last one are let go.

        A reference stays when it shares genes with the new section.

        Parameters
        ----------
        section
            To open.
        record
            What was decided and found about it; None for what came with it, or else for the
            present settings, without regions.
        """
        remark = ""
        if record is None:
            try:
                record = read_record(section)
            except InputError as fault:
                remark = str(fault)
        if record is None:
            record = SessionRecord(replace(self.recipe, regions=Regions(), shown=Shown()))
        recipe = record.recipe
        labels = recipe.regions.labels(section.positions)
        before, self._section, self._labels = self.recipe, section, labels
        self._history, self._record, self._record_labels = History(recipe), record, labels
        reference = record.reference or self._reference
        self._reference = self._gene_match = None
        self.section_changed.emit(section)
        if recipe != before:
            self.recipe_changed.emit(recipe)
        self.regions_changed.emit(self.regions)
        if reference is not None:
            try:
                self._gene_match = match_genes(section.adata.var, reference)
            except InputError:
                self.reference_changed.emit(None)
            else:
                self._reference = reference
                if record.reference is not None:
                    self._kept_reference = reference
                self.reference_changed.emit(reference)
        for analysis in self.analyses.values():
            analysis.outdated.emit()
        remark = remark or record.remark
        if remark:
            self.remarked.emit(remark)

    def kept(
        self,
        name: str,
        recipe_field: str,
        settings: Any,
        graph_settings: GraphSettings,
        labels: NDArray[np.integer],
        reference: Reference | None,
    ) -> Any:
        """Return what a file has kept of a result, if it belongs to all that is given."""
        record = self._record
        if (
            name in record.results
            and settings == getattr(record.recipe, recipe_field)
            and graph_settings == record.recipe.graph
            and np.array_equal(labels, self._record_labels)
            and reference in (None, self._kept_reference)
        ):
            return record.results[name]
        return None

    def _open_section(self) -> Section:
        if self._section is None:
            raise InputError(
                "No section is open",
                where="study",
                remedy="Open a Space Ranger folder, an .h5ad file or a sample first",
            )
        return self._section

    @property
    def reference(self) -> Reference | None:
        """Cell types that are looked for."""
        return self._reference

    @property
    def gene_match(self) -> GeneMatch | None:
        """Which genes section and reference share."""
        return self._gene_match

    def set_reference(self, reference: Reference | None) -> None:
        """Look for the cell types of a reference.

        Raises
        ------
        InputError
            If no section is open, or the two share too few genes. The reference that was
            there before stays.
        """
        match = None
        if reference is not None:
            match = match_genes(self._open_section().adata.var, reference)
        self._reference, self._gene_match = reference, match
        self.reference_changed.emit(reference)

    # The recipe

    @property
    def recipe(self) -> Recipe:
        """Everything that was decided, apart from the data."""
        return self._history.present

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        before = self.recipe
        if recipe == before:
            return
        labels = self._labels_of(recipe)
        if self._step == "changed":
            self._history.amend(recipe)
        else:
            self._history.record(recipe)
            if self._step == "begun":
                self._step = "changed"
        self._announce(before, labels)

    def turn_to(self, stage: str) -> None:
        """Bring the map of a step of the work to the front; undo does not stop there."""
        before = self.recipe
        if stage != before.shown.stage:
            self._history.present = replace(before, shown=replace(before.shown, stage=stage))
            self._announce(before, self._labels)

    def begin_step(self) -> None:
        """Take all changes until `end_step` for one: the hand holds a slider."""
        self._step = "begun"

    def end_step(self) -> None:
        """Take every change for a step of its own again."""
        self._step = "closed"

    @property
    def can_undo(self) -> bool:
        """Whether a change can be taken back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a change that was taken back can be made again."""
        return self._history.can_redo

    def undo(self) -> None:
        """Take back the last change."""
        self._go(self._history.undo)

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._go(self._history.redo)

    def _go(self, move: Any) -> None:
        before = self.recipe
        move()
        self.end_step()
        if self.recipe is not before:
            self._announce(before, self._labels_of(self.recipe))

    def _labels_of(self, recipe: Recipe) -> NDArray[np.int32]:
        """Region of each spot; the present array where nothing moves."""
        if recipe.regions == self.recipe.regions and self._history.present is not recipe:
            return self._labels
        labels = recipe.regions.labels(self._open_section().positions)
        return self._labels if np.array_equal(labels, self._labels) else labels

    def _announce(self, before: Recipe, labels: NDArray[np.int32]) -> None:
        after, moved = self.recipe, labels is not self._labels
        self._labels = labels
        self.recipe_changed.emit(after)
        if after.regions != before.regions:
            self.regions_changed.emit(after.regions)
        for analysis in self.analyses.values():
            analysis.note(before, after, moved=moved)

    # Regions

    @property
    def regions(self) -> Regions:
        """The regions as they are now."""
        return self.recipe.regions

    @regions.setter
    def regions(self, regions: Regions) -> None:
        self._open_section()
        self.recipe = replace(self.recipe, regions=regions)

    @property
    def region_labels(self) -> NDArray[np.int32]:
        """Code of the region of each spot, -1 for none; n int32."""
        return self._labels

    @property
    def region_sizes(self) -> NDArray[np.integer]:
        """Number of spots in each class."""
        assigned = self._labels[self._labels >= 0]
        return np.bincount(assigned, minlength=len(self.regions.classes))
