"""The preconditioner for a prior that outweighs most of A, against dense inverses."""

import numpy as np
import pytest

from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic
from napari_smoother.solvers.conjugate_gradients import ConjugateGradients, Operator
from napari_smoother.solvers.free_blocks import FreeBlocks
from napari_smoother.solvers.low_rank_blocks import ALIKE, FEW, LowRankBlocks, standing_out


def _spectral(eigenvalues, seed=0):
    """A symmetric matrix with these eigenvalues (ascending), and its eigenvectors."""
    size = len(eigenvalues)
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    return basis * eigenvalues @ basis.T, basis


def _spots(rows, types, seed=1):
    random = np.random.default_rng(seed)
    free = (random.random((rows, types)) < 0.7).astype(np.float32)
    free[0], free[1] = 0, 1
    right = random.standard_normal((rows, types)).astype(np.float32) * free
    shift = random.uniform(40, 90, rows).astype(np.float32)
    return free, right, shift


def _dense(gram, shift, free, right):
    """Solve every spot's free block on its own, in float64."""
    out = np.zeros(right.shape)
    for row in range(right.shape[0]):
        inside = np.flatnonzero(free[row])
        block = gram[np.ix_(inside, inside)] + float(shift[row]) * np.eye(inside.size)
        out[row, inside] = np.linalg.solve(block, right[row, inside].astype(np.float64))
    return out


@pytest.mark.parametrize(
    ("types", "rank"),
    [
        (types, rank)
        for types in (1, 2, 3, 5, 17, 20, 29, 40)
        for rank in (0, 1, 2, FEW)
        if rank < types
    ],
)
def test_blocks_of_this_form_are_inverted_exactly(types, rank):
    eigenvalues = np.r_[np.full(types - rank, 2.0), 1e4 * np.arange(1, rank + 1)]
    gram, basis = _spectral(eigenvalues)
    free, right, shift = _spots(300, types)
    close = standing_out(eigenvalues, basis, 40.0)
    assert close is not None
    assert close.directions.shape == (types, rank)
    blocks = LowRankBlocks(close, gram.astype(np.float32), shift, 1e-6, free)
    out = np.empty_like(right)
    dot, squares = blocks.apply(right, out)
    expected = _dense(gram, shift, free, right)
    np.testing.assert_allclose(out, expected, atol=2e-5 * np.abs(expected).max())
    assert dot == pytest.approx(float((right * expected).sum()), rel=1e-4)
    assert squares == pytest.approx(float((right.astype(np.float64) ** 2).sum()), rel=1e-5)


def test_what_is_left_of_a_block_has_the_condition_it_may_have():
    eigenvalues = np.r_[np.linspace(1.0, 40.0, 18), 900.0, 5000.0]
    gram, basis = _spectral(eigenvalues)
    shift = 80.0
    close = standing_out(eigenvalues, basis, shift)
    assert close is not None
    approximate = close.delta * np.eye(20) + close.directions @ close.directions.T
    ratios = np.linalg.eigvals(
        np.linalg.solve(approximate + shift * np.eye(20), gram + shift * np.eye(20))
    ).real
    assert ratios.max() / ratios.min() <= ALIKE * (1 + 1e-5)


def test_many_directions_that_stand_out_are_left_to_others():
    eigenvalues = np.geomspace(1.0, 1e4, 20)
    _, basis = _spectral(eigenvalues)
    assert standing_out(eigenvalues, basis, 1.0) is None
    assert standing_out(eigenvalues, basis, 1e5) is not None


def test_spots_that_hardly_hear_their_neighbours_keep_exact_factors():
    eigenvalues = np.r_[np.linspace(1.0, 30.0, 7), 4000.0]
    gram, basis = _spectral(eigenvalues)
    free, right, shift = _spots(400, 8)
    weak = np.array([2, 3, 200, 399])
    shift[weak] = [0.0, 0.5, 3.0, 10.0]
    close = standing_out(eigenvalues, basis, 40.0)
    assert close is not None
    blocks = LowRankBlocks(close, gram.astype(np.float32), shift, 1e-6, free)
    out = np.empty_like(right)
    dot, _ = blocks.apply(right, out)
    expected = _dense(gram, shift, free, right)
    np.testing.assert_allclose(out[weak], expected[weak], atol=1e-4 * np.abs(expected).max())
    assert dot == pytest.approx(float((right * out).sum()), rel=1e-4)


def test_update_and_apply_in_one_pass_do_as_one_after_the_other():
    """With exact blocks of the same matrix conjugate gradients must take the same way."""
    eigenvalues = np.r_[np.full(9, 2.0), 3000.0]
    gram, basis = _spectral(eigenvalues)
    rows = 700
    pointers = np.arange(0, 3 * rows + 1, 3).astype(np.int32)
    here = np.arange(rows)
    neighbours = np.stack([(here - 1) % rows, here, (here + 1) % rows], axis=1).astype(np.int32)
    entries = np.tile(np.array([-1, 2, -1], np.float32), rows)
    free, right, _ = _spots(rows, 10)
    operator = Operator(
        pointers, neighbours.ravel(), entries, 30.0, gram.astype(np.float32), free,
        np.zeros(rows, np.float32),
    )  # fmt: skip
    shift = np.full(rows, 60.0, np.float32)
    close = standing_out(eigenvalues, basis, 60.0)
    assert close is not None
    answers = []
    for preconditioner in (
        LowRankBlocks(close, operator.gram, shift, 1e-6, free),
        FreeBlocks(operator.gram, shift, 1e-6, free),
    ):
        inner = ConjugateGradients(rows, 10)
        step, taken = inner.solve(operator, preconditioner, -right, 1e-5, 200, lambda: None)
        answers.append((step.copy(), taken))
    assert answers[0][1] == pytest.approx(answers[1][1], abs=1)
    scale = np.abs(answers[1][0]).max()
    np.testing.assert_allclose(answers[0][0], answers[1][0], atol=1e-4 * scale)


@pytest.mark.parametrize("bounded", [True, False])
def test_the_solver_reaches_the_optimum_beside_isolated_spots(bounded):
    import scipy.sparse as sparse

    random = np.random.default_rng(3)
    rows, types = 600, 12
    gram, _ = _spectral(np.r_[np.linspace(0.01, 3.0, types - 1), 800.0])
    chain = sparse.diags_array(
        [np.full(rows - 1, -1.0), np.full(rows, 2.02), np.full(rows - 1, -1.0)],
        offsets=[-1, 0, 1],
    ).tolil()
    for lonely in (50, 51, 300):
        chain[[lonely], :] = 0
        chain[:, [lonely]] = 0
    linear = random.standard_normal((rows, types)) * 20 + 30
    data, prior = DataTerm.prepare(gram, linear), PriorTerm.prepare(chain.tocsr())
    solution = solve_bounded_quadratic(data, prior, 100.0, bounded=bounded, tolerance=1e-6)
    assert solution.converged
    values = solution.values.astype(np.float64)
    gradient = values @ gram + 100.0 * (chain.tocsr() @ values) - linear
    if bounded:
        gradient = np.where(values > 0, gradient, np.minimum(gradient, 0))
    assert np.linalg.norm(gradient) <= 2e-6 * np.linalg.norm(linear)
