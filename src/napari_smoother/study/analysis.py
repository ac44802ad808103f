"""What is found from the open section and its recipe: settings, result, and their life.

Like a study it knows nothing of windows: views listen to its signals and change its settings;
whoever owns a thread takes an `Analysis.request`, hands it to `Analysis.run` and the outcome to
`Analysis.accept`. `Analysis.update` does the same at once, for scripts.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
from psygnal import Signal

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.graph import compute as find_graph
from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.study.kept import from_entries, to_entries
from napari_smoother.study.section_state import GRAPH

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.graph_settings import GraphSettings
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.analyses.quality_settings import QualitySettings
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.analyses.recipe_file import Wanted
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section
    from napari_smoother.study.open_section import OpenSection

Chosen = TypeVar("Chosen", bound=ComparedByValue)
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, eq=False)
class Request(Generic[Chosen, Found]):
    """Everything one run of an analysis needs, taken at one moment.

    Parameters
    ----------
    number
        Later requests have larger ones.
    section
        The open section; within a run that of the spots that are analysed, as are labels.
    graph_settings, labels
        What its graph follows from: settings, and the region of each spot (-1 for none).
    settings
        Of the analysis.
    quality
        Which spots are analysed.
    reference
        Cell types to look for, where the analysis needs them.
    start
        A result to start from; None for the canonical start, which makes the result
        independent of what was found before.
    graph
        The graph; None until the run has made it, and where none is needed.
    basis
        What other analyses have found that the result is found from; compared as it is.
    kept
        Within a run: which of all spots these are, for what else is known of all.
    """

    number: int
    section: Section
    graph_settings: GraphSettings
    labels: NDArray[np.integer]
    settings: Chosen
    quality: QualitySettings
    reference: Reference | None = None
    start: Found | None = None
    graph: Graph | None = None
    basis: Any = None
    kept: KeptSpots | None = None

    def asks_same(self, other: Request[Chosen, Found]) -> bool:
        """Whether another request asks for the same result, from whatever start."""
        return (
            self.section is other.section
            and self.reference is other.reference
            and self.settings == other.settings
            and self.basis == other.basis
            and self.quality == other.quality
            and self.graph_settings == other.graph_settings
            and (self.labels is other.labels or np.array_equal(self.labels, other.labels))
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome(Generic[Chosen, Found]):
    """What a run of an analysis found.

    Parameters
    ----------
    request
        What was asked for.
    result
        What was found, over all spots.
    of_analysed
        The same as it was found: over the spots that are analysed, which are those of the
        section it was found in. None where these are all.
    finished
        False for a result that is still being completed.
    passing
        Whether it is one of many on the way to a result, and may be left out.
    is_kept
        Whether it came out of a file.
    """

    request: Request[Chosen, Found]
    result: Found
    finished: bool = True
    passing: bool = False
    is_kept: bool = False
    of_analysed: Found | None = None

    @property
    def found(self) -> Found:
        """What was found, over the spots that are analysed."""
        return self.result if self.of_analysed is None else self.of_analysed


class Analysis(ABC, Generic[Chosen, Found]):
    """Settings and result of one analysis of the open section.

    Nothing is computed before it is `active`, which a page makes it when it is entered.

    Parameters
    ----------
    study
        Whose section and recipe it is about.

    Attributes
    ----------
    name : str
        Key of the result in ``study.analyses`` and in a saved file.
    field : str
        Of the recipe: where its settings are.
    wanted : str or None
        What a recipe calls it, where recipes can ask for it.
    work : str
        What a run does, for the status line: "solving".
    button : str
        Name of the button that asks for a run.
    follows : bool
        Whether the result follows every change; otherwise it is asked for by hand.
    is_quick : bool
        Whether a run is mostly as quick as a slider.
    needs_reference : bool
        Whether it looks for the cell types of a reference.
    needs_graph : bool
        Whether it is found on the graph of the section.
    kept_records : tuple of type
        Classes of records in a result that a file can bring back; none where nothing is kept.
    known_fields : tuple of str
        Fields of them that are known when the file is opened.
    settings_changed
        Emitted with the new settings.
    result_changed
        Emitted with the new result, which may be unfinished, or None when it was taken away.
    outdated
        Emitted when the result no longer belongs to section and recipe.
    """

    name: ClassVar[str]
    field: ClassVar[str]
    wanted: ClassVar[Wanted | None] = None
    work = "solving"
    button = "Solve"
    follows = True
    is_quick = True
    needs_reference = False
    needs_graph = True
    kept_records: ClassVar[tuple[type[Any], ...]] = ()
    known_fields: ClassVar[tuple[str, ...]] = ("settings", "section", "spots")

    settings_changed = Signal(object)
    result_changed = Signal(object)
    outdated = Signal()

    def __init__(self, study: OpenSection) -> None:
        self.study = study
        self._shown: Outcome[Chosen, Found] | None
        self._shown, self._active = study.brought(self.name)
        self._numbers = itertools.count()
        self._running = threading.Lock()
        study.analyses[self.name] = self
        study.section_changed.connect(self._on_section_changed)

    # What each analysis fills in

    @abstractmethod
    def compute(self, request: Request[Chosen, Found], context: Context) -> Found:
        """Find the result; depends on the request alone, whose graph is there."""

    @abstractmethod
    def describe(self, result: Found) -> str:
        """Return how good a result is, in a few words."""

    def among(self, request: Request[Chosen, Found], kept: KeptSpots) -> Request[Chosen, Found]:
        """Return a request for the spots that are analysed, as if there were no others."""
        if kept.are_all:
            return request
        labels = self.study.quality_steps.labels(kept, request.labels)
        return replace(request, section=kept.section, labels=labels, kept=kept)

    def over_all(self, found: Found, kept: KeptSpots) -> Found:
        """Return what was found over some spots as a result over all; others have no value.

        Raises
        ------
        InputError
            If the analysis does not say how.
        """
        raise InputError(
            f"Some spots are left out, and a {self.name} of the others cannot be shown",
            where=f"{kept.whole.name}, quality",
            remedy="Take the limits on the Quality page away",
        )

    @abstractmethod
    def describe_settings(self, settings: Chosen) -> str:
        """Return which settings a result belongs to, in a few words."""

    def to_keep(self, result: Found) -> dict[str, Any] | None:
        """Return entries of a file that bring a result back without finding it again."""
        return to_entries(result, self.known_fields) if self.kept_records else None

    def restore_from(
        self, kept: dict[str, Any], request: Request[Chosen, Found], context: Context
    ) -> Found:
        """Return the result of a request from what `to_keep` kept of it."""
        known = {
            "settings": request.settings,
            "section": request.section,
            "spots": request.section.adata.obs_names,
        }
        found: Found = from_entries(kept, self.kept_records, known)
        return found

    def write(self, adata: AnnData, result: Found) -> None:
        """Put a result where scanpy users look for it."""

    def is_optimum(self, result: Found) -> bool:
        """Whether a result is what it should be, and not merely where a solve stopped."""
        return True

    def complete(self, result: Found) -> None:
        """Work out what is shown of a result, off the main thread."""

    def describe_passing(self, result: Found) -> str:
        """Return how far a run has come whose passing outcome this is, in a few words."""
        return ""

    def detail(self, result: Found) -> str:
        """Return more about a result, a line each, for who points at the status line."""
        return ""

    def decided(self, request: Request[Chosen, Found]) -> dict[str, Any]:
        """Return the fields of the recipe that decide a result, as a request has them."""
        return {self.field: request.settings}

    # Settings

    @property
    def settings(self) -> Chosen:
        """Everything that decides the result, apart from section and graph."""
        settings: Chosen = getattr(self.study.recipe, self.field)
        return settings

    @settings.setter
    def settings(self, settings: Chosen) -> None:
        changed: dict[str, Any] = {self.field: settings}
        self.study.recipe = replace(self.study.recipe, **changed)

    def note(self, before: Recipe, after: Recipe, *, moved: bool) -> None:
        """Tell what a change of the recipe means here; `moved` where spots changed region."""
        mine = getattr(after, self.field) != getattr(before, self.field)
        if mine:
            self.settings_changed.emit(self.settings)
        if mine or moved or after.graph != before.graph or after.quality != before.quality:
            self.outdated.emit()

    @property
    def active(self) -> bool:
        """Whether anybody wants the result."""
        return self._active or self._always_wanted

    @active.setter
    def active(self, active: bool) -> None:
        self._active = active
        if active and not self.is_up_to_date:
            self.outdated.emit()

    @property
    def _always_wanted(self) -> bool:
        """Whether the result is wanted without anybody asking for it."""
        return False

    # Result

    @property
    def found(self) -> Found | None:
        """What was last found to the end, over the spots that are analysed alone."""
        return self._shown.found if self._shown is not None else None

    @property
    def result(self) -> Found | None:
        """What was last found to the end, over all spots."""
        return self._shown.result if self._shown is not None else None

    @property
    def shown(self) -> Outcome[Chosen, Found] | None:
        """The last finished outcome, with the request that says what it belongs to."""
        return self._shown

    @property
    def is_up_to_date(self) -> bool:
        """Whether the result belongs to section and recipe, from the canonical start."""
        shown, wanted = self._shown, self._wanted()
        return (
            shown is not None
            and wanted is not None
            and shown.request.start is None
            and shown.request.asks_same(wanted)
        )

    def _wanted(self) -> Request[Chosen, Found] | None:
        study = self.study
        if study.section is None:
            return None
        return Request(
            next(self._numbers),
            study.section,
            study.recipe.graph,
            study.region_labels,
            self.settings,
            study.recipe.quality,
            self._reference,
        )

    @property
    def _reference(self) -> Reference | None:
        return self.study.reference if self.needs_reference else None

    def request(self, *, settled: bool) -> Request[Chosen, Found] | None:
        """Return what has to be computed now; None while there is nothing to work on.

        Parameters
        ----------
        settled
            True for the canonical start, after which the same settings give the same numbers
            bit for bit; False to start from what is on screen, which is quicker.
        """
        wanted = self._wanted() if self.active else None
        shown = self._shown
        if wanted is None or settled or shown is None or shown.request.quality != wanted.quality:
            return wanted
        return replace(wanted, start=shown.found)

    def run(
        self,
        request: Request[Chosen, Found],
        *,
        cancelled: Callable[[], bool] | None = None,
        tell: Callable[[Any], None] | None = None,
    ) -> Outcome[Chosen, Found]:
        """Find the result of a request; a second caller waits for the first.

        Parameters
        ----------
        request
            What to compute.
        cancelled
            Asked between and within the steps; returning True stops the work.
        tell
            Told about `Progress` and unfinished outcomes.

        Raises
        ------
        Cancelled
            If `cancelled` returned True.
        InputError
            If data or settings cannot be used.
        """
        with self._running:
            study, quality = self.study, request.quality
            kept = study.quality_steps.kept_spots(request.section, quality, Context(cancelled))

            def over_all(outcome: Outcome[Chosen, Found]) -> Outcome[Chosen, Found]:
                if kept.are_all:
                    return outcome
                found = outcome.result
                whole = self.over_all(found, kept)
                return replace(outcome, request=request, result=whole, of_analysed=found)

            def heard(news: Any) -> None:
                if tell is not None:
                    tell(over_all(news) if isinstance(news, Outcome) else news)

            context = Context(cancelled, None if tell is None else heard)
            context.look_up()
            analysed = self.among(request, kept)
            if self.needs_graph:
                graph = find_graph(
                    analysed.section,
                    analysed.labels,
                    analysed.graph_settings,
                    context,
                    study.graph_steps,
                )
                context.look_up()
                analysed = replace(analysed, graph=graph)
            restored = self._restored(request, analysed, context)
            if restored is not None:
                return over_all(Outcome(analysed, restored, is_kept=True))
            return over_all(Outcome(analysed, self.compute(analysed, context)))

    def _restored(
        self,
        request: Request[Chosen, Found],
        analysed: Request[Chosen, Found],
        context: Context,
    ) -> Found | None:
        kept = None if request.start is not None else self._kept_for(request)
        if kept is None:
            return None
        try:
            return self.restore_from(kept, analysed, context)
        except Cancelled:
            raise
        except Exception as fault:  # the file was written over by anything
            warnings.warn(
                f"What {request.section.name} has kept of {self.name} cannot be read ({fault}): "
                "it is found anew.",
                stacklevel=2,
            )
            return None

    def _kept_for(self, request: Request[Chosen, Found]) -> Any:
        return self.study.kept(
            self.name,
            self.decided(request),
            request.graph_settings,
            request.labels,
            request.reference,
            request.quality,
        )

    @property
    def has_kept(self) -> bool:
        """Whether a file has kept the result that is wanted."""
        wanted = self._wanted()
        return wanted is not None and self._kept_for(wanted) is not None

    def accept(self, outcome: Outcome[Chosen, Found]) -> bool:
        """Take over what a run found, unless it is older than what is shown or was shown.

        An unfinished outcome is announced, but the last finished one stays the result:
        `restore` brings it back.

        Returns
        -------
        bool
            Whether the outcome was taken over.
        """
        request = outcome.request
        gone = request.section is not self.study.section
        if gone or request.reference is not self._reference:
            return False
        if self._shown is not None and request.number < self._shown.request.number:
            return False
        if outcome.finished:
            self._shown = outcome
        self.result_changed.emit(outcome.result)
        return True

    def restore(self) -> None:
        """Announce the last finished result again, after an unfinished one."""
        self.result_changed.emit(self.result)

    def update(self) -> None:
        """Bring graph and result up to date now, from the canonical start.

        Raises
        ------
        InputError
            If no section is open, or data or settings cannot be used.
        """
        if self.study.section is None:
            raise InputError(
                "No section is open", where=self.name, remedy="Open a section in the study first"
            )
        graph = self.study.analyses[GRAPH]
        if graph is not self:
            graph.update()
        self._active = True
        if not self.is_up_to_date:
            request = self.request(settled=True) or self._wanted()
            assert request is not None
            self.accept(self.run(request))  # which tells what is missing

    def drop(self) -> None:
        """Let the result go."""
        if self._shown is not None:
            self._shown = None
            self.result_changed.emit(None)

    def _on_section_changed(self, section: Section | None) -> None:
        # Whoever wants a result for a new section asks for it.
        self._shown, self._active = self.study.brought(self.name)
        self.result_changed.emit(self.result)
