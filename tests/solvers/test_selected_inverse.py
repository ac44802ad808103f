from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_smoother import _core
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers import sparse_factor
from napari_smoother.solvers.selected_inverse import inverse_diagonal, inverse_diagonals
from napari_smoother.solvers.sparse_factor import SparseFactor, TooLarge
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision


def random_graph(n, seed=0):
    return nearest_neighbours(np.random.default_rng(seed).uniform(size=(n, 2)), 5).weights


@pytest.mark.parametrize("process", ["icar", "isar"])
@pytest.mark.parametrize("factor", [0.0, 1e-3, 1.0, 1e4])
def test_diagonals_are_those_of_the_dense_inverse(process, factor):
    q = precision(random_graph(300), process, 1.0)  # singular alone, in many pieces
    shifts = np.array([0.3, 7.0, 900.0])
    found = inverse_diagonals(SparseFactor.prepare(q), shifts, factor)
    for place, shift in enumerate(shifts):
        dense = np.linalg.inv(shift * np.eye(300) + factor * q.toarray())
        np.testing.assert_allclose(found[:, place], np.diag(dense), rtol=1e-9)


def test_a_path_has_its_closed_form():
    # -1, 2, -1 with fixed ends: (A^-1)_ii = i (n + 1 - i) / (n + 1).
    n = 2000
    matrix = sparse.diags_array(
        [-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1]
    )
    at = np.arange(1, n + 1)
    np.testing.assert_allclose(
        inverse_diagonal(sparse.csr_array(matrix)), at * (n + 1 - at) / (n + 1)
    )


def test_single_spots_and_dense_matrices():
    assert inverse_diagonal(sparse.csr_array([[4.0]])).tolist() == [0.25]
    root = np.random.default_rng(1).standard_normal((40, 60))
    full = root @ root.T
    np.testing.assert_allclose(
        inverse_diagonal(sparse.csr_array(full)), np.diag(np.linalg.inv(full)), rtol=1e-9
    )


def test_the_same_bits_whatever_the_threads():
    factor = SparseFactor.prepare(precision(random_graph(2000), "icar", 0.9))
    shifts = np.linspace(1, 2, 10)
    before = _core.thread_count()
    try:
        _core.set_thread_count(4)
        several = inverse_diagonals(factor, shifts)
        _core.set_thread_count(1)
        np.testing.assert_array_equal(inverse_diagonals(factor, shifts), several)
    finally:
        _core.set_thread_count(before)


@pytest.mark.parametrize("shift", [0.0, -0.5])
def test_singular_and_indefinite_matrices_are_refused(shift):
    q = precision(random_graph(200), "icar", 1.0)
    with pytest.raises(InputError, match="singular or indefinite"):
        inverse_diagonals(SparseFactor.prepare(q), [1.0, shift])


def test_cancelled_within_a_matrix():
    factor = SparseFactor.prepare(precision(random_graph(30_000), "isar", 0.9))
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) > 1

    with pytest.raises(Cancelled):
        inverse_diagonals(factor, np.ones(400), cancelled=cancelled)
    assert len(asked) == 2


def test_a_factor_too_large_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(sparse_factor, "MOST_BYTES", 1000)
    with pytest.raises(TooLarge, match="The factor of 300 spots has"):
        SparseFactor.prepare(precision(random_graph(300), "icar", 0.9))
