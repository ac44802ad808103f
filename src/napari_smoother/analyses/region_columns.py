"""Regions from columns: the classes that a table has of the spots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_smoother.analyses.regions import UNASSIGNED, Colour, RegionClass, Regions
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_CLASS = ("", "NA", "nan", "NaN", "None")
"""What tables write where there is no class."""


def class_texts(column: pd.Series[str]) -> pd.Series[str]:
    """Return the class of each spot as text, "" where it has none."""
    values = column.astype("object").where(column.notna(), "").astype(str)
    return values.where(~values.str.strip().isin(NO_CLASS), "")


def texts_for_none(column: pd.Series[str]) -> dict[str, int]:
    """Return the texts of a column that are no class, such as "NA", and how many spots have each.

    Values that are missing are not among them: those say by themselves that there is none.
    """
    values = column[column.notna()].astype("object").astype(str).str.strip()
    found = values[values.isin(NO_CLASS[1:])].value_counts()
    return {str(text): int(number) for text, number in found.items()}


def class_names(column: pd.Series[str]) -> list[str]:
    """Return the classes of a column: categories in their order, other values sorted."""
    present = set(class_texts(column)) - {""}
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [name for name in map(str, column.cat.categories) if name in present]
    return sorted(present)


def regions_from_column(column: pd.Series[str], colours: Sequence[Colour]) -> Regions:
    """Return the classes of an obs column as regions.

    Parameters
    ----------
    column
        One value a spot. Missing values, and the texts "NA", "nan" and "", are no region.
        Categories keep their order; other values are sorted.
    colours
        One for each class, taken in turn.

    Raises
    ------
    InputError
        If the column holds a single class, none, or more than 200.
    """
    values, names = class_texts(column), class_names(column)
    if not 1 <= len(names) <= 200:
        raise InputError(
            f"The column has {len(names)} classes",
            where=f'obs["{column.name}"]',
            remedy="Choose a column that sorts the spots into 1 to 200 classes",
        )
    codes = {name: code for code, name in enumerate(names)}
    imported = np.asarray(values.map(codes).fillna(UNASSIGNED), dtype=np.int32)
    classes = tuple(
        RegionClass(name, colours[code % len(colours)]) for name, code in codes.items()
    )
    return Regions(classes=classes, imported=imported)
