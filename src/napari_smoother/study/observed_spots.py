"""Which spots an imputation sees, and which are hidden from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.analyses.shown import View
from napari_smoother.errors import InputError
from napari_smoother.study.view import Classes, values_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.section import Section


def class_columns(section: Section) -> dict[str, tuple[str, ...]]:
    """Return the obs columns of classes or truth values, with the classes of each."""
    columns = {}
    for name in map(str, section.adata.obs.columns):
        try:
            values = values_of(section, View("obs", name))
        except InputError:
            continue  # too many classes to choose from
        if isinstance(values, Classes) and values.names:
            columns[name] = values.names
    return columns


def spots_with_counts(section: Section) -> NDArray[np.bool_]:
    """Return which spots have any count: the others have no expression, not one of 0.

    Raises
    ------
    InputError
        If the section has no counts: none at all, negative ones, or ones that are not finite.
    """
    counts: Any = section.adata.X
    remedy = "Open a section with raw counts in X"
    if counts is None or section.adata.n_vars == 0:
        raise InputError("The section has no counts", where=section.name, remedy=remedy)
    is_sparse: bool = sparse.issparse(counts)
    stored = counts.data if is_sparse else np.asarray(counts)
    if stored.size and not (np.isfinite(stored).all() and stored.min() >= 0):
        raise InputError(
            "X has values that are negative or not finite, so they are not counts",
            where=section.name,
            remedy=remedy,
        )
    counted = np.asarray(counts.sum(axis=1)).ravel() > 0
    if not counted.any():
        raise InputError("No spot has any count", where=section.name, remedy=remedy)
    return counted


def observed_spots(
    section: Section,
    counted: NDArray[np.bool_],
    column: str,
    hidden_class: str,
    share: float,
    seed: int,
) -> NDArray[np.bool_]:
    """Return which spots are seen, n booleans.

    Parameters
    ----------
    section
        Whose spots they are.
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
    seen = counted & ~_of_class(section, column, hidden_class) if column else counted.copy()
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


def _of_class(section: Section, column: str, name: str) -> NDArray[np.bool_]:
    values = values_of(section, View("obs", column))
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
