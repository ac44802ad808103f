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

import anndata as ad
import numpy as np
from accuracy import Case, halves, starmap, table

from napari_smoother.models.choice import Choice, choose
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.preparation import (
    DEFAULT_LAMBDA,
    lambda_to_weight,
    prepare_deconvolution,
)
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex, simulate_large, simulate_tumour
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "choice.md"
PROCESS = "icar"
DEFAULT_RHO = 0.99
FOLDS = 3
TOLERANCE = 1e-5
REPEATS = 5


@dataclass(frozen=True)
class Row:
    case: Case
    chosen: Choice
    truth: np.ndarray  # error in proportions, rhos x lambdas
    no_prior: float
    default: float
    stronger: float


def simulated(simulate, seed: int, **settings) -> Case:
    sample = simulate(seed=seed, **settings)
    adata = sample.section.adata
    depth = settings.get("median_counts")
    name = simulate.__name__.removeprefix("simulate_")
    return Case(
        f"simulated {name}{'' if depth is None else f', {depth:.0f} counts'}, seed {seed}",
        "",
        adata.X.tocsr(),
        adata.var,
        sample.section.positions,
        Reference.from_cells(sample.reference, "cell_type", name),
        sample.proportions,
        of_cells=False,
    )


class Truth:
    """Error in proportions of any setting, fitted on all genes at the default scale."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.prepared = prepare_deconvolution(
            case.counts,
            case.var,
            case.reference,
            scale="counts",
            gene_weights="inverse_mean",
            intercept=True,
        )
        self.data = DataTerm.prepare(self.prepared.gram, self.prepared.linear)
        self.graph = nearest_neighbours(case.positions).weights
        columns = [name for name in case.reference.types if name in case.truth]
        truth = case.truth[columns].to_numpy(dtype=float)
        self.known = truth.sum(axis=1) > 0
        self.truth = truth[self.known] / truth[self.known].sum(axis=1, keepdims=True)
        self.index = [case.reference.types.index(name) for name in columns]
        self.start: np.ndarray | None = None

    def error(self, rho: float, lambda_: float) -> float:
        prior = PriorTerm.prepare(precision(self.graph, PROCESS, rho))
        weight = lambda_to_weight(lambda_, self.prepared.n_genes, self.prepared.n_types)
        solution = solve_bounded_quadratic(
            self.data, prior, weight, start=self.start, tolerance=TOLERANCE
        )
        if not solution.converged:
            raise RuntimeError(f"{self.case.name}, rho {rho}, lambda {lambda_}: {solution}")
        self.start = solution.values
        totals = self.case.reference.cell_totals if self.case.of_cells else None
        found = proportions(solution.values, totals)[self.known][:, self.index]
        return float(np.sqrt(((found - self.truth) ** 2).mean()))


def measure(case: Case) -> Row:
    truth = Truth(case)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The best of the grid", UserWarning)
        chosen = choose(
            case.counts, case.var, case.reference, truth.graph, process=PROCESS, folds=FOLDS
        )
    grid = np.array(
        [[truth.error(rho, lambda_) for lambda_ in chosen.lambdas] for rho in chosen.rhos]
    )
    row = Row(
        case,
        chosen,
        grid,
        truth.error(DEFAULT_RHO, 0.0),
        truth.error(DEFAULT_RHO, DEFAULT_LAMBDA),
        truth.error(chosen.rho, chosen.lambda_ * FOLDS / (FOLDS - 1)),
    )
    print(case.name, chosen.rho, chosen.lambda_, grid.min(), flush=True)
    return row


def seconds(case: Case) -> tuple[list[float], list[float], Choice]:
    """Wall and processor seconds of the whole choice, repeated."""
    graph = nearest_neighbours(case.positions).weights
    wall, processor = [], []
    for _ in range(REPEATS):
        began, used = time.perf_counter(), time.process_time()
        chosen = choose(case.counts, case.var, case.reference, graph, process=PROCESS, folds=FOLDS)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    return wall, processor, chosen


def ratios(row: Row) -> dict[str, float]:
    at = {value: place for place, value in enumerate(row.chosen.lambdas)}
    mine = row.truth[list(row.chosen.rhos).index(row.chosen.rho)]
    best = row.truth.min()
    return {
        "no prior": row.no_prior / best,
        f"default (lambda {DEFAULT_LAMBDA:g})": row.default / best,
        "lowest error (recommended)": mine[at[row.chosen.lambda_]] / best,
        "cautious (one standard error)": mine[at[row.chosen.cautious_lambda]] / best,
        f"{FOLDS / (FOLDS - 1):g} x the lambda of the lowest": row.stronger / best,
    }


def report(rows: list[Row], timed: Case, wall: list[float], processor: list[float]) -> str:
    found = [ratios(row) for row in rows]
    ways = list(found[0])
    grid = rows[0].chosen
    lines = [
        "# Choice of rho and lambda by held-out genes",
        "",
        "Written by `benchmarks/choice.py`; every number here is printed by it.",
        "",
        f"Process {PROCESS}, rho {', '.join(f'{rho:g}' for rho in grid.rhos)}, "
        f"{grid.lambdas.size} lambdas from {grid.lambdas[0]:g} to {grid.lambdas[-1]:g}, "
        f"{FOLDS} folds, default scale and gene weights. Error is the root mean square difference "
        "of proportions from the truth, of the fit on all genes; every way of choosing is given "
        "as its error / the lowest error on the grid, which only the truth can find.",
        "",
        *table(
            [
                "data",
                "spots",
                "lowest error",
                "at rho, lambda",
                "chosen rho, lambda",
                *ways,
                "edge",
            ],
            [_line(row, ratio) for row, ratio in zip(rows, found, strict=True)],
        ),
        *table(
            ["over all data", *ways],
            [
                "| mean | "
                + " | ".join(f"{np.mean([r[w] for r in found]):.3f}" for w in ways)
                + " |",
                "| worst | " + " | ".join(f"{max(r[w] for r in found):.3f}" for w in ways) + " |",
                "| within 10 % | "
                + " | ".join(f"{sum(r[w] <= 1.1 for r in found)} of {len(found)}" for w in ways)
                + " |",
            ],
        ),
        f"The last way is what a weight in proportion to the kept genes would choose "
        f"({FOLDS - 1} of {FOLDS} kept): it smooths too much, so the weight is that of all genes.",
        "",
        "Rows with an edge are those that `choose` warns about.",
        "",
        "## Time",
        "",
        f"{timed.counts.shape[0]} spots, {timed.counts.shape[1]} genes, "
        f"{timed.reference.n_types} types, {grid.rhos.size * grid.lambdas.size} settings x "
        f"{FOLDS} folds, preparation included; {REPEATS} runs on {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end, {os.environ.get('OMP_NUM_THREADS', 'any')} "
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


def _line(row: Row, ratio: dict[str, float]) -> str:
    r, c = np.unravel_index(row.truth.argmin(), row.truth.shape)
    chosen = row.chosen
    numbers = " | ".join(f"{value:.3f}" for value in ratio.values())
    return (
        f"| {row.case.name} | {row.case.counts.shape[0]} | {row.truth.min():.4f} | "
        f"{chosen.rhos[r]:g}, {chosen.lambdas[c]:g} | {chosen.rho:g}, {chosen.lambda_:g} | "
        f"{numbers} | {', '.join(chosen.edges) or '-'} |"
    )


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "shared" / "data"
    warnings.filterwarnings("ignore", ".*left out cell types", UserWarning)
    timed = simulated(simulate_large, 0, n_spots=4096)
    wall, processor, _ = seconds(timed)
    print("seconds", wall, processor, flush=True)
    cases = [
        *(simulated(simulate_cortex, seed, rows=40) for seed in range(3)),
        *(simulated(simulate_tumour, seed, rows=40) for seed in range(3)),
        *(simulated(simulate_cortex, seed, rows=40, median_counts=600.0) for seed in (3, 4)),
        *(simulated(simulate_large, seed, n_spots=1500) for seed in range(2)),
        *starmap(data / "starmap_visual_cortex"),
        *halves(
            ad.read_h5ad(data / "starmap_visual_cortex" / "starmap_cells_1020genes.h5ad"),
            "cluster_name",
            18,
            "STARmap halves",
        ),
        *halves(
            ad.read_h5ad(data / "osmfish_somatosensory_cortex" / "osmfish_cells.h5ad"),
            "ClusterName",
            30,
            "osmFISH halves",
        ),
    ]
    rows = [measure(case) for case in cases]
    REPORT.write_text(report(rows, timed, wall, processor), encoding="utf-8")


if __name__ == "__main__":
    main()
