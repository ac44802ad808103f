"""The status line tells of work that takes its time, and stops it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from napari_smoother.analyses.context import Progress
from napari_smoother.errors import Cancelled
from napari_smoother.widgets.runner import Runner
from napari_smoother.widgets.under_way import UnderWay, describe, duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


def held(gate: threading.Event, *news: Progress) -> Callable[..., str]:
    """Return work that tells its news, and lasts until the gate opens or it is stopped."""

    def work(cancelled: Callable[[], bool], report: Callable[[Progress], None]) -> str:
        for each in news:
            report(each)
            time.sleep(0.05)
        while not gate.wait(0.01):
            if cancelled():
                raise Cancelled
        return "done"

    return work


def test_short_work_is_not_told_of(qtbot: QtBot, gate: threading.Event) -> None:
    runner, under_way = Runner(), UnderWay()
    under_way.watch(runner)
    gate.set()
    runner.submit(held(gate), "adding up")
    assert under_way.current is None
    qtbot.waitSignal(runner.idle)
    runner.shut_down()


def test_work_is_told_of_with_how_far_it_is(qtbot: QtBot, gate: threading.Event) -> None:
    runner, under_way = Runner(), UnderWay()
    under_way.watch(runner)
    runner.submit(held(gate, Progress("fitting", 0, 40), Progress("fitting", 10, 40)), "choosing")
    qtbot.waitUntil(lambda: under_way.current is runner and runner.progress is not None)
    qtbot.waitUntil(lambda: runner.progress.done == 10)
    assert describe(runner).startswith("fitting … 10 of 40, about ")
    # Ten took at least the time between the two reports, so thirty take three times that.
    assert runner.left >= 3 * 0.04
    under_way.cancel()
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert under_way.current is None
    runner.shut_down()


def test_work_of_unknown_length_says_how_long_it_has_taken(
    qtbot: QtBot, gate: threading.Event
) -> None:
    runner, under_way = Runner(), UnderWay()
    under_way.watch(runner)
    runner.submit(held(gate), "reading cells.h5ad")
    qtbot.waitUntil(lambda: under_way.current is runner)
    assert describe(runner) in {"reading cells.h5ad … 0 s", "reading cells.h5ad … 1 s"}
    gate.set()
    qtbot.waitUntil(lambda: not runner.is_busy)
    runner.shut_down()


def test_the_status_line_tells_of_choosing_and_its_cancel_stops_it(
    qtbot: QtBot, dock: SmootherDock, solved: Session, gate: threading.Event
) -> None:
    runner = Runner(solved)
    solved.under_way.watch(runner)
    assert "optimum" in dock.status.text.text()
    runner.submit(held(gate, Progress("choosing", 3, 12)), "choosing ρ and λ")
    qtbot.waitUntil(lambda: dock.status.text.text().startswith("choosing … 3 of 12"))
    assert dock.status.cancel.isEnabled()
    dock.status.cancel.click()
    qtbot.waitUntil(lambda: not runner.is_busy)
    qtbot.waitUntil(lambda: "optimum" in dock.status.text.text())
    assert not dock.status.cancel.isEnabled()


def test_the_status_line_tells_of_a_section_that_opens(
    qtbot: QtBot, dock: SmootherDock, session: Session, gate: threading.Event
) -> None:
    session.load(lambda cancelled: gate.wait(5), lambda opened: None, "opening section.h5ad")
    assert "opening section.h5ad" in dock.status.text.text()
    assert dock.status.cancel.isEnabled()
    gate.set()
    qtbot.waitUntil(lambda: session.is_at_rest)
    assert dock.status.text.text() == "no section open"


def test_durations_are_in_units_they_are_read_in() -> None:
    assert [duration(s) for s in (0.4, 89, 91, 5399, 5401)] == [
        "0 s",
        "89 s",
        "2 min",
        "90 min",
        "1.5 h",
    ]
