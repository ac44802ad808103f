"""Choose rho and lambda by genes that the fit has not seen.

Genes are split into folds; for each setting the abundances are found from the kept genes and
judged by how well they predict the others (Stone 1974, J. R. Stat. Soc. B 36: cross-validation).
The weight of the prior is that of all genes in every fold: the best weight is the noise variance
times the precision of the abundances, and neither depends on how many genes were counted.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.preparation import (
    DEFAULT_GENE_WEIGHTS,
    DEFAULT_INTERCEPT,
    DEFAULT_SCALE,
    DataScale,
    GeneWeights,
    PreparedDeconvolution,
    lambda_to_weight,
    prepare_deconvolution,
)
from napari_smoother.models.held_out_genes import Fold, make_folds
from napari_smoother.models.judged_choice import SHORT_OF_LIMIT, judge
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic
from napari_smoother.weights.precision import precision, rho_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.models.judged_choice import Choice
    from napari_smoother.weights.precision import Process

LAMBDAS = tuple(float(f"{value:.3g}") for value in np.geomspace(1e-3, 100, 20))
RHO_SHARES = (0.5, 0.9, 0.97, 0.99, 1.0)
"""Of the largest rho that leaves a precision; `car` and `sar` stop short of it."""


@dataclass(frozen=True, slots=True, eq=False)
class GraphedCounts:
    """Counts of a section, and its graph.

    Parameters
    ----------
    counts
        n x section genes, raw counts, sparse.
    var
        ``var`` of the section, or only its gene names.
    weights
        n x n sparse graph with a zero diagonal.
    """

    counts: Any
    var: pd.DataFrame | pd.Index[str]
    weights: Any


def choose(
    counts: Any,
    section_var: pd.DataFrame | pd.Index[str],
    reference: Reference,
    weights: Any,
    *,
    process: Process = "icar",
    rhos: Sequence[float] | None = None,
    lambdas: Sequence[float] = LAMBDAS,
    folds: int = 3,
    scale: DataScale = DEFAULT_SCALE,
    gene_weights: GeneWeights | ArrayLike = DEFAULT_GENE_WEIGHTS,
    intercept: bool = DEFAULT_INTERCEPT,
    bounded: bool = True,
    seed: int = 0,
    tolerance: float = 1e-3,
    cancelled: Callable[[], bool] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Choice:
    """Find the rho and lambda whose abundances predict unseen genes best.

    Lambda means what it means in `deconvolve` with the same scale, gene weights and intercept.
    Spots without counts are cut out of the graph. Totals of spots are taken over all genes,
    those held out included.

    Parameters
    ----------
    counts
        n x section genes, raw counts, CSR.
    section_var
        ``var`` of the section, or only its gene names.
    reference
        Mean expression of every cell type.
    weights
        n x n sparse graph with a zero diagonal.
    process
        ``"car"``, ``"sar"``, ``"icar"`` or ``"isar"``.
    rhos
        Autocorrelations to try; None takes five up to the largest that the process allows.
    lambdas
        Strengths of the prior to try, zero or more.
    folds
        Parts the genes are split into; every part is held out once.
    scale, gene_weights, intercept
        See `prepare_deconvolution`.
    bounded
        Whether abundances must not be negative (non-negative least squares), or may be
        (linear regression).
    seed
        Of the split.
    tolerance
        KKT residual of each fit.
    cancelled
        Asked in every step.
    report
        Called with the number of fits done and their total.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        If the grid is empty or repeats a value, a rho or lambda is out of range, the graph
        belongs to other spots, or counts and reference cannot be used.
    Cancelled
        If ``cancelled`` returned True.

    Warns
    -----
    UserWarning
        If the best setting lies on an edge of the grid that could be moved; it is named. If
        little was gained over the smallest lambda and much was smoothed (`Choice.caveat`), with
        the numbers of `Choice.describe`.
    """
    return choose_over_sections(
        [GraphedCounts(counts, section_var, weights)],
        reference,
        process=process,
        rhos=rhos,
        lambdas=lambdas,
        folds=folds,
        scale=scale,
        gene_weights=gene_weights,
        intercept=intercept,
        bounded=bounded,
        seed=seed,
        tolerance=tolerance,
        cancelled=cancelled,
        report=report,
    )


def choose_over_sections(
    sections: Sequence[GraphedCounts],
    reference: Reference,
    *,
    process: Process = "icar",
    rhos: Sequence[float] | None = None,
    lambdas: Sequence[float] = LAMBDAS,
    folds: int = 3,
    scale: DataScale = DEFAULT_SCALE,
    gene_weights: GeneWeights | ArrayLike = DEFAULT_GENE_WEIGHTS,
    intercept: bool = DEFAULT_INTERCEPT,
    bounded: bool = True,
    seed: int = 0,
    tolerance: float = 1e-3,
    cancelled: Callable[[], bool] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Choice:
    """Find one rho and lambda for several sections: see `choose`.

    Squared errors at held-out genes are summed over the spots of all sections. Where rhos are
    not given, they end at the smallest that any of the graphs allows.

    Parameters
    ----------
    sections
        One or more.
    reference, process, rhos, lambdas, folds, scale, gene_weights, intercept, bounded
        As in `choose`.
    seed, tolerance, cancelled, report
        As in `choose`.

    Returns
    -------
    Choice
        Errors are means over the spots of all sections, variances means over the sections
        weighted by their spots.

    Raises
    ------
    InputError
        If there is no section, or any of them cannot be used.
    Cancelled
        If ``cancelled`` returned True.

    Warns
    -----
    UserWarning
        As `choose` does.
    """
    if not sections:
        raise InputError(
            "There is no section to choose for", where="sections", remedy="Give one or more"
        )
    lambda_grid = _grid(lambdas, "lambdas")
    prepared = [
        _prepared(section, reference, scale, gene_weights, intercept, cancelled)
        for section in sections
    ]
    limit = min(_limit(section.graph, process) for section in prepared)
    rho_grid = _grid(_default_rhos(limit, process) if rhos is None else rhos, "rhos")
    errors = np.zeros((rho_grid.size, lambda_grid.size, folds))
    n_spots = sum(section.used.size for section in prepared)
    done, total = 0, errors.size * len(prepared)
    for section in prepared:
        priors = [section.prior(process, float(rho)) for rho in rho_grid]
        strengths = section.strengths(lambda_grid)
        splits = make_folds(
            section.counts,
            section.var,
            reference,
            section.whole,
            scale=scale,
            folds=folds,
            seed=seed,
            cancelled=cancelled,
        )
        for at, fold in enumerate(splits):

            def fits_done(count: int, before: int = done) -> None:
                if report is not None:
                    report(before + count, total)

            found = _errors(fold, priors, strengths, bounded, tolerance, cancelled, fits_done)
            errors[:, :, at] += found * (section.used.size / n_spots)
            done += found.size
    chosen = judge(errors, rho_grid, lambda_grid, process, limit)
    two = np.array([lambda_grid[0], chosen.lambda_])
    variances = [
        section.used.size
        / n_spots
        * _variances(
            section.data(),
            section.prior(process, chosen.rho),
            section.strengths(two),
            bounded,
            tolerance,
            cancelled,
        )
        for section in prepared
    ]
    chosen = replace(chosen, types=prepared[0].whole.types, variances=np.sum(variances, axis=0))
    if chosen.on_edge:
        warnings.warn(
            f"The best of the grid is the {' and the '.join(chosen.edges)} tried "
            f"(rho {chosen.rho:g}, lambda {chosen.lambda_:g}); a wider grid may hold a better one",
            UserWarning,
            stacklevel=3,
        )
    if chosen.caveat:
        warnings.warn(f"{chosen.caveat} {chosen.describe()}", UserWarning, stacklevel=3)
    return chosen


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A section with its genes summed, and the graph between spots that have counts.

    Parameters
    ----------
    counts, var
        As they were given; counts CSR.
    whole
        Summed over all shared genes.
    used
        The m spots that have counts.
    graph
        m x m.
    """

    counts: sparse.csr_matrix
    var: pd.DataFrame | pd.Index[str]
    whole: PreparedDeconvolution
    used: NDArray[np.int64]
    graph: sparse.csr_array

    def data(self) -> DataTerm:
        """Return the data term of all genes."""
        return DataTerm.prepare(self.whole.gram, self.whole.linear[self.used])

    def prior(self, process: Process, rho: float) -> PriorTerm:
        """Return the prior between the spots that have counts."""
        return PriorTerm.prepare(precision(self.graph, process, rho))

    def strengths(self, lambdas: NDArray[np.float64]) -> list[float]:
        """Return weights of the prior in the solver's units."""
        n_genes, n_types = self.whole.n_genes, self.whole.n_types
        return [lambda_to_weight(float(lambda_), n_genes, n_types) for lambda_ in lambdas]


def _prepared(
    section: GraphedCounts,
    reference: Reference,
    scale: DataScale,
    gene_weights: GeneWeights | ArrayLike,
    intercept: bool,
    cancelled: Callable[[], bool] | None,
) -> _Prepared:
    matrix = sparse.csr_matrix(section.counts)
    graph = sparse.csr_array(section.weights)
    if graph.shape != (matrix.shape[0],) * 2:
        raise InputError(
            f"The graph has the shape {graph.shape} for {matrix.shape[0]} spots",
            where="weights",
            remedy="Build the graph from the spots of these counts",
        )
    whole = prepare_deconvolution(
        matrix,
        section.var,
        reference,
        scale=scale,
        gene_weights=gene_weights,
        intercept=intercept,
        cancelled=cancelled,
    )
    used = np.flatnonzero(~whole.empty)
    if used.size == 0:
        raise InputError(
            "No spot has a count in the genes shared with the reference",
            where="counts of the section",
            remedy="Check that counts and reference belong together",
        )
    if used.size < graph.shape[0]:
        graph = sparse.csr_array(graph[used][:, used])
    return _Prepared(matrix, section.var, whole, used, graph)


def _variances(
    data: DataTerm,
    prior: PriorTerm,
    strengths: Sequence[float],
    bounded: bool,
    tolerance: float,
    cancelled: Callable[[], bool] | None,
) -> NDArray[np.float64]:
    """Variance over spots of the proportion of every type, one row a strength of the prior."""
    rows: list[NDArray[np.float64]] = []
    start: NDArray[np.floating] | None = None
    for strength in strengths:
        start = solve_bounded_quadratic(
            data,
            prior,
            strength,
            start=start,
            tolerance=tolerance,
            bounded=bounded,
            cancelled=cancelled,
        ).values
        rows.append(proportions(start).var(axis=0))
    return np.stack(rows)


def _errors(
    fold: Fold,
    priors: list[PriorTerm],
    strengths: list[float],
    bounded: bool,
    tolerance: float,
    cancelled: Callable[[], bool] | None,
    report: Callable[[int], None],
) -> NDArray[np.float64]:
    """Errors of one fold, R x L, from gentle to strong priors, each fit starting near its end."""
    errors = np.empty((len(priors), len(strengths)))
    gentler: list[NDArray[np.floating]] = []
    for column, strength in enumerate(strengths):
        here: list[NDArray[np.floating]] = []
        for row, prior in enumerate(priors):
            if here and gentler:
                # The next lambda moves the answer at neighbouring rhos by about the same.
                start = gentler[row] + (here[row - 1] - gentler[row - 1])
            elif here or gentler:
                start = here[row - 1] if here else gentler[row]
            else:
                start = None
            solution = solve_bounded_quadratic(
                fold.data,
                prior,
                strength,
                start=start,
                tolerance=tolerance,
                bounded=bounded,
                cancelled=cancelled,
            )
            here.append(solution.values)
            errors[row, column] = fold.error(solution.values)
            report(column * len(priors) + row + 1)
        gentler = here
    return errors


def _grid(values: Sequence[float], name: str) -> NDArray[np.float64]:
    grid = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if grid.size == 0 or not np.isfinite(grid).all() or (np.diff(grid) == 0).any():
        raise InputError(
            f"The grid of {name} is {grid.tolist()}",
            where=name,
            remedy="Give one or more different finite numbers",
        )
    return grid


def _limit(graph: sparse.csr_array, process: Process) -> float:
    """Largest rho that leaves a precision."""
    if process in ("icar", "isar"):
        return 1.0
    return float(rho_range(graph, process)[1])


def _default_rhos(limit: float, process: Process) -> list[float]:
    if not np.isfinite(limit):
        limit = 1.0
    short = 1.0 if process in ("icar", "isar") else SHORT_OF_LIMIT
    return [min(share, short) * limit for share in RHO_SHARES]
