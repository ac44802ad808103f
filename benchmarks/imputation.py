"""Imputation beside smoother-omics, on the same input.

Prints markdown tables, ours the best of seven runs. Run from the repository:
``python benchmarks/imputation.py``, with ``smoother-omics`` 1.1.0 on the path; without it only
our own rows are printed.
"""

from __future__ import annotations

import importlib.util
import time
import warnings
from typing import Any

import numpy as np
import torch

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.models.impute import impute_missing
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

REPEATS = 7


def simulated(n: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, smooth values, and the same with noise."""
    random = np.random.default_rng(seed)
    positions = random.random((n, 2))
    waves = np.cos(
        positions @ random.uniform(1, 12, (2, features)) + random.uniform(0, 6, features)
    )
    truth = 2 + waves
    return positions, truth, np.maximum(truth + 0.3 * random.standard_normal(truth.shape), 0)


def timed(work: Any, repeats: int = REPEATS) -> tuple[float, Any]:
    best, answer = np.inf, None
    for _ in range(repeats):
        began = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - began)
    return best, answer


def show(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n")
    for line in [head, ["---"] * len(head), *rows]:
        print("| " + " | ".join(line) + " |")


def beside_peer(n: int = 4096) -> None:
    """Half of the spots observed, ICAR with rho 0.99, lambda 1."""
    has_peer = importlib.util.find_spec("smoother") is not None
    rows = []
    for features in (50, 500):
        positions, truth, noisy = simulated(n, features)
        order = np.random.default_rng(1).permutation(n)
        # The peer takes the observed spots first.
        positions, truth, noisy = positions[order], truth[order], noisy[order]
        seen = n // 2
        weights = SpatialWeightMatrix()
        weights.calc_weights_knn(positions, k=6)
        q = SpatialLoss("icar", weights, rho=0.99).precisions[0]
        known = noisy[:seen]
        for fixed in (True, False):

            def ours(fixed: bool = fixed, known: np.ndarray = known, q: Any = q) -> Any:
                return impute_missing(known, np.arange(len(known)), q, fixed=fixed)

            ours()
            seconds, found = timed(ours)
            what = f"{'fixed' if fixed else 'free'}, {features} features"
            reached = ~found.unreached

            def line(
                name: str, took: float, values: np.ndarray, objective: float,
                reached: np.ndarray = reached, truth: np.ndarray = truth, seconds: float = seconds,
                what: str = what,
            ) -> None:  # fmt: skip
                error = np.sqrt(np.square(values - truth)[reached].mean())
                rows.append(
                    [what, name, f"{took:.3f}", f"{objective:.6f}", f"{error:.4f}",
                     f"{took / seconds:.0f}"]
                )  # fmt: skip

            def value(
                values: np.ndarray, fixed: bool = fixed, known: np.ndarray = known, q: Any = q
            ) -> float:
                apart = 0.0 if fixed else np.square(values[: len(known)] - known).mean()
                return float(apart + np.vdot(values, q @ values) / values.size)

            filled = np.where(np.isnan(found.values), 0, found.values)
            line(f"here ({found.report.method})", seconds, filled, value(filled))
            if not has_peer or (features > 50):
                continue
            import smoother
            from smoother.models.impute import ImputeTorch

            other = smoother.SpatialWeightMatrix()
            other.calc_weights_knn(torch.from_numpy(positions), k=6, verbose=False)
            theirs = smoother.SpatialLoss("icar", other, rho=0.99)
            for name, rate in (("defaults", 1e-3), ("lr 0.02", 0.02)):
                began = time.perf_counter()
                model = ImputeTorch(
                    torch.from_numpy(known).float(), theirs, fixed_obs=fixed, quiet=True, lr=rate
                )
                took = time.perf_counter() - began
                values = model.get_results().double().numpy()
                line(f"smoother-omics, {name}", took, values, value(values))
    head = ["problem", "with", "seconds", "objective", "rmse to the truth", "times ours"]
    show(f"{n} spots, half observed", head, rows)


def denser() -> None:
    """Spots to a denser set of positions, rho 1."""
    rows = []
    for spots, places, features in ((4_000, 40_000, 50), (20_000, 250_000, 20)):
        positions, truth, noisy = simulated(places, features)
        q = precision(nearest_neighbours(positions, 6, mutual=False).weights, "icar", 1.0)
        seen = np.zeros(places, dtype=bool)
        seen[np.random.default_rng(2).permutation(places)[:spots]] = True
        for fixed in (True, False):
            seconds, found = timed(
                lambda fixed=fixed, seen=seen, noisy=noisy, q=q: impute_missing(
                    noisy[seen], seen, q, fixed=fixed, tolerance=1e-5
                ),
                1,
            )
            error = np.sqrt(np.nanmean(np.square(found.values - truth)))
            rows.append(
                [
                    f"{spots} to {places}", str(features), "fixed" if fixed else "free",
                    f"{seconds:.2f}", f"{found.report.residual:.1e}", found.report.method,
                    f"{error:.4f}",
                ]
            )  # fmt: skip
    head = ["spots", "features", "observations", "seconds", "residual", "method", "rmse"]
    show("Denser positions", head, rows)


def main() -> None:
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    beside_peer()
    denser()


if __name__ == "__main__":
    main()
