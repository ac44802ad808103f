"""Which spots an imputation sees, and which are hidden from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.analyses.quantities import Classes, values_in
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.section import Section


def class_columns(section: Section) -> dict[str, tuple[str, ...]]:
    """Return the obs columns of classes or truth values, with the classes of each."""
    columns = {}
    for name in map(str, section.adata.obs.columns):
        try:
            values = values_in(name, section.adata.obs[name])
        except InputError:
            continue  # too many classes to choose from
        if isinstance(values, Classes) and values.names:
            columns[name] = values.names
    return columns


def observed_spots(
    adata: AnnData,
    counted: NDArray[np.bool_],
    column: str,
    hidden_class: str,
    share: float,
    seed: int,
) -> NDArray[np.bool_]:
    """Return which spots are seen, n booleans.

    Parameters
    ----------
    adata
        Spots x genes.
    counted
        Which of them have any count.
    column, hidden_class
        Spots of this class of an obs column are hidden; none where the column is ``""``.
    share
        Of the others, hidden at random.
    seed
        Of the draw.

    Raises
    ------
    InputError
        If the column is not one of classes, has no such class, or no spot is left.
    """
    seen = counted & ~_of_class(adata, column, hidden_class) if column else counted.copy()
    candidates = np.flatnonzero(seen)
    hidden = round(share * len(candidates))
    if hidden:
        draw = np.random.default_rng(seed)
        seen[draw.choice(candidates, size=hidden, replace=False)] = False
    if not seen.any():
        raise InputError(
            "No spot with counts is left to be seen",
            where="hidden spots",
            remedy="Hide fewer spots",
        )
    return seen


def _of_class(adata: AnnData, column: str, name: str) -> NDArray[np.bool_]:
    if column not in adata.obs:
        raise InputError(
            f"There is no obs column {column!r}",
            where="hidden spots",
            remedy="Choose one from the list",
        )
    values = values_in(column, adata.obs[column])
    if not isinstance(values, Classes):
        raise InputError(
            f'The column "{column}" holds numbers, not classes or truth values',
            where="hidden spots",
            remedy="Choose a column of classes or truth values",
        )
    if name not in values.names:
        raise InputError(
            f'No spot of the column "{column}" is {name!r}',
            where="hidden spots",
            remedy=f"Choose one of {', '.join(values.names)}",
        )
    return np.asarray(values.codes == values.names.index(name))
