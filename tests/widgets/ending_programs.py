"""Programs that end, or lose their window, while a job runs; called by name by a test."""

from __future__ import annotations

import gc
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication

from napari_smoother.errors import Cancelled
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.widgets import opening, relay
from napari_smoother.widgets.contributions import show_dock
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.figure_page import FigurePage
from napari_smoother.widgets.runner import Runner
from napari_smoother.widgets.waiting import pause, wait_while

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

begun = threading.Event()


def polling(cancelled: Callable[[], bool], report: Callable[[Any], None]) -> None:
    """Stop when told to, and report all the time."""
    begun.set()
    while not cancelled():
        report("still here")
        time.sleep(0.001)
    raise Cancelled


def unstoppable(cancelled: Callable[[], bool], report: Callable[[Any], None]) -> None:
    """Run on for a while in Python, whatever it is told, and then report."""
    begun.set()
    ends = time.perf_counter() + 1.0
    while time.perf_counter() < ends:
        report("still here")
    report("over")


def broken(cancelled: Callable[[], bool], report: Callable[[Any], None]) -> None:
    """Raise after having been told to stop."""
    begun.set()
    while not cancelled():
        time.sleep(0.001)
    raise ValueError("of the job")


def run_one_of_each() -> list[Runner]:
    runners = []
    for work in (polling, unstoppable, broken):
        runner = Runner()
        begun.clear()
        runner.submit(work, work.__name__)
        begun.wait()
        runners.append(runner)
    return runners


def raises() -> None:
    application = QApplication(sys.argv)
    runners = run_one_of_each()
    raise ValueError(f"of the program, with {len(runners)} jobs in {application.objectName()}")


def exits() -> None:
    application = QApplication(sys.argv)
    runners = run_one_of_each()
    QTimer.singleShot(50, lambda: sys.exit(3 if runners else 4))
    application.exec_()


def comes_to_its_end() -> None:
    application = QApplication(sys.argv)
    application.runners = run_one_of_each()


def quits() -> None:
    application = QApplication(sys.argv)
    application.runners = run_one_of_each()
    QTimer.singleShot(50, application.quit)
    application.exec_()
    assert not any(runner.is_busy for runner in application.runners)


def lets_runners_go() -> None:
    """The parent of one is deleted, another is collected; their jobs have nobody left."""
    application = QApplication(sys.argv)
    parent = QObject()
    Runner(parent).submit(polling)
    Runner(parent).submit(unstoppable)
    Runner().submit(polling)
    begun.wait()
    parent.deleteLater()
    del parent
    gc.collect()
    QTimer.singleShot(2000, application.quit)
    application.exec_()


def writes_to_the_end() -> None:
    """What takes longer than closing waits is still done when the program ends."""
    relay.CLOSING_LIMIT = 0.2

    def write(cancelled: Callable[[], bool], report: Callable[[Any], None]) -> None:
        unstoppable(cancelled, report)
        print("written", flush=True)

    application = QApplication(sys.argv)
    application.runner = Runner()
    application.runner.submit(write)
    begun.wait()


def new_window(*, show: bool = True) -> tuple[napari.Viewer, SmootherDock]:
    viewer = napari.Viewer(show=show)
    return viewer, show_dock(viewer)


def close_while_loading(viewer: napari.Viewer, session: Session) -> None:
    assert session.is_loading
    viewer.close()
    assert session.is_closed
    assert session.is_at_rest


def raises_beside_a_window() -> None:
    _, dock = new_window()
    opening.open_sample(dock.session, "layered cortex")
    pause(50)
    raise ValueError("of the program")


def comes_to_its_end_beside_a_window() -> None:
    _, dock = new_window()
    opening.open_sample(dock.session, "layered cortex")
    pause(50)


def closes_a_window_never_shown() -> None:
    viewer, dock = new_window(show=False)
    opening.open_sample(dock.session, "layered cortex")
    close_while_loading(viewer, dock.session)


def closes_a_window_at_once() -> None:
    """While it still prepares its solvers, and reads."""
    for milliseconds in (0, 100):
        viewer, dock = new_window()
        opening.open_sample(dock.session, "layered cortex")
        pause(milliseconds)
        close_while_loading(viewer, dock.session)


def closes_windows_during_each_kind_of_job() -> None:
    sample = simulate_cortex(rows=20, n_genes=200, seed=3, image_size=400)
    reference = Reference.from_cells(sample.reference, "cell_type", "cells")

    def solve(dock: SmootherDock) -> Callable[[], bool]:
        dock.session.preview.solve()
        return lambda: dock.session.preview.is_busy

    def solve_slowly(dock: SmootherDock) -> Callable[[], bool]:
        study = dock.session.study
        study.deconvolution = replace(study.deconvolution, model="poisson", scale="raw")
        return lambda: dock.session.preview.is_busy

    def analyse(name: str) -> Callable[[SmootherDock], Callable[[], bool]]:
        def begin(dock: SmootherDock) -> Callable[[], bool]:
            preview = dock.session.analyses[name]
            if name == "imputed":
                gene = str(sample.section.adata.var_names[0])
                preview.analysis.settings = replace(preview.analysis.settings, gene=gene)
            preview.analysis.active = True
            preview.solve()
            return lambda: preview.is_busy

        return begin

    def choose(dock: SmootherDock) -> Callable[[], bool]:
        panel = dock.page(DeconvolvePage).choice
        panel.choose()
        return lambda: panel.runner.is_busy

    def find_range(dock: SmootherDock) -> Callable[[], bool]:
        rows = dock.page(DeconvolvePage).process_rows
        rows.process.setCurrentIndex(rows.process.findData("sma"))
        return lambda: rows.is_busy

    def draw(dock: SmootherDock) -> Callable[[], bool]:
        page = dock.turn_to(FigurePage)
        page.drawing.draw()
        return lambda: page.drawing.is_busy

    def save(dock: SmootherDock) -> Callable[[], bool]:
        opening.save_results(dock.session, Path(sys.argv[2]) / "saved.h5ad")
        return lambda: dock.session.is_loading

    kinds = (
        solve,
        solve_slowly,
        analyse("spatial_pca"),
        analyse("spatial_vae"),
        analyse("imputed"),
        choose,
        find_range,
        draw,
        save,
    )
    for begin in kinds:
        viewer, dock = new_window()
        session = dock.session
        session.study.open(sample.section)
        session.study.set_reference(reference)
        wait_while(lambda session=session: not session.is_at_rest)
        assert session.study.composition is not None
        is_busy = begin(dock)
        assert is_busy()
        pause(10)
        viewer.close()
        assert not is_busy()
        assert session.is_at_rest


if __name__ == "__main__":
    globals()[sys.argv[1]]()
