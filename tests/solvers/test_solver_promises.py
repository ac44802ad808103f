"""What the bounded quadratic solver promises beside the optimum: bits, cancelling, honesty."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from quadratic_problems import (
    intrinsic_precision,
    neighbour_weights,
    noisy_data,
    objective,
    projected_gradient,
    solve,
)

from napari_smoother import _core
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic


def large_problem():
    """Large enough for several threads and blocks."""
    gram, linear, *_ = noisy_data(9000, 20, seed=23, genes=60)
    prior = PriorTerm.prepare(intrinsic_precision(neighbour_weights(9000, seed=23), 0.99))
    return DataTerm.prepare(gram, linear), prior


@pytest.mark.parametrize("weight", [0.0, 5.0, 2000.0, 1e5])
def test_same_bits_for_any_number_of_threads(weight):
    data, prior = large_problem()
    before = _core.thread_count()
    found = []
    try:
        for threads in (1, 2, 8):
            _core.set_thread_count(threads)
            found.append(solve_bounded_quadratic(data, prior, weight))
    finally:
        _core.set_thread_count(before)
    for other in found[1:]:
        assert other.values.tobytes() == found[0].values.tobytes()
        assert (other.residual, other.objective) == (found[0].residual, found[0].objective)


@pytest.mark.parametrize("weight", [5.0, 2000.0])
def test_same_bits_every_time_and_from_two_threads_at_once(weight):
    data, prior = large_problem()
    first = solve_bounded_quadratic(data, prior, weight)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(solve_bounded_quadratic, data, prior, weight) for _ in range(4)]
        others = [future.result() for future in futures]
    for other in others:
        assert other.values.tobytes() == first.values.tobytes()
        assert (other.residual, other.objective) == (first.residual, first.objective)


def test_cancelling_stops_inside_the_loop_and_leaves_the_start_alone():
    data, prior = large_problem()
    start = np.ones(data.linear.shape, np.float32)
    for patience in (0, 1, 3, 6):
        asked = 0

        def cancelled(patience=patience):
            nonlocal asked
            asked += 1
            return asked > patience

        with pytest.raises(Cancelled):
            # So exact that it would take longer than all the times it is asked.
            solve_bounded_quadratic(
                data, prior, 1e5, start=start, tolerance=1e-15, cancelled=cancelled
            )
        assert asked == patience + 1
    np.testing.assert_array_equal(start, 1)


def test_what_is_asked_may_fail():
    data, prior = large_problem()

    def cancelled():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        solve_bounded_quadratic(data, prior, 5.0, cancelled=cancelled)


def test_reports_lead_to_the_answer():
    data, prior = large_problem()
    seen = []
    solution = solve_bounded_quadratic(
        data, prior, 2000.0, report=lambda values, at: seen.append((values, at))
    )
    assert seen
    assert seen[-1][1] == solution.residual
    np.testing.assert_array_equal(seen[-1][0], solution.values)
    precision = prior.matrix()
    heights = [objective(data.gram, data.linear, precision, 2000.0, values) for values, _ in seen]
    assert heights[-1] == min(heights)


@pytest.mark.parametrize("limit", [{"maximum_steps": 3}, {"maximum_seconds": 0.0}])
def test_running_out_of_steps_is_admitted(limit):
    gram, linear, *_ = noisy_data(300, 6, seed=37)
    precision = intrinsic_precision(neighbour_weights(300), 1.0)
    solution = solve(gram, linear, precision, 1e4, tolerance=1e-10, **limit)
    assert not solution.converged
    assert solution.residual > 1e-10
    measured = projected_gradient(gram, linear, precision, 1e4, solution.values)
    assert solution.residual == pytest.approx(measured, rel=1e-4)


def bad_inputs():
    gram, linear, *_ = noisy_data(20, 3)
    precision = intrinsic_precision(neighbour_weights(20, neighbours=4), 0.9)
    missing = linear.copy()
    missing[3, 1] = np.nan
    lopsided = gram.copy()
    lopsided[0, 1] += gram.max()
    directed = precision.tolil()
    directed[0, 19] = 5.0
    infinite = precision.copy()
    infinite.data[2] = np.inf
    yield pytest.param(gram, missing, precision, {}, id="missing counts")
    yield pytest.param(lopsided, linear, precision, {}, id="A not symmetric")
    yield pytest.param(-gram, linear, precision, {}, id="A negative")
    yield pytest.param(gram[:2], linear, precision, {}, id="A not square")
    yield pytest.param(gram, linear[:, :2], precision, {}, id="types differ")
    yield pytest.param(gram, linear[:10], precision, {}, id="spots differ")
    yield pytest.param(gram, linear, directed.tocsr(), {}, id="Q not symmetric")
    yield pytest.param(gram, linear, -precision, {}, id="Q negative")
    yield pytest.param(gram, linear, infinite, {}, id="Q infinite")
    yield pytest.param(gram, linear, precision, {"weight": -1.0}, id="weight negative")
    yield pytest.param(gram, linear, precision, {"weight": np.nan}, id="weight missing")
    yield pytest.param(gram, linear, precision, {"tolerance": 0.0}, id="tolerance zero")
    yield pytest.param(gram, linear, precision, {"start": np.ones(3)}, id="start shape")
    yield pytest.param(gram, linear, precision, {"start": linear * np.inf}, id="start infinite")


@pytest.mark.parametrize(("gram", "linear", "precision", "settings"), list(bad_inputs()))
def test_bad_input_is_refused_with_a_remedy(gram, linear, precision, settings):
    settings = {"weight": 1.0, **settings}
    with pytest.raises(InputError) as refusal:
        solve(gram, linear, precision, **settings)
    assert refusal.value.remedy


def test_arrays_are_not_changed():
    gram, linear, *_ = noisy_data(50, 4)
    precision = intrinsic_precision(neighbour_weights(50), 0.99)
    start = np.full((50, 4), -1.0)
    kept = [array.copy() for array in (gram, linear, precision.data, start)]
    solve(gram, linear, precision, 100.0, start=start)
    for array, before in zip((gram, linear, precision.data, start), kept, strict=True):
        np.testing.assert_array_equal(array, before)
