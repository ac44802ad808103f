"""How alike the spots at the ends of an edge are, by expression and by the tissue image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.expression import normalise_counts
from napari_smoother.weights.histology import spot_colours, spot_patches
from napari_smoother.weights.scaling import similarity_factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph_settings import HistologyFeatures, Metric
    from napari_smoother.section import Section
    from napari_smoother.weights.neighbours import Neighbourhood


def expression_factors(
    section: Section,
    neighbourhood: Neighbourhood,
    table: str,
    n_components: int,
    metric: Metric,
    width: float,
) -> NDArray[np.float64]:
    """Return how alike the expression at the ends of each edge is, 0 to 1.

    Parameters
    ----------
    section, neighbourhood
        The spots, and who is next to whom.
    table
        Of ``obsm``, compared as it is; empty for principal components of log expression.
    n_components
        How many of these.
    metric, width
        See `napari_smoother.weights.scaling.similarity_factors`.

    Raises
    ------
    InputError
        If there is no such table, or it holds other than finite numbers.
    """
    if table:
        features, reduce = table_of_numbers(section, table), "none"
    else:
        features, reduce = normalise_counts(section.adata.X, "log1p"), "pca"
    return similarity_factors(
        neighbourhood,
        features,
        metric=metric,
        reduce=reduce,
        n_components=n_components,
        width=width,
    )


def histology_factors(
    section: Section,
    neighbourhood: Neighbourhood,
    compared: HistologyFeatures,
    n_components: int,
    side: float,
    metric: Metric,
    width: float,
) -> NDArray[np.float64]:
    """Return how alike the tissue image at the ends of each edge is, 0 to 1.

    Parameters
    ----------
    section, neighbourhood
        The spots, and who is next to whom.
    compared
        What of the window: see `GraphSettings`.
    n_components
        Of its pixels.
    side
        Of the window, in full-resolution pixels.
    metric, width
        See `napari_smoother.weights.scaling.similarity_factors`.

    Raises
    ------
    InputError
        If the section has no image, or spots lie outside it.
    """
    if not section.images:
        raise InputError(
            "The section has no image to compare",
            where=section.name,
            remedy="Open a section with an image, or untick the scaling by histology",
        )
    image = section.images[0]
    read: Any = spot_colours if compared == "mean" else spot_patches
    return similarity_factors(
        neighbourhood,
        read(section.positions, image.pixels, scale=image.scale, diameter=side),
        metric=metric,
        reduce="pca" if compared == "components" else "none",
        n_components=n_components,
        width=width,
    )


def comparable_tables(section: Section) -> tuple[str, ...]:
    """Return the tables of ``obsm`` in which spots can be compared; positions are none."""
    obsm = section.adata.obsm
    return tuple(str(key) for key in obsm if key != "spatial" and _is_numeric(obsm[key]))


def table_of_numbers(section: Section, key: str) -> NDArray[np.float64]:
    """Return a table of ``obsm``, spots x columns.

    Raises
    ------
    InputError
        If there is none of that name that holds numbers.
    """
    if key not in comparable_tables(section):
        there = ", ".join(comparable_tables(section)) or "none"
        raise InputError(
            f'The section has no table of numbers "{key}"; there are: {there}',
            where="graph expression_table",
            remedy="Choose one of these, or leave it empty for log expression",
        )
    table = section.adata.obsm[key]
    dense = table.toarray() if hasattr(table, "toarray") else np.asarray(table)
    return np.asarray(dense, dtype=np.float64)


def _is_numeric(table: Any) -> bool:
    if isinstance(table, pd.DataFrame):
        return table.shape[1] > 0 and all(
            isinstance(kind, np.dtype) and kind.kind in "biuf" for kind in table.dtypes
        )
    kind = getattr(getattr(table, "dtype", None), "kind", "")
    return kind in "biuf" and len(getattr(table, "shape", ())) == 2 and table.shape[1] > 0
