"""What a map of spots shows: numbers or classes, with the quantity they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.gene_names import GeneNames
from napari_smoother.palette import class_palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.shown import Source, View
    from napari_smoother.section import Section

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


_gene_names: WeakKeyDictionary[Section, GeneNames] = WeakKeyDictionary()


def gene_names(section: Section) -> GeneNames:
    """Return how the genes of a section are shown, and what else they are called."""
    if section not in _gene_names:
        _gene_names[section] = GeneNames.of(section.adata.var)
    return _gene_names[section]


def viewable(section: Section) -> dict[Source, tuple[str, ...]]:
    """Return what a section can be coloured by: names for each source.

    Genes go by their symbols where a column has them, columns of obsm tables are written
    ``table / column``.
    """
    adata = section.adata
    tables = [
        f"{key} / {column}"
        for key in adata.obsm
        if key != "spatial"
        for column in _columns(adata.obsm[key])
    ]
    return {
        "gene": tuple(gene_names(section).shown),
        "obs": tuple(map(str, adata.obs.columns)),
        "obsm": tuple(tables),
    }


def values_of(section: Section, view: View) -> Numbers | Classes:
    """Return the values a view shows.

    Genes are found by any of their names and shown as log1p of counts per ten thousand of the
    spot. Classes of an obs column have the colours in ``uns["<column>_colors"]``.

    Raises
    ------
    InputError
        If the section has nothing of that name, or it is neither numbers nor classes.
    """
    if view.source == "gene":
        return _gene(section, view.key)
    if view.source == "obs":
        if view.key not in section.adata.obs:
            raise _not_found(section, "obs column", view.key)
        return _coloured(section, view.key)
    table = section.adata.obsm.get(view.key)
    if table is None or view.column not in _columns(table):
        raise _not_found(section, "obsm column", f"{view.key} / {view.column}")
    if isinstance(table, pd.DataFrame):
        column = table.iloc[:, list(_columns(table)).index(view.column)]
    else:
        column = pd.Series(np.asarray(table)[:, int(view.column)])
    return values_in(f"{view.key} / {view.column}", column)


def proportion_of(composition: Composition, cell_type: str) -> Numbers:
    """Return the share of one cell type in each spot."""
    if cell_type not in composition.types:
        raise InputError(
            f"There is no cell type {cell_type!r}",
            where="composition",
            remedy=f"Choose one of {', '.join(composition.types)}",
        )
    column = composition.types.index(cell_type)
    return Numbers(f"proportion of {cell_type}", composition.proportions[:, column])


def dominant_types(composition: Composition) -> Classes:
    """Return the most abundant cell type of each spot."""
    return Classes("dominant cell type", composition.dominant, composition.types)


def deviation_of(composition: Composition, cell_type: str) -> Numbers | None:
    """Return the posterior standard deviation of one proportion; None while it is not known."""
    if composition.deviation is None:
        return None
    column = composition.types.index(cell_type)
    return Numbers(
        f"standard deviation of the proportion of {cell_type}",
        composition.deviation.proportion_deviation[:, column],
    )


def misfit_of(composition: Composition) -> Numbers | None:
    """Return the share of each spot that the mixture leaves unexplained; None if not known yet.

    Of expression on the scale of the fit, of log counts, or of deviance, as the model has it.
    """
    if composition.misfit is None:
        return None
    model = composition.settings.model
    what = {"lognormreg": "log expression", "poisson": "deviance"}.get(model, "expression")
    return Numbers(f"share of {what} left unexplained", composition.misfit)


def _gene(section: Section, name: str) -> Numbers:
    adata, names = section.adata, gene_names(section)
    row = names.find(name)
    if row is None:
        raise _not_found(section, "gene", name)
    counts: Any = adata.X[:, adata.var_names.get_loc(row)]
    dense = np.asarray(counts.toarray() if hasattr(counts, "toarray") else counts).ravel()
    totals = np.asarray(adata.X.sum(axis=1)).ravel()
    per_ten_thousand = 1e4 * dense / np.where(totals > 0, totals, 1.0)
    label = names.label(row)
    return Numbers(f"{label}, log1p of counts per 10,000", np.log1p(per_ten_thousand))


def palette_fault(section: Section, view: View) -> InputError | None:
    """Return why the colours that a section has for an obs column are not used."""
    if view.source != "obs":
        return None
    values = values_in(view.key, section.adata.obs[view.key])
    try:
        _ = _palette(section, view.key, values) if isinstance(values, Classes) else None
    except InputError as fault:
        return fault
    return None


def _coloured(section: Section, key: str) -> Numbers | Classes:
    """Return the values of an obs column, classes with their own colours if these can be used."""
    values = values_in(key, section.adata.obs[key])
    if isinstance(values, Numbers):
        return values
    try:
        palette = _palette(section, key, values)
    except InputError:
        return values  # `palette_fault` tells
    return values if palette is None else replace(values, palette=palette)


def _palette(section: Section, key: str, values: Classes) -> NDArray[np.floating] | None:
    """Return the colours of the classes that spots of an obs column have."""
    column = section.adata.obs[key]
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories, codes = tuple(map(str, column.cat.categories)), column.cat.codes.to_numpy()
    else:
        categories, codes = values.names, values.codes
    palette = class_palette(section.adata.uns, key, categories, where=section.name)
    return None if palette is None else palette[np.unique(codes[codes >= 0])]


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


def _columns(table: object) -> tuple[str, ...]:
    if isinstance(table, pd.DataFrame):
        return tuple(map(str, table.columns))
    shape: tuple[int, ...] = getattr(table, "shape", ())
    return tuple(map(str, range(shape[1]))) if len(shape) == 2 else ()


def _not_found(section: Section, kind: str, name: str) -> InputError:
    return InputError(
        f"There is no {kind} {name!r}",
        where=section.name,
        remedy="Choose one from the list",
    )
