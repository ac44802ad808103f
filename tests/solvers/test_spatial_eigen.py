"""Leading eigenvectors against dense decompositions of the matrix itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.spatial_eigen import FORMED_STEPS, leading_eigenvectors
from napari_smoother.solvers.spatial_scatter import SpatialScatter
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision


def graph_precision(n: int, rho: float = 0.99, seed: int = 0) -> sparse.csr_array:
    positions = np.random.default_rng(seed).random((n, 2))
    return precision(nearest_neighbours(positions, 6).weights, "icar", rho)


def expression(n: int, genes: int, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    positions = np.random.default_rng(0).random((n, 2))
    waves = np.cos(positions @ random.uniform(1, 9, (2, 12)) + random.uniform(0, 6, 12))
    return waves @ random.standard_normal((12, genes)) + random.standard_normal((n, genes)) + 3


def whole(values: np.ndarray, q: sparse.csr_array | None, weight: float) -> np.ndarray:
    """The matrix, with nothing but numpy."""
    centred = values - values.mean(axis=0)
    inner = np.eye(len(values)) - (0 if q is None else weight * q.toarray())
    return centred.T @ inner @ centred


@pytest.mark.parametrize("weight", [0.0, 0.05, 1.0, 30.0, 1e5])
@pytest.mark.parametrize(("n", "genes"), [(300, 60), (150, 900)])
def test_values_and_subspace_are_those_of_the_dense_matrix(n, genes, weight):
    q, values = graph_precision(n), expression(n, genes)
    truth, vectors = np.linalg.eigh(whole(values, q, weight))
    # What the dense decomposition itself may be off by: rounding on the scale of the matrix.
    rounding = 4 * np.finfo(np.float64).eps * np.abs(truth).max()
    truth, vectors = truth[::-1][:8], vectors[:, ::-1][:, :8]
    found = leading_eigenvectors(SpatialScatter(values, q), weight, 8)
    allowed = 1e-6 * np.abs(truth).max() + rounding
    np.testing.assert_allclose(found.values, truth, rtol=0, atol=allowed)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(8), atol=1e-10)
    assert found.converged
    if weight <= 1:
        assert np.linalg.svd(vectors.T @ found.vectors)[1].min() > 0.999


def test_lanczos_is_used_where_genes_are_many_and_agrees_to_nine_digits():
    q, values = graph_precision(400), expression(400, 900)
    truth = np.linalg.eigvalsh(whole(values, q, 0.1))[::-1][:10]
    scatter = SpatialScatter(values, q)
    single = leading_eigenvectors(scatter, 0.1, 10)
    assert single.method == "block Lanczos"
    assert abs(single.values.sum() / truth.sum() - 1) < 1e-8
    tight = leading_eigenvectors(scatter, 0.1, 10, tolerance=1e-10)
    assert tight.residual <= 1e-10
    np.testing.assert_allclose(tight.values, truth, rtol=1e-12)
    np.testing.assert_allclose(
        whole(values, q, 0.1) @ tight.vectors, tight.vectors * tight.values, atol=1e-8 * truth[0]
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64, int])
@pytest.mark.parametrize("centre", [True, False])
def test_sparse_and_dense_storage_give_the_same_components(kind, centre):
    random = np.random.default_rng(2)
    counts = random.poisson(expression(200, 800).clip(0) * 0.2).astype(kind)
    q = graph_precision(200)
    dense = leading_eigenvectors(SpatialScatter(counts, q, centre=centre), 0.1, 5, tolerance=1e-9)
    stored = sparse.csr_matrix(counts)
    thin = leading_eigenvectors(SpatialScatter(stored, q, centre=centre), 0.1, 5, tolerance=1e-9)
    np.testing.assert_allclose(thin.values, dense.values, rtol=1e-10)
    np.testing.assert_allclose(thin.vectors, dense.vectors, atol=1e-5)
    middle = counts.astype(float)
    middle = middle - middle.mean(axis=0) if centre else middle
    truth = middle.T @ (np.eye(200) - 0.1 * q.toarray()) @ middle
    np.testing.assert_allclose(dense.values, np.linalg.eigvalsh(truth)[::-1][:5], rtol=1e-9)


def test_equal_eigenvalues_give_their_subspace():
    # Orthogonal columns of equal length: five equal eigenvalues above the rest.
    q = np.linalg.qr(np.random.default_rng(3).standard_normal((60, 40)))[0]
    lengths = np.r_[np.full(5, 4.0), np.linspace(1, 0.1, 35)]
    turn = np.linalg.qr(np.random.default_rng(4).standard_normal((800, 40)))[0]
    values = (q * lengths) @ turn.T
    found = leading_eigenvectors(SpatialScatter(values, centre=False), 0.0, 5, tolerance=1e-9)
    np.testing.assert_allclose(found.values, 16.0, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.svd(turn[:, :5].T @ found.vectors)[1], 1, rtol=1e-9)


def test_the_same_input_gives_the_same_bits_and_loadings_of_positive_sum():
    q, values = graph_precision(200), expression(200, 900)
    one = leading_eigenvectors(SpatialScatter(values, q), 0.1, 6)
    two = leading_eigenvectors(SpatialScatter(values, q), 0.1, 6)
    assert np.array_equal(one.vectors, two.vectors)
    assert (one.vectors.sum(axis=0) > 0).all()


def test_with_formed_matrices_a_stiff_weight_is_decomposed_instead_of_iterated_for_long():
    q, values = graph_precision(900), expression(900, 720)
    scatter = SpatialScatter(values, q)
    scatter.matrices()
    found = leading_eigenvectors(scatter, 20.0, 6, tolerance=1e-8)
    assert found.converged
    assert found.products <= 8 * FORMED_STEPS
    truth = np.linalg.eigvalsh(whole(values, q, 20.0))[::-1][:6]
    np.testing.assert_allclose(found.values, truth, rtol=1e-8)


def test_a_start_changes_the_work_and_not_the_answer():
    q, values = graph_precision(300), expression(300, 900)
    scatter = SpatialScatter(values, q)
    cold = leading_eigenvectors(scatter, 0.1, 6, tolerance=1e-8)
    warm = leading_eigenvectors(scatter, 0.1, 6, start=cold.vectors, tolerance=1e-8)
    np.testing.assert_allclose(warm.values, cold.values, rtol=1e-12)
    assert warm.products < cold.products
    other = leading_eigenvectors(scatter, 0.2, 6, start=cold.vectors, tolerance=1e-8)
    truth = np.linalg.eigvalsh(whole(values, q, 0.2))[::-1][:6]
    np.testing.assert_allclose(other.values, truth, rtol=1e-11)
    assert other.method == "block Lanczos"
    lacking = leading_eigenvectors(scatter, 0.2, 6, start=cold.vectors[:, 3:5], tolerance=1e-8)
    np.testing.assert_allclose(lacking.values, truth, rtol=1e-11)


@pytest.mark.parametrize("weight", [0.0, 0.1, 10.0])
def test_formed_matrices_give_the_same_answer(weight):
    q, values = graph_precision(200), expression(200, 900).astype(np.float32)
    free, formed = SpatialScatter(values, q), SpatialScatter(values, q)
    formed.matrices()
    truth = leading_eigenvectors(free, weight, 6, tolerance=1e-9)
    found = leading_eigenvectors(formed, weight, 6, tolerance=1e-9)
    small = 1e-10 * np.square(values).sum()
    np.testing.assert_allclose(found.values, truth.values, rtol=1e-10, atol=small)
    again = leading_eigenvectors(formed, 2 * weight, 6, start=found.vectors, tolerance=1e-9)
    other = leading_eigenvectors(free, 2 * weight, 6, tolerance=1e-9)
    np.testing.assert_allclose(again.values, other.values, rtol=1e-10, atol=small)


def test_the_order_of_spots_and_genes_does_not_matter():
    q, values = graph_precision(150), expression(150, 900)
    random = np.random.default_rng(6)
    spots, genes = random.permutation(150), random.permutation(900)
    found = leading_eigenvectors(SpatialScatter(values, q), 0.2, 5, tolerance=1e-10)
    turned = SpatialScatter(values[spots][:, genes], q[spots][:, spots])
    other = leading_eigenvectors(turned, 0.2, 5, tolerance=1e-10)
    np.testing.assert_allclose(other.values, found.values, rtol=1e-11)
    np.testing.assert_allclose(other.vectors, found.vectors[genes], atol=1e-7)


def test_constant_genes_and_one_spot():
    flat = leading_eigenvectors(SpatialScatter(np.full((30, 5), 7.0), graph_precision(30)), 1.0, 3)
    np.testing.assert_allclose(flat.values, 0, atol=1e-20)
    assert np.isfinite(flat.vectors).all()
    one = SpatialScatter(np.arange(5.0)[None], sparse.eye_array(1, format="csr"), centre=False)
    found = leading_eigenvectors(one, 0.5, 1)
    np.testing.assert_allclose(found.values, [15.0])
    np.testing.assert_allclose(found.vectors[:, 0], np.arange(5) / np.sqrt(30))


@pytest.mark.parametrize(("weight", "k"), [(-1.0, 2), (np.nan, 2), (0.1, 0), (0.1, 21)])
def test_impossible_settings_are_refused(weight, k):
    with pytest.raises(InputError):
        leading_eigenvectors(SpatialScatter(expression(30, 20), graph_precision(30)), weight, k)


def test_faulty_matrices_are_refused():
    with pytest.raises(InputError, match="missing or infinite"):
        SpatialScatter(np.array([[1.0, np.nan]]))
    with pytest.raises(InputError, match="for 4 spots"):
        SpatialScatter(np.ones((4, 3)), graph_precision(30))


def test_a_cancel_is_heard_between_products():
    calls = iter(range(100))
    with pytest.raises(Cancelled):
        leading_eigenvectors(
            SpatialScatter(expression(100, 900)), 0.0, 4, cancelled=lambda: next(calls) > 2
        )


@pytest.mark.parametrize("offset", [0.0, 0.5, 300.0])
def test_means_of_any_size_are_taken_off_single_precision(offset):
    """Small ones in the product, large ones before it: both leave the same components."""
    q = graph_precision(900)
    values = (expression(900, 800) + offset).astype(np.float32)
    found = leading_eigenvectors(SpatialScatter(values, q), 0.1, 6)
    assert found.method == "block Lanczos"
    centred = values - values.mean(axis=0, dtype=np.float64)
    matrix = centred.T @ (centred - 0.1 * (q @ centred))
    expected = np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1][:6]
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)
    assert found.spread == pytest.approx(float(np.square(centred @ found.vectors).sum()))
