"""Random problems at the edge of what float32 and float64 hold: singular A, stiff priors, pieces.

Residuals are formed here from differences between neighbours, in float64: at rho = 1 the product
with a stiff Q cancels, and its rounding alone would be larger than the residual asked for.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
from scipy.spatial import cKDTree

from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic

STIFFEST = 4e9
"""Largest weight of the prior times an edge: beyond it answers differ in less than float64 has."""

GENES = 40


def edges_of(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mutual nearest neighbours, every pair once."""
    count = len(positions)
    if count < 2:
        return np.zeros(0, int), np.zeros(0, int)
    _, index = cKDTree(positions).query(positions, k=min(6, count - 1) + 1)
    directed = sparse.lil_array((count, count))
    for spot, neighbours in enumerate(index[:, 1:]):
        directed[spot, neighbours] = 1
    mutual = sparse.triu(directed.minimum(directed.T), k=1).tocoo()
    return mutual.row, mutual.col


def extreme(seed: int):
    """A, C, the edges with their weights, rho and the weight of the prior."""
    random = np.random.default_rng(seed)
    spots, types = int(random.integers(2, 200)), int(random.integers(1, 9))
    base = random.lognormal(0.0, 1.0, (GENES, 1))
    signature = base * np.exp(0.4 * random.standard_normal((GENES, types)))
    kind = random.choice(["plain", "twin", "close", "absent", "few genes"])
    if kind == "twin":
        signature[:, -1] = signature[:, 0]
    elif kind == "close":
        share = 10.0 ** random.uniform(-8, -2)
        signature[:, -1] = signature[:, 0] * (1 + share * np.sin(np.arange(GENES)))
    elif kind == "absent":
        signature[:, 0] = 0
    abundance = random.gamma(0.4, 1.0, (spots, types))
    counts = random.poisson(abundance @ signature.T).astype(float)
    counts *= random.random((spots, 1)) < random.choice([0.7, 1.0])
    if kind == "few genes":
        genes = max(1, types // 2)
        signature, counts = signature[:genes], counts[:, :genes]
    rows, columns = [], []
    for piece in np.array_split(np.arange(spots), random.integers(1, 4)):
        row, column = edges_of(random.random((piece.size, 2)))
        rows.append(piece[row])
        columns.append(piece[column])
    row, column = np.concatenate(rows), np.concatenate(columns)
    span = random.choice([0, 2, 4])
    weights = 10.0 ** (span * random.random(row.size) + random.choice([0, 0, 3, 5]))
    rho = random.choice([1.0, 0.99, 0.5])
    weight = float(random.choice([0, 1e-3, 1, 1e2, 1e4, 1e5]))
    weight = min(weight, STIFFEST / weights.max(initial=1.0))
    return signature.T @ signature, counts @ signature, row, column, weights, rho, weight


def gradient(gram, linear, row, column, weights, rho, weight, values):
    """Gradient of the objective, with the prior as sums of differences."""
    b = np.asarray(values, dtype=np.float64)
    prior = np.zeros_like(b)
    change = weights[:, None] * (b[row] - b[column])
    np.add.at(prior, row, rho * change)
    np.add.at(prior, column, -rho * change)
    degree = np.bincount(row, weights, len(b)) + np.bincount(column, weights, len(b))
    prior += (1 - rho) * degree[:, None] * b
    return b @ gram - linear + weight * prior


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_extreme_problems_converge_and_their_residual_is_true(first):
    failed = []
    for seed in range(first, first + 20):
        gram, linear, row, column, weights, rho, weight = extreme(seed)
        spots = len(linear)
        upper = sparse.coo_array((weights, (row, column)), shape=(spots, spots))
        adjacency = sparse.csr_array(upper + upper.T)
        degree = np.asarray(adjacency.sum(axis=1)).ravel()
        precision = sparse.csr_array(sparse.diags_array(degree) - rho * adjacency)
        solution = solve_bounded_quadratic(
            DataTerm.prepare(gram, linear), PriorTerm.prepare(precision), weight
        )
        slope = gradient(gram, linear, row, column, weights, rho, weight, solution.values)
        projected = np.where((solution.values <= 0) & (slope > 0), 0, slope)
        true = float(np.linalg.norm(projected)) / max(float(np.linalg.norm(linear)), 1e-300)
        if linear.any() and (
            not solution.converged
            or solution.values.min() < 0
            or true != pytest.approx(solution.residual, rel=2e-2, abs=2e-7)
        ):
            failed.append((seed, rho, weight, weights.max(initial=0), solution, true))
    assert not failed
