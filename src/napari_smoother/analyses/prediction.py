"""Expression between the spots of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_smoother.analyses.expression import warn_unless_counts
from napari_smoother.analyses.gene_values import find_gene
from napari_smoother.analyses.imputation import asked_genes, gene_values
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.gene_names import GeneNames
from napari_smoother.models.impute.missing import impute_missing
from napari_smoother.weights.annotated import refuse_overlap
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike

    from napari_smoother.weights.precision import Process


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
        If new positions have no way to any spot: their values are NaN. If X is taken as counts,
        and its values are not whole numbers.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.models.impute import denser_positions
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> adata = simulate_cortex(rows=24, n_genes=150).section.adata
    >>> between = ns.predict_at(adata, denser_positions(adata.obsm["spatial"], 2), ["MBP"])
    >>> between.n_obs > 2 * adata.n_obs
    True
    """
    import anndata as ad

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
    names = asked_genes(genes)
    warn_unless_counts(adata, layer)
    values, counted = gene_values(adata, names, layer)
    both = np.vstack([spots, new])
    weights = nearest_neighbours(both, n_neighbors, mutual=False).weights
    found = impute_missing(
        values[np.flatnonzero(counted)],
        np.flatnonzero(counted),
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
        var=_var(adata, names),
    )
    predicted.obsm["spatial"] = new
    recipe = {
        "model": "predict_at",
        "layer": layer or "log1p",
        "genes": "all" if names is None else names,
        "fixed": bool(fixed),
        "nonneg": bool(nonneg),
        "graph": f"{n_neighbors} nearest neighbours of spots and new positions",
        "process": str(process),
        "rho": float(rho),
        "lambda_": float(lambda_),
        "tolerance": float(tolerance),
    }
    report = {
        "n_spots": len(found.values),
        "n_observed": int(counted.sum()),
        "n_genes": int(found.values.shape[1]),
        **found.report.as_dict(),
    }
    predicted.uns["smoother"] = {"predicted": {"recipe": recipe, "report": report}}
    return predicted


def _var(adata: AnnData, names: list[str] | None) -> pd.DataFrame:
    """Return what is known of the genes, under the names they were asked for by."""
    var: pd.DataFrame = adata.var
    if names is None:
        return var.copy()
    known = GeneNames.of(adata.var)
    var = var.loc[[find_gene(known, name, where="genes") for name in names]].copy()
    var.index = pd.Index(names)
    return var
