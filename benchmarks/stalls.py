"""How long the window stands still, and in whose code, through every job of a day.

Run under a display (or Xvfb): python benchmarks/stalls.py [--spots 50000]

While the main thread does not come back to Qt for more than 50 ms, its stack is looked at every
few milliseconds. A stall belongs to the painting of the canvas, to napari's making and slicing of
layers, or to our own slots, by the innermost frame that is one of them.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.analyses.shown import View
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_large
from napari_smoother.widgets import opening
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.impute_page import ImputePage
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.waiting import pause
from napari_smoother.widgets.window import new_window, wait_for_rest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

LIMIT = 0.05
LOOK = 0.004
OURS = f"{Path('napari_smoother')}/"
DRAWING = ("vispy/", "napari/_vispy/", "/OpenGL/")
LAYERS = ("napari/layers/", "napari/components/")


@dataclass
class Stall:
    """One time that the window stood still."""

    seconds: float = 0.0
    computing: float = 0.0
    """Seconds of it that the thread had the processor, which it shares with other programs."""
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)


class Watchdog(threading.Thread):
    """Looks at the main thread while it does not come back."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._main = threading.main_thread().ident
        self._clock = time.pthread_getcpuclockid(self._main)
        self._beat, self._worked = time.perf_counter(), time.clock_gettime(self._clock)
        self._timer = QTimer()
        self._timer.timeout.connect(self._on_beat)
        self._timer.start(2)
        self.job = ""
        self.stalls: list[tuple[str, Stall]] = []
        self._present = Stall()
        self._lock = threading.Lock()

    def _on_beat(self) -> None:
        now, worked = time.perf_counter(), time.clock_gettime(self._clock)
        with self._lock:
            gap, self._beat = now - self._beat, now
            computed, self._worked = worked - self._worked, worked
            present, self._present = self._present, Stall()
        if gap > LIMIT and present.seen:
            present.seconds, present.computing = gap, computed
            self.stalls.append((self.job, present))

    def run(self) -> None:
        while True:
            time.sleep(LOOK)
            frame = sys._current_frames().get(self._main)
            with self._lock:
                if time.perf_counter() - self._beat > LOOK and frame is not None:
                    self._present.seen[whose(frame)] += 1
            del frame  # it keeps what the main thread paints with alive


def whose(frame: FrameType | None) -> tuple[str, str]:
    """Return whose code a stack is in, and the innermost place of ours in it."""
    kind, place = "Qt and the rest", ""
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if kind == "Qt and the rest":
            if any(part in path for part in DRAWING):
                kind = "drawing"
            elif any(part in path for part in LAYERS):
                kind = "napari's layers"
            elif OURS in path and "/widgets/waiting.py" not in path:
                kind = "ours"
        if not place and OURS in path and "/widgets/waiting.py" not in path:
            place = f"{path.split(OURS)[-1]}:{frame.f_code.co_name}"
        frame = frame.f_back
    return kind, place


@contextmanager
def job(watchdog: Watchdog, name: str) -> Iterator[None]:
    watchdog.job = name
    yield
    pause(60)


def work(n_spots: int) -> Watchdog:
    """Do the jobs of a day."""
    sample = simulate_large(n_spots, n_types=20, n_genes=1000)
    reference = Reference.from_cells(sample.reference, "cell_type", "cells")
    viewer, dock = new_window()
    session, study = dock.session, dock.session.study
    pause(200)
    watchdog = Watchdog()
    watchdog.start()
    with job(watchdog, "open"):
        session.load(lambda cancelled: sample.section, study.open, "opening")
        wait_for_rest(session)
    genes = list(map(str, sample.section.adata.var_names))
    with job(watchdog, "colour by genes"):
        for gene in genes[:5]:
            session.scene.colour_by(View("gene", gene))
            pause(50)
    with job(watchdog, "size of spots"):
        for size in np.linspace(0.5, 2.0, 6):
            session.scene.resize_spots(float(size))
            pause(30)
    with job(watchdog, "graph"):
        for settings in (
            {"neighbours": 8},
            {"rule": "radius"},
            {"by_expression": True},
            {"rule": "nearest", "neighbours": 6, "by_expression": False},
        ):
            study.graph_settings = replace(study.graph_settings, **settings)
            pause(50)
        wait_for_rest(session)
    with job(watchdog, "edges"):
        session.scene.change(edges=True)
        pause(100)
        session.scene.change(edges=False)
    with job(watchdog, "reference"):
        session.load(lambda cancelled: reference, study.set_reference, "reading")
        wait_for_rest(session)
    page = dock.turn_to(DeconvolvePage)
    with job(watchdog, "drag lambda"):
        for place in range(300, 700, 8):
            page.lambda_.slider.setValue(place)
            pause(16)
        wait_for_rest(session)
    with job(watchdog, "types and maps"):
        for row in range(5):
            page.types.selectRow(row)
            pause(50)
        for name in range(page.map.count()):
            page.map.setCurrentIndex(name)
            wait_for_rest(session)
        page.map.setCurrentIndex(0)
    with job(watchdog, "draw regions"):
        centre = study.section.positions.mean(axis=0)
        width = np.ptp(study.section.positions, axis=0)
        regions = study.regions.with_class(RegionClass("core", (1.0, 0.5, 0.0)))
        for size in (0.1, 0.2, 0.3):
            corners = centre + size * width * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
            study.regions = regions.with_shapes([RegionShape("core", corners)])
            pause(50)
        wait_for_rest(session)
    with job(watchdog, "undo and redo"):
        for _ in range(4):
            study.undo()
            pause(30)
        for _ in range(4):
            study.redo()
            pause(30)
        wait_for_rest(session)
    with job(watchdog, "reduce"):
        dock.turn_to(ReducePage)
        wait_for_rest(session)
    with job(watchdog, "impute"):
        impute = dock.turn_to(ImputePage)
        impute.gene.choose(genes[3])
        wait_for_rest(session)
    with job(watchdog, "turn pages"):
        for kind in dock.kinds:
            dock.turn_to(kind)
            pause(50)
        wait_for_rest(session)
    with job(watchdog, "save"):
        opening.save_results(session, Path("/tmp") / "stalls.h5ad")
        wait_for_rest(session)
    session.may_close = lambda window: True
    viewer.close()
    return watchdog


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spots", type=int, nargs="*", default=[4096, 50_000])
    for n_spots in parser.parse_args().spots:
        watchdog = work(n_spots)
        print(f"\n### {n_spots:,} spots\n")
        print("| job | kind | longest, ms | computing, ms | most of it in |")
        print("|-|-|-|-|-|")
        worst: dict[tuple[str, str], tuple[float, float, str]] = {}
        for name, stall in watchdog.stalls:
            total = sum(stall.seen.values())
            kinds = Counter()
            places: dict[str, Counter[str]] = {}
            for (kind, place), times in stall.seen.items():
                kinds[kind] += times
                places.setdefault(kind, Counter())[place] += times
            for kind, times in kinds.items():
                share = times / total
                computing = stall.computing * share
                if computing > worst.get((name, kind), (0.0, 0.0, ""))[1]:
                    place = places[kind].most_common(1)[0][0]
                    worst[name, kind] = (stall.seconds * share, computing, place)
        for (name, kind), (seconds, computing, place) in worst.items():
            if computing > LIMIT:
                print(
                    f"| {name} | {kind} | {1e3 * seconds:.0f} | {1e3 * computing:.0f} | {place} |"
                )


if __name__ == "__main__":
    main()
