"""What the compiled core offers: contiguous arrays, whose shapes its callers check."""

from collections.abc import Callable
from typing import Any

import numpy as np
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
def solve_implicit(
    pattern: Pattern,
    pointers: NDArray[Any],
    columns: NDArray[Any],
    entries: NDArray[Any],
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
    maximum_steps: int,
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

class Likelihood:
    def __init__(
        self,
        loss: str,
        signature: NDArray[Any],
        expression: Any,
        weights: NDArray[Any],
        *,
        bias: bool,
        first: float,
        second: float,
        depth: NDArray[Any],
        ridge: NDArray[Any],
        width_cost: float,
    ) -> None: ...
    def evaluate(
        self, values: NDArray[Any], constants: NDArray[Any], width: float, watch: Watch | None
    ) -> tuple[float, NDArray[Any], NDArray[Any], float]: ...
    def expand(
        self, values: NDArray[Any], constants: NDArray[Any], width: float
    ) -> tuple[float, NDArray[Any], NDArray[Any], NDArray[Any]]: ...
    def minimise(
        self,
        prior: Prior,
        weight: float,
        *,
        bounded: bool,
        tolerance: float,
        band: float,
        values: NDArray[Any],
        constants: NDArray[Any],
        width: float,
        watch: Watch | None,
        iterates: bool,
    ) -> tuple[NDArray[Any], NDArray[Any], float, float, float, int, int, NDArray[Any], bool]: ...

def reduce_expression(
    expression: NDArray[Any],
    by_spot: bool,
    factors: NDArray[Any],
    count: int,
    weights: NDArray[Any],
    products: NDArray[Any],
    watch: Watch | None,
) -> float: ...

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
