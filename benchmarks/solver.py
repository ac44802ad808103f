"""Times of the bounded quadratic solver on simulated sections, as a markdown table.

    python benchmarks/solver.py [--spots 4000 50000] [--hard 50000] [--repeats 3]

A warm start is the answer for the same settings with the weight 7 % lower. The best of the repeats
is printed, with the processor time (all threads) beside it, which suffers less from whatever else
the machine is doing.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import scipy.sparse as sparse
from scipy.spatial import cKDTree

from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic

TYPES, GENES = 20, 500
PIECE = 50_000
"""Spots whose counts are simulated at once."""


def hexagonal(spots):
    side = int(np.ceil(np.sqrt(spots)))
    index = np.arange(spots)
    row, column = index // side, index % side
    return np.stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2], axis=1)


def irregular(spots, seed=0):
    positions = np.random.default_rng(seed).random((spots, 2)) * np.sqrt(spots)
    return positions[np.lexsort((positions[:, 0], np.floor(positions[:, 1] / 4)))]


def intrinsic_precision(positions, rho, neighbours=6):
    spots = len(positions)
    jitter = 1e-6 * np.random.default_rng(1).standard_normal(positions.shape)
    _, index = cKDTree(positions + jitter).query(positions + jitter, k=neighbours + 1)
    rows = np.repeat(np.arange(spots), neighbours)
    directed = sparse.csr_array(
        (np.ones(rows.size), (rows, index[:, 1:].ravel())), shape=(spots, spots)
    )
    weights = directed.minimum(directed.T)
    degree = np.asarray(weights.sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(degree) - rho * weights)


def simulate(positions, depth, seed=0):
    """Log counts per ten thousand of smooth domains with gamma noise; returns A and C."""
    random = np.random.default_rng(seed)
    spots = len(positions)
    base = random.lognormal(0, 1.2, GENES)
    signature = base[:, None] * np.exp(0.6 * random.standard_normal((GENES, TYPES)))
    signature *= 1 + 5 * (random.random((GENES, TYPES)) < 0.03)
    signature /= signature.sum(axis=0)
    extent = positions.max()
    fields = np.stack(
        [
            sum(
                np.sin(2 * np.pi * f * (positions @ direction) / extent + phase)
                for f, direction, phase in zip(
                    random.uniform(0.5, 6, 4),
                    random.standard_normal((4, 2)),
                    random.uniform(0, 6, 4),
                    strict=True,
                )
            )
            for _ in range(TYPES)
        ],
        axis=1,
    )
    abundance = np.exp(2.0 * fields) * random.gamma(0.5, 1, (spots, TYPES))
    abundance /= abundance.sum(axis=1, keepdims=True)
    depths = depth * random.lognormal(0, 0.3, (spots, 1))
    profile = np.log1p(signature * 1e4)
    linear = np.empty((spots, TYPES))
    for first in range(0, spots, PIECE):
        piece = slice(first, first + PIECE)
        counts = random.poisson(abundance[piece] @ signature.T * depths[piece]).astype(np.float32)
        logged = np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4)
        linear[piece] = logged @ profile
    return profile.T @ profile, linear


def best(repeats, solve):
    """Best wall time, best processor time and the last solution."""
    wall = spent = np.inf
    for _ in range(repeats):
        processor = time.process_time()
        solution = solve()
        spent = min(spent, time.process_time() - processor)
        wall = min(wall, solution.seconds)
    return wall * 1e3, spent * 1e3, solution


def rows(name, positions, rho, depth, weights, tolerance, repeats):
    gram, linear = simulate(positions, depth)
    precision = intrinsic_precision(positions, rho)
    data = DataTerm.prepare(gram, linear)
    began = time.perf_counter()
    prior = PriorTerm.prepare(precision)
    prepared = time.perf_counter() - began
    began = time.perf_counter()
    prior.compute_shared()
    levels = time.perf_counter() - began
    values = np.linalg.eigvalsh(gram)
    print(
        f"\n**{name}**, {len(positions)} spots, {TYPES} types, rho {rho}, tolerance {tolerance}, "
        f"condition of A {values[-1] / values[0]:.0f}. Preparing Q {prepared * 1e3:.0f} ms, its "
        f"colours and levels {levels * 1e3:.0f} ms.\n"
    )
    print(
        "| lambda | zeros | cold ms (cpu) | steps | residual | warm ms (cpu) | steps | residual "
        "| converged | method |\n|-|-|-|-|-|-|-|-|-|-|"
    )
    for strength in weights:
        weight = strength * GENES / TYPES
        before = solve_bounded_quadratic(
            data, prior, weight / 1.07, tolerance=tolerance, maximum_seconds=60
        )
        results = [
            best(
                repeats,
                lambda start=start, weight=weight: solve_bounded_quadratic(
                    data, prior, weight, start=start, tolerance=tolerance, maximum_seconds=60
                ),
            )
            for start in (None, before.values)
        ]
        (cold_wall, cold_cpu, cold), (warm_wall, warm_cpu, warm) = results
        print(
            f"| {strength:g} | {(cold.values <= 0).mean():.0%} | {cold_wall:.0f} ({cold_cpu:.0f})"
            f" | {cold.steps} | {cold.residual:.0e} | {warm_wall:.0f} ({warm_cpu:.0f})"
            f" | {warm.steps} | {warm.residual:.0e} | {cold.converged and warm.converged}"
            f" | {warm.method} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spots", type=int, nargs="*", default=[4000, 50000])
    parser.add_argument("--hard", type=int, nargs="*", default=[50000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    settings = parser.parse_args()
    for spots in settings.spots:
        rows(
            "Hexagonal lattice",
            hexagonal(spots),
            0.99,
            1000,
            [0.01, 0.1, 1, 10, 100, 1000],
            settings.tolerance,
            settings.repeats,
        )
    for spots in settings.hard:
        rows(
            "Irregular positions, low counts",
            irregular(spots),
            1.0,
            300,
            [1, 10, 100, 1000],
            settings.tolerance,
            settings.repeats,
        )


if __name__ == "__main__":
    main()
