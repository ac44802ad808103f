"""What a spot has to have to be analysed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require

Metric = Literal["counts", "genes", "mitochondrial"]
"""What is known of every spot: its counts, its genes, and the mitochondrial share in per cent."""

METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True, slots=True)
class QualitySettings(ComparedByValue):
    """Which spots are analysed: those within all limits.

    A spot that is not takes part in nothing, as if it were not in the section, and has no value
    in any result.

    Parameters
    ----------
    min_counts
        Fewest counts of a spot, over all genes; none for no limit.
    max_counts
        Most counts of a spot, over all genes; none for no limit.
    min_genes
        Fewest genes with a count in a spot; none for no limit.
    max_genes
        Most genes with a count in a spot; none for no limit.
    min_mitochondrial
        Least share of the counts of a spot that are of mitochondrial genes, in per cent; none for
        no limit.
    max_mitochondrial
        Largest share of the counts of a spot that are of mitochondrial genes, in per cent; none
        for no limit. A spot without counts has no share, and stays.
    mitochondrial_prefix
        What symbols of mitochondrial genes begin with, in capital or small letters.
    """

    min_counts: float | None = None
    max_counts: float | None = None
    min_genes: int | None = None
    max_genes: int | None = None
    min_mitochondrial: float | None = None
    max_mitochondrial: float | None = None
    mitochondrial_prefix: str = "MT-"

    def __post_init__(self) -> None:
        for metric in METRICS:
            low, high = self.limits(metric)
            for limit in (low, high):
                require(
                    limit is None or (math.isfinite(limit) and limit >= 0),
                    f"A limit cannot be {limit}",
                    f"quality min_{metric}",
                    "Give a number of at least 0, or none",
                )
            require(
                low is None or high is None or low <= high,
                f"The least, {low}, is above the most, {high}",
                f"quality min_{metric}",
                "No spot could be kept: give a lower one first",
            )
        require(
            bool(self.mitochondrial_prefix.strip()),
            "Every gene begins with nothing",
            "quality mitochondrial_prefix",
            'Give what symbols of mitochondrial genes begin with, such as "MT-"',
        )

    def limits(self, metric: Metric) -> tuple[float | None, float | None]:
        """Return the least and the most of a metric; None for no limit."""
        return getattr(self, f"min_{metric}"), getattr(self, f"max_{metric}")

    def with_limits(
        self, metric: Metric, low: float | None, high: float | None
    ) -> QualitySettings:
        """Return settings with other limits of a metric."""
        changed: dict[str, Any] = {f"min_{metric}": low, f"max_{metric}": high}
        return replace(self, **changed)

    @property
    def are_limits(self) -> bool:
        """Whether there is any limit."""
        return any(limit is not None for metric in METRICS for limit in self.limits(metric))
