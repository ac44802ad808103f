"""One viewer's study, with the layers and the thread that belong to it."""

from __future__ import annotations

import warnings
import weakref
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QEvent, QObject, Signal

from napari_smoother.analyses.context import Context
from napari_smoother.errors import Cancelled
from napari_smoother.layers.embedding_map import EmbeddingMap
from napari_smoother.layers.plain_text import as_text
from napari_smoother.layers.quality_map import QualityMap
from napari_smoother.layers.scene import Scene
from napari_smoother.layers.spot_highlight import SpotHighlight
from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.study.imported_outlines import ImportedOutlines
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.study import Study
from napari_smoother.study.umap import Umap
from napari_smoother.widgets.notices import tell_error, tell_warning
from napari_smoother.widgets.preview import Preview, Status
from napari_smoother.widgets.runner import Runner, wait_for_shut_down
from napari_smoother.widgets.under_way import UnderWay
from napari_smoother.widgets.waiting import wait_while

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from napari_smoother.analyses.context import Progress
    from napari_smoother.layers.analysis_map import AnalysisMap
    from napari_smoother.study.analysis import Analysis

Loaded = TypeVar("Loaded")

_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: Viewer) -> Session:
    """Return the session of a viewer, begun on first use."""
    session = open_session(viewer)
    if session is None:
        session = _sessions[_itself(viewer)] = Session(viewer)
    return session


def open_session(viewer: Viewer) -> Session | None:
    """Return the session of a viewer, if one has begun and has not ended."""
    session = _sessions.get(_itself(viewer))
    return None if session is None or session.is_closed else session


def _itself(viewer: Viewer) -> Viewer:
    """Return a viewer: npe2 hands widgets a proxy, which lives only as long as the call."""
    return getattr(viewer, "__wrapped__", viewer)


class Session(QObject):
    """What the pages of one viewer share.

    Parameters
    ----------
    viewer
        Where to show the study.

    Attributes
    ----------
    busy_changed
        Emitted with a description of the work that began, or "" when none is left.
    status_changed
        Emitted with the `Status` of the map that is in front.
    dropped
        Emitted with what a file is for that was dropped on the window.
    closing
        Emitted when everything has to stop, as the window closes.
    connecting, preview
        What keeps graph and composition up to date.
    may_close
        Asked with the window before it closes.
    analyses
        What keeps each analysis up to date, these two among them, by its name.
    loader
        Reads and writes files.
    under_way
        What is being done, for the status line.
    outlines
        Adds outlines from files to the regions.
    highlight
        The spots that are brought out of the map.
    """

    busy_changed = Signal(str)
    status_changed = Signal(object)
    dropped = Signal(str)
    closing = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self.study = Study()
        self.study.remarked.connect(tell_warning)
        self.scene = Scene(viewer, self.study)
        self.outlines = ImportedOutlines(self.study)
        self.loader = Runner(self)
        self.under_way = UnderWay(self)
        self.under_way.watch(self.loader)
        self.analyses: dict[str, Preview] = {}
        self.quality = self.add_analysis(self.study.quality_analysis, QualityMap)
        self.connecting = self.keep_up_to_date(self.study.graph_analysis)
        self.preview = self.keep_up_to_date(self.study.composition_analysis)
        self.reduction = self.add_analysis(Reduction(self.study), EmbeddingMap)
        self.autoencoder = self.add_analysis(Autoencoder(self.study), EmbeddingMap)
        self.umap = self.keep_up_to_date(Umap(self.study))
        self.highlight = SpotHighlight(self.scene)
        self.scene.stage_changed.connect(self._bring_forward)
        self._bring_forward(self.scene.stage)
        self.is_closed = False
        self._is_asking = False
        self.may_close: Callable[[QWidget], bool] = lambda window: True
        viewer.tooltip.events.text.connect(_show_as_text)
        viewer.bind_key("Escape", lambda viewer: self.highlight.clear(), overwrite=True)
        self._windows: weakref.WeakSet[QWidget] = weakref.WeakSet()
        self.loader.returned.connect(self._on_loaded)
        self.loader.failed.connect(tell_error)
        self.loader.idle.connect(self._on_loader_idle)
        self._uses: dict[int, Callable[[Any], None]] = {}
        self._numbers = count()
        self.scene.open_shown()

    def add_analysis(
        self,
        analysis: Analysis[Any, Any],
        show_in: Callable[[Scene, Any], AnalysisMap[Any]],
    ) -> Preview:
        """Keep an analysis up to date, and show its result in a map of its own.

        Parameters
        ----------
        analysis
            Of this session's study.
        show_in
            The kind of map.
        """
        show_in(self.scene, analysis)
        return self.keep_up_to_date(analysis)

    def keep_up_to_date(self, analysis: Analysis[Any, Any]) -> Preview:
        """Keep an analysis of this session's study up to date that has no map of its own."""
        preview = Preview(analysis, self)
        preview.status_changed.connect(self._tell_status)
        self.under_way.watch(preview.runner, preview.cancel)
        self.analyses[analysis.name] = preview
        return preview

    @property
    def front(self) -> Preview:
        """What keeps the map up to date that is in front."""
        if self.scene.stage in self.scene.maps:
            return self.analyses[self.scene.stage]
        return self.preview if self.study.reference is not None else self.connecting

    @property
    def status(self) -> Status:
        """What is on screen, in a few words."""
        return self.front.status

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being read or computed, or about to be."""
        at_rest = all(preview.is_at_rest for preview in self.analyses.values())
        return not self.is_loading and at_rest

    @property
    def viewer(self) -> Viewer | None:
        """The viewer, if it is still open."""
        return self._viewer()

    @property
    def window(self) -> QWidget | None:
        """The window that the session is in, once it was shown."""
        return next(iter(self._windows), None)

    @property
    def is_loading(self) -> bool:
        """Whether a file is being read."""
        return self.loader.is_busy

    def load(
        self,
        read: Callable[[Callable[[], bool]], Any],
        use: Callable[[Any], None],
        description: str,
    ) -> None:
        """Read something in a thread, then use it in the main thread.

        What is open stays open until `use` takes its place; an error in either is told.

        Parameters
        ----------
        read
            Called with ``cancelled()`` in the thread; it holds nothing of Qt.
        use
            Called with what was read.
        description
            For the activity dock and the status line.
        """
        self.load_telling(lambda context: read(context.asked), use, description)

    def load_telling(
        self,
        read: Callable[[Context], Any],
        use: Callable[[Any], None],
        description: str,
    ) -> None:
        """Do as `load` does with what tells how far it is; the status line shows it.

        Parameters
        ----------
        read
            Called with a context in the thread; it holds nothing of Qt.
        use
            Called with what was read.
        description
            For the activity dock and the status line.
        """
        number = next(self._numbers)
        self._uses[number] = use

        def work(
            cancelled: Callable[[], bool], report: Callable[[Progress], None]
        ) -> tuple[int, Any, list[str]]:
            return number, *heard(lambda asked: read(Context(asked, report)), cancelled)

        self.loader.submit(work, description)
        self.busy_changed.emit(description)

    def wait_for(self, work: Callable[[Callable[[], bool]], Loaded], description: str) -> Loaded:
        """Do something in the thread, and return what it found; the window works on meanwhile.

        Parameters
        ----------
        work
            Called with ``cancelled()`` in the thread; it holds nothing of Qt.
        description
            For the activity dock and the status line.

        Raises
        ------
        Cancelled
            If it was cancelled, or the window was closed.
        """
        found: list[Loaded] = []
        errors: list[Exception] = []

        def attempt(cancelled: Callable[[], bool]) -> list[Loaded]:
            try:
                return [work(cancelled)]
            except Cancelled:
                raise
            except Exception as error:
                errors.append(error)  # for the caller, who tells it
                return []

        self.load(attempt, found.extend, description)
        wait_while(lambda: self.is_loading)
        if errors:
            raise errors[0]
        if not found:
            raise Cancelled(f"{description} was cancelled")
        return found[0]

    def cancel(self) -> None:
        """Stop reading, and computing the map that is in front."""
        self.loader.cancel()
        self.connecting.cancel()
        self.front.cancel()

    def shut_down(self) -> None:
        """Stop everything, as the window closes."""
        if not self.is_closed:
            self.is_closed = True
            self.closing.emit()
            self.loader.shut_down()
            self._uses.clear()
            for preview in self.analyses.values():
                preview.shut_down()
            wait_for_shut_down()

    def follow_window(self, window: QWidget) -> bool:
        """Shut down when a window is closed, while everything in it is still there.

        Returns
        -------
        bool
            Whether it was not followed before.
        """
        if window in self._windows:
            return False
        self._windows.add(window)
        window.installEventFilter(self)
        return True

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """See the window being closed; minimising it is spontaneous, closing it is not.

        One that was never shown is not hidden either, and may be deleted as soon as it is closed.
        """
        if event.type() == QEvent.Type.Close and self._is_asked_for(watched):
            self._is_asking = True
            may_close = self.may_close(watched)
            self._is_asking = False
            if not may_close:
                event.ignore()
                return True
        hidden = event.type() == QEvent.Type.Hide and not event.spontaneous()
        if hidden or (event.type() == QEvent.Type.Close and not watched.isVisible()):
            self.shut_down()
        return False

    @property
    def has_canvas(self) -> bool:
        """Whether the canvas is still there: it is the first to go when a window closes."""
        canvases = [getattr(window, "_qt_viewer", None) for window in self._windows]
        return not self.is_closed and any(c is not None and c.isVisible() for c in canvases)

    def _is_asked_for(self, window: Any) -> bool:
        """Whether a user closes a window; a script that does has taken the canvas away before."""
        canvas = getattr(window, "_qt_viewer", None)
        open_yet = canvas is not None and canvas.isVisible()
        return open_yet and not self.is_closed and not self._is_asking

    def _bring_forward(self, stage: str) -> None:
        front = stage if stage in self.scene.maps else self.study.composition_analysis.name
        for name, preview in self.analyses.items():
            preview.in_front = name in (front, self.study.graph_analysis.name)
        self._tell_status()

    def _tell_status(self) -> None:
        self.status_changed.emit(self.status)

    def _on_loaded(self, loaded: tuple[int, Any, list[str]]) -> None:
        number, value, remarks = loaded
        use = self._uses.pop(number)
        try:
            use(value)
        except Exception as error:
            tell_error(error)
        for remark in remarks:  # last, so that they lie on top
            tell_warning(remark)

    def _on_loader_idle(self) -> None:
        self._uses.clear()  # of what was cancelled, or failed
        self.busy_changed.emit("")


def _show_as_text(event: Any) -> None:
    """Show what is under the pointer as it is, also where napari shows it in a tooltip."""
    tooltip = event.source
    text = as_text(tooltip.text)
    if text != tooltip.text:
        tooltip.text = text


def heard(
    read: Callable[[Callable[[], bool]], Any], cancelled: Callable[[], bool]
) -> tuple[Any, list[str]]:
    """Read something, and collect what its reader had to remark."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        value = read(cancelled)
    remarks = []
    for warning in caught:
        if warning.category is UserWarning:
            remarks.append(str(warning.message))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return value, remarks
