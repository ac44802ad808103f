"""How many domains: as many as are found again from the other half of the spots.

Every half of the spots gives an embedding of the whole tissue by itself, smoothed under the
prior, with noise of its own. Domains that are there are found in both (Ben-Hur, Elisseeff and
Guyon 2002, Pacific Symposium on Biocomputing 7; Lange, Roth, Braun and Buhmann 2004, Neural
Computation 16).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.models.reduction.domain_mixture import classes_of
from napari_smoother.solvers.positive_systems import solve_positive

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NUMBERS = tuple(range(2, 13))
"""Numbers of domains that are compared."""

SPLITS = 2
"""How often the spots are halved."""

SPOTS = 5000
"""Of a half, at most, domains are fitted to; and of all, at most, are compared."""

STARTS = 6
"""Of every mixture."""

WITHIN = 0.05
"""Of numbers whose agreement is so near the best, the largest is chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class ChosenNumber:
    """Number of domains, and what it was chosen by.

    Attributes
    ----------
    number
        The largest whose agreement is near the best.
    numbers
        That were compared.
    criterion
        Agreement between halves for each: mean adjusted Rand index, 1 for the same domains.
    """

    number: int
    numbers: tuple[int, ...]
    criterion: tuple[float, ...]


def choose_number(
    scores: NDArray[np.float64],
    precision: Any,
    smoothing: float,
    *,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> ChosenNumber:
    """Choose the number of domains by agreement between halves of the spots.

    Parameters
    ----------
    scores
        Spots x directions, not smoothed.
    precision
        Q, n x n; None where nothing is to be smoothed.
    smoothing
        Lambda.
    seed
        Of halves and starts.
    cancelled
        Asked within every solve and fit.

    Returns
    -------
    ChosenNumber

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    from sklearn.metrics import adjusted_rand_score

    n_spots = len(scores)
    numbers = tuple(number for number in NUMBERS if number <= n_spots // 2) or (1,)
    agreement = np.zeros(len(numbers))
    for split in range(SPLITS):
        order = np.random.default_rng([seed, split]).permutation(n_spots)
        compared = order[:SPOTS]
        halves = [
            (half, _from(half, scores, precision, smoothing, cancelled))
            for half in (order[::2], order[1::2])
        ]
        for place, number in enumerate(numbers):
            one, other = (
                classes_of(
                    values[half[:SPOTS]],
                    values[compared],
                    number,
                    n_starts=STARTS,
                    seed=seed + split,
                    cancelled=cancelled,
                )
                for half, values in halves
            )
            agreement[place] += adjusted_rand_score(one, other) / SPLITS
    near = np.flatnonzero(agreement >= agreement.max() - WITHIN)
    return ChosenNumber(numbers[near[-1]], numbers, tuple(map(float, agreement)))


def _from(
    half: NDArray[np.intp],
    scores: NDArray[np.float64],
    precision: Any,
    smoothing: float,
    cancelled: Callable[[], bool] | None,
) -> NDArray[np.float64]:
    """Smooth what half of the spots say over all."""
    if precision is None or smoothing == 0:
        return scores
    there = np.zeros(len(scores))
    there[half] = 1
    # Half of the weight on either side of the prior: the same smoothing as of all spots.
    system = sparse.diags_array(there + 1e-9) + smoothing / 2 * precision
    right = scores * there[:, None]
    scale = 1 + smoothing
    return solve_positive(
        system.tocsr() / scale, right / scale, tolerance=1e-5, cancelled=cancelled
    ).values
