"""How strongly to smooth an embedding: as predicts spots that were left out, and more.

A fifth of the spots at a time is predicted from all others under the spatial prior. Too little
smoothing hands on their noise, too much blurs the tissue. That finds the strength that is best
for *values*. Domains are larger than what values follow: for them it is the stronger the
better, up to `BEYOND` times as strong, on every section with known layers that was tried
(``docs/domains.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order

from napari_smoother.solvers.positive_systems import solve_positive

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

STRENGTHS = tuple(float(f"{strength:.3g}") for strength in np.geomspace(0.01, 10, 7))
"""Lambdas that are compared."""

BEYOND = 10.0
"""How much more strongly than values domains are smoothed."""

PARTS = 5
"""One part of so many is left out at a time,"""

TURNS = 2
"""so many times: the curves of further parts are the same to the eye."""

PATCHES, SPOTS_OF_PATCH = 4, 5000
"""A larger section is looked at in so many places, of so many spots each."""


@dataclass(frozen=True, slots=True, eq=False)
class ChosenSmoothing:
    """Strength of smoothing, and what it was chosen by.

    Attributes
    ----------
    lambda_
        That was chosen.
    strengths
        Lambdas that were compared.
    errors
        Mean squared error of spots left out, 1 for the mean of all spots: one a strength.
    """

    lambda_: float
    strengths: tuple[float, ...]
    errors: tuple[float, ...]


def choose_smoothing(
    scores: NDArray[np.float64],
    precision: Any,
    *,
    beyond: float = BEYOND,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> ChosenSmoothing:
    """Choose lambda of `smooth_embedding`, by default for domains.

    Parameters
    ----------
    scores
        Spots x dims, centred; every dim counts the same.
    precision
        Q, n x n sparse.
    beyond
        How much more strongly than best predicts spots that are left out; 1 for values.
    seed
        Of the parts that are left out.
    cancelled
        Asked within every solve.

    Returns
    -------
    ChosenSmoothing

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    if not scores.shape[1]:
        return ChosenSmoothing(0.0, (), ())
    values = scores / np.maximum(scores.std(axis=0), 1e-300)
    if len(values) > PATCHES * SPOTS_OF_PATCH:
        spots = _patches(precision, seed)
        values, precision = values[spots], precision[spots][:, spots]
    part = np.random.default_rng(seed).permutation(len(values)) % PARTS
    errors = []
    for strength in STRENGTHS:
        error = 0.0
        for turn in range(TURNS):
            out = part == turn
            if not out.any() or out.all():
                continue
            there = (~out).astype(np.float64)
            # A spot that is left out and has no neighbours left must not make it singular.
            system = sparse.diags_array(there + 1e-9) + strength * precision
            right = values * there[:, None]
            found = solve_positive(
                system.tocsr() / (1 + strength),
                right / (1 + strength),
                tolerance=1e-4,
                cancelled=cancelled,
            ).values
            error += float(np.square(found[out] - values[out]).mean()) / TURNS
        errors.append(error)
    return ChosenSmoothing(
        float(f"{beyond * _lowest(STRENGTHS, errors):.3g}"), STRENGTHS, tuple(errors)
    )


def _patches(precision: Any, seed: int) -> NDArray[np.intp]:
    """Return the spots around some that are drawn: neighbours, and neighbours of these."""
    n_spots = int(precision.shape[0])
    taken = np.zeros(n_spots, dtype=bool)
    for centre in np.random.default_rng(seed).choice(n_spots, PATCHES, replace=False):
        around = breadth_first_order(precision, centre, return_predecessors=False)
        taken[around[:SPOTS_OF_PATCH]] = True
    return np.flatnonzero(taken)


def _lowest(strengths: tuple[float, ...], errors: list[float]) -> float:
    """Where a parabola through the lowest points of the curve, over log lambda, is lowest."""
    place = int(np.argmin(errors))
    if place in (0, len(errors) - 1):
        return strengths[place]
    below, lowest, above = errors[place - 1 : place + 2]
    bend = below - 2 * lowest + above
    shift = 0.5 * (below - above) / bend if bend > 0 else 0.0
    step = np.log(strengths[1] / strengths[0])
    return float(strengths[place] * np.exp(shift * step))
