"""BLAS is held to one thread by whichever thread asks, and given back by whichever is last."""

from __future__ import annotations

import threading

import pytest
from threadpoolctl import threadpool_info

from napari_smoother.solvers.threads import one_blas_thread


def blas_threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def in_a_thread(work) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.fixture(autouse=True)
def several_threads():
    with one_blas_thread():
        pass  # loads every BLAS there is
    if max(blas_threads()) < 2:
        pytest.skip("BLAS has one thread on this machine")


def test_every_thread_is_held() -> None:
    before, found = blas_threads(), []

    def work() -> None:
        with one_blas_thread():
            found.append(blas_threads())

    work()
    in_a_thread(work)
    work()
    in_a_thread(work)
    assert found == [{1}] * 4
    assert blas_threads() == before


def test_the_last_one_gives_them_back_even_if_another_took_them() -> None:
    before = blas_threads()
    first, last = one_blas_thread(), one_blas_thread()
    in_a_thread(first.__enter__)
    last.__enter__()
    in_a_thread(lambda: first.__exit__(None, None, None))
    assert blas_threads() == {1}
    last.__exit__(None, None, None)
    assert blas_threads() == before
