"""What there is for each spot: a number, a class, or three numbers for a colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CLASSES = 200
"""Integer columns with more distinct values are shown as numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A number for each spot.

    Parameters
    ----------
    quantity
        What it is, with its unit.
    values
        n floats, NaN where there is none.
    """

    quantity: str
    values: NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """A class for each spot.

    Parameters
    ----------
    quantity
        What the classes are.
    codes
        n ints into `names`, -1 where there is none.
    names
        Of the classes.
    palette
        Their colours, classes x 4, where the section brings them along.
    """

    quantity: str
    codes: NDArray[np.integer]
    names: tuple[str, ...]
    palette: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Three numbers for each spot, shown as the red, green and blue of its colour.

    Parameters
    ----------
    quantity
        What the numbers are.
    names
        Of the three: red, green, blue.
    values
        n x 3 floats, NaN where there is none.
    """

    quantity: str
    names: tuple[str, str, str]
    values: NDArray[np.floating]


def values_in(quantity: str, column: pd.Series[Any]) -> Numbers | Classes:
    """Return the values of a column: numbers, or few different values as classes.

    Raises
    ------
    InputError
        If it has too many classes to colour.
    """
    integers = pd.api.types.is_integer_dtype(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        classes = column.cat.remove_unused_categories()
        return Classes(
            quantity,
            classes.cat.codes.to_numpy(),
            tuple(map(str, classes.cat.categories)),
        )
    if pd.api.types.is_numeric_dtype(column) and not (
        pd.api.types.is_bool_dtype(column) or (integers and column.nunique() <= 30)
    ):
        return Numbers(quantity, column.to_numpy(dtype=np.float64, na_value=np.nan))
    classes = column.where(column.notna()).astype(object)
    codes, names = pd.factorize(classes, sort=True)
    if len(names) > MOST_CLASSES:
        raise InputError(
            f"The column has {len(names)} different values, too many to colour",
            where=quantity,
            remedy=f"Choose a column of numbers or of at most {MOST_CLASSES} classes",
        )
    return Classes(quantity, codes, tuple(map(str, names)))
