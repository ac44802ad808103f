"""The bounded quadratic solver against independent solvers and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
from quadratic_problems import (
    best_known,
    intrinsic_precision,
    neighbour_weights,
    noisy_data,
    objective,
    projected_gradient,
    solve,
)
from scipy.optimize import nnls

from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic


@pytest.mark.parametrize("rho", [0.5, 0.99, 1.0])
@pytest.mark.parametrize("weight", [0.0, 0.01, 1.0, 100.0, 1e3, 1e5])
def test_optimum_of_an_interior_point_method_is_reached(weight, rho):
    gram, linear, *_ = noisy_data(100, 5)
    precision = intrinsic_precision(neighbour_weights(100), rho)
    solution = solve(gram, linear, precision, weight, tolerance=1e-8)
    best, _ = best_known(gram, linear, precision, weight)
    assert solution.converged
    assert solution.values.min() >= 0
    ours = objective(gram, linear, precision, weight, solution.values)
    assert ours == pytest.approx(best, rel=2e-7, abs=1e-9)
    assert solution.objective == pytest.approx(ours, rel=1e-9)
    measured = projected_gradient(gram, linear, precision, weight, solution.values)
    assert measured <= 1e-8
    assert solution.residual == pytest.approx(measured, rel=1e-2, abs=1e-12)


def test_larger_problem_agrees_in_its_values():
    gram, linear, *_ = noisy_data(400, 8, seed=3)
    precision = intrinsic_precision(neighbour_weights(400, seed=3), 0.99)
    solution = solve(gram, linear, precision, 10.0, tolerance=1e-8)
    _, values = best_known(gram, linear, precision, 10.0)
    np.testing.assert_allclose(solution.values, values, atol=1e-3)


def broken_graph() -> sparse.csr_array:
    """Two pieces, a spot with only a diagonal and one whose row of Q is empty."""
    weights = sparse.lil_array((60, 60))
    weights[:30, :30] = neighbour_weights(30, seed=1).todense()
    weights[30:58, 30:58] = neighbour_weights(28, seed=2).todense()
    precision = intrinsic_precision(sparse.csr_array(weights), 1.0).tolil()
    precision[58, 58] = 1.0
    csr = sparse.csr_array(precision)
    csr.eliminate_zeros()
    return csr


def degenerate_cases():
    gram, linear, signature, counts = noisy_data(60, 5, seed=5)
    close = signature.copy()
    close[:, 1] = close[:, 0] * (1 + 1e-4 * np.sin(np.arange(close.shape[0])))
    twin = signature.copy()
    twin[:, 1] = twin[:, 0]
    absent = signature.copy()
    absent[:, 2] = 0
    empty = counts.copy()
    empty[[0, 17, 58, 59]] = 0
    yield "pieces", gram, linear
    yield "collinear", close.T @ close, counts @ close
    yield "duplicate", twin.T @ twin, counts @ twin
    yield "absent type", absent.T @ absent, counts @ absent
    yield "empty spots", gram, empty @ signature
    yield "one type", gram[:1, :1], linear[:, :1]


@pytest.mark.parametrize("weight", [0.0, 1.0, 100.0, 1e4])
@pytest.mark.parametrize("case", list(degenerate_cases()), ids=lambda case: case[0])
def test_degenerate_problems_reach_the_optimum(case, weight):
    _, gram, linear = case
    precision = broken_graph()
    solution = solve(gram, linear, precision, weight, tolerance=1e-7)
    best, _ = best_known(gram, linear, precision, weight)
    assert solution.converged
    ours = objective(gram, linear, precision, weight, solution.values)
    assert ours <= best + 1e-6 * abs(best)
    assert projected_gradient(gram, linear, precision, weight, solution.values) <= 1e-7


def test_without_prior_every_spot_is_its_own_least_squares():
    gram, linear, signature, counts = noisy_data(80, 8, seed=7)
    solution = solve(gram, linear, intrinsic_precision(neighbour_weights(80), 0.9), 0.0)
    alone = np.stack([nnls(signature, spot)[0] for spot in counts])
    np.testing.assert_allclose(solution.values, alone, atol=1e-9 * alone.max())


def test_without_prior_a_start_changes_nothing():
    gram, linear, *_ = noisy_data(80, 8, seed=7)
    data = DataTerm.prepare(gram, linear)
    prior = PriorTerm.prepare(intrinsic_precision(neighbour_weights(80), 0.9))
    cold = solve_bounded_quadratic(data, prior, 0.0)
    for start in (cold.values, np.ones((80, 8)), np.random.default_rng(0).random((80, 8)) - 0.5):
        warm = solve_bounded_quadratic(data, prior, 0.0, start=start)
        np.testing.assert_allclose(warm.values, cold.values, atol=1e-9 * cold.values.max())


def test_strong_intrinsic_prior_tends_to_one_fit_a_component():
    _, _, signature, counts = noisy_data(60, 4, seed=9)
    weights = sparse.block_diag(
        [neighbour_weights(25, seed=1, neighbours=5), neighbour_weights(35, seed=2)]
    )
    precision = intrinsic_precision(sparse.csr_array(weights), 1.0)
    count, labels = sparse.csgraph.connected_components(precision)
    assert count >= 2
    solution = solve(signature.T @ signature, counts @ signature, precision, 1e7, tolerance=1e-7)
    assert solution.converged
    for component in range(count):
        inside = labels == component
        together, _ = nnls(signature, counts[inside].mean(axis=0))
        np.testing.assert_allclose(
            solution.values[inside], np.tile(together, (inside.sum(), 1)), atol=1e-3
        )


@pytest.mark.parametrize("weight", [0.0, 0.1, 30.0, 1e4])
def test_unbounded_problem_is_the_linear_system(weight):
    gram, linear, *_ = noisy_data(70, 4, seed=11)
    precision = intrinsic_precision(neighbour_weights(70), 0.99)
    solution = solve(gram, linear, precision, weight, bounded=False, tolerance=1e-9)
    system = np.kron(np.eye(70), gram) + weight * np.kron(precision.toarray(), np.eye(4))
    exact = np.linalg.solve(system, linear.ravel()).reshape(70, 4)
    assert solution.converged
    assert weight > 1 or solution.values.min() < 0
    np.testing.assert_allclose(solution.values, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("bounded", [True, False])
def test_no_counts_gives_no_abundance(bounded):
    gram, linear, *_ = noisy_data(30, 4)
    precision = intrinsic_precision(neighbour_weights(30), 1.0)
    solution = solve(gram, np.zeros_like(linear), precision, 5.0, bounded=bounded)
    assert solution.converged
    assert solution.residual == 0
    assert not solution.values.any()


def test_one_spot_with_and_without_a_prior():
    gram, linear, signature, counts = noisy_data(1, 6, seed=2)
    alone, _ = nnls(signature, counts[0])
    nothing = sparse.csr_array((1, 1))
    for weight in (0.0, 10.0):
        solution = solve(gram, linear, nothing, weight, tolerance=1e-8)
        assert solution.converged
        np.testing.assert_allclose(solution.values[0], alone, atol=1e-5 * alone.max())


def test_sixty_types():
    gram, linear, *_ = noisy_data(50, 60, seed=4, genes=200)
    precision = intrinsic_precision(neighbour_weights(50), 0.99)
    solution = solve(gram, linear, precision, 20.0, tolerance=1e-7)
    assert solution.converged
    assert projected_gradient(gram, linear, precision, 20.0, solution.values) <= 1e-7


def test_renumbering_spots_and_types_renumbers_the_answer():
    gram, linear, *_ = noisy_data(90, 6, seed=13)
    precision = intrinsic_precision(neighbour_weights(90), 0.99)
    random = np.random.default_rng(0)
    spots, types = random.permutation(90), random.permutation(6)
    plain = solve(gram, linear, precision, 3.0, tolerance=1e-8)
    shuffled = solve(
        gram[np.ix_(types, types)],
        linear[np.ix_(spots, types)],
        sparse.csr_array(precision)[spots][:, spots],
        3.0,
        tolerance=1e-8,
    )
    np.testing.assert_allclose(
        shuffled.values, plain.values[np.ix_(spots, types)], atol=1e-5 * plain.values.max()
    )


def test_unsorted_rows_of_the_precision_make_no_difference():
    gram, linear, *_ = noisy_data(40, 3)
    precision = intrinsic_precision(neighbour_weights(40), 0.9)
    precision.sort_indices()
    reversed_rows = precision.copy()
    for row in range(40):
        part = slice(precision.indptr[row], precision.indptr[row + 1])
        reversed_rows.indices[part] = precision.indices[part][::-1]
        reversed_rows.data[part] = precision.data[part][::-1]
    reversed_rows.has_sorted_indices = False
    expected = solve(gram, linear, precision, 2.0).values
    np.testing.assert_array_equal(solve(gram, linear, reversed_rows, 2.0).values, expected)


@pytest.mark.parametrize("weight", [0.5, 200.0])
def test_warm_and_cold_start_agree(weight):
    gram, linear, *_ = noisy_data(300, 6, seed=17)
    data = DataTerm.prepare(gram, linear)
    prior = PriorTerm.prepare(intrinsic_precision(neighbour_weights(300), 0.99))
    before = solve_bounded_quadratic(data, prior, weight / 1.07)
    kept = before.values.copy()
    warm = solve_bounded_quadratic(data, prior, weight, start=before.values)
    cold = solve_bounded_quadratic(data, prior, weight)
    np.testing.assert_array_equal(before.values, kept)
    assert warm.converged
    assert cold.converged
    assert warm.steps < cold.steps
    assert warm.objective == pytest.approx(cold.objective, rel=1e-7)


@pytest.mark.parametrize("weight", [3.0, 1e4])
def test_second_neighbours_with_either_sign(weight):
    """A simultaneous autoregression couples second neighbours positively."""
    gram, linear, *_ = noisy_data(90, 4, seed=41)
    weights = neighbour_weights(90, seed=41)
    degree = np.maximum(np.asarray(weights.sum(axis=1)).ravel(), 1)
    root = sparse.diags_array(degree**-0.5)
    half = sparse.eye_array(90) - 0.95 * (root @ weights @ root)
    precision = sparse.csr_array(half.T @ half)
    solution = solve(gram, linear, precision, weight, tolerance=1e-7)
    best, _ = best_known(gram, linear, precision, weight)
    assert solution.converged
    ours = objective(gram, linear, precision, weight, solution.values)
    assert ours == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("weight", [20.0, 5e3])
def test_edges_of_very_different_strength(weight):
    """Scaled edges span six decades, as a similarity between spots makes them."""
    gram, linear, *_ = noisy_data(120, 4, seed=43)
    weights = sparse.coo_array(neighbour_weights(120, seed=43))
    low, high = np.minimum(weights.row, weights.col), np.maximum(weights.row, weights.col)
    factor = 10.0 ** (-6 * np.random.default_rng(0).random((120, 120))[low, high])
    scaled = sparse.csr_array((weights.data * factor, (weights.row, weights.col)))
    precision = intrinsic_precision(scaled, 1.0)
    solution = solve(gram, linear, precision, weight, tolerance=1e-7)
    best, _ = best_known(gram, linear, precision, weight)
    assert solution.converged
    ours = objective(gram, linear, precision, weight, solution.values)
    assert ours == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    ("preconditioner", "way"),
    [
        ("", "low rank"),
        ("low rank", "low rank"),
        ("blocks", "blocks of free types"),
        ("multigrid", "multigrid on free types"),
    ],
)
def test_large_stiff_problem_with_many_zeros_meets_its_conditions(preconditioner, way):
    """Several coarse levels, an intrinsic prior and a free set full of holes."""
    gram, linear, *_ = noisy_data(6000, 10, seed=47, genes=30)
    precision = intrinsic_precision(neighbour_weights(6000, seed=47), 1.0)
    solution = solve(gram, linear, precision, 100.0, preconditioner=preconditioner)
    assert solution.converged
    assert way in solution.method
    assert 0.01 < np.mean(solution.values == 0) < 0.98
    assert projected_gradient(gram, linear, precision, 100.0, solution.values) <= 1.01e-5


@pytest.mark.parametrize("preconditioner", ["low rank", "blocks", "multigrid"])
@pytest.mark.parametrize("bounded", [True, False])
def test_every_preconditioner_leads_to_the_optimum_beside_isolated_spots(preconditioner, bounded):
    random = np.random.default_rng(3)
    spots, types = 600, 12
    basis, _ = np.linalg.qr(random.standard_normal((types, types)))
    gram = basis * np.r_[np.linspace(0.01, 3.0, types - 1), 800.0] @ basis.T
    chain = sparse.diags_array(
        [np.full(spots - 1, -1.0), np.full(spots, 2.02), np.full(spots - 1, -1.0)],
        offsets=[-1, 0, 1],
    ).tolil()
    for lonely in (50, 51, 300):
        chain[[lonely], :] = 0
        chain[:, [lonely]] = 0
    precision = sparse.csr_array(chain)
    linear = random.standard_normal((spots, types)) * 20 + 30
    solution = solve(
        gram, linear, precision, 100.0,
        bounded=bounded, tolerance=1e-6, preconditioner=preconditioner,
    )  # fmt: skip
    assert solution.converged
    left = projected_gradient(gram, linear, precision, 100.0, solution.values, bounded)
    assert left <= 2e-6


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("weight", [0.1, 30.0])
@pytest.mark.parametrize("types", [3, 5])
def test_a_prior_for_every_type(weight, bounded, types):
    """Against the linear system, and an interior-point method."""
    gram, linear, *_ = noisy_data(60, types, seed=61)
    each = [
        intrinsic_precision(neighbour_weights(60, seed=k, neighbours=3 + k), 0.9)
        for k in range(types)
    ]
    solution = solve(gram, linear, each, weight, bounded=bounded, tolerance=1e-8)
    assert solution.converged
    hessian = np.kron(np.eye(60), gram)
    for k, q in enumerate(each):
        pick = np.zeros((types, types))
        pick[k, k] = 1
        hessian += weight * np.kron(q.toarray(), pick)
    if bounded:
        root = np.linalg.cholesky(hessian)
        truth, _ = nnls(root.T, np.linalg.solve(root, linear.ravel()))
    else:
        truth = np.linalg.solve(hessian, linear.ravel())
    scale = np.abs(truth).max()
    np.testing.assert_allclose(solution.values.ravel(), truth, atol=1e-5 * scale)
