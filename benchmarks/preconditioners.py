"""Which problem needs which preconditioner: every one of them on every kind, as a markdown table.

    python benchmarks/preconditioners.py [--spots 20000] [--seconds 30]

Cold solves to a residual of 1e-5. A solve that is not done after so many seconds is stopped, and
what it has reached is printed in its place.
"""

from __future__ import annotations

import argparse

import numpy as np
import scipy.sparse as sparse
from solver import GENES, TYPES, hexagonal, intrinsic_precision, irregular, simulate

from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic

WAYS = ("low rank", "blocks", "multigrid", "")


def in_pieces(precision, positions, pieces=200):
    """Cut every edge between strips of the tissue."""
    strip = np.floor(positions[:, 0] / positions[:, 0].max() * pieces)
    beside = sparse.csr_array(precision).tocoo()
    kept = (beside.row != beside.col) & (strip[beside.row] == strip[beside.col])
    weights = sparse.csr_array(
        (-beside.data[kept], (beside.row[kept], beside.col[kept])), shape=precision.shape
    )
    degree = np.asarray(weights.sum(axis=1)).ravel()
    degree[degree == 0] = 1
    return sparse.csr_array(sparse.diags_array(degree) - weights)


def kinds(spots):
    """Name, A, C, Q and strengths of every kind of problem."""
    lattice, scattered = hexagonal(spots), irregular(spots)
    gram, linear = simulate(lattice, 1000)
    gentle = intrinsic_precision(lattice, 0.99)
    yield "hexagonal, rho .99", gram, linear, gentle, (0.01, 0.1, 1, 10, 100, 1000)
    few, low = simulate(scattered, 300)
    stiff = intrinsic_precision(scattered, 1.0)
    yield "irregular, low counts, rho 1", few, low, stiff, (1, 100, 1000, 1e4, 1e5)
    empty = low.copy()
    empty[np.random.default_rng(0).random(spots) < 0.2] = 0
    pieces = in_pieces(stiff, scattered)
    yield "200 pieces, a fifth of the spots empty, rho 1", few, empty, pieces, (1, 100, 1e4)
    turn = np.eye(TYPES)
    # Every second type nearly the one before it.
    for k in range(1, TYPES, 2):
        turn[:, k] = 0.999 * turn[:, k - 1] + 0.001 * turn[:, k]
    twins = turn.T @ gram @ turn
    yield "collinear types, rho .99", twins, linear @ turn, gentle, (0.1, 10, 1000)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spots", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=30)
    settings = parser.parse_args()
    for name, gram, linear, precision, strengths in kinds(settings.spots):
        data, prior = DataTerm.prepare(gram, linear), PriorTerm.prepare(precision)
        prior.compute_shared()
        print(f"\n**{name}**, {settings.spots:,} spots, {TYPES} types: ms (steps).\n")
        print("| lambda | zeros | low rank | blocks | multigrid | chosen by itself | which |")
        print("|-|-|-|-|-|-|-|")
        for strength in strengths:
            cells = []
            for way in WAYS:
                found = solve_bounded_quadratic(
                    data, prior, strength * GENES / TYPES,
                    preconditioner=way, maximum_seconds=settings.seconds, maximum_steps=50_000,
                )  # fmt: skip
                text = f"{found.seconds * 1e3:.0f} ({found.steps})"
                cells.append(text if found.converged else f"not: {found.residual:.0e}")
            zeros = f"{(found.values <= 0).mean():.0%}"
            print(f"| {strength:g} | {zeros} | {' | '.join(cells)} | {found.method} |", flush=True)


if __name__ == "__main__":
    main()
