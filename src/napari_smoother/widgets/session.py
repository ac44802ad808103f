"""One viewer's study, with the layers and the thread that belong to it."""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Signal

from napari_smoother.layers.scene import Scene
from napari_smoother.models.deconv import section_fit
from napari_smoother.solvers.bounded_quadratic import warm_up
from napari_smoother.study.study import Study
from napari_smoother.widgets.notices import tell_error, tell_warning
from napari_smoother.widgets.preview import Preview
from napari_smoother.widgets.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: Viewer) -> Session:
    """Return the session of a viewer, begun on first use."""
    # npe2 hands widgets a proxy, which lives only as long as the call.
    viewer = getattr(viewer, "__wrapped__", viewer)
    session = _sessions.get(viewer)
    if session is None or session.is_closed:
        session = _sessions[viewer] = Session(viewer)
    return session


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
    closing
        Emitted when everything has to stop, as the window closes.
    """

    busy_changed = Signal(str)
    closing = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self.study = Study()
        self.scene = Scene(viewer, self.study)
        self.preview = Preview(self.study, self)
        self.is_closed = False
        self._windows: weakref.WeakSet[QWidget] = weakref.WeakSet()
        self._loader = Runner(self)
        self._loader.returned.connect(self._on_loaded)
        self._loader.failed.connect(tell_error)
        self._loader.idle.connect(self._on_loader_idle)
        self._compiler = Runner(self)
        self._compiler.failed.connect(tell_error)
        self._compiler.submit(lambda cancelled, report: warm_up())
        self._compiler.submit(lambda cancelled, report: section_fit.warm_up())

    @property
    def viewer(self) -> Viewer | None:
        """The viewer, if it is still open."""
        return self._viewer()

    @property
    def is_loading(self) -> bool:
        """Whether a file is being read."""
        return self._loader.is_busy

    def load(
        self,
        read: Callable[[Callable[[], bool]], Any],
        use: Callable[[Any], None],
        description: str,
    ) -> None:
        """Read something in a thread worker, then use it in the main thread.

        What is open stays open until `use` takes its place; an error in either is told.

        Parameters
        ----------
        read
            Called with ``cancelled()`` in the worker.
        use
            Called with what was read.
        description
            For the activity dock and the status line.
        """
        self.busy_changed.emit(description)
        self._loader.submit(lambda cancelled, report: (*_heard(read, cancelled), use), description)

    def cancel(self) -> None:
        """Stop reading and computing."""
        self._loader.cancel()
        self.preview.cancel()

    def shut_down(self) -> None:
        """Stop everything, as the window closes."""
        if not self.is_closed:
            self.is_closed = True
            self.closing.emit()
            self._loader.shut_down()
            self._compiler.shut_down(patience=0.0)  # compiling cannot be stopped
            self.preview.shut_down()

    def follow_window(self, window: QWidget) -> None:
        """Shut down when a window is closed: a hidden window is not painted into."""
        if window not in self._windows:
            self._windows.add(window)
            window.installEventFilter(self)
            window.destroyed.connect(self.shut_down)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """See the window being closed; minimising it is spontaneous, closing it is not."""
        if event.type() == QEvent.Type.Hide and not event.spontaneous():
            self.shut_down()
        return False

    def _on_loaded(self, loaded: tuple[Any, list[str], Callable[[Any], None]]) -> None:
        value, remarks, use = loaded
        for remark in remarks:
            tell_warning(remark)
        try:
            use(value)
        except Exception as error:
            tell_error(error)

    def _on_loader_idle(self) -> None:
        self.busy_changed.emit("")


def _heard(
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
