"""Without a prior every spot is a problem of its own, solved exactly by an active set.

The method is that of Lawson and Hanson (1974, Solving Least Squares Problems, chapter 23) in the
form of Bro and de Jong (1997, J. Chemometrics 11), which needs the Gram matrix only. Types that
are combinations of others already in the set bring no descent and stay out, so singular A is no
obstacle. Before it, all types on the wrong side are exchanged at once (Portugal, Judice and
Vicente 1994, Math. Comput. 63), which ends after a few small systems nearly always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from napari_smoother.solvers.row_blocks import share_out
from napari_smoother.solvers.sparse_product import FAST

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

EXCHANGES = 40
"""Sets tried by exchanging all types on the wrong side at once."""

PATIENCE = 3
"""Exchanges in a row that may leave no fewer types on the wrong side than the best before."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _solve_inside(gram, own, target, inside, members, factor, out):  # type: ignore[no-untyped-def]
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
            factor[a, b] = value * factor[b, b]
        whole = gram[ka, ka] + own
        pivot = whole
        for c in range(a):
            pivot -= factor[a, c] * factor[a, c]
        if not pivot > 1e-13 * whole:
            return False
        # The reciprocal of the diagonal is what the substitutions need.
        factor[a, a] = 1 / np.sqrt(pivot)
    for a in range(count):
        value = target[members[a]]
        for c in range(a):
            value -= factor[a, c] * out[members[c]]
        out[members[a]] = value * factor[a, a]
    for step in range(count):
        a = count - 1 - step
        value = out[members[a]]
        for c in range(a + 1, count):
            value -= factor[c, a] * out[members[c]]
        out[members[a]] = value * factor[a, a]
    return True


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _shorten(gram, own, target, here, inside, members, factor, trial):  # type: ignore[no-untyped-def]
    """Go from `here` towards the answer of its set, dropping what would turn negative."""
    types = here.shape[0]
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
        if not _solve_inside(gram, own, target, inside, members, factor, trial):
            break
    for k in range(types):
        here[k] = trial[k] if inside[k] else 0.0


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _descents(gram, own, target, here, out):  # type: ignore[no-untyped-def]
    """Write ``target - here (A + own I)`` into `out`."""
    types = here.shape[0]
    for k in range(types):
        out[k] = target[k] - own * here[k]
    for other in range(types):
        value = here[other]
        if value != 0:
            for k in range(types):
                out[k] -= gram[other, k] * value


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _pivot(gram, own, target, enough, here, inside, members, factor, trial, slope):  # type: ignore[no-untyped-def]
    """Exchange all types on the wrong side at once; return False where that does not end."""
    types = here.shape[0]
    fewest = types + 1
    patience = PATIENCE
    for _ in range(EXCHANGES):
        if not _solve_inside(gram, own, target, inside, members, factor, trial):
            return False
        _descents(gram, own, target, trial, slope)
        wrong = 0
        for k in range(types):
            if inside[k]:
                wrong += not trial[k] > 0
            else:
                wrong += slope[k] > enough
        if wrong == 0:
            for k in range(types):
                here[k] = trial[k]
            return True
        if wrong < fewest:
            fewest = wrong
            patience = PATIENCE
        elif patience == 0:
            return False
        else:
            patience -= 1
        for k in range(types):
            if inside[k]:
                inside[k] = trial[k] > 0
            else:
                inside[k] = slope[k] > enough
    return False


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _add_one_by_one(  # type: ignore[no-untyped-def]
    gram, own, target, enough, here, inside, barred, members, factor, trial
):
    """Let the steepest type in, drop what turns negative, and so on, from ``here >= 0``."""
    types = here.shape[0]
    started = False
    for k in range(types):
        inside[k] = here[k] > 0
        barred[k] = False
        started = started or inside[k]
    if started:
        if _solve_inside(gram, own, target, inside, members, factor, trial):
            _shorten(gram, own, target, here, inside, members, factor, trial)
        else:
            for k in range(types):
                inside[k] = False
                here[k] = 0.0
    for _ in range(30 * types):
        entering = -1
        steepest = enough
        _descents(gram, own, target, here, trial)
        for k in range(types):
            if inside[k] or barred[k] or not gram[k, k] + own > 0:
                continue
            if trial[k] > steepest:
                steepest = trial[k]
                entering = k
        if entering < 0:
            break
        inside[entering] = True
        solved = _solve_inside(gram, own, target, inside, members, factor, trial)
        if not solved or not trial[entering] > 0:
            inside[entering] = False
            barred[entering] = True
            continue
        _shorten(gram, own, target, here, inside, members, factor, trial)
        for k in range(types):
            barred[k] = False


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def solve_spot(gram, own, target, here, inside, barred, members, factor, trial, slope):  # type: ignore[no-untyped-def]
    """Minimise ``1/2 b (A + own I) b' - target b`` over b >= 0, in place, from `here` >= 0.

    The other arrays, of one entry a type (`factor`: types x types), are scratch space.
    """
    types = here.shape[0]
    scale = 0.0
    started = False
    for k in range(types):
        scale = max(scale, abs(target[k]))
        inside[k] = here[k] > 0
        started = started or inside[k]
    enough = 1e-13 * scale
    # From nothing an exchange would let nearly all types in.
    if not (
        started and _pivot(gram, own, target, enough, here, inside, members, factor, trial, slope)
    ):
        _add_one_by_one(gram, own, target, enough, here, inside, barred, members, factor, trial)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _solve_rows(gram, linear, values, first, last):  # type: ignore[no-untyped-def]
    types = gram.shape[0]
    inside = np.zeros(types, np.bool_)
    barred = np.zeros(types, np.bool_)
    members = np.empty(types, np.int64)
    factor = np.empty((types, types))
    trial = np.empty(types)
    slope = np.empty(types)
    for row in range(first, last):
        solve_spot(
            gram, 0.0, linear[row], values[row], inside, barred, members, factor, trial, slope
        )


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
