"""Spatial components of an AnnData: what a scanpy user calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.keys import with_report
from napari_smoother.models.reduction.pca import TOLERANCE, SpatialPCA
from napari_smoother.models.reduction.smoothed_embedding import smooth_columns
from napari_smoother.models.shared_prior import section_precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from napari_smoother.weights.precision import Process


def spatial_pca(
    adata: AnnData,
    *,
    layer: str | None = None,
    n_latent: int = 30,
    process: Process = "icar",
    rho: float = 0.99,
    lambda_: float = 0.1,
    smoothing: float = 0.0,
    n_neighbors: int = 6,
    library_key: str | None = None,
    key_added: str = "spatial_pca",
    tolerance: float = TOLERANCE,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Find spatial principal components, and smooth the scores if asked to.

    Parameters
    ----------
    adata
        Spots x genes. Neighbours are taken from ``obsp["spatial_connectivities"]``; without it
        they are the mutual nearest neighbours of ``obsm["spatial"]``.
    layer
        Layer to reduce, ``X`` if None; usually scaled log counts. Genes are centred.
    n_latent
        Number of components.
    process, rho
        Spatial process (``"car"``, ``"sar"``, ``"icar"`` or ``"isar"``) and its autocorrelation.
    lambda_
        Strength of the penalty on the components; 0 gives plain principal components.
    smoothing
        Lambda of `smooth_embedding` on the scores; 0 leaves them a projection.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_weights`.
    key_added
        ``obsm["X_" + key_added]`` gets the scores, ``varm[key_added]`` the loadings,
        ``uns["smoother"][key_added]`` the settings and the report (numbers and text only).
    tolerance
        Relative residual of the eigenvectors.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked between products.

    Returns
    -------
    AnnData or None
        The copy, when asked for.

    Raises
    ------
    InputError
        If expression, positions, graph or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.
    """
    if not (np.isfinite(smoothing) and smoothing >= 0):
        raise InputError(
            f"The smoothing is {smoothing}",
            where="spatial components",
            remedy="Choose a finite number of at least 0",
        )
    loss: Any = None
    graph = ""
    if lambda_ != 0 or smoothing != 0:
        precision, graph = section_precision(adata, process, rho, n_neighbors, library_key)
        loss = SimpleNamespace(inv_cov=precision, precisions=[precision])
    model = SpatialPCA(adata, layer, n_latent, loss, lambda_)
    model.reduce(tolerance=tolerance, cancelled=cancelled)
    scores = model.get_latent_representation()
    if smoothing != 0:
        scores = smooth_columns(scores, loss.inv_cov, smoothing, cancelled=cancelled).values
    assert model.report is not None

    target = adata.copy() if copy else adata
    target.obsm[f"X_{key_added}"] = scores
    target.varm[key_added] = model.U
    recipe = {
        "model": "spatial_pca",
        "layer": layer or "X",
        "n_latent": int(n_latent),
        "graph": graph,
        "process": str(process),
        "rho": float(rho),
        "lambda": float(lambda_),
        "smoothing": float(smoothing),
        "tolerance": float(tolerance),
    }
    report = {
        "n_spots": int(adata.n_obs),
        "n_genes": int(adata.n_vars),
        **model.report.as_dict(),
    }
    target.uns = with_report(target.uns, {key_added: {"recipe": recipe, "report": report}})
    return target if copy else None
