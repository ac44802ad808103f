"""The open section, and what was decided about it.

It knows nothing of windows: views listen to its signals and change its recipe.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_smoother.analyses.graph import GraphSteps
from napari_smoother.analyses.quality import QualitySteps
from napari_smoother.analyses.quality_settings import QualitySettings
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.regions import Regions
from napari_smoother.analyses.shown import Shown
from napari_smoother.analyses.spots_within import SpotsWithin
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.study.history import History
from napari_smoother.study.section_state import SectionState
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
    sections_changed
        Emitted when a section was opened or closed, or another came to the front.
    saved, closed
        Emitted with a section that was saved, or let go.
    analyses
        What is found from section and recipe, by name.
    """

    section_changed = Signal(object)
    recipe_changed = Signal(Recipe)
    regions_changed = Signal(Regions)
    reference_changed = Signal(object)
    remarked = Signal(str)
    sections_changed = Signal()
    saved = Signal(object)
    closed = Signal(object)

    def __init__(self) -> None:
        self.quality_steps = QualitySteps()
        self.graph_steps = GraphSteps()
        # Each an `Analysis`, which knows its section: the section need not know what it is.
        self.analyses: dict[str, Any] = {}
        self._states: list[SectionState] = []
        self._state = SectionState()
        self._step: str = "closed"

    # What is open

    @property
    def section(self) -> Section | None:
        """The open section."""
        return self._state.section

    @property
    def sections(self) -> tuple[Section, ...]:
        """All open sections, in the order they were opened."""
        return tuple(state.section for state in self._states if state.section is not None)

    @property
    def place(self) -> int:
        """Where the section in front is among all that are open; -1 while none is."""
        return self._states.index(self._state) if self._state in self._states else -1

    def open(
        self, section: Section, record: SessionRecord | None = None, *, beside: bool = False
    ) -> None:
        """Make a section the open one.

        A reference stays when it shares genes with the new section.

        Parameters
        ----------
        section
            To open.
        record
            What was decided and found about it; None for what came with it, or else for the
            present settings, without regions and limits of
            quality.
        beside
            Whether the section that was in front stays open; otherwise its results and its
            history are let go.
        """
        remark = ""
        if record is None:
            try:
                record = read_record(section)
            except InputError as fault:
                remark = str(fault)
        if record is None:
            record = SessionRecord(
                replace(self.recipe, quality=QualitySettings(), regions=Regions(), shown=Shown())
            )
        recipe, reference = record.recipe, record.reference or self.reference
        spots = SpotsWithin(section.positions)
        labels = recipe.regions.labels(spots)
        state = SectionState(
            section,
            History(recipe),
            labels,
            record,
            labels,
            active=set(record.results),
            saved_recipe=recipe,
            spots=spots,
        )
        if reference is not None:
            try:
                state.gene_match = match_genes(section.adata.var, reference)
                state.reference = reference
                state.record_reference = record.reference
            except InputError:
                pass  # of other genes: one has to be chosen for this section
        place = self.place
        if beside or place < 0:
            self._leave()
            self._states.append(state)
        else:
            self._states[place] = state
        self._bring(state)
        self.sections_changed.emit()
        remark = remark or record.remark
        if remark:
            self.remarked.emit(remark)

    def switch_to(self, place: int) -> None:
        """Bring another of the open sections to the front, as it was left."""
        if place != self.place:
            self._leave()
            self._bring(self._states[place])
            self.sections_changed.emit()

    def close(self, place: int) -> None:
        """Let one of several open sections go; the last one stays."""
        if len(self._states) > 1:
            state = self._states.pop(place)
            if state is self._state:
                self._bring(self._states[max(place - 1, 0)])
            self.closed.emit(state.section)
            self.sections_changed.emit()

    def unsaved(self) -> tuple[str, ...]:
        """Names of the open sections about which something was decided or found unsaved."""
        self._take_down()
        return tuple(
            state.section.name
            for state in self._states
            if state.section is not None and state.has_unsaved_work()
        )

    @property
    def is_unsaved(self) -> bool:
        """Whether something was decided or found about the section in front unsaved."""
        self._take_down()
        return self.section is not None and self._state.has_unsaved_work()

    def note_saved(self, section: Section, recipe: Recipe, results: dict[str, Any]) -> None:
        """Take a recipe of an open section and results, by the names of analyses, for saved."""
        for state in self._states:
            if state.section is section:
                state.saved_recipe, state.saved_results = recipe, results
                self.saved.emit(section)

    def note_unsaved(self) -> None:
        """Take what was decided and found about the section in front for unsaved."""
        self._state.saved_recipe = None

    def _take_down(self) -> None:
        """Take down what analyses have found about the section in front."""
        found = {name: analysis.shown for name, analysis in self.analyses.items()}
        self._state.outcomes = {
            name: outcome for name, outcome in found.items() if outcome is not None
        }
        self._state.active = {name for name, each in self.analyses.items() if each.active}

    def _leave(self) -> None:
        self._take_down()
        self.end_step()

    def _bring(self, state: SectionState) -> None:
        """Show a section, and what was found about it."""
        before, reference = self.recipe, self.reference
        self._state = state
        self.section_changed.emit(state.section)
        if self.recipe != before:
            self.recipe_changed.emit(self.recipe)
        self.regions_changed.emit(self.regions)
        if self.reference is not None or reference is not None:
            self.reference_changed.emit(self.reference)
        for analysis in self.analyses.values():
            if not analysis.is_up_to_date:
                analysis.outdated.emit()

    def brought(self, name: str) -> tuple[Any, bool]:
        """Return what an analysis had found of the section in front, and if it is wanted."""
        return self._state.outcomes.get(name), name in self._state.active

    def kept(
        self,
        name: str,
        decided: dict[str, Any],
        graph_settings: GraphSettings,
        labels: NDArray[np.integer],
        reference: Reference | None,
        quality: QualitySettings,
    ) -> Any:
        """Return what a file has kept of a result, if it belongs to all that is given.

        What was decided is given by the fields of the recipe.
        """
        state = self._state
        record = state.record
        if (
            name in record.results
            and all(value == getattr(record.recipe, field) for field, value in decided.items())
            and graph_settings == record.recipe.graph
            and quality == record.recipe.quality
            and np.array_equal(labels, state.record_labels)
            and reference in (None, state.record_reference)
        ):
            return record.results[name]
        return None

    def _open_section(self) -> Section:
        if self._state.section is None:
            raise InputError(
                "No section is open",
                where="study",
                remedy="Open a Space Ranger folder, an .h5ad file or a sample first",
            )
        return self._state.section

    @property
    def reference(self) -> Reference | None:
        """Cell types that are looked for."""
        return self._state.reference

    @property
    def gene_match(self) -> GeneMatch | None:
        """Which genes section and reference share."""
        return self._state.gene_match

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
        self._state.reference, self._state.gene_match = reference, match
        self.reference_changed.emit(reference)

    # The recipe

    @property
    def recipe(self) -> Recipe:
        """Everything that was decided, apart from the data."""
        return self._state.history.present

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        before = self.recipe
        if recipe == before:
            return
        labels = self._labels_of(recipe)
        if self._step == "changed":
            self._state.history.amend(recipe)
        else:
            self._state.history.record(recipe)
            if self._step == "begun":
                self._step = "changed"
        self._announce(before, labels)

    def turn_to(self, stage: str) -> None:
        """Bring the map of a step of the work to the front; undo does not stop there."""
        self.show_without_step(stage=stage)

    def show_without_step(self, **changes: Any) -> None:
        """Show something else, fields of `Shown`; undo does not stop there."""
        before = self.recipe
        recipe = replace(before, shown=replace(before.shown, **changes))
        if recipe != before:
            self._state.history.present = recipe
            self._announce(before, self._state.labels)

    def take_settings(self, recipe: Recipe, *, with_shown: bool = False) -> None:
        """Take the settings of another section's recipe in one step.

        Parameters
        ----------
        recipe
            Its regions are taken where it has any.
        with_shown
            Whether what is shown is taken too; it stays otherwise.

        Raises
        ------
        InputError
            If its regions name the spots of a section with another number of them.
        """
        section, regions = self._open_section(), recipe.regions
        if regions.n_spots not in (None, section.n_spots):
            raise InputError(
                f"The regions of the recipe are of {regions.n_spots:,} spots, and "
                f"{section.name} has {section.n_spots:,}",
                where="recipe, regions",
                remedy="Leave the regions out of the recipe, or give them as outlines",
            )
        if not regions.classes:
            regions = self.regions
        shown = recipe.shown if with_shown else self.recipe.shown
        self.recipe = replace(recipe, regions=regions, shown=shown)

    def begin_step(self) -> None:
        """Take all changes until `end_step` for one: the hand holds a slider."""
        self._step = "begun"

    def end_step(self) -> None:
        """Take every change for a step of its own again."""
        self._step = "closed"

    @property
    def can_undo(self) -> bool:
        """Whether a change can be taken back."""
        return self._state.history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a change that was taken back can be made again."""
        return self._state.history.can_redo

    def undo(self) -> None:
        """Take back the last change."""
        self._go(self._state.history.undo)

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._go(self._state.history.redo)

    def _go(self, move: Any) -> None:
        before = self.recipe
        move()
        self.end_step()
        if self.recipe is not before:
            self._announce(before, self._labels_of(self.recipe))

    def _labels_of(self, recipe: Recipe) -> NDArray[np.int32]:
        """Region of each spot; the present array where nothing moves."""
        if recipe.regions == self.recipe.regions and self._state.history.present is not recipe:
            return self._state.labels
        labels = recipe.regions.labels(self.spots)
        return self._state.labels if np.array_equal(labels, self._state.labels) else labels

    def _announce(self, before: Recipe, labels: NDArray[np.int32]) -> None:
        after, moved = self.recipe, labels is not self._state.labels
        self._state.labels = labels
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
    def spots(self) -> SpotsWithin:
        """The spots of the open section, as regions are found among them.

        Raises
        ------
        InputError
            If no section is open.
        """
        self._open_section()
        return self._state.spots

    @property
    def region_labels(self) -> NDArray[np.int32]:
        """Code of the region of each spot, -1 for none; n int32."""
        return self._state.labels

    @property
    def region_sizes(self) -> NDArray[np.integer]:
        """Number of spots in each class."""
        assigned = self._state.labels[self._state.labels >= 0]
        return np.bincount(assigned, minlength=len(self.regions.classes))
