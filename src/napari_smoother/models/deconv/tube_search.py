"""How far to go along a step of nu-SVR, from a few hundred spots.

Along a step the smoothed loss has a slope that its curvature at the start does not foretell:
values come into the band and leave it. The slope at the start is known from all spots; its change
is that of the prior, exactly, and that of the data in a sample of spots. That costs a fraction of
an expansion, and lengths that the whole objective refuses become rare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
from scipy.optimize import brentq

from napari_smoother.models.deconv.pointwise import FAST
from napari_smoother.models.deconv.tube_loops import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.tube_likelihood import TubeLikelihood

SAMPLED = 256
"""Spots whose data are looked at along a step."""

ENOUGH = 0.1
"""Share of the slope at the start that may be left where a step ends."""

CLOSE = 0.02
"""How near to the root a length shall be."""


class Sample:
    """The data of a few hundred spots, evenly taken.

    Parameters
    ----------
    likelihood
        The data's part.
    """

    def __init__(self, likelihood: TubeLikelihood) -> None:
        inputs = likelihood.inputs
        self._likelihood = likelihood
        self._stride = max(inputs.n_spots // SAMPLED, 1)
        self._signature = inputs.signature.astype(np.float32)
        self._seen = inputs.every(self._stride).astype(np.float32)

    def slopes(self, state: State, change: State) -> Callable[[float], float]:
        """Return the slope of the data's part along a change, for a share of it gone.

        Parameters
        ----------
        state, change
            Where the step begins, and the whole of it.

        Returns
        -------
        callable
            From a length to a slope at the scale of the likelihood, apart from the ridge and the
            linear cost of the width.
        """
        likelihood, stride = self._likelihood, self._stride
        fitted, moved = (
            self._signature @ part[0][::stride].T.astype(np.float32) for part in (state, change)
        )
        if likelihood.bias:
            fitted += state[1][::stride].astype(np.float32)
            moved += change[1][::stride].astype(np.float32)
        fitted -= self._seen
        kept = likelihood.multipliers(stride)
        width, wider = state[-1].item(), change[-1].item()
        whole = likelihood.inputs.n_spots / kept.shape[1]

        def slope(length: float) -> float:
            settings = np.array([width, wider, likelihood.band, length], np.float32)
            return float(whole * slope_along(fitted, moved, kept, likelihood.cost, settings))

        return slope


def best_length(slope: float, stiffness: float, along: Callable[[float], float]) -> float:
    """Return a length, at most one, at which little of the slope is left.

    Parameters
    ----------
    slope
        The slope of the whole objective at the start; where it is not below zero, as at an
        optimum but for rounding, nothing is searched for.
    stiffness
        By how much everything but the data's part of `along` adds to it over a whole step.
    along
        The slope of that part, by length.

    Returns
    -------
    float
        One, or a root where more than `ENOUGH` of the slope, upwards, is left at the end.
    """
    begin = along(0.0)

    def left(length: float) -> float:
        return slope + along(length) - begin + stiffness * length

    if slope >= 0 or left(1.0) <= ENOUGH * abs(slope):
        return 1.0
    return float(brentq(left, 0.0, 1.0, xtol=CLOSE))


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def slope_along(left, change, kept, cost, settings):  # type: ignore[no-untyped-def]
    """Sum of pushes times changes of residuals, less multipliers times the change of the width.

    `left` and `change` are residuals at the start and their change (genes x spots), `kept` the
    multipliers as whole numbers, `settings` the width, its change, the band and the length.
    """
    genes, spots = left.shape
    number = left.dtype.type
    zero, one = number(0), number(1)
    wider, band, length = settings[1], settings[2], settings[3]
    width = settings[0] + length * wider
    scale, slope = band / number(STEPS), one / band
    total = 0.0
    for gene in range(genes):
        some = zero
        for spot in range(spots):
            moves = change[gene, spot]
            moved = left[gene, spot] + length * moves + scale * number(kept[gene, spot])
            part = (abs(moved) - width) * slope
            part = zero if part < zero else part
            part = one if part > one else part
            some += part * ((moves if moved > zero else -moves) - wider)
        total += cost[gene] * np.float64(some)
    return total
