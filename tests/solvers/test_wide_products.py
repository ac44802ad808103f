"""Sums and products in float64 of arrays that are stored in another way."""

import numpy as np
import pytest

from napari_smoother.solvers.wide_products import (
    column_moments,
    wide_back_product,
    wide_product,
)

FORMS = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "neither": lambda values: np.repeat(values, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 30), (1500, 70)])
def test_sums_and_products_are_those_in_float64(shape, dtype, form) -> None:
    random = np.random.default_rng(0)
    values = FORMS[form](random.normal(3, 1, shape).astype(dtype))
    wide = values.astype(np.float64)
    sums, squares = column_moments(values)
    np.testing.assert_allclose(sums, wide.sum(axis=0), rtol=1e-13)
    assert squares == pytest.approx((wide**2).sum(), rel=1e-13)
    vectors, scores = random.standard_normal((shape[1], 4)), random.standard_normal((shape[0], 4))
    np.testing.assert_allclose(wide_product(values, vectors), wide @ vectors, atol=1e-11)
    np.testing.assert_allclose(wide_back_product(values, scores), wide.T @ scores, atol=1e-10)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", FORMS)
def test_squares_tell_of_values_that_are_missing_or_infinite(form, bad) -> None:
    values = np.ones((40, 30), np.float32)
    values[17, 11] = bad
    assert not np.isfinite(column_moments(FORMS[form](values))[1])
