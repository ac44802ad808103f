from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from napari_smoother.models.deconv.reference import Reference


def cells_with_factor(n_cells, n_types, seed, spread_of_totals=0.0):
    """Cells whose genes go together by one factor, beside counting noise."""
    random = np.random.default_rng(seed)
    n_genes = 60
    types = np.arange(n_cells) % n_types
    level = random.gamma(2.0, 1.0, (n_types, n_genes))
    factor = 0.5 * random.standard_normal(n_genes)
    mean = level[types] * np.exp(random.standard_normal((n_cells, 1)) * factor)
    totals = 5000 * np.exp(random.normal(0, spread_of_totals, n_cells))
    counts = random.poisson(mean * (totals / mean.sum(axis=1))[:, None]).astype(float)
    adata = AnnData(
        sparse.csr_matrix(counts),
        obs=pd.DataFrame({"type": [f"t{k}" for k in types]}, index=np.arange(n_cells).astype(str)),
    )
    return adata, types


def covariance_within(adata, types):
    counts = adata.X.toarray()
    shares = 1e4 * counts / counts.sum(axis=1, keepdims=True)
    for k in np.unique(types):
        shares[types == k] -= shares[types == k].mean(axis=0)
    return shares.T @ shares / (len(types) - len(np.unique(types)))


def correlation_of(covariance, weighted):
    return weighted.T @ (covariance - np.diag(np.diag(covariance))) @ weighted


@pytest.mark.parametrize("n_cells", [30, 128])
def test_random_sums_of_few_cells_are_their_covariance(n_cells):
    adata, types = cells_with_factor(n_cells, 3, 0)
    spread = Reference.from_cells(adata, "type", "cells").spread
    covariance = covariance_within(adata, types)
    np.testing.assert_allclose(
        spread.random_sums.T @ spread.random_sums, covariance, atol=1e-4 * covariance.max()
    )
    np.testing.assert_allclose(spread.variance, np.diag(covariance))
    weighted = np.random.default_rng(1).standard_normal((60, 4))
    expected = correlation_of(covariance, weighted)
    np.testing.assert_allclose(
        spread.correlation(weighted), expected, atol=1e-4 * np.abs(expected).max()
    )


def test_random_sums_of_many_cells_are_near_their_covariance():
    adata, types = cells_with_factor(3000, 3, 0)
    spread = Reference.from_cells(adata, "type", "cells").spread
    assert spread.random_sums.shape == (128, 60)
    weighted = np.random.default_rng(1).standard_normal((60, 1))
    whole = (spread.random_sums @ weighted).T @ (spread.random_sums @ weighted)
    expected = weighted.T @ covariance_within(adata, types) @ weighted
    # Known to an eighth, which is one standard error.
    np.testing.assert_allclose(whole, expected, rtol=0.4)


def test_spread_of_genes_and_of_another_platform():
    adata, _ = cells_with_factor(100, 3, 2)
    spread = Reference.from_cells(adata, "type", "cells").spread
    genes, factors = np.array([5, 0, 41]), np.array([2.0, 0.5, 3.0])
    found = spread.of_genes(genes).times(factors)
    np.testing.assert_allclose(found.variance, spread.variance[genes] * factors**2)
    scale = factors[:, None] * np.eye(3)
    weighted = np.zeros((60, 3))
    weighted[genes] = scale
    np.testing.assert_allclose(
        found.correlation(np.eye(3)), spread.correlation(weighted), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("spread_of_totals", [0.0, 0.5])
def test_variation_of_totals_is_that_beyond_counting(spread_of_totals):
    adata, _ = cells_with_factor(2000, 4, 3, spread_of_totals)
    found = Reference.from_cells(adata, "type", "cells").spread.total_variation
    assert found == pytest.approx(np.expm1(spread_of_totals**2), abs=0.03)


def test_types_of_one_cell_are_not_in_the_spread():
    adata, _ = cells_with_factor(60, 3, 4)
    expected = Reference.from_cells(adata, "type", "cells").spread
    alone = adata[:1].copy()
    alone.obs["type"], alone.obs_names = "single", ["alone"]
    alone.X = alone.X * 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        both = Reference.from_cells(
            AnnData(
                sparse.vstack([adata.X, alone.X]).tocsr(),
                obs=pd.concat([adata.obs, alone.obs]),
            ),
            "type",
            "cells",
        )
    assert "single" not in both.types
    np.testing.assert_allclose(both.spread.total_variation, expected.total_variation)
    np.testing.assert_allclose(both.spread.random_sums, expected.random_sums, atol=1e-3)
