"""The one precision under which all features of a reduction or an imputation vary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.spatial_prior import prior_of

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_smoother.weights.precision import Process

CONNECTIVITIES = "spatial_connectivities"


def shared_prior(spatial_loss: Any, n_spots: int) -> tuple[Any, float]:
    """Precision of a spatial loss that is the same for all dims, and its confidence.

    Parameters
    ----------
    spatial_loss
        A `SpatialLoss`, or anything with ``inv_cov``; see
        `napari_smoother.models.deconv.spatial_prior.prior_of`.
    n_spots
        Number of spots it must be made for.

    Returns
    -------
    precision
        n x n sparse, float64; or a `MovingAverage`.
    confidence
        Factor of the precision.

    Raises
    ------
    InputError
        If the loss has a precision or a confidence for each dim, belongs to other spots, or is
        not a quadratic form.
    """
    given = getattr(spatial_loss, "confidences", None)
    confidences = np.ones(1) if given is None else np.asarray(given, dtype=np.float64).ravel()
    listed = getattr(spatial_loss, "precisions", None)
    precision: Any = listed[0] if listed is not None and len(listed) == 1 else None
    if precision is None or sparse.issparse(precision) or precision.shape[0] != n_spots:
        precision = prior_of(spatial_loss, n_spots, len(listed) if listed is not None else 1)[0]
    if isinstance(precision, list) or (confidences != confidences[0]).any():
        raise InputError(
            "The spatial loss differs between dims",
            where="spatial loss",
            remedy="Use one spatial weight matrix and one confidence for all dims",
        )
    return precision, float(confidences[0])


def section_precision(
    adata: AnnData,
    process: Process,
    rho: float,
    n_neighbors: int,
    library_key: str | None = None,
) -> tuple[sparse.csr_array, str]:
    """Precision on the graph of a section, and where that graph comes from.

    Parameters
    ----------
    adata
        With ``obsp["spatial_connectivities"]``, or else ``obsm["spatial"]``, of which mutual
        nearest neighbours are taken.
    process, rho
        ``car``, ``sar``, ``icar`` or ``isar``, and its autocorrelation.
    n_neighbors
        How many neighbours to take where there is no graph.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.

    Returns
    -------
    precision
        n x n, float64.
    graph
        In words, for the recipe.

    Raises
    ------
    InputError
        If there is neither graph nor positions, rho is out of range, or sections lie over each
        other and no ``library_key`` tells them apart.
    """
    from napari_smoother.weights.annotated import section_graph
    from napari_smoother.weights.precision import precision

    weights, graph = section_graph(adata, n_neighbors, library_key)
    return precision(weights, process, rho), graph


def expression_of(adata: AnnData, layer: str | None, *, where: str) -> Any:
    """Spots x genes of a layer, or of X: an array or a scipy matrix, read whole from a file.

    Raises
    ------
    InputError
        If there is no such layer, or a value is not finite.
    """
    if layer is not None and layer not in adata.layers:
        raise InputError(
            f'There is no layer "{layer}"; there are: {", ".join(adata.layers) or "none"}',
            where=f"{where}, layers",
            remedy="Choose one of these, or None for X",
        )
    values: Any = adata.X if layer is None else adata.layers[layer]
    if values is None:
        raise InputError("X is empty", where=where, remedy="Choose a layer")
    if hasattr(values, "to_memory"):
        values = values.to_memory()
    is_sparse: bool = sparse.issparse(values)
    if not is_sparse:
        values = np.asarray(values[...] if hasattr(values, "chunks") else values)
    stored = values.data if is_sparse else values
    if not np.isfinite(stored).all():
        raise InputError(
            f"{int((~np.isfinite(stored)).sum())} values are missing or infinite",
            where=f"{where}, {'X' if layer is None else f'layer {layer}'}",
            remedy="Remove these genes or spots, or give them a value",
        )
    return values
