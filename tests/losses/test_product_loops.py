"""Products with dims x spots in either order of memory, at every remainder of eight."""

import numpy as np
import pytest

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.losses.product_loops import turn_rows
from napari_smoother.losses.quadratic import QuadraticForm


def _form(n):
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.random.default_rng(0).uniform(size=(n, 2)), k=4)
    return QuadraticForm(SpatialLoss("icar", weights, rho=0.9).precisions[0])


@pytest.mark.parametrize("dims", [1, 3, 7, 8, 9, 16, 20, 31, 32, 33, 64, 100, 200])
@pytest.mark.parametrize("n", [8, 50, 128, 261])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spots_first", [False, True])
def test_products_and_forms_are_those_of_the_matrix(dims, n, dtype, spots_first):
    form = _form(n)
    random = np.random.default_rng(dims)
    values = random.standard_normal((dims, n)).astype(dtype)
    factors = random.uniform(0.5, 2, dims).astype(dtype)
    given = np.asfortranarray(values) if spots_first else values
    product, shares = form.product(given, factors)
    wide = values.astype(np.float64)
    expected = (form.precision @ wide.T).T
    close = 1e-12 if dtype == np.float64 else 1e-5
    assert product is not None
    np.testing.assert_allclose(product, expected * factors[:, None], rtol=close, atol=20 * close)
    np.testing.assert_allclose(shares, (expected * wide).sum(axis=1), rtol=10 * close)
    nothing, same = form.product(given, factors, keep=False)
    assert nothing is None or spots_first
    np.testing.assert_array_equal(same, shares)


@pytest.mark.parametrize("shape", [(1, 1), (7, 30), (8, 8), (20, 5), (20, 13), (33, 100)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_become_columns(shape, dtype):
    source = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    target = np.full((shape[1] + 2, shape[0]), -1, dtype)
    turn_rows(source, 0, shape[1], target, 2)
    np.testing.assert_array_equal(target[2:], source.T)
    assert (target[:2] == -1).all()
    part = np.full((3, shape[0]), -1, dtype)
    if shape[1] >= 4:
        turn_rows(source, 2, 2, part, 1)
        np.testing.assert_array_equal(part[1:], source[:, 2:4].T)
