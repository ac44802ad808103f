"""Jobs off the main thread: in turn, the newest first, stopped, and failing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from napari_smoother.errors import Cancelled
from napari_smoother.widgets.runner import GIVE_WAY, GRACE, WHOLE_WAY, LatestRunner, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot


@pytest.fixture(params=[Runner, LatestRunner])
def runner(request: pytest.FixtureRequest, qapp: object) -> Iterator[Runner]:
    runner = request.param()
    yield runner
    runner.shut_down()


def quick(value: int) -> Callable[..., int]:
    def job(cancelled: Callable[[], bool], report: Callable[[object], None]) -> int:
        assert threading.current_thread() is not threading.main_thread()
        time.sleep(0.02)
        return value

    return job


def until_told(cancelled: Callable[[], bool], report: Callable[[object], None]) -> None:
    while not cancelled():
        time.sleep(0.001)
    raise Cancelled


def test_jobs_run_in_turn_or_only_the_newest(qtbot: QtBot, runner: Runner) -> None:
    results: list[int] = []
    runner.returned.connect(results.append)
    for value in range(5):
        runner.submit(quick(value))
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=30_000)
    newest_only = isinstance(runner, LatestRunner)
    assert results == ([0, 4] if newest_only else [0, 1, 2, 3, 4])


def test_slow_jobs_get_through_although_newer_ones_keep_coming(qtbot: QtBot, qapp: object) -> None:
    """As while a slider is dragged over a section that takes longer than a job is granted."""
    runner = LatestRunner()
    runner.patient = True
    results: list[int] = []
    runner.returned.connect(results.append)

    def slow(value: int) -> Callable[..., int]:
        def job(cancelled: Callable[[], bool], report: Callable[[object], None]) -> int:
            ends = time.perf_counter() + 3 * GRACE
            while time.perf_counter() < ends:
                if cancelled():
                    raise Cancelled
                time.sleep(0.002)
            return value

        return job

    for value in range(1_000):
        runner.submit(slow(value))
        qtbot.wait(10)
        if len(results) >= 3:
            break
    runner.shut_down()
    assert len(results) >= 3, "no job came to its end while newer ones kept coming"
    assert results == sorted(results)


def test_cancel_stops_the_job_and_drops_what_waits(qtbot: QtBot, runner: Runner) -> None:
    results: list[int] = []
    told: list[bool] = []
    runner.returned.connect(results.append)
    runner.cancelled.connect(lambda: told.append(True))
    runner.submit(until_told)
    runner.submit(quick(1))
    runner.cancel()
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=30_000)
    assert told == [True]
    assert not results


def test_a_failure_is_told_and_the_next_job_runs(qtbot: QtBot, runner: Runner) -> None:
    def fail(cancelled: object, report: object) -> None:
        raise ValueError("broken")

    failures: list[Exception] = []
    results: list[int] = []
    runner.failed.connect(failures.append)
    runner.returned.connect(results.append)
    runner.submit(fail)
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=30_000)
    runner.submit(quick(7))
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=30_000)
    assert [str(failure) for failure in failures] == ["broken"]
    assert results == [7]


def test_shut_down_waits_and_then_says_nothing(qtbot: QtBot, runner: Runner) -> None:
    said: list[object] = []
    runner.returned.connect(said.append)
    runner.cancelled.connect(lambda: said.append("cancelled"))
    ended = threading.Event()

    def job(cancelled: Callable[[], bool], report: Callable[[object], None]) -> None:
        try:
            until_told(cancelled, report)
        finally:
            ended.set()

    runner.submit(job)
    runner.shut_down()
    assert ended.is_set()
    qtbot.wait(50)
    assert not said


def test_what_cannot_be_stopped_may_outlive_the_window(tmp_path: Path) -> None:
    """The program ends as it should, although Qt's half of the worker is gone by then."""
    program = tmp_path / "close.py"
    program.write_text(
        "import sys, time\n"
        "from qtpy.QtCore import QTimer\n"
        "from qtpy.QtWidgets import QApplication\n"
        "from napari_smoother.widgets.runner import Runner\n"
        "app = QApplication(sys.argv)\n"
        "runner = Runner()\n"
        "runner.submit(lambda cancelled, report: time.sleep(1.5))\n"
        "def close():\n"
        "    runner.shut_down(patience=0.0)\n"
        "    app.quit()\n"
        "QTimer.singleShot(200, close)\n"
        "app.exec_()\n"
    )
    ended = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_short_jobs_are_let_go_the_whole_way(qtbot: QtBot) -> None:
    """Beside painting they would take much longer than alone; long ones would not end in time."""
    waited: list[float] = []
    runner = LatestRunner()
    under_way: Any = SimpleNamespace(done=SimpleNamespace(wait=waited.append))
    runner._current = under_way
    for patient, took in ((True, 0.0), (True, 0.01), (True, 0.3), (False, 0.01)):
        runner.patient, runner.took = patient, took
        runner.give_way()
    assert waited == [GIVE_WAY, WHOLE_WAY, GIVE_WAY, GIVE_WAY]
    waiting: Any = object()
    runner._waiting.append(waiting)
    runner.give_way()
    assert len(waited) == 4
