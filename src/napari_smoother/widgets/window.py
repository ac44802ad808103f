"""Whole windows: a viewer with the dock, for the command line, scripts and screenshots."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import napari

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.widgets import opening
from napari_smoother.widgets.contributions import show_dock
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.waiting import pause, wait_while

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

WINDOW_SIZE = (1600, 1000)
"""Pixels: room for the tissue between napari's controls and the dock."""


def new_window() -> tuple[napari.Viewer, SmootherDock]:
    """Open a viewer with the dock at its right, in a program of ours.

    napari collects garbage with every layer that goes. What is there by then is there for good,
    and is passed over: to look at it all takes as long as ten frames.
    """
    viewer = napari.Viewer(title="Smoother")
    viewer.window.resize(*WINDOW_SIZE)
    dock = show_dock(viewer)
    gc.freeze()
    return viewer, dock


def wait_for_rest(session: Session) -> None:
    """Let the window work as long as something is being read or computed."""
    wait_while(lambda: not session.is_at_rest)


def show(
    section: Path | None,
    reference: Path | None = None,
    cell_type: str | None = None,
    screenshot: Path | None = None,
) -> None:
    """Open the window, with a section and a reference where they are given.

    Parameters
    ----------
    section
        A Space Ranger folder or an .h5ad file.
    reference
        Single cells or a signature table.
    cell_type
        Column of the reference that holds the type.
    screenshot
        Write a picture of the window there and leave, instead of staying open.
    """
    with _open_window() as (viewer, dock):
        session = dock.session
        if section is not None:
            opening.open_path(session, section)
            if reference is not None:
                wait_for_rest(session)
                opening.open_reference(session, reference, cell_type)
        _stay_or_leave(viewer, session, screenshot)


def demonstrate(screenshot: Path | None = None) -> None:
    """Open the simulated cortex with a drawn region, and its composition.

    Raises
    ------
    RuntimeError
        If there is no composition once nothing is computed any more.
    """
    with _open_window() as (viewer, dock):
        session, study = dock.session, dock.session.study
        opening.open_sample(session, "layered cortex")
        wait_for_rest(session)
        if session.is_closed:
            return
        if study.section is None or study.composition is None:
            raise RuntimeError(f"The demonstration has no composition: {session.status.text}")
        regions = study.regions.with_class(RegionClass("lesion", (0.95, 0.45, 0.2)))
        study.regions = regions.with_shapes(
            [RegionShape("lesion", outline_around_centre(study.section.positions))]
        )
        study.boundary_connectivity = 0.0
        dock.turn_to(DeconvolvePage)
        session.scene.show_type(study.composition.types[0])
        _stay_or_leave(viewer, session, screenshot)


def outline_around_centre(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an irregular outline around the middle of the tissue, (x, y) in pixels."""
    import numpy as np

    centre = np.median(positions, axis=0)
    radius = 0.17 * np.ptp(positions, axis=0)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    wobble = 1 + 0.18 * np.sin(3 * angles) + 0.08 * np.cos(5 * angles)
    return np.asarray(
        centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius * wobble[:, None]
    )


@contextmanager
def _open_window() -> Iterator[tuple[napari.Viewer, SmootherDock]]:
    """Open a window that is closed in the end, also after an error."""
    viewer, dock = new_window()
    try:
        yield viewer, dock
    finally:
        if not dock.session.is_closed:
            viewer.close()


def _stay_or_leave(viewer: napari.Viewer, session: Session, screenshot: Path | None) -> None:
    if screenshot is None:
        napari.run()
        return
    wait_for_rest(session)
    if not session.is_closed:
        save_screenshot(viewer, screenshot)


def save_screenshot(viewer: napari.Viewer, path: Path) -> None:
    """Write a picture of the whole window, once everything in it is painted."""
    pause(800)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
