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

class Form:
    """Quadratic forms x Q x' of a sparse symmetric matrix Q, given by its rows.

    A call returns ``sum_k f_k x_k Q x_k'``, where f_k is `scale` times the number in `each`, or
    times 1 without; it writes ``f_k Q x_k'`` to `product`, of the shape of `values`, unless that
    is None. Values, `each` and product are all float32 or all float64.
    """

    def __init__(
        self, pointers: NDArray[np.int32], columns: NDArray[np.int32], values: NDArray[np.float64]
    ) -> None: ...
    def product(
        self,
        values: NDArray[np.floating],
        scale: float,
        each: NDArray[np.floating] | None,
        own: float,
        other: float,
        product: NDArray[np.floating] | None,
    ) -> float:
        """Of dims x spots, and of Q less ``own I + other 11'``."""

    def product_by_spot(
        self,
        values: NDArray[np.floating],
        scale: float,
        each: NDArray[np.floating] | None,
        own: float,
        other: float,
        product: NDArray[np.floating] | None,
    ) -> float:
        """Of spots x dims, of which there are four or more."""

    def contrasted_product(
        self,
        values: NDArray[np.floating],
        scale: float,
        each: NDArray[np.floating] | None,
        orders: NDArray[np.int32],
        ratio: float,
        product: NDArray[np.floating] | None,
    ) -> float:
        """Of dims x spots, and of Q less `ratio` times the mean of P'QP over `orders`.

        Each row of them is a permutation P of the spots.
        """
