"""Rows of an array shared out over a few threads, with sums that never depend on timing.

Kernels work on blocks of 128 rows and write one partial sum a block. Which thread takes which
block changes nothing in any number: every block is computed alone and the partial sums are
added in the order of the blocks. Numba's own parallel loops are not used, because their default
threading layer aborts the process when two Python threads enter it at once.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.solvers.waiting_threads import borrow, give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BLOCK_ROWS = 128
"""Rows a block; large enough for BLAS, small enough to stay in the first caches."""

PARALLEL_VALUES = 60_000
"""Arrays with fewer values than this stay on one thread: measured, hand-over costs more."""

BESIDE_A_WINDOW = 120_000
"""The same while a window paints: threads that start need the interpreter, and it has it."""

PARTS = 16
"""Of a sum over all of an array."""

THREADS = min(os.cpu_count() or 1, 8)

_fewest: ContextVar[int] = ContextVar("fewest values for two threads", default=PARALLEL_VALUES)


@contextmanager
def beside_a_window() -> Iterator[None]:
    """Leave more of what is small to one thread, in this context."""
    before = _fewest.set(BESIDE_A_WINDOW)
    try:
        yield
    finally:
        _fewest.reset(before)


def block_count(rows: int) -> int:
    """Return the number of blocks that cover `rows` rows."""
    return -(-rows // BLOCK_ROWS)


def total_of_squares(values: NDArray[np.floating]) -> float:
    """Sum of squares in float64, on the threads of this module.

    BLAS would start threads of its own, which wait for each other on a busy machine.
    """
    flat = values.ravel(order="K")
    # Little is done with a value here.
    work = flat.size // 8
    if stays_on_one_thread(work):
        return float(np.einsum("i,i->", flat, flat, dtype=np.float64))
    squares = np.zeros(PARTS)

    def add(first: int, last: int) -> None:
        for part in range(first, last):
            few = flat[flat.size * part // PARTS : flat.size * (part + 1) // PARTS]
            squares[part] = np.einsum("i,i->", few, few, dtype=np.float64)

    share_out(add, PARTS, work, ())
    return float(squares.sum())


def stays_on_one_thread(values: int) -> bool:
    """Whether so little work (see `share_out`) is not worth handing over."""
    return THREADS == 1 or values < _fewest.get()


def share_out(
    kernel: Callable[..., None], items: int, values: int, arguments: tuple[Any, ...]
) -> None:
    """Call ``kernel(*arguments, first, last)`` over ranges that cover ``0 .. items``.

    Parameters
    ----------
    kernel
        A compiled function that releases the interpreter lock and whose result does not depend
        on how the items are cut into ranges.
    items
        Number of things to share out (blocks, or rows of one colour).
    values
        Amount of work, as a number of array entries that are multiplied and added a few times
        each; below `PARALLEL_VALUES` one thread does all.
    arguments
        Passed on before the range.
    """
    if items < 2 or stays_on_one_thread(values):
        kernel(*arguments, 0, items)
        return
    helpers = borrow(min(THREADS, items) - 1, THREADS - 1)
    if not helpers:
        kernel(*arguments, 0, items)
        return
    pieces = len(helpers) + 1
    cuts = [items * piece // pieces for piece in range(pieces + 1)]
    started = []
    try:
        for piece, helper in enumerate(helpers, 1):
            helper.start(kernel, (*arguments, cuts[piece], cuts[piece + 1]))
            started.append(helper)
        kernel(*arguments, cuts[0], cuts[1])
    finally:
        errors = [helper.finish() for helper in started]
        give_back(helpers)
    for error in errors:
        if error is not None:
            raise error


def rows_taken(
    values: NDArray[Any], rows: NDArray[np.integer], out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return ``values[rows]``, the rows being known to exist, in `out` if that is given."""
    shape = (rows.size, *values.shape[1:])
    result = np.empty(shape, values.dtype) if out is None else out

    def take(first: int, last: int) -> None:
        some = slice(rows.size * first // PARTS, rows.size * last // PARTS)
        # Nothing is clipped; rows that are checked would be gathered in another room first.
        np.take(values, rows[some], axis=0, out=result[some], mode="clip")

    share_out(take, PARTS, result.size // 2, ())
    return result


def sums_over_rows(
    kernel: Callable[..., None],
    shape: tuple[int, ...],
    sums: int,
    arguments: tuple[Any, ...],
) -> NDArray[np.float64]:
    """Run a block kernel that leaves `sums` partial sums a block, and return their totals.

    Parameters
    ----------
    kernel
        Called as ``kernel(*arguments, partial, first_block, last_block)`` where ``partial`` has
        shape (blocks, sums), float64.
    shape
        Rows and columns of the arrays worked on.
    sums
        Number of sums.
    arguments
        Passed on to the kernel.

    Returns
    -------
    ndarray
        The sums, shape (sums,), float64, the same bits whatever the threads did.
    """
    blocks = block_count(shape[0])
    partial = np.zeros((blocks, sums))
    share_out(kernel, blocks, shape[0] * shape[1], (*arguments, partial))
    total: NDArray[np.float64] = partial.sum(axis=0)
    return total
