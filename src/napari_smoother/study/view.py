"""What a map of spots shows: numbers or classes, with the quantity they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_smoother.analyses.gene_values import SCALE, find_gene, gene_expression, gene_names
from napari_smoother.analyses.quantities import Classes, Numbers, values_in
from napari_smoother.errors import InputError
from napari_smoother.palette import class_palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.shown import Source, View
    from napari_smoother.section import Section


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
        names = gene_names(section)
        row = find_gene(names, view.key, where=section.name)
        return Numbers(f"{names.label(row)}, {SCALE}", gene_expression(section, row))
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
