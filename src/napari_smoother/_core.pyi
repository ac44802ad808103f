"""What the compiled core offers: contiguous arrays, whose shapes its callers check."""

from collections.abc import Callable
from typing import Any

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

class Prior:
    def __init__(
        self,
        pointers: NDArray[Any],
        neighbours: NDArray[Any],
        entries: NDArray[Any],
        diagonal: NDArray[Any],
        order: NDArray[Any],
        each: int = 1,
    ) -> None: ...
    def prepare(self) -> None: ...

def solve_bounded(
    prior: Prior,
    gram: NDArray[Any],
    eigenvalues: NDArray[Any],
    basis: NDArray[Any],
    linear: NDArray[Any],
    values: NDArray[Any],
    *,
    warm: bool,
    weight: float,
    bounded: bool,
    tolerance: float,
    maximum_seconds: float,
    maximum_steps: int,
    preconditioner: str,
    watch: Watch | None,
    iterates: bool,
) -> tuple[float, float, int, int, bool, str]: ...

LANES: int

def solve_local(
    prior: Prior,
    blocks: NDArray[Any],
    linear: NDArray[Any],
    coupling: NDArray[Any] | None,
    values: NDArray[Any],
    *,
    weight: float,
    bounded: bool,
    scale: float,
    tolerance: float,
    maximum_steps: int,
    watch: Watch | None,
) -> tuple[float, float, int, int, bool, str]: ...
def multiply_prior(prior: Prior, values: NDArray[Any], out: NDArray[Any]) -> None: ...
def multiply_blocks(blocks: NDArray[Any], values: NDArray[Any], out: NDArray[Any]) -> None: ...
def reduce_expression(
    expression: NDArray[Any],
    by_spot: bool,
    factors: NDArray[Any],
    count: int,
    weights: NDArray[Any],
    products: NDArray[Any],
    watch: Watch | None,
) -> float: ...
