"""Means over groups of spots and their differences, with errors that know of neighbours.

Neighbouring spots are alike, so a group has far fewer independent observations than spots. Each
group is cut into blocks of adjacent spots, whose means are close to independent where blocks are
larger than the distance over which spots are alike (Ibragimov and Mueller 2010, Journal of
Business & Economic Statistics 28, 453).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from napari_smoother.analyses.spot_groups import REST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FEWEST = 5
"""Spots of a block: a group is cut into fewer blocks rather than smaller ones."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupMean:
    """What is known of one group of spots.

    Parameters
    ----------
    n_spots, n_blocks
        How many.
    mean, spread, variance
        Of each of K types: mean over spots, their standard deviation, and the variance of the
        mean; NaN where one block is all there is.
    """

    n_spots: int
    n_blocks: int
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    variance: NDArray[np.float64]


def blocks_of(positions: NDArray[np.floating], number: int) -> NDArray[np.intp]:
    """Cut spots into blocks of adjacent ones, as large as each other.

    Parameters
    ----------
    positions
        n x 2 or n x 3.
    number
        Of blocks; fewer where a block would have less than `FEWEST` spots.

    Returns
    -------
    ndarray
        n: index of each spot's block.
    """
    number = max(min(number, len(positions) // FEWEST), 1)
    blocks = np.zeros(len(positions), dtype=np.intp)
    # Halved across its longer side, again and again: the same spots give the same blocks.
    waiting = [(np.arange(len(positions)), number)]
    made = 0
    while waiting:
        spots, parts = waiting.pop()
        if parts == 1:
            blocks[spots] = made
            made += 1
            continue
        here = positions[spots]
        axis = int(np.argmax(np.ptp(here, axis=0)))
        others = [here[:, other] for other in range(here.shape[1]) if other != axis]
        order = spots[np.lexsort((*others, here[:, axis]))]
        first = parts // 2
        cut = round(len(spots) * first / parts)
        waiting += [(order[:cut], first), (order[cut:], parts - first)]
    return blocks


def group_mean(
    values: NDArray[np.float64],
    positions: NDArray[np.floating],
    deviation: NDArray[np.floating] | None,
    sections: NDArray[np.integer] | None,
    number: int,
) -> GroupMean:
    """Return mean, spread and error of one group.

    Parameters
    ----------
    values
        n spots x K types.
    positions
        n x 2 or n x 3.
    deviation
        n x K standard deviations of the values; None where unknown.
    sections
        Section of each spot; None for one.
    number
        Of blocks in each section.
    """
    blocks = np.zeros(len(values), dtype=np.intp)
    parts = np.zeros(len(values), dtype=np.intp) if sections is None else sections
    made = 0
    for part in np.unique(parts):
        inside = parts == part
        blocks[inside] = made + blocks_of(positions[inside], number)
        made = int(blocks[inside].max()) + 1
    sizes = np.bincount(blocks)
    share = sizes / len(values)
    mean = values.mean(axis=0)
    variance = np.full(values.shape[1], np.nan)
    if made > 1:
        away = _block_means(values, blocks, sizes) - mean
        variance = made / (made - 1) * (share**2 @ away**2)
        if deviation is not None:
            # Errors of neighbours hang together: within a block they are taken to be one error.
            variance = variance + share**2 @ _block_means(deviation, blocks, sizes) ** 2
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
    return GroupMean(len(values), made, mean, spread, variance)


def _block_means(
    values: NDArray[np.floating], blocks: NDArray[np.intp], sizes: NDArray[np.intp]
) -> NDArray[np.float64]:
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, blocks, values)
    return sums / sizes[:, None]


def difference_table(
    found: Mapping[str, GroupMean],
    name: str,
    reference: str | None,
    types: Sequence[str],
    level: float,
) -> pd.DataFrame:
    """Return how a group differs from another, or from all others together: a row a type.

    Parameters
    ----------
    found
        All groups.
    name, reference
        Which; None for all others.
    types
        Names of the K types.
    level
        How often an interval is to hold the true difference.
    """
    group = found[name]
    others = [
        other
        for key, other in found.items()
        if (key == reference if reference is not None else key != name)
    ]
    n_others = sum(other.n_spots for other in others)
    shares = [other.n_spots / n_others for other in others]
    mean = np.sum([s * other.mean for s, other in zip(shares, others, strict=True)], axis=0)
    parts = np.array(
        [group.variance, *(s**2 * o.variance for s, o in zip(shares, others, strict=True))]
    )
    freedom = np.array([group.n_blocks - 1, *(other.n_blocks - 1 for other in others)])
    variance = parts.sum(axis=0)
    error = np.sqrt(variance)
    # Welch and Satterthwaite: groups may vary by different amounts.
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = variance**2 / (parts**2 / freedom[:, None]).sum(axis=0)
        half = np.where(error == 0, 0.0, stats.t.ppf((1 + level) / 2, degrees) * error)
        effect = (group.mean - mean) / _spread_within([group, *others])
    difference = group.mean - mean
    effect[~np.isfinite(effect)] = np.nan
    return pd.DataFrame(
        {
            "region": name,
            "reference": REST if reference is None else reference,
            "cell_type": types,
            "n_spots": group.n_spots,
            "n_spots_reference": n_others,
            "mean": group.mean,
            "spread": group.spread,
            "mean_reference": mean,
            "spread_reference": _spread_of_all(others, mean),
            "difference": difference,
            "lower": difference - half,
            "upper": difference + half,
            "standard_error": error,
            "effect_size": effect,
        }
    )


def _spread_within(groups: Sequence[GroupMean]) -> NDArray[np.float64]:
    """Return the standard deviation of spots about the means of their groups."""
    several = [group for group in groups if group.n_spots > 1]
    freedom = sum(group.n_spots - 1 for group in several)
    squares = sum((group.n_spots - 1) * group.spread**2 for group in several)
    return np.asarray(np.sqrt(squares / freedom), dtype=np.float64)


def _spread_of_all(groups: Sequence[GroupMean], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of the spots of all groups about their common mean."""
    freedom = sum(group.n_spots for group in groups) - 1
    squares = np.zeros(len(mean))
    for group in groups:
        within = (group.n_spots - 1) * group.spread**2 if group.n_spots > 1 else 0.0
        squares = squares + within + group.n_spots * (group.mean - mean) ** 2
    return np.sqrt(squares / freedom) if freedom else np.full(len(mean), np.nan)


def group_table(found: Mapping[str, GroupMean], types: Sequence[str]) -> pd.DataFrame:
    """Return mean, spread and error of every group: a row for each group and type."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "region": name,
                    "cell_type": types,
                    "n_spots": group.n_spots,
                    "n_blocks": group.n_blocks,
                    "mean": group.mean,
                    "spread": group.spread,
                    "standard_error": np.sqrt(group.variance),
                }
            )
            for name, group in found.items()
        ],
        ignore_index=True,
    )
