"""Products and forms of the compiled core against scipy, at every remainder of a row of values."""

import numpy as np
import pytest
from scipy import sparse

from napari_smoother import SpatialLoss, SpatialWeightMatrix, _core
from napari_smoother.losses.quadratic import QuadraticForm

FEWER_OR_MORE = [1, 3, 4, 7, 8, 20, 31, 32, 33, 64, 100, 200]
"""Dims: less than a row of four, whole panels of 32, and remainders of either."""


def _form(n):
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.random.default_rng(0).uniform(size=(n, 2)), k=4)
    return QuadraticForm(SpatialLoss("icar", weights, rho=0.9).precisions[0])


def _values(dims, n, dtype, order="C"):
    random = np.random.default_rng(dims)
    values = np.asarray(random.standard_normal((dims, n)), dtype, order=order)
    return values, random.uniform(0.5, 2, dims).astype(dtype)


def _check(found, values, each, exact, dtype):
    """Compare a form and a product, both twice too large, with Q x' in float64."""
    form, product = found
    close = 1e-12 if dtype == np.float64 else 1e-5
    expected = 2 * exact * each[:, None].astype(np.float64)
    np.testing.assert_allclose(product, expected, rtol=close, atol=20 * close)
    assert product.dtype == dtype
    terms = expected * values
    assert form == pytest.approx(terms.sum(), abs=close * np.abs(terms).sum())


@pytest.mark.parametrize("dims", FEWER_OR_MORE)
@pytest.mark.parametrize("n", [8, 50, 128, 261])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("mean", [(0.0, 0.0), (0.7, 0.02)])
def test_form_and_product_are_those_of_the_matrix(dims, n, dtype, order, mean):
    form = _form(n)
    values, each = _values(dims, n, dtype, order)
    own, other = mean
    wide = values.astype(np.float64)
    exact = (form.precision @ wide.T).T - own * wide - other * wide.sum(axis=1, keepdims=True)
    found = form.product(values, 2.0, each, True, own, other)
    _check(found, wide, each, exact, dtype)
    value, nothing = form.product(values, 2.0, each, False, own, other)
    assert nothing is None
    assert value == found[0]
    _check(form.product(values, 3.0, None, True, own, other), wide, each * 0 + 1.5, exact, dtype)


@pytest.mark.parametrize("dims", FEWER_OR_MORE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relabelings_are_taken_away(dims, dtype):
    form, n = _form(261), 261
    values, each = _values(dims, n, dtype)
    random = np.random.default_rng(1)
    orders = np.array([random.permutation(n) for _ in range(3)], np.int32)
    wide = values.astype(np.float64)
    exact = (form.precision @ wide.T).T
    for order in orders:
        exact[:, order] -= 0.4 / 3 * (form.precision @ wide[:, order].T).T
    found = form.contrasted_product(values, 2.0, each, True, ratio=0.4, orders=orders)
    _check(found, wide, each, exact, dtype)
    value, _ = form.contrasted_product(values, 2.0, each, False, ratio=0.4, orders=orders)
    assert value == found[0]


@pytest.mark.parametrize("dims", [20, 130])
@pytest.mark.parametrize("order", ["C", "F"])
def test_no_bit_depends_on_the_number_of_threads(dims, order):
    n = 9_000
    form = _form(n)
    values, each = _values(dims, n, np.float32, order)
    orders = np.random.default_rng(2).permutation(n).astype(np.int32)[None]
    before, found = _core.thread_count(), []
    try:
        for threads in (1, 2, 8):
            _core.set_thread_count(threads)
            found.append(
                (
                    form.product(values, 1.0, each, True, 0.1, 0.01),
                    form.contrasted_product(values, 1.0, each, True, ratio=0.5, orders=orders),
                )
            )
    finally:
        _core.set_thread_count(before)
    for others in found[1:]:
        for (form_one, product_one), (form_many, product_many) in zip(
            found[0], others, strict=True
        ):
            assert form_one == form_many
            np.testing.assert_array_equal(product_one, product_many)


@pytest.mark.parametrize("order", ["C", "F"])
def test_stiff_prior_on_nearly_constant_values_leaves_little_rounding(order):
    n = 300
    ring = sparse.csr_array(np.roll(np.eye(n), 1, axis=1))
    laplacian = sparse.csr_array(1e4 * (2 * sparse.eye_array(n) - ring - ring.T))
    steps = np.random.default_rng(1).integers(-8, 9, (5, n)) / 2**14
    values = np.asarray(100 + steps, np.float32, order=order)
    form, product = QuadraticForm(laplacian).product(values, 1.0, None, True)
    # Steps are exact in single precision; 1e4 times a value would be rounded to 0.06.
    exact = (laplacian @ steps.T).T
    np.testing.assert_allclose(product, exact, atol=1e-5)
    # The sum of x_i (Q x)_i has terms of 1e4 times the steps, each of them rounded.
    rounding = 1e-7 * np.abs(values * exact).sum()
    assert form == pytest.approx((exact * steps).sum(), abs=rounding)
