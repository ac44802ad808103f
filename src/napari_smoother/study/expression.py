"""The values of a section that an embedding is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.expression import normalise_counts
from napari_smoother.models.reduction.variable_genes import most_variable, residual_variances
from napari_smoother.models.shared_prior import expression_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.section import Section

DENSE = 5 * 10**7
"""Most values that are made dense, which is quicker; more stay sparse."""


@dataclass(frozen=True, slots=True, eq=False)
class ChosenGenes:
    """Which spots and genes of a section are used.

    Parameters
    ----------
    spots
        Rows: those with any count.
    genes
        Columns, at most as many as were asked for.
    """

    spots: NDArray[np.intp]
    genes: NDArray[np.intp]


def layer_of(section: Section, layer: str | None) -> Any:
    """Return spots x genes of a layer; of X for None and ``"X"``.

    Raises
    ------
    InputError
        If there is no such layer, or a value is not finite.
    """
    name = None if layer == "X" else layer
    return expression_of(section.adata, name, where=section.name)


def choose_genes(
    section: Section,
    layer: str | None,
    n_genes: int,
    cancelled: Callable[[], bool] | None = None,
) -> ChosenGenes:
    """Choose the genes that vary most.

    Counts are compared by the variance of their Pearson residuals, layers that are taken as
    they are by their variance.

    Raises
    ------
    InputError
        If nothing varies.
    Cancelled
        If ``cancelled`` returned True.
    """
    values = layer_of(section, layer)
    spots = np.arange(section.n_spots)
    if layer is None:
        spots = np.flatnonzero(np.asarray(abs(values).sum(axis=1)).ravel() > 0)
        variances = residual_variances(values, cancelled=cancelled)
    else:
        variances = column_variances(values)
    genes = most_variable(variances, n_genes)
    if not len(genes):
        raise InputError(
            "No gene varies between spots",
            where=section.name,
            remedy="Choose another layer",
        )
    return ChosenGenes(spots, genes)


def expression(section: Section, layer: str | None, scale: bool, chosen: ChosenGenes) -> Any:
    """Return used spots x used genes, each gene at unit variance if asked; not centred.

    Raises
    ------
    InputError
        If a count is negative.
    """
    values = layer_of(section, layer)
    if layer is None:
        # Before genes are chosen: the total of a spot is that of all its genes.
        values = normalise_counts(sparse.csr_matrix(values), "log1p")
    if sparse.issparse(values):
        values = sparse.csr_array(values)[chosen.spots][:, chosen.genes]
        if values.shape[0] * values.shape[1] <= DENSE:
            values = values.toarray()
    else:
        values = np.asarray(values)[np.ix_(chosen.spots, chosen.genes)]
    if scale:
        factors = 1 / np.sqrt(np.maximum(column_variances(values), 1e-300))
        is_sparse: bool = sparse.issparse(values)
        values = values @ sparse.diags_array(factors) if is_sparse else values * factors
    return values.astype(np.float32)


def counts(section: Section, layer: str | None, chosen: ChosenGenes) -> Any:
    """Return the counts of used spots x used genes, csr.

    Raises
    ------
    InputError
        If they are not whole numbers of at least 0.
    """
    found = sparse.csr_matrix(layer_of(section, layer))[chosen.spots][:, chosen.genes]
    if (found.data < 0).any() or (found.data != np.round(found.data)).any():
        raise InputError(
            "The values are not counts: some are negative or not whole",
            where=section.name if layer is None else f"{section.name}, layer {layer}",
            remedy="Choose a layer of counts, or the normal likelihood",
        )
    return found


def column_variances(values: Any) -> NDArray[np.float64]:
    """Variance of every column, float64, of an array or a scipy matrix."""
    is_sparse: bool = sparse.issparse(values)
    if is_sparse:
        wide = sparse.csc_array(values, dtype=np.float64)
        mean = np.asarray(wide.mean(axis=0)).ravel()
        wide.data = wide.data**2
        return np.asarray(np.maximum(np.asarray(wide.mean(axis=0)).ravel() - mean**2, 0.0))
    return np.asarray(np.var(values, axis=0, dtype=np.float64))
