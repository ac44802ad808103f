"""Time from a slider to colours and to the frame drawn, in the real window.

Run under a display (or Xvfb): python benchmarks/live_preview.py [--section FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QCoreApplication, QEventLoop, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qtpy.QtWidgets import QSlider

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.widgets.preview import Preview
    from napari_smoother.widgets.session import Session
from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_large
from napari_smoother.widgets import opening
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.impute_page import ImputePage
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.waiting import pause
from napari_smoother.widgets.window import new_window

TISSUE = Path(__file__).resolve().parents[2] / "shared" / "data"
LAMBDAS = (0.01, 0.1, 1.0, 10.0, 100.0)
STEP = 5
"""Thousandths of the slider's way: 7 % of lambda."""

DRAG_SECONDS = 4.0
MOVES = 9
"""Steps of the slider at each lambda; the first warms caches and is left out."""


@dataclass(frozen=True)
class Move:
    """One step of the slider."""

    solve: float
    colours: float
    frame: float
    residual: float


@dataclass(frozen=True)
class Drag:
    """What a hand sees that drags the slider without a pause."""

    optima: float
    frames: float
    wait: float


def spin(condition: Callable[[], bool], patience: float = 300.0) -> None:
    """Let the window work until a condition holds; between events the main thread sleeps."""
    deadline = time.monotonic() + patience
    alarm = QTimer()
    alarm.start(20)  # so that a condition no event announces is looked at, too
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


def idle(session: Session, drawn: list[float]) -> None:
    """Wait until nothing is computed, and no frame has been drawn for a while."""
    spin(lambda: session.is_at_rest)
    quiet_since = time.perf_counter()
    spin(lambda: time.perf_counter() - max([quiet_since, *drawn[-1:]]) > 0.1)


def measure(n_spots: int, n_types: int, n_genes: int) -> tuple[dict[float, list[Move]], Drag]:
    """Move the slider of lambda in the real window, step by step and then all the way."""
    viewer, dock = new_window()
    session = dock.session
    sample = simulate_large(n_spots, n_types=n_types, n_genes=n_genes)
    session.study.open(sample.section)
    session.study.set_reference(Reference.from_cells(sample.reference, "cell_type", "cells"))
    spin(lambda: session.study.composition is not None and session.is_at_rest)
    page = dock.turn_to(DeconvolvePage)
    session.scene.show_type(session.study.composition.types[0])
    drawn: list[float] = []
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(lambda event: drawn.append(time.perf_counter()), position="last")
    coloured: list[tuple[float, Composition]] = []

    # Connected last: the layer has its colours by the time this is called.
    @session.study.composition_changed.connect
    def note(composition: Composition) -> None:
        if composition.converged:
            coloured.append((time.perf_counter(), composition))

    found: dict[float, list[Move]] = {}
    for lambda_ in LAMBDAS:
        place = round(1000 * page.lambda_.place_of(lambda_))
        page.lambda_.slider.setValue(place)
        moves = []
        for step in range(1, MOVES + 1):
            idle(session, drawn)
            coloured.clear()
            drawn.clear()
            start = time.perf_counter()
            page.lambda_.slider.setValue(place + STEP * step)
            spin(lambda: bool(coloured))
            at, composition = coloured[0]
            spin(lambda at=at: any(moment > at for moment in drawn))
            frame = next(moment for moment in drawn if moment > at)
            moves.append(
                Move(composition.seconds, at - start, frame - start, composition.residual)
            )
        found[lambda_] = moves[1:]

    idle(session, drawn)
    page.lambda_.slider.setValue(300)
    idle(session, drawn)
    coloured.clear()
    drawn.clear()
    start = time.perf_counter()
    place = 300
    while time.perf_counter() - start < DRAG_SECONDS:
        place += 1
        page.lambda_.slider.setValue(place)
        pause(16)
    optima = [at for at, _ in coloured]
    gaps = np.diff([start, *optima])
    drag = Drag(len(optima) / DRAG_SECONDS, len(drawn) / DRAG_SECONDS, float(gaps.max()))
    session.study.composition_changed.disconnect(note)
    idle(session, drawn)
    viewer.close()
    return found, drag


def measure_controls(n_spots: int, n_types: int, n_genes: int) -> None:
    """Report the time from a move of each live control to the colours that belong to it."""
    viewer, dock = new_window()
    session, study = dock.session, dock.session.study
    sample = simulate_large(n_spots, n_types=n_types, n_genes=n_genes)
    study.open(sample.section)
    study.set_reference(Reference.from_cells(sample.reference, "cell_type", "cells"))
    spin(lambda: study.composition is not None and session.is_at_rest, 1200)
    seen: list[float] = []
    awaited: list[tuple[Preview, object]] = []  # with the outcome that it showed before

    def note(news: object) -> None:
        if any(preview.analysis.shown is not before for preview, before in awaited):
            seen.append(time.perf_counter())

    session.scene.key_changed.connect(note)
    study.graph_changed.connect(note)
    print(f"\n### Every live control, {n_spots:,} spots\n")
    print("| control | to colours, ms | worst |")
    print("|-|-|-|")

    def move(act: Callable[[], object], preview: Preview | None) -> float:
        spin(lambda: session.is_at_rest, 1200)
        pause(300)  # frames that were asked for are drawn
        seen.clear()
        awaited[:] = [] if preview is None else [(preview, preview.analysis.shown)]
        start = time.perf_counter()
        act()
        if preview is None:
            return time.perf_counter() - start
        # The first optimum, from a warm start; at rest it is solved from the canonical one.
        spin(lambda: bool(seen) and preview.analysis.is_up_to_date, 1200)
        return seen[0] - start

    def measure_moves(
        name: str, act: Callable[[Any], object], values: Iterable[Any], preview: Preview | None
    ) -> None:
        seconds = [move(lambda value=value: act(value), preview) for value in values]
        seconds = seconds[1:]  # the first warms caches
        print(f"| {name} | {1e3 * np.median(seconds):.0f} | {1e3 * np.max(seconds):.0f} |")

    def slide(slider: QSlider, name: str, preview: Preview) -> None:
        measure_moves(name, slider.setValue, range(500, 620, 20), preview)

    page = dock.turn_to(DeconvolvePage)
    session.scene.show_type(study.composition.types[0])
    slide(page.lambda_.slider, "λ of the composition", session.preview)
    slide(page.rho.slider, "ρ of the composition", session.preview)
    centre, width = sample.section.positions.mean(axis=0), np.ptp(sample.section.positions, axis=0)
    corners = centre + 0.2 * width * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    regions = study.regions.with_class(RegionClass("core", (1.0, 0.5, 0.0)))
    study.regions = regions.with_shapes([RegionShape("core", corners)])
    slide(page.connectivity.slider, "what crosses a border", session.preview)
    graph = dock.turn_to(GraphPage)
    neighbours = (7, 8, 7, 8)
    measure_moves(
        "neighbours of the graph", graph.neighbours.setValue, neighbours, session.connecting
    )
    reduce = dock.turn_to(ReducePage)
    spin(lambda: session.is_at_rest, 1200)
    slide(reduce.lambda_.slider, "λ of the components", session.reduction)
    impute = dock.turn_to(ImputePage)
    impute.gene.choose(str(sample.section.adata.var_names[3]))
    spin(lambda: session.is_at_rest, 1200)
    slide(impute.lambda_.slider, "λ of a gene", impute.preview)
    data = dock.turn_to(DataPage)
    data.name.choose(str(sample.section.adata.var_names[4]))
    limits = [(1.0, high) for high in (99.0, 98.0, 97.0, 96.0)]
    measure_moves("contrast", data.percentiles.setValue, limits, None)
    measure_moves("size of spots", data.size.slider.setValue, (300, 320, 340, 360), None)
    genes = list(map(str, sample.section.adata.var_names[10:14]))
    measure_moves("another gene", data.name.choose, genes, None)
    session.may_close = lambda window: True
    viewer.close()


def report(n_spots: int, n_types: int, found: dict[float, list[Move]], drag: Drag) -> None:
    print(f"\n### {n_spots:,} spots, {n_types} types\n")
    print("| λ | solve, ms | to colours, ms | to the frame, ms | worst residual |")
    print("|-|-|-|-|-|")
    for lambda_, moves in found.items():
        cells = [
            f"{1e3 * np.median(values):.0f} ({1e3 * np.max(values):.0f})"
            for values in (
                [move.solve for move in moves],
                [move.colours for move in moves],
                [move.frame for move in moves],
            )
        ]
        worst = max(move.residual for move in moves)
        print(f"| {lambda_:g} | {' | '.join(cells)} | {worst:.0e} |")
    print(
        f"\nDragged for {DRAG_SECONDS:g} s, a change every 16 ms: {drag.optima:.1f} optima and "
        f"{drag.frames:.1f} frames a second, longest wait between optima {drag.wait:.2f} s"
    )


def open_section(path: Path) -> tuple[float, float]:
    """Return seconds to the section on screen, first and second time."""
    times = []
    for _ in range(2):
        viewer, dock = new_window()
        for _ in range(20):
            QCoreApplication.processEvents()
        drawn: list[float] = []
        canvas = viewer.window._qt_viewer.canvas._scene_canvas
        canvas.events.draw.connect(lambda event, drawn=drawn: drawn.append(time.perf_counter()))
        session = dock.session
        opened: list[float] = []
        # Noted as it happens: the picture may be drawn before this loop looks again.
        session.study.section_changed.connect(
            lambda section, opened=opened: opened.append(time.perf_counter())
        )
        start = time.perf_counter()
        opening.open_path(session, path)
        spin(lambda drawn=drawn, opened=opened: bool(opened) and drawn[-1:] > opened[:1])
        times.append(next(moment for moment in drawn if moment > opened[0]) - start)
        spin(lambda session=session: session.preview.is_at_rest)
        viewer.close()
    return times[0], times[1]


def import_time() -> tuple[float, list[str]]:
    """Return the seconds of `import napari_smoother`, and heavy modules that came with it."""
    code = (
        "import sys, time; start = time.perf_counter(); import napari_smoother; "
        "print(time.perf_counter() - start, *(set(sys.modules) & {'napari', 'torch', 'qtpy'}))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    words = [run.stdout.split() for run in runs]
    return min(float(word[0]) for word in words), words[0][1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--section", type=Path, default=TISSUE / "visium_mouse_placenta")
    parser.add_argument("--sizes", type=int, nargs="*", default=[4096, 50_000])
    parser.add_argument("--controls", type=int, nargs="*", default=[4096, 50_000, 300_000])
    chosen = parser.parse_args()
    seconds, heavy = import_time()
    print(f"import napari_smoother: {seconds:.3f} s, heavy modules: {heavy or 'none'}")
    if chosen.section.exists():
        first, second = open_section(chosen.section)
        name = chosen.section.name
        print(f"opening {name} to the first picture: {first:.2f} s, again {second:.2f} s")
    print("\nEach figure is the median of the moves of the slider, the worst in brackets.")
    for n_spots in chosen.sizes:
        report(n_spots, 20, *measure(n_spots, 20, 1000))
    for n_spots in chosen.controls:
        measure_controls(n_spots, 20, 500)


if __name__ == "__main__":
    main()
