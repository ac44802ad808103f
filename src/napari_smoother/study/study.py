"""The evented state of one open section.

A study knows nothing of windows. Views listen to its signals and change its settings; whoever
owns a thread takes a `Study.request`, runs it through `Study.pipeline` and hands the outcome
back to `Study.accept`. `Study.update` does the same at once, for scripts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_smoother.analyses.deconvolution_steps import can_deviate
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.regions import Regions
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.study.history import History
from napari_smoother.study.pipeline import Outcome, Pipeline, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
    from napari_smoother.analyses.graph_settings import GraphSettings
    from napari_smoother.models.deconv.genes import GeneMatch
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section
    from napari_smoother.study.results import Graph


class Study:
    """One open section with its settings, regions, reference and results.

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
    graph_changed
        Emitted with the new graph.
    composition_changed
        Emitted with the new composition, or None when it was taken away.
    outdated
        Emitted when results no longer belong to data and settings: time for a new request.
    analyses
        What else hangs on the graph, by name.
    """

    section_changed = Signal(object)
    recipe_changed = Signal(Recipe)
    regions_changed = Signal(Regions)
    reference_changed = Signal(object)
    graph_changed = Signal(object)
    composition_changed = Signal(object)
    outdated = Signal()

    def __init__(self) -> None:
        self.pipeline = Pipeline()
        # Each an `Analysis`, which knows its study: the study need not know what it is.
        self.analyses: dict[str, Any] = {}
        self._section: Section | None = None
        self._reference: Reference | None = None
        self._gene_match: GeneMatch | None = None
        self._recipe = Recipe()
        self._regions: History[Regions] = History(Regions())
        self._labels: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._graph: Graph | None = None
        self._composition: Composition | None = None
        self._wants_deviation = False
        self._generation = 0
        self._shown_generation = 0
        self._solved_generation = 0
        self._data_generation = 0

    # What is open

    @property
    def section(self) -> Section | None:
        """The open section."""
        return self._section

    def open(self, section: Section) -> None:
        """Make a section the open one; regions and results of the last one are let go.

        A reference stays when it shares genes with the new section.
        """
        self._section = section
        self._regions = History(Regions())
        self._labels = np.full(section.n_spots, -1, dtype=np.int32)
        self._graph = None
        reference, self._reference, self._gene_match = self._reference, None, None
        self._drop_composition()
        self.section_changed.emit(section)
        self.regions_changed.emit(self.regions)
        if reference is not None:
            try:
                self._gene_match = match_genes(section.adata.var, reference)
            except InputError:
                self.reference_changed.emit(None)
            else:
                self._reference = reference
                self.reference_changed.emit(reference)
        self._data_generation = self._mark_outdated()

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
        self._drop_composition()
        self.reference_changed.emit(reference)
        self._data_generation = self._mark_outdated()

    # Settings

    @property
    def recipe(self) -> Recipe:
        """Everything that was decided, apart from data."""
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        if recipe == self._recipe:
            return
        self._recipe = recipe
        self.recipe_changed.emit(recipe)
        self._mark_outdated()

    @property
    def graph_settings(self) -> GraphSettings:
        """Which spots are neighbours."""
        return self._recipe.graph

    @graph_settings.setter
    def graph_settings(self, graph: GraphSettings) -> None:
        self.recipe = replace(self._recipe, graph=graph)

    @property
    def boundary_connectivity(self) -> float:
        """What an edge between two regions keeps of its weight, 0 to 1."""
        return self._recipe.graph.boundary_connectivity

    @boundary_connectivity.setter
    def boundary_connectivity(self, connectivity: float) -> None:
        self.graph_settings = replace(self.graph_settings, boundary_connectivity=connectivity)

    @property
    def deconvolution(self) -> DeconvolutionSettings:
        """How composition is estimated."""
        return self._recipe.deconvolution

    @deconvolution.setter
    def deconvolution(self, deconvolution: DeconvolutionSettings) -> None:
        self.recipe = replace(self._recipe, deconvolution=deconvolution)

    # Regions

    @property
    def regions(self) -> Regions:
        """The regions as they are now."""
        return self._regions.present

    @regions.setter
    def regions(self, regions: Regions) -> None:
        labels = regions.labels(self._open_section().positions)
        self._regions.record(regions)
        self._show_regions(labels)

    @property
    def region_labels(self) -> NDArray[np.int32]:
        """Code of the region of each spot, -1 for none; n int32."""
        return self._labels

    @property
    def region_sizes(self) -> NDArray[np.integer]:
        """Number of spots in each class."""
        assigned = self._labels[self._labels >= 0]
        return np.bincount(assigned, minlength=len(self.regions.classes))

    @property
    def can_undo(self) -> bool:
        """Whether an edit of the regions can be taken back."""
        return self._regions.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether an edit of the regions that was taken back can be made again."""
        return self._regions.can_redo

    def undo(self) -> None:
        """Take back the last edit of the regions."""
        self._regions.undo()
        self._show_regions(self.regions.labels(self._open_section().positions))

    def redo(self) -> None:
        """Make the edit again that was taken back last."""
        self._regions.redo()
        self._show_regions(self.regions.labels(self._open_section().positions))

    def _show_regions(self, labels: NDArray[np.int32]) -> None:
        moved = not np.array_equal(labels, self._labels)
        if moved:
            self._labels = labels
        self.regions_changed.emit(self.regions)
        if moved:
            self._mark_outdated()

    # Results

    @property
    def graph(self) -> Graph | None:
        """The neighbour graph, as last computed."""
        return self._graph

    @property
    def composition(self) -> Composition | None:
        """The composition, as last computed."""
        return self._composition

    @property
    def is_up_to_date(self) -> bool:
        """Whether the results belong to the present data and settings, from canonical start."""
        if self._shown_generation != self._generation:
            return False
        composition = self._composition
        if composition is None:
            return True
        # The graph may have moved on alone, while the composition does not follow.
        solved = composition.settled and self._solved_generation == self._generation
        lacks_deviation = (
            self._wants_deviation
            and composition.deviation is None
            and can_deviate(composition.settings)
        )
        return solved and not lacks_deviation

    @property
    def follows_the_hand(self) -> bool:
        """Whether a solve is as quick as a slider: least squares under a sparse precision."""
        return can_deviate(self.deconvolution)

    @property
    def wants_deviation(self) -> bool:
        """Whether the posterior deviation of the composition is worked out too."""
        return self._wants_deviation

    @wants_deviation.setter
    def wants_deviation(self, wanted: bool) -> None:
        self._wants_deviation = wanted
        if not self.is_up_to_date:
            self._mark_outdated()

    def request(self, *, settled: bool) -> Request | None:
        """Return what has to be computed now; None while no section is open.

        Parameters
        ----------
        settled
            True for the canonical start, after which the same settings give the same numbers
            bit for bit; False to start from what is on screen, which is quicker.
        """
        if self._section is None:
            return None
        start = None
        if not settled and self._composition is not None:
            start = self._composition.abundance
        return Request(
            generation=self._generation,
            section=self._section,
            recipe=self._recipe,
            labels=self._labels,
            reference=self._reference,
            start=start,
            deviation=self._wants_deviation,
        )

    def accept(self, outcome: Outcome) -> bool:
        """Take over what a run of the pipeline found.

        Results of a section or reference that is gone, and results older than those shown,
        are dropped. An unfinished outcome is announced, but the last finished one stays the
        study's: `restore` brings it back.

        Returns
        -------
        bool
            Whether the outcome was taken over.
        """
        generation = outcome.request.generation
        if generation < max(self._data_generation, self._shown_generation):
            return False
        if outcome.finished:
            self._shown_generation = generation
        if outcome.graph is not self._graph:
            self._graph = outcome.graph
            self.graph_changed.emit(outcome.graph)
        if outcome.composition is not None:
            if outcome.finished:
                self._composition, self._solved_generation = outcome.composition, generation
            self.composition_changed.emit(outcome.composition)
        return True

    def restore(self) -> None:
        """Announce the last finished composition again, after an unfinished one."""
        self.composition_changed.emit(self._composition)

    def update(self) -> None:
        """Bring all results up to date now, from the canonical start."""
        self._open_section()
        request = self.request(settled=True)
        if request is not None:
            self.accept(self.pipeline.run(request))

    def _drop_composition(self) -> None:
        if self._composition is not None:
            self._composition = None
            self.composition_changed.emit(None)

    def _mark_outdated(self) -> int:
        self._generation += 1
        self.outdated.emit()
        return self._generation
