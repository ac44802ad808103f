"""Groups of spots that are compared: regions, domains, or the classes of a column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_smoother.analyses.quantities import MOST_CLASSES
from napari_smoother.analyses.region_columns import NO_CLASS
from napari_smoother.analyses.regions import UNASSIGNED
from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import InputError, require

if TYPE_CHECKING:
    from napari_smoother.analyses.comparison_settings import GroupSettings

REST = "rest"
"""What all other groups together are called in tables, as scanpy calls them."""

NO_GROUP = "no region"
"""What spots in no group are called where they count as one."""


@dataclass(frozen=True, slots=True, eq=False)
class Groups(ComparedByValue):
    """The group of each spot.

    Parameters
    ----------
    column
        The obs column they are in, or are saved in.
    names
        Of the groups.
    codes
        n ints into `names`, -1 where a spot is in none.
    """

    column: str
    names: tuple[str, ...]
    codes: NDArray[np.integer]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Groups)
            and self.column == other.column
            and self.names == other.names
            and np.array_equal(self.codes, other.codes)
        )

    def __hash__(self) -> int:
        return hash((self.column, self.names, len(self.codes)))

    @classmethod
    def of(cls, column: pd.Series[Any]) -> Groups:
        """Return the classes of an obs column.

        Categories keep their order, other values are sorted. Missing values, and the texts "NA",
        "nan" and "", are in no group.

        Raises
        ------
        InputError
            If it has more than 200 different values.
        """
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes, categories = column.cat.codes.to_numpy(), column.cat.categories
        else:
            values = column.where(column.notna()).astype(object)
            codes, categories = pd.factorize(values, sort=True)
        name = str(column.name)
        if len(categories) > MOST_CLASSES:
            raise InputError(
                f"The column has {len(categories):,} different values, too many to compare",
                where=f'obs["{name}"]',
                remedy=f"Choose a column that sorts the spots into 2 to {MOST_CLASSES} classes",
            )
        texts = [str(category) for category in categories]
        named = [code for code, text in enumerate(texts) if text.strip() not in NO_CLASS]
        new = np.full(len(texts) + 1, UNASSIGNED, dtype=np.int32)  # the last for -1
        new[named] = np.arange(len(named))
        return cls(name, tuple(texts[code] for code in named), new[codes])

    def with_unassigned(self) -> Groups:
        """Return the groups and one more, of the spots that are in none; itself if there are none.

        It is called `NO_GROUP`, with a number behind it where that is taken.
        """
        if (self.codes >= 0).all():
            return self
        name, number = NO_GROUP, 2
        while name in self.names:
            name, number = f"{NO_GROUP} {number}", number + 1
        codes = np.where(self.codes < 0, len(self.names), self.codes).astype(np.int32)
        return replace(self, names=(*self.names, name), codes=codes)

    def among(self, used: NDArray[np.bool_]) -> Groups:
        """Return the groups that have spots among some, with only these spots in them.

        Parameters
        ----------
        used
            n booleans.
        """
        codes = np.where(used, self.codes, UNASSIGNED)
        sizes = np.bincount(codes[codes >= 0], minlength=len(self.names))
        new = np.full(len(self.names) + 1, UNASSIGNED, dtype=np.int32)
        new[np.flatnonzero(sizes)] = np.arange(np.count_nonzero(sizes))
        names = tuple(name for name, size in zip(self.names, sizes, strict=True) if size)
        return replace(self, names=names, codes=new[codes])

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Number of spots in each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))


def compared_groups(groups: Groups, settings: GroupSettings, used: NDArray[np.bool_]) -> Groups:
    """Return the groups that are compared, of the spots that have values.

    Parameters
    ----------
    groups
        All there are.
    settings
        Whether spots in none count as one.
    used
        n booleans: which spots have values.
    """
    return (groups.with_unassigned() if settings.unassigned else groups).among(used)


def pairs_among(settings: GroupSettings, groups: Groups) -> list[tuple[str, str | None]]:
    """Return which groups are compared, each with its reference, None for all others.

    Raises
    ------
    InputError
        If there are fewer than two groups, or one that is to be compared is not there.
    """
    names = groups.names
    require(
        len(names) > 1,
        f"There are {len(names)} regions with values, and two are the least to compare"
        if len(names) != 1
        else f"There is 1 region with values ({names[0]}), and two are the least to compare",
        "regions",
        "Draw another region, count the spots in no region as one, or name another column",
    )
    for name in dict.fromkeys(name for pair in settings.pairs for name in pair):
        require(
            name in names or not name,
            f"There is no region {name!r} with values",
            "pairs",
            f"Choose of {', '.join(names)}",
        )
    for group, reference in settings.pairs:
        require(bool(group), "A region to compare has no name", "pairs", "Name one")
        require(group != reference, f"{group!r} is compared to itself", "pairs", "Name another")
    return [(group, reference or None) for group, reference in settings.pairs] or [
        (name, None) for name in names
    ]
