"""What napari's own menus call: reading a dropped section, opening a sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari

from napari_smoother.errors import Cancelled
from napari_smoother.io.opening import is_section, open_section
from napari_smoother.layers import tissue
from napari_smoother.layers.truth import truth_layer
from napari_smoother.widgets import opening
from napari_smoother.widgets.dock import SmootherDock
from napari_smoother.widgets.session import session_of
from napari_smoother.widgets.waiting import wait_while

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.section import Section

LayerData = tuple[Any, ...]
DOCK = "Smoother"
NO_LAYERS: list[LayerData] = [(None,)]
"""npe2's sign for a file that was read but is not added as layers by napari."""


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of a section, or None for anything else."""
    if isinstance(path, list) or not is_section(path):
        return None
    return read


def read(path: str) -> list[LayerData]:
    """Open a section in the dock of the current viewer, off the main thread.

    Without a viewer the section is read at once and returned as layers.
    """
    viewer = napari.current_viewer()
    if viewer is None:
        return layers_of(open_section(path))
    show_dock(viewer)
    opening.open_path(session_of(viewer), Path(path))
    return NO_LAYERS


def cortex_sample() -> list[LayerData]:
    """Open the simulated cortex."""
    return _sample("layered cortex")


def tumour_sample() -> list[LayerData]:
    """Open the simulated tumour."""
    return _sample("tumour")


def _sample(name: str) -> list[LayerData]:
    """Open a sample while the window goes on working.

    napari takes a sample for failed unless it gets a layer: it gets the truth, which the scene
    does not show.
    """
    viewer = napari.current_viewer()
    if viewer is None:
        return layers_of(opening.SAMPLES[name]().section)
    show_dock(viewer)
    session = session_of(viewer)
    opening.open_sample(session, name)
    wait_while(lambda: session.is_loading)
    if session.study.section is None:
        raise Cancelled("The simulation was cancelled")
    return [truth_layer(session.study.section).as_layer_data_tuple()]


def show_dock(viewer: napari.Viewer) -> SmootherDock:
    """Return the dock of a viewer, added at the right on first call."""
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, SmootherDock):
            return widget
    dock = SmootherDock(viewer)
    viewer.window.add_dock_widget(dock, name=DOCK, area="right")
    dock.session.follow_window(dock.window())  # it may be closed before it is shown
    return dock


def layers_of(section: Section) -> list[LayerData]:
    """Return image and spots as napari layer data."""
    layers = [tissue.image_layer(section, image) for image in section.images[:1]]
    spots = tissue.spot_layer(section, tissue.spot_diameter(section))
    return [layer.as_layer_data_tuple() for layer in (*layers, spots)]
