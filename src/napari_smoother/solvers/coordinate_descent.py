"""Projected block coordinate descent: each spot is improved given its neighbours, in place.

Spots of one colour share no entry of Q, so they may be visited at once and in any order with
the same result, and the objective never rises. A few sweeps find most of the zeros.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.lanes import cast, load, nothing, store
from napari_smoother.solvers.row_blocks import share_out
from napari_smoother.solvers.separable import solve_spot
from napari_smoother.solvers.sparse_product import FAST

if TYPE_CHECKING:
    from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True)
def _colour(pointers, neighbours, colours):  # type: ignore[no-untyped-def]
    rows = pointers.shape[0] - 1
    taken = np.full(rows + 1, -1, np.int64)
    most = 0
    for row in range(rows):
        for place in range(pointers[row], pointers[row + 1]):
            neighbour = neighbours[place]
            if neighbour < row:
                taken[colours[neighbour]] = row
        colour = 0
        while taken[colour] == row:
            colour += 1
        colours[row] = colour
        most = max(most, colour + 1)
    return most


def colour_spots(
    pointers: NDArray[np.int32], neighbours: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Colour the graph of a sparse symmetric matrix greedily.

    Parameters
    ----------
    pointers, neighbours
        Sparse rows of the matrix.

    Returns
    -------
    order, cuts
        Spots sorted by colour, and where each colour begins (one more entry than colours).
    """
    colours = np.zeros(pointers.size - 1, np.int64)
    most = _colour(pointers, neighbours, colours)
    order = np.argsort(colours, kind="stable")
    cuts = np.searchsorted(colours, np.arange(most + 1), sorter=order)
    return order.astype(np.int32), cuts


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _sweep(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, diagonal, weight, gram, linear, values, order, offset, passes,
    first, last,
):  # fmt: skip
    types = values.shape[1]
    eight = nothing(8, 0.0)
    whole = types // 8 * 8
    # Rows of A end in zeros, so that they are whole vectors.
    padded = -(-types // 8) * 8
    rows = np.zeros((types, padded))
    rows[:, :types] = gram
    slope = np.zeros(padded)
    here = np.empty(types)
    inverse = np.empty(types)
    known = -1.0
    for visit in range(offset + first, offset + last):
        row = order[visit]
        own = weight * diagonal[row]
        for k in range(types):
            slope[k] = -linear[row, k]
            here[k] = values[row, k]
        for place in range(pointers[row], pointers[row + 1]):
            neighbour = np.int64(neighbours[place])
            entry = weight * entries[place]
            for k in range(0, whole, 8):
                value = cast(load(values, neighbour * types + k, eight), entry)
                store(slope, k, load(slope, k, eight) + entry * value)
            for k in range(whole, types):
                slope[k] += entry * np.float64(values[neighbour, k])
        for k in range(types):
            if here[k] != 0:
                for other in range(0, padded, 8):
                    more = here[k] * load(rows, k * padded + other, eight)
                    store(slope, other, load(slope, other, eight) + more)
        if own != known:
            known = own
            for k in range(types):
                curvature = gram[k, k] + own
                inverse[k] = 1 / curvature if curvature > 0 else 0.0
        for _ in range(passes):
            for k in range(types):
                # What the spot's own entry of Q adds is kept out of `slope`: a vector of which
                # a part has just been stored is slow to load.
                steep = slope[k] + own * here[k]
                if here[k] == 0 and steep >= 0:
                    continue
                value = max(here[k] - steep * inverse[k], 0.0)
                change = value - here[k]
                if change != 0:
                    here[k] = value
                    for other in range(0, padded, 8):
                        more = change * load(rows, k * padded + other, eight)
                        store(slope, other, load(slope, other, eight) + more)
        for k in range(types):
            values[row, k] = here[k]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _solve_spots(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, diagonal, weight, gram, linear, values, order, offset,
    first, last,
):  # fmt: skip
    types = values.shape[1]
    target = np.empty(types)
    here = np.empty(types)
    trial = np.empty(types)
    slope = np.empty(types)
    inside = np.zeros(types, np.bool_)
    barred = np.zeros(types, np.bool_)
    members = np.empty(types, np.int64)
    factor = np.empty((types, types))
    for visit in range(offset + first, offset + last):
        row = order[visit]
        own = weight * diagonal[row]
        for k in range(types):
            target[k] = linear[row, k]
            here[k] = values[row, k]
        for place in range(pointers[row], pointers[row + 1]):
            neighbour = neighbours[place]
            entry = weight * entries[place]
            for k in range(types):
                target[k] -= entry * np.float64(values[neighbour, k])
        solve_spot(gram, own, target, here, inside, barred, members, factor, trial, slope)
        for k in range(types):
            values[row, k] = here[k]


def sweep(
    pointers: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    entries: NDArray[np.float64],
    diagonal: NDArray[np.float64],
    weight: float,
    gram: NDArray[np.float64],
    linear: NDArray[np.float64],
    values: NDArray[np.floating],
    order: NDArray[np.int32],
    cuts: NDArray[np.int64],
    passes: int,
) -> None:
    """Visit every spot once, `passes` rounds over its types at each visit, in place.

    Parameters
    ----------
    pointers, neighbours, entries, diagonal, weight
        The prior, ``weight * Q``, as sparse rows and diagonal.
    gram, linear
        A and C.
    values
        B, shape (spots, types), not negative; changed.
    order, cuts
        Spots by colour, from `colour_spots`.
    passes
        Rounds over the types of a spot; 0 to find each spot's optimum given its neighbours.
    """
    for begin, end in pairwise(cuts):
        rows = int(end - begin)
        if passes == 0:
            share_out(
                _solve_spots,
                rows,
                rows * values.shape[1] * 24,
                (
                    pointers,
                    neighbours,
                    entries,
                    diagonal,
                    weight,
                    gram,
                    linear,
                    values,
                    order,
                    int(begin),
                ),
            )
            continue
        share_out(
            _sweep,
            rows,
            rows * values.shape[1] * 12,
            (
                pointers,
                neighbours,
                entries,
                diagonal,
                weight,
                gram,
                linear,
                values,
                order,
                int(begin),
                passes,
            ),
        )
