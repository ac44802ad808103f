"""An analysis that hangs on the graph of a study: its settings, its result, and their life.

Like a study it knows nothing of windows: views listen to its signals and change its settings;
whoever owns a thread takes an `Analysis.request`, hands it to `Analysis.run` and the outcome to
`Analysis.accept`. `Analysis.update` does the same at once, for scripts.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from psygnal import Signal

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from napari_smoother.analyses.context import Progress
    from napari_smoother.section import Section
    from napari_smoother.study.results import Graph
    from napari_smoother.study.study import Study

Chosen = TypeVar("Chosen", bound=ComparedByValue)
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisRequest(Generic[Chosen, Found]):
    """Everything one run of an analysis needs, taken at one moment.

    Parameters
    ----------
    generation
        Grows with every change of settings or graph.
    section
        The open section.
    graph
        Its graph.
    settings
        Of the analysis.
    start
        A result to start from; None for the canonical start, which makes the result
        independent of what was found before.
    """

    generation: int
    section: Section
    graph: Graph
    settings: Chosen
    start: Found | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisOutcome(Generic[Chosen, Found]):
    """What a run of an analysis found.

    Parameters
    ----------
    request
        What was asked for.
    result
        What was found.
    finished
        False for a result that is still being completed.
    """

    request: AnalysisRequest[Chosen, Found]
    result: Found
    finished: bool = True


class Analysis(ABC, Generic[Chosen, Found]):
    """Settings and result of one analysis of the open section.

    Nothing is computed before `active` is set, which a page does when it is entered.

    Parameters
    ----------
    study
        Whose section and graph it is about.
    settings
        To begin with.

    Attributes
    ----------
    name : str
        Key of the result in ``study.analyses`` and in a saved file.
    work : str
        What a run does, for the status line: "solving".
    button : str
        Name of the button that asks for a run.
    follows : bool
        Whether the result follows every change; otherwise it is asked for by hand.
    settings_changed
        Emitted with the new settings.
    result_changed
        Emitted with the new result, which may be unfinished, or None when it was taken away.
    outdated
        Emitted when the result no longer belongs to settings and graph.
    """

    name: str
    work = "solving"
    button = "Solve"
    follows = True

    settings_changed = Signal(object)
    result_changed = Signal(object)
    outdated = Signal()

    def __init__(self, study: Study, settings: Chosen) -> None:
        self.study = study
        self._settings = settings
        self._shown: AnalysisOutcome[Chosen, Found] | None = None
        self._active = False
        self._generation = 0
        self._shown_generation = 0
        self._data_generation = 0
        self._running = threading.Lock()
        self._cancelled: Callable[[], bool] | None = None
        self._report: Callable[[AnalysisOutcome[Chosen, Found] | Progress], None] | None = None
        study.analyses[self.name] = self
        study.section_changed.connect(self._on_section_changed)
        study.graph_changed.connect(self._mark_outdated)

    # What each analysis fills in

    @abstractmethod
    def compute(self, request: AnalysisRequest[Chosen, Found]) -> Found:
        """Find the result; depends on the request alone. Calls `look_up` between its steps."""

    @abstractmethod
    def describe(self, result: Found) -> str:
        """Return how good a result is, in a few words."""

    @abstractmethod
    def describe_settings(self, settings: Chosen) -> str:
        """Return which settings a result belongs to, in a few words."""

    @abstractmethod
    def write(self, adata: AnnData, result: Found) -> None:
        """Put a result where scanpy users look for it."""

    @abstractmethod
    def recipe(self, settings: Chosen, result: Found) -> dict[str, Any]:
        """Return settings and report as numbers, strings, lists and dictionaries."""

    def is_optimum(self, result: Found) -> bool:
        """Whether a result is what it should be, and not merely where a solve stopped."""
        return True

    # Settings

    @property
    def settings(self) -> Chosen:
        """Everything that decides the result, apart from section and graph."""
        return self._settings

    @settings.setter
    def settings(self, settings: Chosen) -> None:
        if settings == self._settings:
            return
        self._settings = settings
        self.settings_changed.emit(settings)
        self._mark_outdated()

    @property
    def active(self) -> bool:
        """Whether anybody wants the result."""
        return self._active

    @active.setter
    def active(self, active: bool) -> None:
        self._active = active
        if active and not self.is_up_to_date:
            self.outdated.emit()

    # Result

    @property
    def result(self) -> Found | None:
        """What was last found to the end."""
        return self._shown.result if self._shown is not None else None

    @property
    def shown(self) -> AnalysisOutcome[Chosen, Found] | None:
        """The last finished outcome, with the request that says what it belongs to."""
        return self._shown

    @property
    def is_up_to_date(self) -> bool:
        """Whether the result belongs to settings and graph, from the canonical start."""
        return (
            self._shown is not None
            and self._shown_generation == self._generation
            and self._shown.request.start is None
        )

    def request(self, *, settled: bool) -> AnalysisRequest[Chosen, Found] | None:
        """Return what has to be computed now; None while there is nothing to work on.

        Parameters
        ----------
        settled
            True for the canonical start, after which the same settings give the same numbers
            bit for bit; False to start from what is on screen, which is quicker.
        """
        section, graph = self.study.section, self.study.graph
        if not self._active or section is None or graph is None:
            return None
        start = None if settled else self.result
        return AnalysisRequest(self._generation, section, graph, self._settings, start)

    def run(
        self,
        request: AnalysisRequest[Chosen, Found],
        *,
        cancelled: Callable[[], bool] | None = None,
        report: Callable[[AnalysisOutcome[Chosen, Found] | Progress], None] | None = None,
    ) -> AnalysisOutcome[Chosen, Found]:
        """Find the result of a request; a second caller waits for the first.

        Parameters
        ----------
        request
            What to compute.
        cancelled
            Asked between and within the steps; returning True stops the work.
        report
            Told about `Progress` and unfinished outcomes.

        Raises
        ------
        Cancelled
            If `cancelled` returned True.
        InputError
            If data or settings cannot be used.
        """
        with self._running:
            self._cancelled, self._report = cancelled, report
            try:
                self.look_up()
                return AnalysisOutcome(request, self.compute(request))
            finally:
                self._cancelled = self._report = None

    def is_cancelled(self) -> bool:
        """Whether the present run should stop."""
        return self._cancelled is not None and self._cancelled()

    def look_up(self) -> None:
        """Stop the present run if it was told to.

        Raises
        ------
        Cancelled
            If so.
        """
        if self.is_cancelled():
            raise Cancelled(f"{self.name} was cancelled")

    def tell(self, news: AnalysisOutcome[Chosen, Found] | Progress) -> None:
        """Report progress or an unfinished outcome of the present run."""
        if self._report is not None:
            self._report(news)

    def accept(self, outcome: AnalysisOutcome[Chosen, Found]) -> bool:
        """Take over what a run found, unless it is older than what is shown or was shown.

        An unfinished outcome is announced, but the last finished one stays the result:
        `restore` brings it back.

        Returns
        -------
        bool
            Whether the outcome was taken over.
        """
        generation = outcome.request.generation
        if generation < max(self._data_generation, self._shown_generation):
            return False
        if outcome.finished:
            self._shown, self._shown_generation = outcome, generation
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
        if self.study.graph is None or not self.study.is_up_to_date:
            self.study.update()
        self._active = True
        request = self.request(settled=True)
        assert request is not None
        self.accept(self.run(request))

    def _on_section_changed(self, section: Section | None) -> None:
        # Whoever wants a result for the new section asks for it.
        self._active = False
        self._shown = None
        self._generation += 1
        self._data_generation = self._generation
        self.result_changed.emit(None)

    def _mark_outdated(self) -> None:
        self._generation += 1
        self.outdated.emit()
