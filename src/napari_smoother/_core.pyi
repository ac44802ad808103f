"""What the compiled core offers: contiguous arrays, whose shapes its callers check."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

LEVELS: tuple[str, ...]
"""Instruction sets that can be used here, the best first."""

LEVEL: str
"""The one in use."""

Watch = Callable[[int, float, NDArray[Any] | None], object]
"""Called with the step, the residual and the latest iterate; raises to stop the job."""

class Cancelled(Exception): ...
class Refused(ValueError): ...

def best_level() -> str: ...
def thread_count() -> int: ...
def set_thread_count(threads: int) -> None: ...
