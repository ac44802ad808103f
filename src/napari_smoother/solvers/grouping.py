"""Members of numbered groups, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def members_of_groups(
    groups: NDArray[np.integer], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Sort by group, in one pass after the sizes are known.

    Parameters
    ----------
    groups
        Group of everyone, below `count`; those below zero are in none.
    count
        Number of groups.

    Returns
    -------
    cuts, members
        Where each group begins (one more entry than groups), and who is in it, ascending.
    """
    cuts = np.zeros(count + 1, np.int32)
    _sizes(groups, cuts)
    np.cumsum(cuts, out=cuts)
    members = np.empty(cuts[-1], np.int32)
    _place(groups, cuts[:-1].copy(), members)
    return cuts, members


@numba.njit(nogil=True, cache=True)
def _sizes(groups, cuts):  # type: ignore[no-untyped-def]
    for group in groups:
        if group >= 0:
            cuts[group + 1] += 1


@numba.njit(nogil=True, cache=True)
def _place(groups, following, members):  # type: ignore[no-untyped-def]
    for number in range(groups.size):
        group = groups[number]
        if group >= 0:
            members[following[group]] = number
            following[group] += 1
