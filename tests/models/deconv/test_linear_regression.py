"""Linear regression against the solution of its normal equations."""

from __future__ import annotations

import numpy as np
import pytest
from deconv_cases import chain, grid, loss_of

from napari_smoother.errors import InputError
from napari_smoother.models.deconv import LinearRegression


def optimum(x, y, q, lambda_, bias, weights=None, confidences=None):
    """Solve all normal equations at once, constants included."""
    (n_genes, n_types), n_spots = x.shape, y.shape[1]
    weights = np.ones(n_genes) if weights is None else weights
    confidences = np.ones(n_types) if confidences is None else confidences
    design = np.hstack([x, np.ones((n_genes, 1))]) if bias else x
    strengths = np.append(confidences, 0) if bias else confidences
    gram = design.T @ (weights[:, None] * design)
    each = q if isinstance(q, list) else [q] * n_types
    dense = [m.toarray() for m in each] + [np.zeros((n_spots, n_spots))] * bias
    width = design.shape[1]
    matrix = np.kron(np.eye(n_spots), gram)
    for k in range(width):
        matrix[k::width, k::width] += lambda_ * n_genes / n_types * strengths[k] * dense[k]
    right = ((weights[:, None] * design).T @ y).T.ravel()
    found = np.linalg.solve(matrix, right).reshape(n_spots, width)
    return found[:, :n_types], found[:, n_types:].ravel()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("lambda_", [0.0, 1.0, 1e2, 1e5])
@pytest.mark.parametrize("rho", [0.9, 1.0])
def test_normal_equations(small, bias, lambda_, rho) -> None:
    x, y, _ = small
    q = grid(4, rho, cut=2)
    abundance, constants = optimum(x, y, q, lambda_, bias)
    model = LinearRegression(bias=bias)
    model.deconv(x, y, loss_of(q), lambda_, tolerance=1e-8)
    assert model.report.converged
    np.testing.assert_allclose(model.abundance, abundance, atol=1e-5)
    if bias:
        np.testing.assert_allclose(model.intercepts, constants, atol=2e-5)
    fitted = x @ abundance.T + (constants if bias else 0)
    value = ((y - fitted) ** 2).mean() + lambda_ / 48 * np.vdot(abundance, q @ abundance)
    assert model.report.objective == pytest.approx(value, rel=1e-6)


def test_weights_and_confidences(small) -> None:
    x, y, _ = small
    weights, confidences = np.linspace(0.2, 3, 9), np.array([0.3, 1.0, 2.0])
    expected, _ = optimum(x, y, chain(16), 2.0, True, weights, confidences)
    model = LinearRegression()
    model.deconv(x, y, loss_of(chain(16), confidences), 2.0, gene_weights=weights, tolerance=1e-8)
    np.testing.assert_allclose(model.abundance, expected, atol=1e-5)


def test_a_precision_for_every_type(small) -> None:
    x, y, _ = small
    each = [chain(16, 0.5), chain(16, 1.0), grid(4)]
    expected, _ = optimum(x, y, each, 2.0, False)
    model = LinearRegression(bias=False)
    stacked = np.stack([q.toarray() for q in each])
    model.deconv(x, y, loss_of(stacked), 2.0, tolerance=1e-7)
    np.testing.assert_allclose(model.abundance, expected, atol=1e-5)


def test_proportions_have_no_negative_values(small) -> None:
    x, y, _ = small
    model = LinearRegression()
    model.deconv(x, y)
    assert (model.abundance < 0).any()
    props = model.get_props()
    assert (props >= 0).all()
    np.testing.assert_allclose(props.sum(axis=1), 1)


@pytest.mark.parametrize("tolerance", [1e-5, 1e-9])
def test_collinear_signatures_share_the_abundance(small, tolerance) -> None:
    """With two equal columns the prior alone divides the sum: equally."""
    x, y, _ = small
    twice = np.column_stack([x, x[:, 2]])
    q = chain(16)
    model = LinearRegression(bias=False)
    model.deconv(twice, y, loss_of(q), 1.0, tolerance=tolerance)
    assert model.report.converged
    gram, lambda_ = twice.T @ twice, 9 / 4
    gradient = model.abundance @ gram - y.T @ twice + lambda_ * (q @ model.abundance)
    assert np.linalg.norm(gradient) <= 1.01 * tolerance * np.linalg.norm(y.T @ twice)
    np.testing.assert_allclose(model.abundance[:, 2], model.abundance[:, 3], atol=3e-3)


def test_one_spot_and_one_type() -> None:
    random = np.random.default_rng(0)
    x, y = random.random((6, 1)), random.random((6, 1))
    model = LinearRegression(bias=False)
    model.deconv(x, y, tolerance=1e-9)
    assert model.abundance.item() == pytest.approx((x.T @ y).item() / (x.T @ x).item())


def test_the_start_must_fit(small) -> None:
    x, y, _ = small
    with pytest.raises(InputError, match="The start has shape"):
        LinearRegression().deconv(x, y, start=np.ones((2, 2)))
