"""Genes smoothed over the tissue, and filled in where nothing was seen.

gene -> raw values -----------------------> values -> denser grid
hidden spots -> observed spots ------------^
graph -> precision ------------------------^
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.expression import warn_unless_counts
from napari_smoother.analyses.gene_values import (
    find_gene,
    layer_expression,
    log_expression,
    spots_with_counts,
)
from napari_smoother.analyses.imputation_settings import ImputationSettings
from napari_smoother.analyses.imputed import NAME, TOLERANCE, DenserGrid, Imputed
from napari_smoother.analyses.observed_spots import observed_spots
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError, require
from napari_smoother.keys import warn_of_paths, with_report
from napari_smoother.models.deconv.gene_names import GeneNames
from napari_smoother.models.impute.interpolation import Interpolation
from napari_smoother.models.impute.missing import solve_missing, warn_of
from napari_smoother.models.impute.positions import denser_positions, distance_between
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.precision import precision as precision_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    from napari_smoother.models.impute.report import Imputation
    from napari_smoother.weights.precision import Process

WHILE_MOVING = 1e-5
"""Relative residual while a slider moves."""

MOST_POSITIONS = 1_000_000
"""Positions of a denser grid that a window still draws."""


class ImputationSteps:
    """The steps from counts to a smoothed gene, each remembered while its inputs are the same.

    Without changes of data, graph or hidden spots only the last solve is done again, and the
    denser grid's factorisation is kept over all of them.

    Attributes
    ----------
    lock
        Held by who runs through the steps.
    names, counted, raw, observed, precision, settled, lattice, interpolation
        The steps.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.names = Stage(_names)
        self.counted = Stage(_counted)
        self.raw = Stage(_raw)
        self.observed = Stage(observed_spots)
        self.precision = Stage(precision_of)
        self.settled = Stage(_solve_from_canonical_start)
        self.lattice = Stage(_lattice)
        self.interpolation = Stage(_interpolation)
        self._unreached = np.zeros(0, dtype=bool)

    def grid(
        self,
        adata: AnnData,
        values: NDArray[np.float64],
        unreached: NDArray[np.bool_],
        factor: float,
        context: Context,
    ) -> DenserGrid:
        """Interpolate the values of spots on a denser grid."""
        positions, spacing = self.lattice(adata, factor)
        context.say(f"interpolating at {len(positions):,} positions")
        context.look_up()
        if not np.array_equal(unreached, self._unreached):
            self._unreached = unreached  # otherwise the same object, which a stage knows again
        interpolation = self.interpolation(adata, positions, self._unreached, context)
        context.look_up()
        between = interpolation.at(values[~unreached], cancelled=context.cancelled)
        return DenserGrid(positions, between, spacing)


def compute(
    adata: AnnData,
    weights: csr_array,
    settings: ImputationSettings,
    context: Context = Context(),
    steps: ImputationSteps | None = None,
    start: Imputed | None = None,
    *,
    where: str = "section",
) -> Imputed:
    """Smooth one gene, and fill in spots that are hidden or have no counts.

    Parameters
    ----------
    adata
        Spots x genes, counts in X; not changed.
    weights
        Their graph, n x n.
    settings
        How.
    context
        Who asks.
    steps
        That remember what they found before.
    start
        A result to start from, while a slider moves; None for the canonical start, after which
        the same settings end in the same bits.
    where
        What the section is called in errors.

    Returns
    -------
    Imputed

    Raises
    ------
    InputError
        If data or settings cannot be used.
    Cancelled
        If the context said so.
    """
    steps = ImputationSteps() if steps is None else steps
    with steps.lock:
        began = time.perf_counter()
        require(bool(settings.gene), "No gene is chosen", where, "Type the name of a gene")
        names = steps.names(adata)
        counted = steps.counted(adata, where)
        row = find_gene(names, settings.gene, where=where)
        raw = steps.raw(adata, where, counted, row)
        observed = steps.observed(
            adata,
            counted,
            settings.hidden_column,
            settings.hidden_class,
            settings.held_out,
            settings.seed,
        )
        prior = steps.precision(weights, settings.process, settings.rho)
        context.look_up()
        known = (raw[:, None], observed, prior)
        how = (settings.lambda_, settings.fixed, settings.nonneg)
        if start is None:
            found = steps.settled(raw, observed, prior, *how, context)
        else:
            guess = start.values[:, None]
            found = solve(*known, *how, WHILE_MOVING, context, guess)
        values = found.values[:, 0]
        grid = None
        if settings.denser:
            grid = steps.grid(adata, values, found.unreached, settings.factor, context)
        seconds = time.perf_counter() - began
        label, spots = names.label(row), adata.obs_names
        return Imputed(
            settings, label, spots, raw, values, observed, found.report, seconds, grid
        ).derived()


def solve(
    values: Any,
    observed: NDArray[np.bool_],
    prior: csr_array,
    lambda_: float,
    fixed: bool,
    nonneg: bool,
    tolerance: float,
    context: Context,
    start: NDArray[np.float64] | None = None,
) -> Imputation:
    """Find the values of all spots (n x genes) from those of observed ones.

    Parameters
    ----------
    values
        n x genes, array or scipy matrix; rows that are not observed do not matter.
    observed
        n booleans.
    prior
        Q, n x n.
    lambda_, fixed, nonneg, tolerance, start
        As for `napari_smoother.models.impute.missing.solve_missing`.
    context
        Who asks.
    """
    return solve_missing(
        values[np.flatnonzero(observed)],
        observed,
        prior,
        lambda_=lambda_,
        fixed=fixed,
        nonneg=nonneg,
        tolerance=tolerance,
        start=start,
        cancelled=context.cancelled,
    )


def _solve_from_canonical_start(
    raw: NDArray[np.float64],
    observed: NDArray[np.bool_],
    prior: csr_array,
    lambda_: float,
    fixed: bool,
    nonneg: bool,
    context: Context,
) -> Imputation:
    return solve(raw[:, None], observed, prior, lambda_, fixed, nonneg, TOLERANCE, context)


def _names(adata: AnnData) -> GeneNames:
    return GeneNames.of(adata.var)


def _counted(adata: AnnData, where: str) -> NDArray[np.bool_]:
    return spots_with_counts(adata, where=where)


def _raw(adata: AnnData, where: str, counted: NDArray[np.bool_], gene: str) -> NDArray[np.float64]:
    values = log_expression(adata, [gene], where=where)
    is_sparse: bool = sparse.issparse(values)
    dense = np.asarray(values.toarray() if is_sparse else values)[:, 0]
    return np.where(counted, dense, np.nan)


def _positions(adata: AnnData) -> NDArray[np.float64]:
    return np.asarray(adata.obsm["spatial"], dtype=np.float64)


def _lattice(adata: AnnData, factor: float) -> tuple[NDArray[np.float64], float]:
    """Return the positions of a denser grid, and the distance between them."""
    if adata.n_obs * factor**2 > MOST_POSITIONS:
        raise InputError(
            f"The denser grid would have about {adata.n_obs * factor**2:,.0f} positions",
            where="denser grid",
            remedy="Choose a smaller factor",
        )
    positions = _positions(adata)
    return denser_positions(positions, factor), distance_between(positions) / factor


def _interpolation(
    adata: AnnData,
    positions: NDArray[np.float64],
    unreached: NDArray[np.bool_],
    context: Context,
) -> Interpolation:
    return Interpolation(_positions(adata)[~unreached], positions, cancelled=context.cancelled)


@dataclass(frozen=True, slots=True, eq=False)
class ImputedGenes:
    """Many genes, smoothed over the tissue and filled in.

    Attributes
    ----------
    genes
        As they were asked for; None for all.
    values
        n x genes, float64; NaN for spots out of reach of any observed one.
    recipe, report
        How they were found, and how well: numbers, strings and lists.
    """

    genes: list[str] | None
    values: NDArray[np.float64]
    recipe: dict[str, Any]
    report: dict[str, Any]

    def describe(self) -> str:
        """Say it in a line."""
        n_spots, n_genes = self.values.shape
        return (
            f"{n_genes:,} genes of {n_spots:,} spots from {self.report['n_observed']:,} observed, "
            f"residual {self.report['residual']:.0e}"
        )

    def write(self, adata: AnnData, key_added: str = NAME) -> None:
        """Write them into the section that they were found in; see `impute`."""
        if self.genes is None:
            adata.layers[key_added] = self.values.astype(np.float32)
        else:
            warn_of_paths(self.genes, "The genes")
            adata.obsm[key_added] = pd.DataFrame(
                self.values, index=adata.obs_names, columns=self.genes
            )
        entry = {"recipe": self.recipe, "report": self.report}
        adata.uns = with_report(adata.uns, {key_added: entry})


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
    key_added: str = NAME,
    tolerance: float = TOLERANCE,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Smooth expression over the tissue, and fill in spots that were not observed.

    What the Impute page of the window shows, for many genes: the posterior mean under the
    spatial prior; see `napari_smoother.models.impute.impute_missing` (Rue and Held 2005, Gaussian
    Markov Random Fields, section 2.3).

    Parameters
    ----------
    adata
        Spots x genes. Neighbours are taken from ``obsp["spatial_connectivities"]``; without it
        they are the mutual nearest neighbours of ``obsm["spatial"]``.
    genes
        Names of genes; None for all of them.
    layer
        Layer to take as it is, ``"X"`` for X itself; None for log1p of the counts of X per ten
        thousand of the spot, of which spots without a count are filled in.
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
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.
    key_added
        ``layers[key_added]`` gets the values of all genes (spots x genes, float32); with `genes`,
        ``obsm[key_added]`` gets those, as a DataFrame (spots x genes, float64).
        ``uns["smoother"][key_added]`` gets the settings and the report.
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
        If pieces of the graph have no observation: their values are NaN. If X is taken as
        counts, and its values are not whole numbers.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> adata = simulate_cortex(rows=24, n_genes=150).section.adata
    >>> ns.impute(adata, ["MBP"])
    >>> adata.obsm["imputed"].shape == (adata.n_obs, 1)
    True
    """
    settings = ImputationSettings(
        fixed=bool(fixed), nonneg=bool(nonneg), process=process, rho=rho, lambda_=lambda_
    )
    names = asked_genes(genes)
    seen = _observed(adata, observed)
    warn_unless_counts(adata, layer)
    values, counted = gene_values(adata, names, layer)
    seen &= counted
    weights, graph = section_graph(adata, n_neighbors, library_key)
    prior = precision_of(weights, settings.process, settings.rho)
    how = (settings.lambda_, settings.fixed, settings.nonneg)
    found = solve(values, seen, prior, *how, tolerance, Context(cancelled))
    warn_of(found.report)
    result = ImputedGenes(
        names,
        found.values,
        {
            "model": "impute",
            "layer": layer or "log1p",
            "genes": "all" if names is None else names,
            "observed": _named(observed),
            "fixed": settings.fixed,
            "nonneg": settings.nonneg,
            "graph": graph,
            "process": str(settings.process),
            "rho": float(settings.rho),
            "lambda_": float(settings.lambda_),
            "tolerance": float(tolerance),
        },
        {
            "n_spots": len(found.values),
            "n_observed": int(seen.sum()),
            "n_genes": int(found.values.shape[1]),
            **found.report.as_dict(),
        },
    )
    target = adata.copy() if copy else adata
    result.write(target, key_added)
    return target if copy else None


def asked_genes(genes: Sequence[str] | None) -> list[str] | None:
    """Return the names of genes as a list; None for all."""
    if genes is None:
        return None
    return [genes] if isinstance(genes, str) else [str(name) for name in genes]


def gene_values(
    adata: AnnData, names: Sequence[str] | None, layer: str | None, *, where: str = "imputation"
) -> tuple[Any, NDArray[np.bool_]]:
    """Return spots x genes, and which spots have values: of X, those with any count.

    Parameters
    ----------
    adata
        Spots x genes.
    names
        Of genes, in any spelling; None for all.
    layer
        To take as it is, ``"X"`` for X; None for log1p of the counts of X per ten thousand.
    where
        What is said in errors.
    """
    rows = names
    if names is not None:
        known = GeneNames.of(adata.var)
        rows = [find_gene(known, name, where=where) for name in names]
    if layer is not None:
        values = layer_expression(adata, layer, rows, where=where)
        return values, np.ones(adata.n_obs, dtype=bool)
    counted = spots_with_counts(adata, where=where)
    return log_expression(adata, rows, where=where), counted


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
    return mask.copy()


def _named(observed: str | ArrayLike | None) -> str:
    if observed is None:
        return "all"
    return f'obs["{observed}"]' if isinstance(observed, str) else "given"
