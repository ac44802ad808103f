"""What the compiled core offers: contiguous arrays, whose shapes its callers check."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS: tuple[str, ...]
LEVEL: str

Watch = Callable[[int, float, NDArray[Any] | None], object]
"""Called with the step, the residual and the latest iterate; raises to stop the job."""

class Cancelled(Exception): ...
class Refused(ValueError): ...

def best_level() -> str: ...
def thread_count() -> int: ...
def set_thread_count(threads: int) -> None: ...

Rows = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]
"""Starts, columns, distances and weights of a graph's rows."""

def nearest_neighbours(
    positions: NDArray[np.float64],
    most: int,
    relative: float,
    absolute: float,
    mutual: bool,
    most_edges: int,
    watch: Watch | None = None,
) -> Rows: ...
def neighbours_within(
    positions: NDArray[np.float64],
    radius: float,
    order: float,
    bandwidth: float,
    most_edges: int,
    watch: Watch | None = None,
) -> Rows: ...
