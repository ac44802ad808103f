"""Jobs off the main thread: in turn, the newest first, stopped, and failing."""

from __future__ import annotations

import gc
import os
import threading
import time
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from napari.utils import progress
from qtpy.QtCore import QObject

from napari_smoother.errors import Cancelled
from napari_smoother.widgets import relay
from napari_smoother.widgets.jobs import Job
from napari_smoother.widgets.relay import THREADS
from napari_smoother.widgets.runner import GRACE, LatestRunner, Runner, wait_for_shut_down

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    begun, ended = threading.Event(), threading.Event()

    def job(cancelled: Callable[[], bool], report: Callable[[object], None]) -> None:
        begun.set()
        try:
            until_told(cancelled, report)
        finally:
            ended.set()

    runner.submit(job)
    begun.wait()
    runner.shut_down()
    wait_for_shut_down()
    assert ended.is_set()
    qtbot.wait(50)
    assert not said


@pytest.fixture
def full(qtbot: QtBot) -> Iterator[threading.Event]:
    """Let no thread be free until the event is set."""
    release = threading.Event()
    begun = threading.Barrier(THREADS + 1)
    others = [Runner() for _ in range(THREADS)]
    for other in others:
        other.submit(lambda cancelled, report: begun.wait() and release.wait())
    begun.wait()
    yield release
    release.set()
    qtbot.waitUntil(lambda: not any(other.is_busy for other in others), timeout=30_000)


def test_a_job_that_has_not_begun_is_cancelled_at_once(
    qtbot: QtBot, runner: Runner, full: threading.Event
) -> None:
    said: list[str] = []
    runner.returned.connect(lambda result: said.append("returned"))
    runner.cancelled.connect(lambda: said.append("cancelled"))
    runner.idle.connect(lambda: said.append("idle"))
    runner.submit(quick(1))
    runner.cancel()
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=30_000)
    assert said == ["cancelled", "idle"]
    runner.submit(quick(2))
    full.set()
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=30_000)
    assert said == ["cancelled", "idle", "returned", "idle"]


def test_closing_waits_for_no_job_that_has_not_begun(
    runner: Runner, full: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "CLOSING_LIMIT", 3600.0)
    runner.submit(quick(1))
    runner.shut_down()
    wait_for_shut_down()
    assert not full.is_set()


def test_one_limit_holds_for_all_jobs_that_are_waited_for(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def wait(job: Job, seconds: float) -> bool:
        clock[0] += seconds
        return False

    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Job, "wait", wait)
    release = threading.Event()
    runners = [Runner() for _ in range(3)]
    for each in runners:
        each.submit(lambda cancelled, report: release.wait())
        each.shut_down()
    wait_for_shut_down()
    release.set()
    assert clock[0] == relay.CLOSING_LIMIT


def test_long_jobs_keep_no_other_waiting(qtbot: QtBot, runner: Runner) -> None:
    release = threading.Event()
    others = [Runner() for _ in range(2 * (os.cpu_count() or 1))]
    for other in others:
        other.submit(lambda cancelled, report: release.wait())
    with qtbot.waitSignal(runner.returned, timeout=30_000):
        runner.submit(quick(1))
    release.set()
    qtbot.waitUntil(lambda: not any(other.is_busy for other in others), timeout=30_000)


def test_whatever_a_job_raises_is_told(qtbot: QtBot, runner: Runner) -> None:
    def leave(cancelled: object, report: object) -> None:
        raise SystemExit(2)

    with qtbot.waitSignal(runner.failed, timeout=30_000) as failed:
        runner.submit(leave)
    assert isinstance(failed.args[0], SystemExit)


def test_a_warning_becomes_a_notification(qtbot: QtBot, runner: Runner, told: list[str]) -> None:
    with qtbot.waitSignal(runner.returned, timeout=30_000):
        runner.submit(lambda cancelled, report: warnings.warn(f"of {runner!r}", stacklevel=1))
    assert told == [f"of {runner!r}"]


def test_a_job_is_shown_in_the_activity_dock_until_it_ends(qtbot: QtBot, runner: Runner) -> None:
    def shown() -> list[str]:
        return [one.desc.rstrip(": ") for one in progress._all_instances]

    begun = threading.Event()

    def job(cancelled: Callable[[], bool], report: Callable[[object], None]) -> None:
        begun.set()
        until_told(cancelled, report)

    runner.submit(job, "at work")
    begun.wait()
    assert shown() == ["at work"]
    runner.cancel()
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=30_000)
    assert shown() == []
    runner.submit(job, "again at work")
    assert shown() == ["again at work"]
    runner.shut_down()
    assert shown() == []


def test_the_job_of_a_runner_that_is_gone_stops(qtbot: QtBot, qapp: object) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def watched(cancelled: Callable[[], bool], report: Callable[[object], None]) -> None:
        begun.set()
        try:
            until_told(cancelled, report)
        finally:
            stopped.set()

    runner = Runner()
    runner.submit(watched)
    begun.wait()
    del runner
    gc.collect()
    assert stopped.wait(30)


def test_a_job_may_tell_what_a_deleted_runner_cannot_hear(qtbot: QtBot, qapp: object) -> None:
    release = threading.Event()
    parent = QObject()
    runner = Runner(parent)
    runner.submit(lambda cancelled, report: release.wait())
    with qtbot.waitSignal(parent.destroyed, timeout=30_000):
        parent.deleteLater()
    release.set()
    listener = Runner()
    with qtbot.waitSignal(listener.returned, timeout=30_000):
        listener.submit(quick(1))
