"""Without a prior every spot is a problem of its own, solved exactly by an active set.

The method is that of Lawson and Hanson (1974, Solving Least Squares Problems, chapter 23) in the
form of Bro and de Jong (1997, J. Chemometrics 11), which needs the Gram matrix only. Types that
are combinations of others already in the set bring no descent and stay out, so singular A is no
obstacle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import share_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _solve_inside(gram, linear, inside, members, factor, out):  # type: ignore[no-untyped-def]
    """Solve the block of the set `inside`; return False where it is numerically singular."""
    types = inside.shape[0]
    count = 0
    for k in range(types):
        out[k] = 0.0
        if inside[k]:
            members[count] = k
            count += 1
    for a in range(count):
        ka = members[a]
        for b in range(a):
            value = gram[ka, members[b]]
            for c in range(b):
                value -= factor[a, c] * factor[b, c]
            factor[a, b] = value / factor[b, b]
        pivot = gram[ka, ka]
        for c in range(a):
            pivot -= factor[a, c] * factor[a, c]
        if not pivot > 1e-13 * gram[ka, ka]:
            return False
        factor[a, a] = np.sqrt(pivot)
    for a in range(count):
        value = linear[members[a]]
        for c in range(a):
            value -= factor[a, c] * out[members[c]]
        out[members[a]] = value / factor[a, a]
    for step in range(count):
        a = count - 1 - step
        value = out[members[a]]
        for c in range(a + 1, count):
            value -= factor[c, a] * out[members[c]]
        out[members[a]] = value / factor[a, a]
    return True


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _solve_rows(gram, linear, values, first, last):  # type: ignore[no-untyped-def]
    types = gram.shape[0]
    inside = np.zeros(types, np.bool_)
    barred = np.zeros(types, np.bool_)
    members = np.empty(types, np.int64)
    factor = np.empty((types, types))
    here = np.empty(types)
    trial = np.empty(types)
    for row in range(first, last):
        scale = 0.0
        for k in range(types):
            scale = max(scale, abs(linear[row, k]))
        # The start only names a set; where it cannot be solved or is not feasible, begin empty.
        started = False
        for k in range(types):
            inside[k] = values[row, k] > 0
            started = started or inside[k]
        if started:
            started = _solve_inside(gram, linear[row], inside, members, factor, trial)
            for k in range(types):
                if inside[k] and not trial[k] > 0:
                    started = False
        for k in range(types):
            barred[k] = False
            if started:
                here[k] = trial[k]
            else:
                inside[k] = False
                here[k] = 0.0
        for _ in range(30 * types):
            entering = -1
            steepest = 1e-13 * scale
            for k in range(types):
                if inside[k] or barred[k] or not gram[k, k] > 0:
                    continue
                descent = linear[row, k]
                for other in range(types):
                    descent -= gram[k, other] * here[other]
                if descent > steepest:
                    steepest = descent
                    entering = k
            if entering < 0:
                break
            inside[entering] = True
            solved = _solve_inside(gram, linear[row], inside, members, factor, trial)
            if not solved or not trial[entering] > 0:
                inside[entering] = False
                barred[entering] = True
                continue
            while True:
                length = 1.0
                for k in range(types):
                    if inside[k] and not trial[k] > 0:
                        length = min(length, here[k] / (here[k] - trial[k]))
                if length == 1.0:
                    break
                for k in range(types):
                    if inside[k]:
                        leaves = not trial[k] > 0 and here[k] <= length * (here[k] - trial[k])
                        here[k] += length * (trial[k] - here[k])
                        if leaves or not here[k] > 0:
                            inside[k] = False
                            here[k] = 0.0
                if not _solve_inside(gram, linear[row], inside, members, factor, trial):
                    break
            for k in range(types):
                here[k] = trial[k] if inside[k] else 0.0
                barred[k] = False
        for k in range(types):
            values[row, k] = here[k]


def solve_each_spot(
    gram: NDArray[np.float64],
    linear: NDArray[np.float64],
    start: NDArray[np.floating] | None,
    asked: Callable[[], None],
) -> NDArray[np.float64]:
    """Solve ``min 1/2 b A b' - c b, b >= 0`` for every row c of `linear`.

    Parameters
    ----------
    gram, linear
        A and C, float64.
    start
        A guess of the answer; only which of its entries are positive is used.
    asked
        Called every few thousand spots; raises to stop.

    Returns
    -------
    ndarray
        B, shape (spots, types), float64.
    """
    rows, types = linear.shape
    values = np.zeros((rows, types)) if start is None else np.array(start, np.float64)
    for begin in range(0, rows, 4096):
        asked()
        part = slice(begin, min(begin + 4096, rows))
        share_out(
            _solve_rows,
            part.stop - begin,
            (part.stop - begin) * types * types,
            (gram, linear[part], values[part]),
        )
    return values
