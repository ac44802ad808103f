"""What a user can set of a comparison: which groups of spots, and how they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require

GroupsFrom = Literal["regions", "reduction", "autoencoder", "column"]


@dataclass(frozen=True, slots=True)
class GroupSettings(ComparedByValue):
    """Which groups of spots are compared.

    Parameters
    ----------
    groups
        Where the groups are: ``"regions"``, the drawn or imported ones; ``"reduction"`` or
        ``"autoencoder"``, the domains found on spatial components or on a spatial autoencoder;
        ``"column"``, the classes of an obs column.
    column
        The obs column, where groups are its classes.
    unassigned
        Whether spots that are in no group count as one more.
    pairs
        Groups to compare, each with its reference, which is ``""`` for all other groups
        together; none for every group with all others together.
    """

    groups: GroupsFrom = "regions"
    column: str = ""
    unassigned: bool = False
    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        require(
            self.groups in get_args(GroupsFrom),
            f"There are no groups of {self.groups!r}",
            "comparison groups",
            f"Choose one of {', '.join(get_args(GroupsFrom))}",
        )


@dataclass(frozen=True, slots=True)
class RankingSettings(GroupSettings):
    """How genes are ranked by how much they differ between groups.

    Parameters
    ----------
    tie_correct
        Whether the variance of rank sums is corrected for ties, of which genes that few spots
        express have many: without it, their scores are too small.
    """

    tie_correct: bool = True


@dataclass(frozen=True, slots=True)
class ComparisonSettings(GroupSettings):
    """How groups of spots are compared.

    Parameters
    ----------
    blocks
        Into how many blocks of adjacent spots a group is cut in each section. Blocks larger
        than the distance over which spots are alike make true intervals, more blocks shorter
        ones.
    level
        How often an interval is to hold the true difference, from 0 to 1.
    tie_correct
        Of genes: whether the variance of rank sums is corrected for ties, of which genes that
        few spots express have many; without it, their scores are too small.
    """

    blocks: int = 4
    level: float = 0.95
    tie_correct: bool = True

    def __post_init__(self) -> None:
        GroupSettings.__post_init__(self)
        require(
            self.blocks >= 2, "Two blocks are the least", "comparison blocks", "Give 2 or more"
        )
        require(
            0 < self.level < 1,
            f"An interval cannot hold a share of {self.level:g}",
            "comparison level",
            "Give a number between 0 and 1, such as 0.95",
        )

    @property
    def ranking(self) -> RankingSettings:
        """What of it decides a ranking of genes."""
        return RankingSettings(
            self.groups, self.column, self.unassigned, self.pairs, self.tie_correct
        )
