"""How many domains: a criterion that weighs likelihood against what more domains cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.models.reduction.domain_mixture import fit_domain_mixture
from napari_smoother.models.reduction.smoothed_embedding import smooth_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

NUMBERS = tuple(range(2, 16))
"""Numbers of domains that are compared."""

PROBES = 16
"""Random vectors that estimate the trace of the smoothing."""


@dataclass(frozen=True, slots=True, eq=False)
class ChosenNumber:
    """Number of domains, and what it was chosen by.

    Attributes
    ----------
    number
        Where the criterion is lowest.
    numbers
        That were compared.
    criterion
        Bayesian information criterion of each, less that of the best.
    """

    number: int
    numbers: tuple[int, ...]
    criterion: tuple[float, ...]


def choose_number(
    scores: NDArray[np.float64],
    precision: Any,
    smoothing: float,
    shares: csr_array,
    *,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> ChosenNumber:
    """Choose the number of domains by the Bayesian information criterion.

    Smoothed spots are no independent observations: they count as the degrees of freedom that the
    smoothing left, tr (I + lambda Q)^-1.

    Parameters
    ----------
    scores
        Spots x directions, smoothed.
    precision
        Q, n x n; None where nothing was smoothed.
    smoothing
        Lambda.
    shares, seed, cancelled
        As for `fit_domain_mixture`.

    Returns
    -------
    ChosenNumber

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    n_spots, dims = scores.shape
    observations = float(n_spots)
    if precision is not None and smoothing > 0:
        probes = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_spots, PROBES))
        smooth = smooth_columns(probes, precision, smoothing, cancelled=cancelled).values
        observations = max(float(np.vdot(probes, smooth)) / PROBES, 2.0)
    numbers = tuple(number for number in NUMBERS if number <= n_spots) or (1,)
    criterion = []
    for number in numbers:
        mixture = fit_domain_mixture(scores, number, shares, 0.0, seed=seed, cancelled=cancelled)
        cost = number * dims * np.log(observations)
        criterion.append(cost - 2 * observations * mixture.likelihood)
    lowest = min(criterion)
    number = numbers[int(np.argmin(criterion))]
    return ChosenNumber(number, numbers, tuple(float(value - lowest) for value in criterion))
