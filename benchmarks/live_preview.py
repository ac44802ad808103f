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
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QCoreApplication, QEventLoop, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.widgets.session import Session
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_large
from napari_smoother.widgets import opening
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
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
        start = time.perf_counter()
        opening.open_path(session, path)
        spin(lambda session=session: session.study.section is not None)
        opened = time.perf_counter()
        spin(lambda drawn=drawn, opened=opened: any(moment > opened for moment in drawn))
        times.append(next(moment for moment in drawn if moment > opened) - start)
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


if __name__ == "__main__":
    main()
