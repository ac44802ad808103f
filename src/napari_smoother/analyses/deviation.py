"""How far a composition that was found before may be off."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.deconvolution import compute_in, known_reference
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.deconvolution_steps import TOLERANCE, can_deviate
from napari_smoother.errors import InputError, require
from napari_smoother.keys import SMOOTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import ArrayLike

    from napari_smoother.models.deconv.reference import Reference

SAME = 1e-3
"""Largest difference of proportions that a repeated fit may have from a stored one."""


def posterior_deviation(
    adata: AnnData,
    reference: Reference | AnnData | pd.DataFrame,
    *,
    key: str = "nnls",
    cell_type: str = "cell_type",
    gene_weights: ArrayLike | None = None,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Find how far the proportions that `deconvolve` found may be off, if the model holds.

    The composition is found again by its recipe: the numbers are those of
    ``deconvolve(..., deviation=True)``. Under the prior the abundances are a Gaussian field
    given the data (Rue and Held 2005, Gaussian Markov Random Fields, section 2.3);
    `napari_smoother.models.uncertainty` has what is taken for granted, and
    ``docs/uncertainty.md`` how often the truth lies within.

    Parameters
    ----------
    adata
        Spots x genes, with ``obsm[key]`` and its recipe in ``uns["smoother"][key]``, and the
        counts and the graph that it was found from.
    reference
        The one that it was found with, in any of the forms of `deconvolve`.
    key
        Where `deconvolve` has put the proportions.
    cell_type
        Column of the cells' ``obs`` with their types.
    gene_weights
        One weight for every gene of the section, where `deconvolve` was given them.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked in every step.

    Returns
    -------
    AnnData or None
        The copy, when asked for. ``obsm[key + "_deviation"]`` holds the standard deviation of
        every proportion, a DataFrame of spots x types, in shares from 0 to 1; NaN where nothing
        was found.

    Raises
    ------
    InputError
        If there is no composition or recipe under this key, its model has no posterior deviation,
        or data and reference no longer give the proportions that are there.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> sample = simulate_cortex(rows=16, n_genes=150)
    >>> adata = sample.section.adata.copy()
    >>> ns.deconvolve(adata, sample.reference)
    >>> ns.posterior_deviation(adata, sample.reference)
    >>> adata.obsm["nnls_deviation"].shape == adata.obsm["nnls"].shape
    True
    """
    recipe = _recipe_of(adata, key)
    settings = replace(_settings_of(recipe), deviation=True)
    require(
        can_deviate(settings),
        f"The posterior deviation is not defined for {settings.model} under {settings.process}",
        f'uns["smoother"]["{key}"]',
        'Deconvolve by "nnls" or "linear_regression", under another process than "sma"',
    )
    given = recipe["gene_weights"] == "given"
    require(
        given == (gene_weights is not None),
        f"It was found {'with' if given else 'without'} weights of genes that were given",
        f'uns["smoother"]["{key}"]',
        "Give the same gene_weights" if given else "Leave out gene_weights",
    )
    layer, library_key = recipe.get("layer"), recipe.get("library_key")
    found, further = compute_in(
        adata,
        known_reference(reference, cell_type),
        settings,
        None if layer is None else str(layer),
        int(recipe.get("n_neighbors", 6)),
        None if library_key is None else str(library_key),
        gene_weights,
        float(recipe.get("tolerance", TOLERANCE)),
        cancelled,
    )
    before = adata.obsm[key]
    same = tuple(getattr(before, "columns", ())) == found.types and np.allclose(
        np.nan_to_num(np.asarray(before, dtype=np.float64)),
        np.nan_to_num(found.proportions),
        rtol=0,
        atol=SAME,
    )
    require(
        same,
        "Counts, graph and reference do not give the proportions that are there",
        f'obsm["{key}"]',
        "Give the reference that they were found with, or deconvolve again with deviation=True",
    )
    target = adata.copy() if copy else adata
    found.write(target, key, further)
    return target if copy else None


def _recipe_of(adata: AnnData, key: str) -> Mapping[str, Any]:
    entry: Any = adata.uns.get(SMOOTHER, {})
    for name in (key, "recipe"):
        entry = entry.get(name, {}) if hasattr(entry, "get") else {}
    if key not in adata.obsm or not {"model", "gene_weights"} <= set(entry):
        raise InputError(
            f"There is no composition with a recipe under {key!r}",
            where=f'obsm["{key}"], uns["smoother"]["{key}"]',
            remedy="Deconvolve first, or name the key that deconvolve wrote to",
        )
    recipe: Mapping[str, Any] = entry
    return recipe


def _settings_of(recipe: Mapping[str, Any]) -> DeconvolutionSettings:
    """Return the settings in a recipe, as `Composition.write` or version 0.1 wrote it."""
    named = {**recipe, "lambda_": recipe.get("lambda_", recipe.get("lambda"))}
    if named["gene_weights"] == "given":
        del named["gene_weights"]
    # A file gives numbers and texts back in types of its own.
    values: dict[str, Any] = {
        name: type(default)(named[name])
        for name, default in asdict(DeconvolutionSettings()).items()
        if named.get(name) is not None
    }
    return DeconvolutionSettings(**values)
