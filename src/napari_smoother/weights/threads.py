"""Compiled work on the parts of a range, in a few threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 2


def in_parts(n: int, work: Callable[[int, int], object]) -> None:
    """Do work that leaves the interpreter's lock on the parts of ``range(n)``."""
    if n < 20_000:
        work(0, n)
        return
    ends = [int(end) for end in np.linspace(0, n, 4 * THREADS + 1)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, ends[:-1], ends[1:]))
