"""Composition of a section: from counts to proportions, the same for window and library."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from napari_smoother.analyses.composition import Composition
from napari_smoother.analyses.context import Context
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.deconvolution_steps import (
    TOLERANCE,
    DeconvolutionSteps,
    can_deviate,
)
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.errors import require
from napari_smoother.models.deconv.preparation import DEFAULT_LAMBDA
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.weights.annotated import section_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.composition import Fit
    from napari_smoother.models.deconv.catalogue import ModelName, SectionScale, TubeLoss
    from napari_smoother.models.deconv.composition import Shares
    from napari_smoother.models.deconv.preparation import GeneWeights
    from napari_smoother.models.uncertainty import PosteriorDeviation
    from napari_smoother.weights.precision import Process


def compute(
    counts: SectionCounts,
    reference: Reference,
    weights: csr_array,
    settings: DeconvolutionSettings,
    context: Context = Context(),
    steps: DeconvolutionSteps | None = None,
    start: NDArray[np.floating] | None = None,
    *,
    gene_weights: ArrayLike | None = None,
    tolerance: float = TOLERANCE,
) -> Composition:
    """Find the composition of a section.

    Spots without a count in the shared genes have no edges and no value.

    Parameters
    ----------
    counts
        Of n spots.
    reference
        The K cell types to look for.
    weights
        Graph of the spots, n x n.
    settings
        How. With ``deviation``, the posterior deviation is found too where it is defined, from
        the canonical start only.
    context
        Told about the composition so far of a long solve, with a residual, neither settled nor
        converged.
    steps
        That remember what they found before.
    start
        Abundances to start from, n x K; None for the canonical start, which makes the result
        independent of what was solved before.
    gene_weights
        A weight for every gene of the section, instead of what the settings name.
    tolerance
        KKT residual to stop at.

    Returns
    -------
    Composition

    Raises
    ------
    InputError
        If data or settings cannot be used.
    Cancelled
        If the context said so.
    """
    steps = DeconvolutionSteps() if steps is None else steps

    def composition(
        fit: Fit, *, settled: bool, deviation: PosteriorDeviation | None = None
    ) -> Composition:
        given = gene_weights is not None
        return Composition(
            counts, reference, settings, data, fit, settled, deviation, weights_given=given
        )

    tell = context.tell
    heard = Context(
        context.cancelled,
        None if tell is None else lambda fit: tell(composition(fit, settled=False)),
    )
    with steps.running:
        data = steps.prepare(counts, reference, settings, gene_weights, heard)
        require(
            not data.empty.all(),
            "No spot has a count in the genes shared with the reference",
            counts.where,
            "Check that section and reference belong together",
        )
        precision = steps.precision_of(weights, data, settings)
        fit = steps.fit(data, precision, settings, start, tolerance, heard)
        deviation = None
        if settings.deviation and start is None and can_deviate(settings):
            deviation = steps.deviation_of(data, precision, fit, reference, settings, heard)
    return composition(fit, settled=start is None, deviation=deviation).derived()


def restored(
    counts: SectionCounts,
    reference: Reference,
    settings: DeconvolutionSettings,
    fit: Fit,
    deviation: PosteriorDeviation | None = None,
    context: Context = Context(),
    steps: DeconvolutionSteps | None = None,
) -> Composition:
    """Return a composition that was fitted before, from the canonical start.

    The data are prepared again, not fitted.

    Parameters
    ----------
    counts, reference, settings, context, steps
        As in `compute`.
    fit, deviation
        What was found.

    Returns
    -------
    Composition

    Raises
    ------
    InputError
        If data or settings cannot be used, or the fit is of other spots or types.
    Cancelled
        If the context said so.
    """
    steps = DeconvolutionSteps() if steps is None else steps
    with steps.running:
        data = steps.prepare(counts, reference, settings, None, context)
    shape = (len(counts.spots), data.n_types)
    require(
        fit.abundance.shape == shape,
        f"The abundances have the shape {fit.abundance.shape}, not {shape} as spots x types",
        counts.where,
        "Deconvolve again",
    )
    return Composition(counts, reference, settings, data, fit, True, deviation).derived()


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
    deviation: bool = False,
    n_neighbors: int = 6,
    library_key: str | None = None,
    key_added: str | None = None,
    tolerance: float = TOLERANCE,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Find the composition of every spot by any of the models with a spatial prior.

    Spots without a count in the shared genes take no part, neither as spots nor as neighbours,
    and have no value. ``docs/accuracy.md`` has how well the models do.

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
        Spatial process (``"car"``, ``"sar"``, ``"icar"``, ``"isar"`` or ``"sma"``, of which
        models other than least squares form all n^2 entries) and its autocorrelation.
    lambda_
        Strength of the spatial prior, on a scale that the models share; 0 solves every spot for
        itself.
    shares
        ``"cells"``: proportions are shares of cells, abundances divided by the mean total of a
        cell of each type; ``"rna"``: of RNA. A reference without counted cells cannot tell them
        apart, and gives shares of RNA.
    deviation
        Whether to find the posterior standard deviation of the proportions too: of least
        squares, under any process but ``"sma"``. See `posterior_deviation`.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.
    key_added
        Where the results go; None for the name of the model.
    tolerance
        KKT residual to stop at.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked in every step.

    Returns
    -------
    AnnData or None
        The copy, when asked for. It has

        ``obsm[key_added]``
            Proportions, a DataFrame of spots x types; NaN where nothing was found.
        ``obsm[key_added + "_abundance"]``
            Abundances before rows sum to one, spots x types: about one a spot in all. NaN for
            spots without a count.
        ``obsm[key_added + "_deviation"]``
            Standard deviations of the proportions, where asked for.
        ``uns["smoother"][key_added]``
            The recipe and the report (numbers, text and lists only).

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

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> sample = simulate_cortex(rows=16, n_genes=150)
    >>> adata = sample.section.adata.copy()
    >>> ns.deconvolve(adata, sample.reference, lambda_=0.5)
    >>> adata.obsm["nnls"].shape[0] == adata.n_obs
    True
    >>> adata.uns["smoother"]["nnls"]["report"]["converged"]
    True
    """
    own = DeconvolutionSettings().with_model(model)
    named = isinstance(gene_weights, str)
    settings = replace(
        own,
        scale=own.scale if scale is None else scale,
        gene_weights=cast("GeneWeights", gene_weights) if named else own.gene_weights,
        intercept=own.intercept if intercept is None else bool(intercept),
        tube_loss=tube_loss,
        nonneg=bool(nonneg),
        process=process,
        rho=float(rho),
        lambda_=float(lambda_),
        shares=shares,
        deviation=bool(deviation),
    )
    require(
        not deviation or can_deviate(settings),
        f"The posterior deviation is not defined for {model} under {process}",
        "deconvolution deviation",
        'Choose "nnls" or "linear_regression" and another process than "sma"',
    )
    found, further = compute_in(
        adata,
        known_reference(reference, cell_type),
        settings,
        layer,
        n_neighbors,
        library_key,
        None if named else gene_weights,
        float(tolerance),
        cancelled,
    )
    target = adata.copy() if copy else adata
    found.write(target, key_added, further)
    return target if copy else None


def known_reference(
    reference: Reference | AnnData | pd.DataFrame, cell_type: str = "cell_type"
) -> Reference:
    """Return a reference in any of the forms that the functions on AnnData take.

    Parameters
    ----------
    reference
        A `Reference`, a signature table, genes x types, or single cells.
    cell_type
        Column of the cells' ``obs`` with their types.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, pd.DataFrame):
        return Reference.from_table(reference, "signature table")
    return Reference.from_cells(reference, cell_type, "single cells")


def compute_in(
    adata: AnnData,
    reference: Reference,
    settings: DeconvolutionSettings,
    layer: str | None,
    n_neighbors: int,
    library_key: str | None,
    gene_weights: ArrayLike | None,
    tolerance: float,
    cancelled: Callable[[], bool] | None,
) -> tuple[Composition, dict[str, Any]]:
    """Find the composition of an AnnData.

    Parameters
    ----------
    adata, reference, layer, n_neighbors, library_key, tolerance, cancelled
        As in `deconvolve`.
    settings, gene_weights
        As in `compute`.

    Returns
    -------
    composition : Composition
    further : dict
        What belongs to its recipe beside the settings.
    """
    counts = SectionCounts.found_in(adata, layer)
    weights, graph = section_graph(adata, n_neighbors, library_key)
    found = compute(
        counts,
        reference,
        weights,
        settings,
        Context(cancelled),
        gene_weights=gene_weights,
        tolerance=tolerance,
    )
    further = {
        "graph": graph,
        "layer": layer,
        "n_neighbors": int(n_neighbors),
        "library_key": library_key,
    }
    return found, further
