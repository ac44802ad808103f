"""Which section a spot is of, where one table holds the spots of several.

Two things together tell: a name (a column of obs, or what stands before and behind the
barcodes), and positions that lie over each other. A name alone does not: the tiles and cores of
one slide have names too, and a graph over all of them is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError
from napari_smoother.weights.overlap import (
    SHARED,
    are_crossed_lattices,
    lie_over_each_other,
    places_taken_alike,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

NAMING = (
    "library",
    "sample",
    "section",
    "slice",
    "bregma",
    "puck",
    "core",
    "tma core",
    "slide",
    "capture area",
    "specimen",
    "dataset",
    "orig ident",
    "batch",
    "animal",
    "mouse",
    "donor",
    "patient",
    "subject",
    "replicate",
    "fov",
)
"""What columns of obs that may name sections are called, the likeliest first.

Compared without case and signs between words, and without what is in `ENDINGS`.
"""

ENDINGS = frozenset(
    {"id", "ids", "name", "names", "key", "label", "labels", "no", "number", "num"}
)

PREFIXES = frozenset({"brain", "tissue", "spatial", "visium", "imaging"})

FEWEST_SPOTS = 4
"""Spots that a name has to stand for on average; otherwise it names the spots themselves."""

BARCODE = re.compile(r"[A-Za-z0-9]{8,}")

WELL = re.compile(r"-[0-9]+(?=[-_])")
"""What Cell Ranger puts behind every barcode, where something else follows."""

GLIMPSE = 1_000
"""Names of spots that are read first, since most tables need no more."""

UNNAMED = "NA"


@dataclass(frozen=True, slots=True, eq=False)
class Sections:
    """The sections that spots are of.

    Parameters
    ----------
    names
        Of the sections.
    labels
        n: index of each spot's section in ``names``.
    columns
        The columns of obs that tell them apart, several where no one does; empty where something
        else does.
    otherwise
        What it is then, in words.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    columns: tuple[str, ...]
    otherwise: str = "the endings of obs_names"

    @property
    def source(self) -> str:
        """What tells them apart, in words."""
        return " and ".join(f'obs["{column}"]' for column in self.columns) or self.otherwise


def overlapping_sections(
    obs: pd.DataFrame, positions: NDArray[np.float64], *, further: tuple[str, ...] = ()
) -> Sections | None:
    """Find the sections of spots that lie over each other.

    Parameters
    ----------
    obs
        Of n spots, its index being their names.
    positions
        n x 2. Spots without a finite position take no part in the judgement.
    further
        Columns that name sections whatever they are called; asked before all others.

    Returns
    -------
    Sections or None
        None where no names of sections stand for spots that lie over each other.
    """
    placed = np.isfinite(positions).all(axis=1)
    if not placed.any():
        return None
    within = np.zeros(len(obs), dtype=np.int64)
    used: list[tuple[str, NDArray[np.int64], tuple[str, ...]]] = []
    for column, labels, names in _namings(obs, further):
        if column is None and used:
            break
        finer, _ = _joined([within, labels])
        if lie_over_each_other(positions[placed], finer[placed], within[placed]):
            within = finer
            used.append((column or "", labels, names))
    for naming in list(used):  # a later column may tell all apart that an earlier one does
        others = [other for other in used if other is not naming]
        if others and _number(_joined([labels for _, labels, _ in others])[0]) == _number(within):
            used = others
    if not used:
        return None
    joined, parts = _joined([labels for _, labels, _ in used])
    spelled = tuple(
        " ".join(names[part] for (_, _, names), part in zip(used, row, strict=True))
        for row in parts
    )
    return Sections(spelled, joined, tuple(column for column, _, _ in used if column))


def declared_columns(uns: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns of obs that the table itself says name sections: SpatialData's ``region_key``.

    Parameters
    ----------
    uns
        Of an AnnData.
    """
    attributes = uns.get("spatialdata_attrs")
    column = attributes.get("region_key") if isinstance(attributes, Mapping) else None
    return (column,) if isinstance(column, str) else ()


def sections_of_column(obs: pd.DataFrame, column: str) -> Sections:
    """Take the sections that a column names.

    Parameters
    ----------
    obs
        Of n spots.
    column
        Its name. Spots without a value form a section of their own.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if column not in obs:
        raise InputError(
            f'There is no column "{column}"; there are: {", ".join(map(str, obs.columns[:8]))}',
            where="library_key, obs",
            remedy="Choose the column that says which section a spot is of",
        )
    labels, names = _codes(obs[column])
    return Sections(names, labels, (column,))


def sections_in_depth(depth: NDArray[np.float64], where: str) -> Sections | None:
    """Take the few values of a third coordinate for sections; None where it takes many.

    Parameters
    ----------
    depth
        n.
    where
        Where it was found, in words.
    """
    values, labels = np.unique(depth, return_inverse=True)
    if not 1 < len(values) <= len(depth) / FEWEST_SPOTS:
        return None
    names = tuple(f"z = {value:.10g}" for value in values)
    return Sections(names, labels.ravel().astype(np.int64), (), where)


def unexplained_overlap(obs: pd.DataFrame, positions: NDArray[np.float64]) -> str | None:
    """Say why spots that no name tells apart must be of several sections.

    Lattices, coinciding places and names that come twice can tell. Cells at scattered positions
    with names of their own lie over each other without a trace.

    Parameters
    ----------
    obs
        Of n spots, with ``array_row`` and ``array_col`` where it is known.
    positions
        n x 2.

    Returns
    -------
    str or None
        A sentence without its full stop; None where nothing speaks for several sections.
    """
    finite = np.isfinite(positions).all(axis=1)
    placed = positions[finite]
    if not finite.any():
        return None
    number = places_taken_alike(placed)
    if number > 1:
        return f"Many positions are those of {number} spots each"
    if "array_row" in obs and "array_col" in obs:
        array = obs[["array_row", "array_col"]].apply(pd.to_numeric, errors="coerce").to_numpy()
        number = places_taken_alike(array[np.isfinite(array).all(axis=1)].astype(np.float64))
        if number > 1:
            return f"Many pairs of array_row and array_col are those of {number} spots each"
    repeated = _repeated(obs.index)[finite]
    if repeated.mean() >= SHARED and lie_over_each_other(placed, repeated.astype(np.int64)):
        return f"{int(repeated.sum())} names of spots come more than once"
    if are_crossed_lattices(placed):
        return "The spots lie on several lattices, one over the other"
    return None


def may_name_sections(column: str) -> bool:
    """Whether a column is called like one that names sections.

    Parameters
    ----------
    column
        Of obs.
    """
    return _rank(column) < len(NAMING)


def _rank(column: str) -> int:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)
    words = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    while words and words[-1] in ENDINGS:
        del words[-1]
    while words and words[0] in PREFIXES:
        del words[0]
    name = "".join(words)
    for ending in ("id", "name"):  # sampleid, FOVname
        name = name.removesuffix(ending) or name
    for plain in (name, name.removesuffix("s")):
        for place, known in enumerate(NAMING):
            if plain == known.replace(" ", ""):
                return place
    return len(NAMING)


def _namings(
    obs: pd.DataFrame, further: tuple[str, ...]
) -> Iterator[tuple[str | None, NDArray[np.int64], tuple[str, ...]]]:
    """Columns, and then None for the names of the spots, with labels and their names."""
    ranked = sorted((c for c in map(str, obs.columns) if may_name_sections(c)), key=_rank)
    for column in dict.fromkeys((*further, *ranked)):
        if column in obs and isinstance(obs[column], pd.Series):
            labels, names = _codes(obs[column])
            if 1 < len(names) <= len(obs) / FEWEST_SPOTS:
                yield column, labels, names
    barcodes = _beside_barcodes(obs.index)
    if barcodes is not None:
        labels, names = _codes(barcodes)
        yield None, labels, names


def _codes(column: pd.Series[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels from 0, and their names in the order of categories or else of the file."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        codes, levels = column.cat.codes.to_numpy().astype(np.int64), column.cat.categories
    else:
        codes, levels = pd.factorize(column, sort=column.dtype.kind in "iuf")
        codes = codes.astype(np.int64)
    names = tuple(str(level) for level in levels)
    if (codes < 0).any():
        codes = np.where(codes < 0, len(names), codes)
        names = (*names, UNNAMED)
    return codes, names


def _beside_barcodes(names: pd.Index[Any]) -> pd.Series[Any] | None:
    """Take what stands before and behind the barcodes; None where that cannot name sections.

    AnnData makes names unique by an ending for those that came twice: such endings stand behind
    some of the spots of a section only, and tell no sections apart.
    """
    glimpse = _kinds(names[:: -(-len(names) // GLIMPSE)])
    if glimpse is None or not 1 < len(set(glimpse)) <= len(glimpse) / FEWEST_SPOTS:
        return None
    beside = _kinds(names)
    if beside is None:
        return None
    kinds = set(beside)
    if any(_is_ending_of(one, other) for one in kinds for other in kinds):
        return None
    wells = {found.group() if (found := WELL.match(behind)) else "" for _, behind in kinds}
    well = wells.pop() if len(wells) == 1 else ""
    shown = {(a, b): (a + b.removeprefix(well)).strip("-_.: ") for a, b in kinds}
    if len(set(shown.values())) < len(kinds):
        return None
    return pd.Series([shown[kind] for kind in beside])


def _repeated(names: pd.Index[Any]) -> NDArray[np.bool_]:
    """Whether a name stood before, or did so before AnnData made names unique by an ending."""
    if not names.is_unique:
        repeated: NDArray[np.bool_] = names.duplicated()
        return repeated
    glimpse = _was_made_unique(names[:: -(-len(names) // GLIMPSE)], names)
    return _was_made_unique(names, names) if glimpse.any() else np.zeros(len(names), dtype=bool)


def _was_made_unique(some: pd.Index[Any], names: pd.Index[Any]) -> NDArray[np.bool_]:
    before = some.astype(str).str.replace(r"-\d+$", "", regex=True)
    made: NDArray[np.bool_] = (names.get_indexer(before) >= 0) & (before != some)
    return made


def _kinds(names: pd.Index[Any]) -> list[tuple[str, str]] | None:
    """Take what stands before and behind each barcode; None where a name holds none."""
    kinds = []
    for name in names:
        text = str(name)
        runs = BARCODE.findall(text)
        if not runs:
            return None
        before, _, behind = text.partition(max(runs, key=len))
        kinds.append((before, behind))
    return kinds


def _is_ending_of(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether the other is the first with something more behind it."""
    more = other[1][len(one[1]) :]
    return one[0] == other[0] and other[1].startswith(one[1]) and more[:1] in ("-", "_", ".")


def _joined(
    namings: list[NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One label for every combination that occurs, and the combinations."""
    mixed = namings[0].astype(np.int64)
    for further in namings[1:]:  # one number sorts far faster than a row
        mixed = mixed * (int(further.max(initial=0)) + 1) + further
    _, first, labels = np.unique(mixed, return_index=True, return_inverse=True)
    return labels.ravel().astype(np.int64), np.column_stack(namings)[first]


def _number(labels: NDArray[np.int64]) -> int:
    return int(labels.max()) + 1 if labels.size else 0
