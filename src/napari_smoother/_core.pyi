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

class Pattern:
    """Order of elimination and pattern of the factor of a symmetric matrix Q."""

    @property
    def size(self) -> int: ...
    @property
    def entries(self) -> int:
        """Of L below its diagonal."""
    @property
    def operations(self) -> float:
        """Multiplications that a factorisation takes, about."""
    def order(self) -> NDArray[np.int32]:
        """Rows of Q in the order of elimination."""

class Factor:
    """L and D of ``shift I + scale Q``."""

    @property
    def size(self) -> int: ...
    def solve(
        self,
        right: NDArray[np.float64],
        values: NDArray[np.float64],
        watch: Watch | None = None,
    ) -> float:
        """Write the solution (rows x columns) and return its largest relative residual."""

def make_pattern(
    pointers: NDArray[np.int32],
    columns: NDArray[np.int32],
    entries: NDArray[np.float64],
    most: int,
    watch: Watch | None = None,
) -> Pattern:
    """Refused where L would have more than `most` entries."""

def make_factor(
    pattern: Pattern, shift: float, scale: float, watch: Watch | None = None
) -> Factor:
    """Refused where a pivot is not safely positive."""

def inverse_diagonals(
    pattern: Pattern, shifts: NDArray[np.float64], scale: float, watch: Watch | None = None
) -> NDArray[np.float64]:
    """Of the inverses of ``shift I + scale Q``, rows x shifts, flat; Refused as above."""

def improve(
    pointers: NDArray[np.int32],
    columns: NDArray[np.int32],
    entries: NDArray[np.float64],
    right: NDArray[np.float64],
    values: NDArray[np.float64],
    tolerance: float,
    steps: int,
    watch: Watch | None = None,
) -> float:
    """Improve a solution by conjugate gradients; return its relative residual."""
