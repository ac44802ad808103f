"""Sums of products over blocks of rows, in one loop over all entries.

Loops over the types of one row are too short to be fast.
"""

from __future__ import annotations

import numba
import numpy as np

from napari_smoother.solvers.sparse_product import FAST


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def two_dots_of(right, out):  # type: ignore[no-untyped-def]
    """Return <right, out> and <right, right> of two contiguous arrays."""
    first, second = right.reshape(-1), out.reshape(-1)
    dot = right.dtype.type(0)
    squares = right.dtype.type(0)
    for i in range(first.size):
        dot += first[i] * second[i]
        squares += first[i] * first[i]
    return np.float64(dot), np.float64(squares)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def keep_free(out, free):  # type: ignore[no-untyped-def]
    """Put a zero into `out` wherever `free` has one, in place."""
    values, kept = out.reshape(-1), free.reshape(-1)
    for i in range(values.size):
        values[i] *= kept[i]
