"""What the forms of all commands share: lists of features, work in a thread, and a result."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
from qtpy.compat import isalive

from napari_smoother.analyses.quantities import values_in
from napari_smoother.errors import InputError
from napari_smoother.layers import point_features, spot_map
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.runner import Runner
from napari_smoother.widgets.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import napari.viewer
    from magicgui.widgets import FunctionGui
    from napari.layers import Points

Found = TypeVar("Found")

running: set[Runner] = set()
"""What has begun and not ended."""


@contextmanager
def told() -> Iterator[None]:
    """Tell what the user can mend."""
    try:
        yield
    except InputError as error:
        tell_error(error)


def in_thread(
    viewer: napari.viewer.Viewer,
    layer: Points,
    work: Callable[[Callable[[], bool]], Found],
    use: Callable[[napari.viewer.Viewer, Points, Found], None],
    description: str,
) -> None:
    """Do something for a layer in a thread, then use what it found; an error in either is told.

    Parameters
    ----------
    viewer, layer
        Nothing is used any more once the layer is taken away, or its window closed.
    work
        Called with ``cancelled()`` in the thread; it holds nothing of Qt.
    use
        Called in the main thread with viewer, layer and what was found.
    description
        For napari's activity dock.
    """
    runner = Runner()

    def finish(found: Found) -> None:
        with told():
            if layer in viewer.layers:
                use(viewer, layer, found)

    runner.returned.connect(finish)
    runner.failed.connect(tell_error)
    runner.idle.connect(lambda: running.discard(runner))
    running.add(runner)
    runner.submit(lambda cancelled, report: work(cancelled), description)


class FeatureChoices:
    """Keeps the features that a form offers those that its layer of points has.

    Parameters
    ----------
    form
        With a parameter ``points``.
    parameter
        Offers the numeric features of that layer.
    all_chosen
        Whether all features of a layer are chosen to begin with.
    """

    def __init__(
        self, form: FunctionGui[Any, Any], parameter: str, *, all_chosen: bool = False
    ) -> None:
        self._form = weakref.ref(form)
        self._parameter = parameter
        self._all_chosen = all_chosen
        self._layer: weakref.ref[Points] | None = None
        form[parameter].choices = self._offer  # asked whenever layers come or go
        form.points.changed.connect(self._follow)
        self._follow()

    def _offer(self, widget: object = None) -> list[str]:
        """Return the features there are; without any there is nothing to begin with."""
        form = self._form()
        layer = None if form is None else form.points.value
        names = [] if layer is None else point_features.numeric_features(layer)
        if form is not None and form.call_button is not None:
            form.call_button.enabled = bool(names)
        return names

    def _follow(self) -> None:
        """Look at the layer that is chosen now, and at what is added to its features."""
        form = self._form()
        before = None if self._layer is None else self._layer()
        layer = None if form is None else form.points.value
        if form is not None and (layer is None or layer is not before):
            if before is not None:
                before.events.features.disconnect(self._list)
            if layer is not None:
                layer.events.features.connect(self._list)
            self._layer = None if layer is None else weakref.ref(layer)
            self._list()
            if self._all_chosen:
                form[self._parameter].value = self._offer()

    def _list(self) -> None:
        form = self._form()
        if form is not None and isalive(form.native):
            form[self._parameter].reset_choices()


class Result:
    """New features of points, and colours by the first of them; made in the thread.

    Parameters
    ----------
    features
        n values each, by name.

    Raises
    ------
    InputError
        If the first has too many classes.
    """

    def __init__(self, features: Mapping[str, Any]) -> None:
        self.features = features
        name, values = next(iter(features.items()))
        self.n_points = len(values)
        self.values = values_in(name, pd.Series(values))
        self.colours, self.key = point_features.coloured(self.values)


def show(viewer: napari.viewer.Viewer, layer: Points, result: Result) -> None:
    """Add the features of a result to a layer, and colour it by the first.

    Raises
    ------
    InputError
        If its points are others by now.
    """
    if len(layer.data) != result.n_points:
        raise InputError(
            f"There were {result.n_points} points, and are {len(layer.data)} now",
            where=f"layer {layer.name}",
            remedy="Run the command again",
        )
    name, *_ = point_features.add_features(layer, result.features)
    key = replace(result.key, quantity=name)
    session = open_session(viewer)
    if session is not None and session.scene.shows(layer):
        session.scene.paint(layer, result.values, result.colours, key)
    else:
        spot_map.paint(layer, result.colours, key)
        spot_map.show_quantity(viewer, f"{layer.name}: {name}")
