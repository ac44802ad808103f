"""What napari's own menus call: reading a section, opening a sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari

from napari_smoother.errors import Cancelled
from napari_smoother.io.opening import SeveralLibraries, is_section, open_section
from napari_smoother.layers import tissue
from napari_smoother.layers.scene import REFERENCE
from napari_smoother.widgets import opening
from napari_smoother.widgets.attached_window import attach
from napari_smoother.widgets.dock import SmootherDock
from napari_smoother.widgets.session import Loaded, open_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section

LayerData = tuple[Any, ...]
DOCK = "Smoother"
NO_LAYERS: list[LayerData] = [(None,)]
"""npe2's sign for a file that was read and has no layers."""


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of a section, or None for anything else."""
    if isinstance(path, list) or not is_section(path):
        return None
    return read


def read(path: str) -> list[LayerData]:
    """Read a section: its image, and its spots with the columns of obs as features.

    Where a page of ours is open, the section becomes the one it works on.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    viewer, library = napari.current_viewer(), None
    while True:
        try:
            return layers_of(_opened(Path(path), viewer, library))
        except SeveralLibraries as several:
            if viewer is None:
                raise
            library = opening.ask_for_library(Path(path), several.libraries)
            if library is None:
                return NO_LAYERS
        except Cancelled:
            return NO_LAYERS


def cortex_sample() -> list[LayerData]:
    """Simulate the cortex."""
    return _sample("layered cortex")


def tumour_sample() -> list[LayerData]:
    """Simulate the tumour."""
    return _sample("tumour")


def show_dock(viewer: napari.Viewer) -> SmootherDock:
    """Return the dock of a viewer, added at the right on first call."""
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, SmootherDock):
            return widget
    dock = SmootherDock(viewer)
    viewer.window.add_dock_widget(dock, name=DOCK, area="right")
    attach(dock.session, dock.window())  # it may be closed before it is shown
    return dock


def layers_of(section: Section, reference: Reference | None = None) -> list[LayerData]:
    """Return image and spots as napari layer data, with what a page needs to work on them."""
    made = [tissue.section_layer(section, name) for name in (tissue.IMAGE, tissue.SPOTS)]
    layers = [layer for layer in made if layer is not None]
    if reference is not None:
        layers[-1].metadata[REFERENCE] = reference
    return [layer.as_layer_data_tuple() for layer in layers]


def _opened(path: Path, viewer: napari.Viewer | None, library: str | None) -> Section:
    def read(cancelled: Callable[[], bool]) -> Section:
        return open_section(path, library=library, cancelled=cancelled)

    return _beside(viewer, read, f"opening {path.name}")


def _sample(name: str) -> list[LayerData]:
    simulated = _beside(
        napari.current_viewer(), lambda cancelled: opening.simulated(name), f"simulating {name}"
    )
    return layers_of(*simulated)


def _beside(
    viewer: napari.Viewer | None, work: Callable[[Callable[[], bool]], Loaded], description: str
) -> Loaded:
    """Do something, in a thread beside the window where one of our pages is open in it."""
    session = None if viewer is None else open_session(viewer)
    return work(lambda: False) if session is None else session.wait_for(work, description)
