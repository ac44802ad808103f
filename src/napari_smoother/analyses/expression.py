"""The values of a section that an embedding is made from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.expression import normalise_counts
from napari_smoother.models.reduction.variable_genes import most_variable, residual_variances
from napari_smoother.models.shared_prior import expression_of
from napari_smoother.models.spatial_autocorrelation import most_spatial

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.kept_spots import KeptSpots

GenesBy = Literal["spatial", "variable"]
"""How genes are ranked: by Moran's I on the graph, or by their variance beyond counting noise."""

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

    def over(self, kept: KeptSpots) -> ChosenGenes:
        """Return the same spots and genes, with the places of spots among all."""
        return replace(self, spots=kept.places[self.spots])


def layer_of(adata: AnnData, layer: str | None, where: str) -> Any:
    """Return spots x genes of a layer; of X for None and ``"X"``.

    Raises
    ------
    InputError
        If there is no such layer, or a value is not finite.
    """
    name = None if layer == "X" else layer
    return expression_of(adata, name, where=where)


def warn_unless_counts(adata: AnnData, layer: str | None) -> None:
    """Warn where X is to be taken as counts (layer None) and cannot be: logs taken of logs."""
    if layer is not None or adata.X is None:
        return
    values = layer_of(adata, None, "section")
    is_sparse: bool = sparse.issparse(values)
    stored = values.data if is_sparse else values
    if (stored != np.round(stored)).any():
        warnings.warn(
            "X holds values that are not whole numbers, and is taken as counts: brought to ten "
            'thousand a spot, then to logarithms. Pass layer="X" to take it as it is.',
            stacklevel=3,
        )


def choose_genes(
    adata: AnnData,
    where: str,
    layer: str | None,
    n_genes: int,
    by: GenesBy,
    weights: csr_array,
    cancelled: Callable[[], bool] | None = None,
) -> ChosenGenes:
    """Choose the genes that say most about the tissue.

    By ``"spatial"`` those of largest Moran's I; by ``"variable"`` those of largest variance: of
    Pearson residuals for counts, of the values themselves for a layer that is taken as it is.

    Raises
    ------
    InputError
        If nothing varies.
    Cancelled
        If ``cancelled`` returned True.
    """
    values = layer_of(adata, layer, where)
    spots = np.arange(adata.n_obs)
    if layer is None:
        spots = np.flatnonzero(np.asarray(abs(values).sum(axis=1)).ravel() > 0)
    linked = among(weights, spots)
    if by == "spatial" and linked.nnz:
        if layer is None:
            values = normalise_counts(sparse.csr_matrix(values), "log1p")
        if len(spots) < values.shape[0]:
            values = values[spots]
        genes = most_spatial(values, linked, n_genes, cancelled=cancelled)
    elif layer is None:
        genes = most_variable(residual_variances(values, cancelled=cancelled), n_genes)
    else:
        genes = most_variable(column_variances(values), n_genes)
    if not len(genes):
        raise InputError(
            "No gene varies between spots",
            where=where,
            remedy="Choose another layer",
        )
    return ChosenGenes(spots, genes)


def among(weights: csr_array, spots: NDArray[np.intp]) -> csr_array:
    """Return the weights between used spots."""
    if len(spots) == weights.shape[0]:
        return weights
    kept: csr_array = weights[spots][:, spots]
    return kept


def expression(
    adata: AnnData, where: str, layer: str | None, scale: bool, chosen: ChosenGenes
) -> Any:
    """Return used spots x used genes, each gene at unit variance if asked; not centred.

    Raises
    ------
    InputError
        If a count is negative.
    """
    values = layer_of(adata, layer, where)
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


def counts(adata: AnnData, where: str, layer: str | None, chosen: ChosenGenes) -> Any:
    """Return the counts of used spots x used genes, csr.

    Raises
    ------
    InputError
        If they are not whole numbers of at least 0.
    """
    found = sparse.csr_matrix(layer_of(adata, layer, where))[chosen.spots][:, chosen.genes]
    if (found.data < 0).any() or (found.data != np.round(found.data)).any():
        raise InputError(
            "The values are not counts: some are negative or not whole",
            where=where if layer is None else f"{where}, layer {layer}",
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
