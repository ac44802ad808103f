"""Deconvolve an AnnData: what a scanpy user calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.counts import FoundCounts, csr_chunks, find_counts
from napari_smoother.models.deconv.fit import fit_abundance
from napari_smoother.models.deconv.preparation import (
    DEFAULT_GENE_WEIGHTS,
    DEFAULT_INTERCEPT,
    DEFAULT_LAMBDA,
    DEFAULT_SCALE,
    DataScale,
    GeneWeights,
    prepare_deconvolution,
)
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import ArrayLike

    from napari_smoother.weights.precision import Process


def deconvolve(
    adata: AnnData,
    reference: Reference | AnnData | pd.DataFrame,
    *,
    cell_type: str = "cell_type",
    layer: str | None = None,
    scale: DataScale = DEFAULT_SCALE,
    gene_weights: GeneWeights | ArrayLike = DEFAULT_GENE_WEIGHTS,
    intercept: bool = DEFAULT_INTERCEPT,
    process: Process = "icar",
    rho: float = 0.99,
    lambda_: float = DEFAULT_LAMBDA,
    n_neighbors: int = 6,
    key_added: str = "nnls",
    tolerance: float = 1e-5,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Find the composition of every spot by non-negative least squares with a spatial prior.

    Spots without a count in the shared genes take no part, neither as spots nor as neighbours;
    their proportions are zero.

    Parameters
    ----------
    adata
        Spots x genes. Neighbours are taken from ``obsp["spatial_connectivities"]``; without it
        they are the mutual nearest neighbours of ``obsm["spatial"]``.
    reference
        A `Reference`, single cells with ``obs[cell_type]``, or a signature table, genes x types.
    cell_type
        Column of the cells' ``obs`` with their types.
    layer
        Layer of ``adata`` with raw counts; None looks in ``X``, ``layers["counts"]`` and ``raw``.
    scale, gene_weights, intercept
        See `prepare_deconvolution`.
    process, rho
        Spatial process (``"car"``, ``"sar"``, ``"icar"`` or ``"isar"``) and its autocorrelation.
    lambda_
        Strength of the spatial prior; 0 solves every spot for itself.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    key_added
        ``obsm[key_added]`` gets the proportions as a DataFrame with the names of the types,
        ``obsm[key_added + "_abundance"]`` the abundances, ``uns["smoother"][key_added]`` the
        settings and the fit report (numbers, text and lists only).
    tolerance
        KKT residual to stop at.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked in every step.

    Returns
    -------
    AnnData or None
        The copy, when asked for.

    Raises
    ------
    InputError
        If counts, positions, graph, genes or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.
    """
    known = _reference(reference, cell_type)
    found = _section_counts(adata, layer)
    prepared = prepare_deconvolution(
        _unlogged(found),
        found.var,
        known,
        scale=scale,
        gene_weights=gene_weights,
        intercept=intercept,
        cancelled=cancelled,
    )
    used = np.flatnonzero(~prepared.empty)
    if used.size == 0:
        raise InputError(
            "No spot has a count in the genes shared with the reference",
            where="counts of the section",
            remedy="Check that counts and reference belong together",
        )
    weights, graph = section_graph(adata, n_neighbors)
    prior = None
    if lambda_ != 0:
        prior = precision(sparse.csr_array(weights[used][:, used]), process, rho)
    fitted, report = fit_abundance(
        prepared.gram,
        prepared.linear[used],
        float(prepared.spot_norm[used].sum()),
        prepared.n_genes,
        precision=prior,
        lambda_=lambda_,
        tolerance=tolerance,
        cancelled=cancelled,
    )
    abundance = np.zeros(prepared.linear.shape)
    abundance[used] = fitted

    target = adata.copy() if copy else adata
    columns = list(prepared.types)
    target.obsm[key_added] = pd.DataFrame(
        proportions(abundance), index=target.obs_names, columns=columns
    )
    target.obsm[f"{key_added}_abundance"] = pd.DataFrame(
        abundance, index=target.obs_names, columns=columns
    )
    recipe = {
        "model": "nnls",
        "reference": known.name,
        "counts": found.place,
        "scale": str(scale),
        "gene_weights": gene_weights if isinstance(gene_weights, str) else "given",
        "intercept": bool(intercept),
        "graph": graph,
        "process": str(process),
        "rho": float(rho),
        "lambda": float(lambda_),
        "tolerance": float(tolerance),
    }
    summary = {
        "n_spots": int(adata.n_obs),
        "n_without_value": int(adata.n_obs - used.size),
        "n_genes": prepared.n_genes,
        "n_types": prepared.n_types,
        **report.as_dict(),
    }
    # A new dictionary: the copy of an AnnData may share the old one.
    target.uns["smoother"] = {
        **target.uns.get("smoother", {}),
        key_added: {"recipe": recipe, "report": summary},
    }
    return target if copy else None


def _reference(reference: Reference | AnnData | pd.DataFrame, cell_type: str) -> Reference:
    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, pd.DataFrame):
        return Reference.from_table(reference, "signature table")
    return Reference.from_cells(reference, cell_type, "single cells")


def _section_counts(adata: AnnData, layer: str | None) -> FoundCounts:
    if layer is None:
        return find_counts(adata, where="section")
    if layer not in adata.layers:
        raise InputError(
            f'There is no layer "{layer}"; there are: {", ".join(adata.layers) or "none"}',
            where="section, layers",
            remedy="Choose the layer that holds raw counts",
        )
    return FoundCounts(adata.layers[layer], adata.var, f'layers["{layer}"]')


def _unlogged(found: FoundCounts) -> Any:
    if not found.logged:
        return found.matrix
    counts: sparse.csr_matrix = sparse.vstack(list(csr_chunks(found.matrix)), format="csr")
    counts.data = np.expm1(counts.data)
    return counts
