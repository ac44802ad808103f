"""Choose rho and lambda by genes that the fit has not seen.

Genes are split into folds; for each setting the abundances are found from the kept genes and
judged by how well they predict the others (Stone 1974, J. R. Stat. Soc. B 36: cross-validation).
The weight of the prior is that of all genes in every fold: the best weight is the noise variance
times the precision of the abundances, and neither depends on how many genes were counted.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
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
    lambda_to_weight,
    prepare_deconvolution,
)
from napari_smoother.models.held_out_genes import Fold, make_folds
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic
from napari_smoother.weights.precision import precision, rho_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.weights.precision import Process

LAMBDAS = tuple(float(f"{value:.3g}") for value in np.geomspace(1e-3, 100, 20))
RHO_SHARES = (0.5, 0.9, 0.97, 0.99, 1.0)
"""Of the largest rho that leaves a precision; `car` and `sar` stop short of it."""

SHORT_OF_LIMIT = 0.999

LITTLE_GAINED = 0.1
"""Share of the held-out error: what gains less is weighed against what it does to the map."""

MUCH_SMOOTHED = 0.25
"""Share of the variance over spots, of all types together, of which no less should be left."""

FLATTENED = 0.1
"""The same for a single type, if it is one that the map showed."""

SHOWN_ON_THE_MAP = 0.05
"""Share of the variance over spots that a type has to have for the map to show it."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Errors at held-out genes over a grid of settings, and what they say.

    Parameters
    ----------
    process
        Spatial process.
    rhos, lambdas
        The grid, ascending: R and L values.
    errors
        R x L x folds: mean weighted squared error at the genes held out.
    mean
        R x L: mean over the folds.
    standard_error
        R x L: standard error over the folds of the difference from the best setting (zero
        there). Folds hold different genes, whose noise is common to all settings and drops out.
    rho, lambda_
        The recommended setting: the lowest mean. Of the two it came closer to the truth where
        that is known (`docs/choice.md`).
    cautious_lambda
        The smallest lambda, at this rho, within one standard error of the lowest mean.
    edges
        Where the best lies on an edge of the grid beyond which there are other settings:
        any of ``"lowest lambda"``, ``"highest lambda"``, ``"lowest rho"``, ``"highest rho"``.
        A grid of one value has no edge, and neither has rho where the best lambda is 0.
    types
        Names of the K cell types; empty where errors were judged without fits.
    variances
        2 x K: variance over spots of the proportion of every type, with the smallest lambda of
        the grid and with the recommended one, both at the recommended rho and from all genes.
    """

    process: Process
    rhos: NDArray[np.float64]
    lambdas: NDArray[np.float64]
    errors: NDArray[np.float64]
    mean: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    rho: float
    lambda_: float
    cautious_lambda: float
    edges: tuple[str, ...]
    types: tuple[str, ...] = ()
    variances: NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 0)))

    @property
    def on_edge(self) -> bool:
        """Whether a wider grid might hold a better setting."""
        return bool(self.edges)

    @property
    def row(self) -> int:
        """Where the recommended rho stands among `rhos`."""
        return int(np.argmin(np.abs(self.rhos - self.rho)))

    @property
    def gain(self) -> float:
        """Share of the held-out error with the smallest lambda that the recommended one saves."""
        least = self.mean[self.row, 0]
        return float((least - self.mean.min()) / least) if least > 0 else 0.0

    @property
    def gain_standard_error(self) -> float:
        """Standard error of `gain` over the folds."""
        least = self.mean[self.row, 0]
        return float(self.standard_error[self.row, 0] / least) if least > 0 else 0.0

    @property
    def variance_kept(self) -> NDArray[np.float64]:
        """Share of the variance over spots that is left of every type; NaN where none was."""
        before, after = self.variances
        kept: NDArray[np.float64] = np.divide(
            after, before, out=np.full(before.shape, np.nan), where=before > 0
        )
        return kept

    @property
    def total_variance_kept(self) -> float:
        """Share of the variance over spots that is left, of all types together."""
        before, after = self.variances.sum(axis=1)
        return float(after / before) if before > 0 else 1.0

    @property
    def caveat(self) -> str:
        """What to be wary of, where little was gained and much was smoothed; otherwise empty."""
        before, kept = self.variances[0], self.variance_kept
        flattened = (kept < FLATTENED) & (before >= SHOWN_ON_THE_MAP * before.sum())
        if self.gain >= LITTLE_GAINED or not (
            self.total_variance_kept < MUCH_SMOOTHED or flattened.any()
        ):
            return ""
        nearly = (
            f" λ {self.cautious_lambda:.3g} is within one standard error of the best."
            if self.cautious_lambda < self.lambda_
            else ""
        )
        return (
            "Little was gained and much was smoothed: compare the map with that at a smaller λ "
            f"before you trust it.{nearly}"
        )

    def describe(self) -> str:
        """Say what was chosen, what it gains, and what it does to the map."""
        said = f"λ {self.lambda_:.3g}, ρ {self.rho:.3g} predict held-out genes best."
        if self.lambda_ == self.lambdas[0]:
            return said
        gained = f"{100 * self.gain:.2g} ± {100 * self.gain_standard_error:.2g} %"
        said += f" Against λ {self.lambdas[0]:.3g} the error is lower by {gained}"
        if not self.types:
            return f"{said}."
        kept = self.variance_kept
        least = [k for k in np.argsort(kept) if np.isfinite(kept[k])][:3]
        named = ", ".join(f"{self.types[k]} {_percent(kept[k])}" for k in least)
        left = _percent(self.total_variance_kept)
        return f"{said}, and {left} of the variance over spots is left (least of {named})."

    def describe_at(self, lambda_: float) -> str:
        """Say how another lambda of the grid compares, at the recommended rho."""
        column = int(np.argmin(np.abs(self.lambdas - lambda_)))
        best = self.mean.min()
        share = 100 / best if best > 0 else 0.0
        above = share * (self.mean[self.row, column] - best)
        error = share * self.standard_error[self.row, column]
        said = f"λ {self.lambdas[column]:.3g}: error "
        return said + (f"higher by {above:.2g} ± {error:.2g} %" if above > 0 else "lowest")

    def as_dict(self) -> dict[str, Any]:
        """Everything in it as numbers, text and lists that JSON can hold."""
        return {
            "process": str(self.process),
            "rhos": self.rhos.tolist(),
            "lambdas": self.lambdas.tolist(),
            "errors": self.errors.tolist(),
            "rho": self.rho,
            "lambda": self.lambda_,
            "cautious_lambda": self.cautious_lambda,
            "edges": list(self.edges),
            "gain": self.gain,
            "gain_standard_error": self.gain_standard_error,
            "total_variance_kept": self.total_variance_kept,
            "variance_kept": {
                name: float(kept) if np.isfinite(kept) else None
                for name, kept in zip(self.types, self.variance_kept, strict=True)
            },
        }


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
    lambda_grid = _grid(lambdas, "lambdas")
    matrix = sparse.csr_matrix(counts)
    graph = sparse.csr_array(weights)
    if graph.shape != (matrix.shape[0],) * 2:
        raise InputError(
            f"The graph has the shape {graph.shape} for {matrix.shape[0]} spots",
            where="weights",
            remedy="Build the graph from the spots of these counts",
        )
    prepared = prepare_deconvolution(
        matrix,
        section_var,
        reference,
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
    if used.size < graph.shape[0]:
        graph = sparse.csr_array(graph[used][:, used])
    limit = _limit(graph, process)
    rho_grid = _grid(_default_rhos(limit, process) if rhos is None else rhos, "rhos")
    priors = [PriorTerm.prepare(precision(graph, process, float(rho))) for rho in rho_grid]
    strengths = [
        lambda_to_weight(float(lambda_), prepared.n_genes, prepared.n_types)
        for lambda_ in lambda_grid
    ]
    splits = make_folds(
        matrix,
        section_var,
        reference,
        prepared,
        scale=scale,
        folds=folds,
        seed=seed,
        cancelled=cancelled,
    )
    errors = np.empty((rho_grid.size, lambda_grid.size, folds))
    total = errors.size
    for at, fold in enumerate(splits):
        before = at * rho_grid.size * lambda_grid.size

        def fits_done(done: int, before: int = before) -> None:
            if report is not None:
                report(before + done, total)

        errors[:, :, at] = _errors(
            fold, priors, strengths, bounded, tolerance, cancelled, fits_done
        )
    chosen = judge(errors, rho_grid, lambda_grid, process, limit)
    at = int(np.flatnonzero(lambda_grid == chosen.lambda_)[0])
    chosen = replace(
        chosen,
        types=prepared.types,
        variances=_variances(
            DataTerm.prepare(prepared.gram, prepared.linear[used]),
            priors[chosen.row],
            [strengths[0], strengths[at]],
            bounded,
            tolerance,
            cancelled,
        ),
    )
    if chosen.on_edge:
        warnings.warn(
            f"The best of the grid is the {' and the '.join(chosen.edges)} tried "
            f"(rho {chosen.rho:g}, lambda {chosen.lambda_:g}); a wider grid may hold a better one",
            UserWarning,
            stacklevel=2,
        )
    if chosen.caveat:
        warnings.warn(f"{chosen.caveat} {chosen.describe()}", UserWarning, stacklevel=2)
    return chosen


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


def judge(
    errors: NDArray[np.float64],
    rhos: NDArray[np.float64],
    lambdas: NDArray[np.float64],
    process: Process,
    limit: float,
) -> Choice:
    """Read the best setting from the errors.

    Parameters
    ----------
    errors
        R x L x folds.
    rhos, lambdas
        The grid, ascending.
    process
        Spatial process.
    limit
        Largest rho that it allows: the highest rho of the grid is no edge when it is there.

    Returns
    -------
    Choice
    """
    mean = errors.mean(axis=2)
    row, column = (int(at) for at in np.unravel_index(int(mean.argmin()), mean.shape))
    apart = errors - errors[row, column]
    standard_error = apart.std(axis=2, ddof=1) / np.sqrt(errors.shape[2])
    close = mean[row] - mean[row, column] <= standard_error[row]
    inner = {
        "lowest lambda": column > 0 or lambdas[0] == 0,
        "highest lambda": column < lambdas.size - 1,
        "lowest rho": row > 0 or rhos[0] <= 0,
        "highest rho": row < rhos.size - 1 or rhos[-1] >= SHORT_OF_LIMIT * limit,
    }
    searched = {"lambda": lambdas.size > 1, "rho": rhos.size > 1 and lambdas[column] > 0}
    edges = [
        name for name, is_inner in inner.items() if searched[name.split()[1]] and not is_inner
    ]
    return Choice(
        process=process,
        rhos=rhos,
        lambdas=lambdas,
        errors=errors,
        mean=mean,
        standard_error=standard_error,
        rho=float(rhos[row]),
        lambda_=float(lambdas[column]),
        cautious_lambda=float(lambdas[int(np.flatnonzero(close)[0])]),
        edges=tuple(edges),
    )


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


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
