"""Work is handed over, errors come back, and threads are there for the next who asks."""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_smoother.solvers import row_blocks, waiting_threads
from napari_smoother.solvers.row_blocks import share_out


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch):
    monkeypatch.setattr(row_blocks, "THREADS", 2)


def _fill(out, first, last) -> None:
    out[first:last] += np.arange(first, last)


@pytest.mark.parametrize("items", [1, 2, 3, 1000])
def test_every_item_is_done_once(items) -> None:
    out = np.zeros(items)
    for _ in range(50):
        share_out(_fill, items, 10**9, (out,))
    np.testing.assert_array_equal(out, 50 * np.arange(items))


def test_an_error_of_either_thread_reaches_the_caller_and_work_goes_on() -> None:
    def fail(where, first, last) -> None:
        if first <= where < last:
            raise ValueError(f"at {where}")

    for where in (0, 9):
        with pytest.raises(ValueError, match=f"at {where}"):
            share_out(fail, 10, 10**9, (where,))
    out = np.zeros(10)
    share_out(_fill, 10, 10**9, (out,))
    np.testing.assert_array_equal(out, np.arange(10))


def test_all_has_ended_when_the_caller_fails() -> None:
    ended = []

    def work(first, last) -> None:
        if first == 0:
            raise KeyError("caller")
        time.sleep(0.05)
        ended.append(last)

    with pytest.raises(KeyError, match="caller"):
        share_out(work, 2, 10**9, ())
    assert ended == [2]


def test_callers_at_once_and_within_each_other_all_come_to_an_end() -> None:
    def outer(out, first, last) -> None:
        for row in range(first, last):
            share_out(_fill, out.shape[1], 10**9, (out[row],))

    def call(_) -> np.ndarray:
        out = np.zeros((6, 40))
        share_out(outer, 6, 10**9, (out,))
        return out

    with ThreadPoolExecutor(4) as pool:
        for out in pool.map(call, range(60)):
            np.testing.assert_array_equal(out, np.tile(np.arange(40), (6, 1)))
    solvers = [thread for thread in threading.enumerate() if thread.name == "solver"]
    assert len(solvers) <= max(row_blocks.THREADS, os.cpu_count() or 1)


def test_nothing_of_the_caller_is_kept() -> None:
    out = np.zeros(4)
    before = sys.getrefcount(out)
    share_out(_fill, 4, 10**9, (out,))
    assert sys.getrefcount(out) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_makes_its_own_threads() -> None:
    share_out(_fill, 4, 10**9, (np.zeros(4),))
    assert waiting_threads._free
    child = os.fork()
    if child == 0:
        out = np.zeros(4)
        share_out(_fill, 4, 10**9, (out,))
        os._exit(0 if out[3] == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
