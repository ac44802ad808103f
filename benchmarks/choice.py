"""How near to the truth held-out genes bring rho and lambda, and how long the choice takes.

Writes docs/choice.md. Run from the repository: ``python benchmarks/choice.py``; the folder with
the real sections is ``../shared/data`` unless given as the first argument.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
from accuracy import DEFAULT, by_source, mean_ratio, row, table
from known_sections import KnownSection, known_sections, reference_of
from low_rank_covariance import correlation_factors
from scipy import sparse
from scipy.cluster.vq import kmeans2

from napari_smoother.models import held_out_genes
from napari_smoother.models.choice import choose
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.models.deconv.preparation import DEFAULT_LAMBDA, lambda_to_weight
from napari_smoother.sample_data import simulate_large
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic
from napari_smoother.solvers.selected_inverse import inverse_diagonals
from napari_smoother.solvers.sparse_factor import SparseFactor
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from napari_smoother.models.judged_choice import Choice

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "choice.md"
PROCESS = "icar"
DEFAULT_RHO = 0.99
FOLDS = 3
TOLERANCE = 1e-4
REPEATS = 5


@dataclass(frozen=True)
class Measured:
    """Over rhos x lambdas: errors of proportions, and criteria of generalised cross-validation."""

    known: KnownSection
    chosen: Choice
    errors: np.ndarray
    without_prior: float
    default: float
    bounded: np.ndarray
    unbounded: np.ndarray
    together: Choice


TOGETHER = "genes that go together in one fold"
GROUPS = 30
"""Of genes that go together within types, at most."""


def choose_together(known: KnownSection, graph: sparse.csr_array, otherwise: Choice) -> Choice:
    """Choose with folds that part no genes which go together within the types of the reference."""
    if known.cells is None:
        return otherwise
    genes = match_genes(known.var, known.reference).reference_index
    factors = correlation_factors(known, genes)
    if factors.shape[1] == 0:
        return otherwise
    length = np.linalg.norm(factors, axis=1, keepdims=True)
    directions = np.divide(factors, length, out=np.zeros_like(factors), where=length > 0)

    def split(signature: np.ndarray, weights: np.ndarray, folds: int, seed: int) -> np.ndarray:
        _, group = kmeans2(directions, min(GROUPS, len(genes) // 4), seed=seed, minit="++")
        energy = np.bincount(group, weights=weights * (signature**2).sum(axis=1))
        fold, held = np.empty(len(genes), dtype=np.int64), np.zeros(folds)
        for largest in np.argsort(-energy):
            fold[group == largest] = held.argmin()
            held[held.argmin()] += energy[largest]
        return fold

    with patch.object(held_out_genes, "split_genes", split):
        return choose(
            known.counts, known.var, known.reference, graph, process=PROCESS, folds=FOLDS
        )


def measure(known: KnownSection) -> Measured:
    prepared = DEFAULT.prepare(known)
    graph = nearest_neighbours(known.positions).weights
    totals = known.reference.totals_for("cells") if known.of_cells else None
    data = DataTerm.prepare(prepared.gram, prepared.linear)
    chosen = choose(known.counts, known.var, known.reference, graph, process=PROCESS, folds=FOLDS)
    n_data = prepared.n_spots * (prepared.n_genes - prepared.intercept)

    def fitted(prior: PriorTerm, weight: float, *, bounded: bool = True) -> np.ndarray:
        solution = solve_bounded_quadratic(
            data, prior, weight, tolerance=TOLERANCE, bounded=bounded
        )
        if not solution.converged:
            raise RuntimeError(f"{known.name}, weight {weight}: {solution}")
        return solution.values

    def error(abundance: np.ndarray) -> float:
        return known.scores(proportions(abundance, totals))[0]

    def left(abundance: np.ndarray) -> float:
        product = abundance @ prepared.gram - 2 * prepared.linear
        return prepared.data_norm + float(np.einsum("ik,ik->", abundance, product))

    errors = np.empty((chosen.rhos.size, chosen.lambdas.size))
    bounded, unbounded = np.empty_like(errors), np.empty_like(errors)
    curvature = np.linalg.eigvalsh(prepared.gram)
    for i, rho in enumerate(chosen.rhos):
        matrix = sparse.csr_array(precision(graph, PROCESS, float(rho)))
        prior, factored = PriorTerm.prepare(matrix), SparseFactor.prepare(matrix)
        for j, lambda_ in enumerate(chosen.lambdas):
            weight = lambda_to_weight(float(lambda_), prepared.n_genes, prepared.n_types)
            # The fit without a bound is linear in the data, with K times n degrees of freedom
            # d_k / (d_k + weight q).
            shifts = curvature / weight
            freedom = float((inverse_diagonals(factored, shifts) * shifts).sum())
            penalty = (1 - freedom / n_data) ** 2
            abundance = fitted(prior, weight)
            errors[i, j] = error(abundance)
            bounded[i, j] = left(abundance) / penalty
            unbounded[i, j] = left(fitted(prior, weight, bounded=False)) / penalty
    prior = PriorTerm.prepare(precision(graph, PROCESS, DEFAULT_RHO))
    default = lambda_to_weight(DEFAULT_LAMBDA, prepared.n_genes, prepared.n_types)
    print(known.name, chosen.rho, chosen.lambda_, errors.min(), flush=True)
    return Measured(
        known,
        chosen,
        errors,
        error(fitted(prior, 0.0)),
        error(fitted(prior, default)),
        bounded,
        unbounded,
        choose_together(known, graph, chosen),
    )


def seconds(known: KnownSection) -> tuple[list[float], list[float], float]:
    """Wall and processor seconds of the whole choice, repeated, and the load after that."""
    graph = nearest_neighbours(known.positions).weights
    wall, processor = [], []
    for _ in range(REPEATS):
        began, used = time.perf_counter(), time.process_time()
        choose(known.counts, known.var, known.reference, graph, process=PROCESS, folds=FOLDS)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    return wall, processor, os.getloadavg()[0]


def ratios(found: Measured) -> dict[str, float]:
    """Error of every way of choosing / the lowest error on the grid."""
    chosen, best = found.chosen, found.errors.min()
    mine, apart = found.errors[chosen.row], chosen.mean[chosen.row] - chosen.mean.min()
    within = np.flatnonzero(apart <= chosen.standard_error[chosen.row])
    return {
        "no prior": found.without_prior / best,
        f"default (lambda {DEFAULT_LAMBDA:g})": found.default / best,
        "held-out genes (recommended)": mine[apart.argmin()] / best,
        "smallest lambda within one standard error (cautious)": mine[within[0]] / best,
        "largest within one standard error": mine[within[-1]] / best,
        TOGETHER: found.errors[
            found.together.row, found.together.mean[found.together.row].argmin()
        ]
        / best,
        "generalised cross-validation": found.errors.flat[found.bounded.argmin()] / best,
        "the same, without a bound": found.errors.flat[found.unbounded.argmin()] / best,
    }


def report(
    found: list[Measured],
    timed: KnownSection,
    wall: list[float],
    processor: list[float],
    load: float,
) -> str:
    ways = [ratios(each) for each in found]
    names = list(ways[0])
    groups = by_source(found)
    columns = [[each[name] for each in ways] for name in names]
    by_group = {
        source: [mean_ratio(column[i] for i in mine) for column in columns]
        for source, mine in groups.items()
    }
    over_sources = dict(
        zip(names, map(mean_ratio, zip(*by_group.values(), strict=True)), strict=True)
    )
    ours, other = over_sources[names[2]], min(over_sources[name] for name in names[-2:])
    grid = found[0].chosen
    lines = [
        "# Choice of rho and lambda by held-out genes",
        "",
        "Written by `benchmarks/choice.py`; every number here is printed by it.",
        "",
        f"Process {PROCESS}, rho {', '.join(f'{rho:g}' for rho in grid.rhos)}, "
        f"{grid.lambdas.size} lambdas from {grid.lambdas[0]:g} to {grid.lambdas[-1]:g}, "
        f"{FOLDS} folds, default scale and gene weights, on the sections of `docs/accuracy.md`. "
        "Error is the root mean square difference of proportions from the truth, of the fit on "
        "all genes; every way of choosing is given as its error / the lowest error on the grid, "
        "which only the truth can find. Generalised cross-validation takes the sum of squares "
        "that is left, of bounded fits or of those without a bound, and the degrees of freedom "
        "of the latter.",
        "",
        *table(
            ["section", "spots", "lowest error", "at rho, lambda", "chosen", *names, "edge"],
            [_line(each, way) for each, way in zip(found, ways, strict=True)],
        ),
        "Geometric means:",
        "",
        *table(
            ["", *names],
            [
                *(row(source, values) for source, values in by_group.items()),
                row("all sections", [mean_ratio(column) for column in columns]),
                row("all sources", over_sources.values()),
                row("worst section", [max(column) for column in columns]),
            ],
        ),
        "Genes of which a cell deviates from its type at once help to predict each other, so that "
        "held-out genes may ask for less smoothing than the composition does. Folds that keep "
        "such genes together (by the correlation within types of the reference) come within "
        f"{100 * (over_sources[TOGETHER] - 1):.1f} % of the best over the sources.",
        "",
        f"Over the sources held-out genes come within {100 * (ours - 1):.1f} % of the best, "
        f"generalised cross-validation within {100 * (other - 1):.1f} %: "
        + ("held-out genes are kept." if ours <= other else "held-out genes are the worse here."),
        "",
        "Rows with an edge are those that `choose` warns about.",
        "",
        "## Time",
        "",
        f"{timed.counts.shape[0]} spots, {timed.counts.shape[1]} genes, "
        f"{timed.reference.n_types} types, {grid.rhos.size * grid.lambdas.size} settings x "
        f"{FOLDS} folds, preparation included; {REPEATS} runs on {os.cpu_count()} cores, load "
        f"{load:.1f} after them, {os.environ.get('OMP_NUM_THREADS', 'any')} "
        "threads for BLAS.",
        "",
        *table(
            ["", "best", "median"],
            [
                f"| wall, s | {min(wall):.2f} | {np.median(wall):.2f} |",
                f"| processor, s | {min(processor):.2f} | {np.median(processor):.2f} |",
            ],
        ),
    ]
    return "\n".join(lines)


def _line(found: Measured, ratio: dict[str, float]) -> str:
    r, c = np.unravel_index(found.errors.argmin(), found.errors.shape)
    chosen = found.chosen
    numbers = " | ".join(f"{value:.3f}" for value in ratio.values())
    return (
        f"| {found.known.name} | {found.known.counts.shape[0]} | {found.errors.min():.4f} | "
        f"{chosen.rhos[r]:g}, {chosen.lambdas[c]:g} | {chosen.rho:g}, {chosen.lambda_:g} | "
        f"{numbers} | {', '.join(chosen.edges) or '-'} |"
    )


def large() -> KnownSection:
    """The section that is timed."""
    sample = simulate_large(seed=0, n_spots=4096)
    adata, cells = sample.section.adata, sample.reference.copy()
    cells.obs["type"] = cells.obs["cell_type"].astype(str)
    return KnownSection(
        "simulated large",
        "simulated",
        "",
        adata.X.tocsr(),
        adata.var,
        sample.section.positions,
        reference_of(cells, "large"),
        cells,
        sample.proportions,
        of_cells=False,
    )


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "shared" / "data"
    warnings.filterwarnings("ignore", "The best of the grid|Little was gained", UserWarning)
    timed = large()
    wall, processor, load = seconds(timed)
    print("seconds", wall, processor, load, flush=True)
    found = [measure(known) for known in known_sections(data)]
    REPORT.write_text(report(found, timed, wall, processor, load), encoding="utf-8")


if __name__ == "__main__":
    main()
