"""Impute an AnnData, and predict it at other positions: what a scanpy user calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.keys import warn_of_paths, with_report
from napari_smoother.models.impute.missing import impute_missing
from napari_smoother.models.shared_prior import expression_of, section_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.impute.report import Imputation
    from napari_smoother.weights.precision import Process


def impute(
    adata: AnnData,
    genes: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    observed: str | ArrayLike | None = None,
    fixed: bool = False,
    nonneg: bool = True,
    process: Process = "icar",
    rho: float = 1.0,
    lambda_: float = 1.0,
    n_neighbors: int = 6,
    library_key: str | None = None,
    key_added: str = "imputed",
    tolerance: float = 1e-7,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Smooth expression over the tissue, and fill in spots that were not observed.

    Parameters
    ----------
    adata
        Spots x genes. Neighbours are taken from ``obsp["spatial_connectivities"]``; without it
        they are the mutual nearest neighbours of ``obsm["spatial"]``.
    genes
        Names of genes; None for all of them.
    layer
        Layer to impute, ``X`` if None; usually log counts.
    observed
        Spots whose values count: booleans, or a boolean column of ``obs``. None for all.
    fixed
        Whether observed values stay as they are.
    nonneg
        Whether values must not be negative; data with negative values need False.
    process, rho
        Spatial process (``"car"``, ``"sar"``, ``"icar"`` or ``"isar"``) and its autocorrelation.
        At 1, the default, values far from any observation do not fade to zero.
    lambda_
        Strength of the prior, where observations are not fixed.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_weights`.
    key_added
        ``layers[key_added]`` gets the values of all genes, float32; with `genes`,
        ``obsm[key_added]`` gets those, as a DataFrame. ``uns["smoother"][key_added]`` gets the
        settings and the report.
    tolerance
        Relative residual to stop at.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked between blocks of genes.

    Returns
    -------
    AnnData or None
        The copy, when asked for.

    Raises
    ------
    InputError
        If genes, positions, graph or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.

    Warns
    -----
    UserWarning
        If pieces of the graph have no observation; their values are NaN.
    """
    names, expression = _genes(adata, genes, layer)
    seen = _observed(adata, observed)
    precision, graph = section_precision(adata, process, rho, n_neighbors, library_key)
    found = impute_missing(
        expression[np.flatnonzero(seen)],
        seen,
        precision,
        lambda_=lambda_,
        fixed=fixed,
        nonneg=nonneg,
        tolerance=tolerance,
        cancelled=cancelled,
    )
    target = adata.copy() if copy else adata
    if genes is None:
        target.layers[key_added] = found.values.astype(np.float32)
    else:
        warn_of_paths(names, "The genes")
        target.obsm[key_added] = pd.DataFrame(found.values, index=target.obs_names, columns=names)
    recipe = {
        "model": "impute",
        "layer": layer or "X",
        "genes": "all" if genes is None else names,
        "observed": _named(observed),
        "fixed": bool(fixed),
        "nonneg": bool(nonneg),
        "graph": graph,
        "process": str(process),
        "rho": float(rho),
        "lambda": float(lambda_),
        "tolerance": float(tolerance),
    }
    report = _report(found, int(seen.sum()), len(names))
    target.uns = with_report(target.uns, {key_added: {"recipe": recipe, "report": report}})
    return target if copy else None


def predict_at(
    adata: AnnData,
    positions: ArrayLike,
    genes: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    fixed: bool = True,
    nonneg: bool = True,
    process: Process = "icar",
    rho: float = 1.0,
    lambda_: float = 1.0,
    n_neighbors: int = 6,
    tolerance: float = 1e-7,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData:
    """Predict expression at new positions, such as a denser grid.

    The graph joins every spot and every new position to its nearest among both, where either
    chose the other.

    Parameters
    ----------
    adata
        Spots x genes with ``obsm["spatial"]``.
    positions
        New positions x 2, in the unit of ``obsm["spatial"]``; see `denser_positions`.
    genes, layer, fixed, nonneg, process, rho, lambda_, tolerance, cancelled
        As for `impute`.
    n_neighbors
        How many nearest neighbours to join.

    Returns
    -------
    AnnData
        New positions x genes, float32, with ``obsm["spatial"]`` and the recipe in
        ``uns["smoother"]["predicted"]``.

    Raises
    ------
    InputError
        If genes, positions or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True.

    Warns
    -----
    UserWarning
        If new positions have no way to any spot; their values are NaN.
    """
    import anndata as ad

    from napari_smoother.weights.annotated import refuse_overlap
    from napari_smoother.weights.neighbours import nearest_neighbours
    from napari_smoother.weights.precision import precision

    if "spatial" not in adata.obsm:
        raise InputError(
            "The section has no positions",
            where='obsm["spatial"]',
            remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
        )
    refuse_overlap(adata)
    spots = np.asarray(adata.obsm["spatial"], dtype=np.float64)
    new = np.asarray(positions, dtype=np.float64)
    if new.ndim != 2 or new.shape[1] != spots.shape[1] or len(new) == 0:
        raise InputError(
            f"The new positions have the shape {new.shape}",
            where="new positions",
            remedy=f"Give positions x {spots.shape[1]}",
        )
    names, expression = _genes(adata, genes, layer)
    both = np.vstack([spots, new])
    weights = nearest_neighbours(both, n_neighbors, mutual=False).weights
    found = impute_missing(
        expression,
        np.arange(len(spots)),
        precision(weights, process, rho),
        lambda_=lambda_,
        fixed=fixed,
        nonneg=nonneg,
        tolerance=tolerance,
        cancelled=cancelled,
    )
    predicted = ad.AnnData(
        found.values[len(spots) :].astype(np.float32),
        obs=pd.DataFrame(index=[f"position_{i}" for i in range(len(new))]),
        var=adata.var.loc[names].copy(),
    )
    predicted.obsm["spatial"] = new
    recipe = {
        "model": "predict_at",
        "layer": layer or "X",
        "genes": "all" if genes is None else names,
        "fixed": bool(fixed),
        "nonneg": bool(nonneg),
        "graph": f"{n_neighbors} nearest neighbours of spots and new positions",
        "process": str(process),
        "rho": float(rho),
        "lambda": float(lambda_),
        "tolerance": float(tolerance),
    }
    report = _report(found, len(spots), len(names))
    predicted.uns["smoother"] = {"predicted": {"recipe": recipe, "report": report}}
    return predicted


def _report(found: Imputation, n_observed: int, n_genes: int) -> dict[str, Any]:
    return {
        "n_spots": len(found.values),
        "n_observed": n_observed,
        "n_genes": n_genes,
        **found.report.as_dict(),
    }


def _genes(
    adata: AnnData, genes: Sequence[str] | None, layer: str | None
) -> tuple[list[str], Any]:
    """Names and spots x genes, sparse where it is stored so."""
    expression = expression_of(adata, layer, where="imputation")
    if genes is None:
        return [str(name) for name in adata.var_names], expression
    names = [genes] if isinstance(genes, str) else [str(name) for name in genes]
    places = adata.var_names.get_indexer(pd.Index(names))
    lost = [name for name, place in zip(names, places, strict=True) if place < 0]
    if lost or not names:
        raise InputError(
            f"{len(lost)} genes are not there, for example {lost[0]}" if lost else "No gene given",
            where="genes",
            remedy="Choose from var_names",
        )
    is_sparse: bool = sparse.issparse(expression)
    picked = expression.tocsc()[:, places].tocsr() if is_sparse else expression[:, places]
    return names, picked


def _observed(adata: AnnData, observed: str | ArrayLike | None) -> NDArray[np.bool_]:
    if observed is None:
        return np.ones(adata.n_obs, dtype=bool)
    if isinstance(observed, str):
        if observed not in adata.obs:
            raise InputError(
                f'There is no column "{observed}"',
                where="obs",
                remedy="Choose a column of booleans",
            )
        observed = adata.obs[observed].to_numpy()
    mask = np.asarray(observed)
    if mask.shape != (adata.n_obs,) or mask.dtype != bool:
        raise InputError(
            f"The observed spots are {mask.dtype} of the shape {mask.shape}",
            where="observed",
            remedy=f"Give {adata.n_obs} booleans, or the name of such a column of obs",
        )
    return mask


def _named(observed: str | ArrayLike | None) -> str:
    if observed is None:
        return "all"
    return f'obs["{observed}"]' if isinstance(observed, str) else "given"
