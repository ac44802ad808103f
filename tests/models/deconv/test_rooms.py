"""Rooms are never shared, and used again."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from napari_smoother.models.deconv.rooms import Rooms


def test_threads_that_take_the_last_room_at_once_each_have_one() -> None:
    rooms = Rooms(lambda: np.zeros(1))

    def use(_: int) -> bool:
        with rooms.one() as room:
            room += 1
            alone = bool(room[0] == 1)
            room[:] = 0
            return alone

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(4000)))


def test_a_room_comes_back_after_an_error() -> None:
    made = []
    rooms = Rooms(lambda: made.append(1) or object())
    for _ in range(3):
        try:
            with rooms.one():
                raise ValueError
        except ValueError:
            continue
    assert len(made) == 1
