"""An embedding of a section with its noise taken off: the posterior mean under a prior."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.embedding_source import obsm_table
from napari_smoother.analyses.expression import among
from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require
from napari_smoother.keys import with_report, without_none
from napari_smoother.models.reduction.choice_of_smoothing import (
    ChosenSmoothing,
    choose_smoothing,
)
from napari_smoother.models.reduction.smoothed_embedding import smooth_columns
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.precision import Process, precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array


@dataclass(frozen=True, slots=True)
class SmoothingSettings(ComparedByValue):
    """How an embedding is smoothed.

    Parameters
    ----------
    basis
        Key of obsm: spots x dims.
    process, rho
        The spatial process and its autocorrelation, 0 (none) to 1 (intrinsic).
    lambda_
        Strength of the prior; 0 leaves the embedding as it is, None chooses it by spots that
        are left out.
    seed
        Of the spots that are left out.
    """

    basis: str = "X_pca"
    process: Process = "icar"
    rho: float = 0.99
    lambda_: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            0.0 <= self.rho <= 1.0,
            f"rho {self.rho} is outside the valid range",
            "smoothed embedding rho",
            "Set a number from 0 to 1",
        )
        require(
            self.lambda_ is None or (math.isfinite(self.lambda_) and self.lambda_ >= 0),
            f"lambda {self.lambda_} is not a weight",
            "smoothed embedding lambda",
            "Set a number of at least 0, or None to choose it",
        )


@dataclass(frozen=True, slots=True, eq=False)
class SmoothedEmbedding:
    """An embedding with its noise taken off.

    Attributes
    ----------
    settings
        What it was found with.
    values
        n x dims, float64; NaN for spots that have no count or no embedding.
    columns
        Names of the dims, where the embedding has any.
    smoothing
        Lambda, and the curve that it was chosen by.
    report
        Numbers, strings and lists on how it went.
    """

    settings: SmoothingSettings
    values: NDArray[np.float64]
    columns: pd.Index[str] | None
    smoothing: ChosenSmoothing
    report: dict[str, Any]

    def describe(self) -> str:
        """Say it in a line."""
        return (
            f"{self.settings.basis} of {self.report['n_spots']:,} spots smoothed with "
            f"λ {self.smoothing.lambda_:.3g}, ρ {self.settings.rho:.3g}"
        )

    def write(self, adata: AnnData, key_added: str | None = None) -> None:
        """Write it into the section that it was found in; see `smooth_embedding`."""
        key = f"{self.settings.basis}_smooth" if key_added is None else key_added
        adata.obsm[key] = (
            self.values
            if self.columns is None
            else pd.DataFrame(self.values, index=adata.obs_names, columns=self.columns)
        )
        recipe = {"model": "smooth_embedding", **without_none(asdict(self.settings))}
        adata.uns = with_report(adata.uns, {key: {"recipe": recipe, "report": self.report}})


def compute(
    adata: AnnData,
    weights: csr_array,
    settings: SmoothingSettings,
    context: Context = Context(),
    *,
    where: str = "section",
) -> SmoothedEmbedding:
    """Smooth an embedding over the tissue.

    Parameters
    ----------
    adata
        Spots x genes with the embedding in ``obsm``; not changed.
    weights
        Their graph, n x n.
    settings
        How.
    context
        Who asks.
    where
        What the section is called in errors.

    Returns
    -------
    SmoothedEmbedding

    Raises
    ------
    InputError
        If there is no such embedding, it is not one of numbers, no spot has one, or the solve
        did not reach its tolerance.
    Cancelled
        If the context said so.
    """
    before, columns = obsm_table(adata, settings.basis, where)
    spots = np.flatnonzero(np.isfinite(before).all(axis=1) & _may_have_counts(adata))
    require(
        len(spots) > 0,
        "No spot with counts has an embedding",
        f'{where}, obsm["{settings.basis}"]',
        "Choose another embedding",
    )
    prior = precision(among(weights, spots), settings.process, settings.rho)
    # The prior pulls to zero where rho is below 1: to the mean of the section, not to an origin
    # that may be anywhere.
    mean = before[spots].mean(axis=0)
    centred = before[spots] - mean
    # Threads round otherwise than one: the same settings are to end in the same bits.
    with one_blas_thread():
        smoothing = ChosenSmoothing(settings.lambda_ or 0.0, (), ())
        if settings.lambda_ is None:
            context.say("choosing the smoothing")
            smoothing = choose_smoothing(
                centred, prior, beyond=1.0, seed=settings.seed, cancelled=context.cancelled
            )
        values = np.full(before.shape, np.nan)
        report: dict[str, Any] = {"n_spots": len(spots), "lambda": smoothing.lambda_}
        if smoothing.lambda_ == 0:
            values[spots] = before[spots]
        else:
            context.say("smoothing")
            solved = smooth_columns(centred, prior, smoothing.lambda_, cancelled=context.cancelled)
            values[spots] = solved.values + mean
            report |= {"residual": solved.residual, "method": solved.method}
    report |= {"strengths": list(smoothing.strengths), "errors": list(smoothing.errors)}
    return SmoothedEmbedding(settings, values, columns, smoothing, report)


def _may_have_counts(adata: AnnData) -> NDArray[np.bool_]:
    """Return which spots are not all zero in X: nothing is known of those that are."""
    if adata.X is None or adata.n_vars == 0:
        return np.ones(adata.n_obs, dtype=bool)
    known: NDArray[np.bool_] = np.asarray(abs(adata.X).sum(axis=1)).ravel() != 0
    return known


def smooth_embedding(
    adata: AnnData,
    basis: str = "X_pca",
    *,
    process: Process = "icar",
    rho: float = 0.99,
    lambda_: float | None = None,
    seed: int = 0,
    n_neighbors: int = 6,
    library_key: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    r"""Smooth an embedding over the tissue: its posterior mean under a spatial prior.

    .. math::
        \min_Z \|Z - Z_0\|^2 + \lambda\,\mathrm{tr}(Z'QZ),
        \qquad (I + \lambda Q) Z = Z_0

    for centred columns Z0, whose mean is added again: every spot is moved towards its neighbours
    (Rue and Held 2005, Gaussian Markov Random Fields, section 2.3).

    Parameters
    ----------
    adata
        Spots x genes with ``obsm[basis]``, spots x dims. Neighbours are taken from
        ``obsp["spatial_connectivities"]``; without it they are the mutual nearest neighbours of
        ``obsm["spatial"]``.
    basis
        Key of ``obsm``: components, latent means, proportions, ...
    process, rho
        Spatial process (``"car"``, ``"sar"``, ``"icar"`` or ``"isar"``) and its autocorrelation.
    lambda_
        Strength of the prior, the variance of the noise over that of the prior; 0 gives the
        embedding back. None chooses that which best predicts spots that are left out; domains
        want about ten times as much, see `domains`.
    seed
        Of the spots that are left out.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.
    key_added
        ``obsm[key_added]`` gets Z (spots x dims, float64, in the unit of the embedding; NaN for
        spots without a count or an embedding; a DataFrame where the embedding is one),
        ``uns["smoother"][key_added]`` the settings and the report. By default
        ``basis + "_smooth"``.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked within every solve.

    Returns
    -------
    AnnData or None
        The copy, when asked for.

    Raises
    ------
    InputError
        If embedding, positions, graph or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> import numpy as np
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> adata = simulate_cortex(rows=24, n_genes=150).section.adata
    >>> adata.obsm["X_log"] = np.log1p(adata.X[:, :4].toarray())
    >>> ns.smooth_embedding(adata, "X_log")
    >>> bool((adata.obsm["X_log_smooth"].std(axis=0) < adata.obsm["X_log"].std(axis=0)).all())
    True
    """
    settings = SmoothingSettings(basis, process, rho, lambda_, seed)
    weights, graph = section_graph(adata, n_neighbors, library_key)
    found = compute(adata, weights, settings, Context(cancelled))
    found = replace(found, report={**found.report, "graph": graph})
    target = adata.copy() if copy else adata
    found.write(target, key_added)
    return target if copy else None
