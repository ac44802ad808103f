"""Deconvolve an AnnData: what a scanpy user calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.counts.finding import find_counts
from napari_smoother.errors import InputError
from napari_smoother.keys import warn_of_paths, with_report
from napari_smoother.models.deconv.catalogue import (
    check_counted,
    check_scale,
    data_scale,
    facts_of,
)
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.fit import fit_abundance
from napari_smoother.models.deconv.named_genes import fully_named
from napari_smoother.models.deconv.preparation import DEFAULT_LAMBDA, prepare_deconvolution
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.models.deconv.section_expression import express_section
from napari_smoother.models.deconv.section_fit import fit_section
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.moving_average import dense_precision
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.deconv.catalogue import ModelName, SectionScale, TubeLoss
    from napari_smoother.models.deconv.composition import Shares
    from napari_smoother.models.deconv.fit import FitReport
    from napari_smoother.models.deconv.preparation import GeneWeights
    from napari_smoother.weights.precision import Process


def deconvolve(
    adata: AnnData,
    reference: Reference | AnnData | pd.DataFrame,
    *,
    cell_type: str = "cell_type",
    layer: str | None = None,
    model: ModelName = "nnls",
    scale: SectionScale | None = None,
    gene_weights: GeneWeights | ArrayLike | None = None,
    intercept: bool | None = None,
    tube_loss: TubeLoss = "l2",
    nonneg: bool = True,
    process: Process = "icar",
    rho: float = 0.99,
    lambda_: float = DEFAULT_LAMBDA,
    shares: Shares = "cells",
    n_neighbors: int = 6,
    library_key: str | None = None,
    key_added: str | None = None,
    tolerance: float = 1e-5,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Find the composition of every spot by any of the models with a spatial prior.

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
        Where in ``adata`` the raw counts are: ``"X"``, ``"raw"`` or the name of a layer; None
        looks for them as `napari_smoother.counts.finding.find_counts` does.
    model
        ``"nnls"``, ``"linear_regression"``, ``"dwls"``, ``"nusvr"``, ``"lognormreg"`` or
        ``"poisson"``: see `napari_smoother.models.deconv.catalogue`.
    scale, gene_weights, intercept
        See `prepare_deconvolution`, and `express_section` for models other than least squares.
        None takes the model's own.
    tube_loss, nonneg
        Of nu-SVR: its loss (``"l2"`` or ``"l1"``), and whether abundances must not be negative.
    process, rho
        Spatial process (``"car"``, ``"sar"``, ``"icar"``, ``"isar"`` or ``"sma"``, of which all
        n^2 entries are formed) and its autocorrelation.
    lambda_
        Strength of the spatial prior, on a scale that the models share; 0 solves every spot for
        itself.
    shares
        ``"cells"``: proportions are shares of cells, abundances divided by the mean total of a
        cell of each type; ``"rna"``: of RNA. A reference without counted cells cannot tell them
        apart, and gives shares of RNA.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_weights`.
    key_added
        None for the name of the model. ``obsm[key_added]`` gets the proportions as a DataFrame
        with the names of the types, ``obsm[key_added + "_abundance"]`` the abundances,
        ``uns["smoother"][key_added]`` the settings and the fit report (numbers, text and lists
        only).
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

    Warns
    -----
    UserWarning
        If section or cells hold no counts, and normalised values are taken.
    """
    facts = facts_of(model)
    scale = facts.scales[0] if scale is None else scale
    gene_weights = facts.gene_weights if gene_weights is None else gene_weights
    intercept = facts.intercept if intercept is None else intercept
    key_added = model if key_added is None else key_added
    check_scale(model, scale)
    known = _reference(reference, cell_type)
    found = find_counts(adata, where="section", layer=layer)
    if scale == "raw":
        check_counted(model, found.origin)
    counts, genes = found.read(), fully_named(found.var, adata)
    weights, graph = section_graph(adata, n_neighbors, library_key)

    def prior_of(used: NDArray[np.int64]) -> Any:
        if lambda_ == 0:
            return None
        between = sparse.csr_array(weights[used][:, used])
        if process == "sma":
            return dense_precision(between, rho, cancelled=cancelled)
        return precision(between, process, rho)

    given: Any
    report: FitReport
    if facts.least_squares:
        given = prepare_deconvolution(
            counts,
            genes,
            known,
            scale=data_scale(scale),
            gene_weights=gene_weights,
            intercept=intercept,
            cancelled=cancelled,
        )
        used = np.flatnonzero(~given.empty)
        if used.size == 0:
            raise InputError(
                "No spot has a count in the genes shared with the reference",
                where="counts of the section",
                remedy="Check that counts and reference belong together",
            )
        fitted, report = fit_abundance(
            given.gram,
            given.linear[used],
            float(given.spot_norm[used].sum()),
            given.n_genes,
            precision=prior_of(used),
            lambda_=lambda_,
            tolerance=tolerance,
            bounded=model == "nnls",
            cancelled=cancelled,
        )
        abundance = np.zeros(given.linear.shape)
        abundance[used] = fitted
    else:
        given = express_section(
            counts,
            genes,
            known,
            model=model,
            scale=scale,
            gene_weights=gene_weights,
            cancelled=cancelled,
        )
        used = np.flatnonzero(~given.empty)
        fit = fit_section(
            given,
            prior_of(used),
            lambda_,
            intercept=intercept,
            tube_loss=tube_loss,
            nonneg=nonneg,
            tolerance=tolerance,
            cancelled=cancelled,
        )
        abundance, report = fit.abundance, fit.report

    target = adata.copy() if copy else adata
    columns = list(given.types)
    warn_of_paths(columns, "The cell types")
    cell_totals = known.totals_for(shares)
    target.obsm[key_added] = pd.DataFrame(
        proportions(abundance, cell_totals), index=target.obs_names, columns=columns
    )
    target.obsm[f"{key_added}_abundance"] = pd.DataFrame(
        abundance, index=target.obs_names, columns=columns
    )
    recipe = {
        "model": str(model),
        "reference": known.name,
        "counts": found.origin.describe(),
        "scale": str(scale),
        "gene_weights": gene_weights if isinstance(gene_weights, str) else "given",
        "shares": "rna" if cell_totals is None else "cells",
        "intercept": bool(intercept),
        "graph": graph,
        "process": str(process),
        "rho": float(rho),
        "lambda": float(lambda_),
        "tolerance": float(tolerance),
    }
    if recipe["gene_weights"] == "within_type":
        recipe["noise_from"] = "cells" if known.spread_for(gene_weights, scale) else "mean"
    if facts.chooses_bound:
        recipe |= {"tube_loss": str(tube_loss), "nonneg": bool(nonneg)}
    summary = {
        "n_spots": int(adata.n_obs),
        "n_without_value": int(adata.n_obs - used.size),
        "n_genes": given.n_genes,
        "n_types": given.n_types,
        **report.as_dict(),
    }
    target.uns = with_report(target.uns, {key_added: {"recipe": recipe, "report": summary}})
    return target if copy else None


def _reference(reference: Reference | AnnData | pd.DataFrame, cell_type: str) -> Reference:
    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, pd.DataFrame):
        return Reference.from_table(reference, "signature table")
    return Reference.from_cells(reference, cell_type, "single cells")
