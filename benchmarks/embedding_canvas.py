"""Time of a frame of a scatter of 300,000 points: three ways of drawing it.

Run under a display (or Xvfb): python benchmarks/embedding_canvas.py [POINTS]

The window draws points as pixels (`napari_smoother.widgets.point_raster`). The others are what it
was chosen over: markers of vispy, which napari draws with, and the scatter of pyqtgraph, which is
left out where it is not installed.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_smoother.widgets.scatter_canvas import ScatterCanvas

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 600, 500
CLUSTERS = 20
POINT = 3
"""Pixels of a point, for those that are told."""

Acts = dict[str, "Callable[[int], None]"]


def milliseconds(act: Callable[[int], None], times: int = 5) -> float:
    """Return the median time of something that draws a frame, after one that does not count."""
    act(0)
    taken = []
    for number in range(1, times + 1):
        began = time.perf_counter()
        act(number)
        taken.append(time.perf_counter() - began)
    return 1000 * float(np.median(taken))


def as_pixels(points: np.ndarray, colours: list[np.ndarray]) -> Acts:
    canvas = ScatterCanvas()
    canvas.resize(WIDTH, HEIGHT)
    canvas.show()
    canvas.show_points(points, ("across", "up"))

    def recolour(number: int) -> None:
        canvas.show_colours(colours[number % 2])
        canvas.repaint()

    def move(number: int) -> None:
        canvas._look_at(canvas._frame.moved(3, 1))
        canvas.repaint()

    def zoom(number: int) -> None:
        canvas._look_at(canvas._frame.zoomed(1.05, WIDTH / 2, HEIGHT / 2))
        canvas.repaint()

    return {"recolour": recolour, "move": move, "zoom": zoom}


def by_vispy(points: np.ndarray, colours: list[np.ndarray]) -> Acts:
    from vispy import scene

    canvas = scene.SceneCanvas(size=(WIDTH, HEIGHT), show=True)
    view = canvas.central_widget.add_view()
    view.camera = scene.PanZoomCamera()
    markers = scene.visuals.Markers(parent=view.scene)

    def recolour(number: int) -> None:
        colour = colours[number % 2]
        markers.set_data(points, face_color=colour, edge_width=0, size=POINT)
        canvas.render()

    recolour(0)
    view.camera.set_range()

    def move(number: int) -> None:
        view.camera.pan((0.1, 0.0))
        canvas.render()

    def zoom(number: int) -> None:
        view.camera.zoom(0.95)
        canvas.render()

    return {"recolour": recolour, "move": move, "zoom": zoom}


def by_pyqtgraph(points: np.ndarray, colours: list[np.ndarray]) -> Acts:
    import pyqtgraph

    plot = pyqtgraph.PlotWidget()
    plot.resize(WIDTH, HEIGHT)
    plot.show()
    scatter = pyqtgraph.ScatterPlotItem(x=points[:, 0], y=points[:, 1], size=POINT, pen=None)
    plot.addItem(scatter)

    def frame() -> None:
        QApplication.processEvents()
        plot.viewport().repaint()

    def recolour(number: int) -> None:
        # Of classes: one brush for all points of a colour, which is the quick way.
        which, places = np.unique(colours[number % 2], axis=0, return_inverse=True)
        brushes = [pyqtgraph.mkBrush(*(255 * colour).astype(int).tolist()) for colour in which]
        scatter.setBrush([brushes[place] for place in places.ravel()])
        frame()

    def move(number: int) -> None:
        plot.getViewBox().translateBy(x=0.1)
        frame()

    def zoom(number: int) -> None:
        plot.getViewBox().scaleBy((0.95, 0.95))
        frame()

    return {"recolour": recolour, "move": move, "zoom": zoom}


def main() -> None:
    n_points = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    app: Any = QApplication.instance() or QApplication([])
    random = np.random.default_rng(0)
    which = random.integers(CLUSTERS, size=n_points)
    points = 5 * random.normal(size=(CLUSTERS, 2))[which] + random.normal(size=(n_points, 2))
    palettes = [np.c_[random.random((CLUSTERS, 3)), np.ones(CLUSTERS)] for _ in range(2)]
    colours = [palette[which] for palette in palettes]
    print(f"{n_points:,} points, {WIDTH} x {HEIGHT} pixels, milliseconds to a drawn frame\n")
    print("| | recolour | move | zoom |\n|-|-:|-:|-:|")
    for name, made in (
        ("pixels, painted by Qt (the window)", as_pixels),
        ("vispy markers", by_vispy),
        ("pyqtgraph scatter, 20 colours", by_pyqtgraph),
    ):
        try:
            acts = made(points, colours)
        except ImportError:
            print(f"| {name} | not installed | | |")
            continue
        app.processEvents()
        times = " | ".join(f"{milliseconds(act):.1f}" for act in acts.values())
        print(f"| {name} | {times} |", flush=True)


if __name__ == "__main__":
    main()
