"""Spatial and contrastive losses, forward and backward, beside smoother-omics.

Prints markdown tables. Run from the repository: ``python benchmarks/losses.py``, with
``smoother-omics`` 1.1.0 installed; without it only our own rows are printed.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from graph import jittered

from napari_smoother import ContrastiveSpatialLoss, SpatialLoss, SpatialWeightMatrix

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = ((4_096, 20), (4_096, 500), (50_000, 20))
RHO = 0.99
RELABELINGS = 20
LEAST_RUNS, LEAST_SECONDS = 5, 1.5


def best_time(work: Callable[[], Any]) -> float:
    """Milliseconds of the best of several runs, after two that are not counted."""
    work()
    work()
    best, spent, runs = np.inf, 0.0, 0
    while runs < LEAST_RUNS or spent < LEAST_SECONDS:
        began = time.perf_counter()
        work()
        took = time.perf_counter() - began
        best, spent, runs = min(best, took), spent + took, runs + 1
    return 1000 * best


def step(loss: Any, values: torch.Tensor) -> torch.Tensor:
    """Value, with its gradient left in `values`."""
    values.grad = None
    value: torch.Tensor = loss(values)
    value.backward()
    return value.detach()


def peer_weights(positions: np.ndarray) -> Any:
    """Weights of smoother-omics, or None."""
    try:
        import smoother
    except ImportError:
        return None
    weights = smoother.SpatialWeightMatrix()
    weights.calc_weights_knn(positions, k=6, verbose=False)
    return weights


def exact(precision: Any, values: torch.Tensor) -> tuple[float, np.ndarray]:
    """Value and gradient in float64, by the formula."""
    x = values.detach().double().numpy()
    product = (precision @ x.T).T
    return float(np.vdot(x, product) / x.size), 2 * product / x.size


def spatial() -> None:
    print(f"\n### SpatialLoss (icar, rho {RHO:g}), forward and backward\n")
    print(
        "| spots | dims | with | ms | value, relative error | gradient, relative error "
        "| times ours |"
    )
    print("|-|-|-|-|-|-|-|")
    for n, dims in SIZES:
        positions = jittered(n)
        weights = SpatialWeightMatrix()
        weights.calc_weights_knn(positions, k=6)
        loss = SpatialLoss("icar", weights, RHO)
        values = torch.from_numpy(
            np.random.default_rng(1).standard_normal((dims, n), dtype=np.float32)
        ).requires_grad_()
        spots_first = values.detach().t().contiguous().t().requires_grad_()
        rows = [("here", loss, values), ("here, spots first in memory", loss, spots_first)]
        theirs = peer_weights(positions)
        if theirs is not None:
            import smoother

            rows.append(("smoother-omics", smoother.SpatialLoss("icar", theirs, RHO), values))
        value, gradient = exact(loss.precisions[0], values)
        first = np.nan
        for name, made, x in rows:
            took = best_time(lambda made=made, x=x: step(made, x))
            first = took if np.isnan(first) else first
            found = float(step(made, x))
            assert x.grad is not None
            off = np.abs(x.grad.numpy() - gradient).max() / np.abs(gradient).max()
            print(
                f"| {n:,} | {dims} | {name} | {took:.2f} | {abs(found / value - 1):.0e} | "
                f"{off:.0e} | {took / first:.1f} |"
            )


def contrastive() -> None:
    print(f"\n### ContrastiveSpatialLoss (icar, rho {RHO:g}), forward and backward\n")
    print(
        f"{RELABELINGS} relabelings, or their exact expectation. Deviations are of the value and "
        "(relative, root mean square) of the gradient from the expectation.\n"
    )
    print(
        "| spots | dims | with | ms | value | off the expectation | gradient off "
        "| times the expectation | times the sample |"
    )
    print("|-|-|-|-|-|-|-|-|-|")
    for n, dims in SIZES:
        positions = jittered(n)
        weights = SpatialWeightMatrix()
        weights.calc_weights_knn(positions, k=6)
        settings: dict[str, Any] = {"standardize_cov": False, "lower_bound": -99}
        values = torch.from_numpy(
            np.random.default_rng(1).standard_normal((dims, n), dtype=np.float32)
        ).requires_grad_()
        mean = ContrastiveSpatialLoss("icar", weights, RHO, num_perm=None, **settings)
        sample = ContrastiveSpatialLoss("icar", weights, RHO, num_perm=RELABELINGS, **settings)
        rows = [("here, expectation", mean), ("here, sampled", sample)]
        theirs = peer_weights(positions)
        if theirs is not None:
            import smoother

            rows.append(
                (
                    "smoother-omics, sampled",
                    smoother.ContrastiveSpatialLoss(
                        "icar", theirs, RHO, num_perm=RELABELINGS, **settings
                    ),
                )
            )
        times: list[float] = []
        value = float(step(mean, values))
        assert values.grad is not None
        gradient = values.grad.numpy().copy()
        for name, made in rows:
            times.append(best_time(lambda made=made, values=values: step(made, values)))
            found = float(step(made, values))
            off = np.linalg.norm(values.grad.numpy() - gradient) / np.linalg.norm(gradient)
            ratios = [f"{times[-1] / time:.1f}" for time in times[:2]]
            ratios += ["–"] * (2 - len(ratios))
            print(
                f"| {n:,} | {dims} | {name} | {times[-1]:.2f} | {found:.5f} | "
                f"{abs(found - value):.0e} | {off:.0e} | {' | '.join(ratios)} |"
            )


def main() -> None:
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    spatial()
    contrastive()


if __name__ == "__main__":
    main()
