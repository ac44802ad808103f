"""Conjugate gradients stopped after any number of steps are where the textbook's would be."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
from quadratic_problems import intrinsic_precision, neighbour_weights

from napari_smoother.solvers.conjugate_gradients import ConjugateGradients, Operator
from napari_smoother.solvers.low_rank_blocks import LowRankBlocks, StandingOut
from napari_smoother.solvers.quadratic_terms import PriorTerm

SPOTS, TYPES, WEIGHT = 300, 7, 5.0


class Diagonal:
    """The plain preconditioner: a number for every spot."""

    def __init__(self, inverse):
        self.inverse = inverse[:, None].astype(np.float32)

    def apply(self, right, out):
        out[...] = right * self.inverse
        return float((right * out).sum()), float((right * right).sum())


def textbook(matrix, inverse, right, steps):
    """Hestenes and Stiefel 1952, preconditioned, float64."""
    x, r = np.zeros(right.size), right.copy()
    z = inverse * r
    p = z.copy()
    for _ in range(steps):
        image = matrix @ p
        alpha = (r @ z) / (p @ image)
        x += alpha * p
        before = r @ z
        r -= alpha * image
        z = inverse * r
        p = z + (r @ z) / before * p
    return x


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("steps", range(8))
def test_after_any_number_of_steps(steps, at_once):
    random = np.random.default_rng(steps)
    precision = intrinsic_precision(neighbour_weights(SPOTS), 0.9)
    prior = PriorTerm.prepare(precision)
    free = (random.random((SPOTS, TYPES)) < 0.7).astype(np.float32)
    gram = 3 * np.eye(TYPES)
    shift = WEIGHT * prior.diagonal
    operator = Operator(
        prior.pointers, prior.neighbours, prior.entries_single, WEIGHT,
        gram.astype(np.float32), free, prior.surplus_single,
    )  # fmt: skip
    inverse = 1 / (3 + shift)
    none = np.zeros((TYPES, 0), np.float32)
    preconditioner = (
        LowRankBlocks(
            StandingOut(3.0, none, 0.0), operator.gram, shift.astype(np.float32), 0.0, free
        )
        if at_once
        else Diagonal(inverse)
    )
    gradient = random.standard_normal((SPOTS, TYPES)).astype(np.float32)
    inner = ConjugateGradients(SPOTS, TYPES)
    # Nothing may be read that was not written.
    lent = tuple(np.full((SPOTS, TYPES), np.nan, np.float32) for _ in range(3))
    for array in (inner.step, inner.right, inner.ahead):
        array[...] = np.nan
    step, taken = inner.solve(operator, preconditioner, gradient, 1e-9, steps, lambda: None, lent)
    kept = free.ravel() > 0
    whole = sparse.kron(sparse.eye_array(SPOTS), gram) + WEIGHT * sparse.kron(
        precision, sparse.eye_array(TYPES)
    )
    matrix = sparse.csr_array(whole)[kept][:, kept]
    wanted = np.zeros(SPOTS * TYPES)
    wanted[kept] = textbook(
        matrix, np.repeat(inverse, TYPES)[kept], -gradient.ravel()[kept].astype(float), steps
    )
    assert taken == steps
    np.testing.assert_allclose(step.ravel(), wanted, atol=1e-5 * max(np.abs(wanted).max(), 1e-9))
