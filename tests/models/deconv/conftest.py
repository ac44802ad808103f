"""Small data for the deconvolution models."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def small():
    """Signature (9 x 3), log expression (9 x 16) with noise, and the true proportions."""
    random = np.random.default_rng(11)
    x = random.gamma(1.0, 1.0, (9, 3))
    truth = random.dirichlet(np.full(3, 0.4), 16)
    y = np.maximum(x @ truth.T + 0.3 * random.standard_normal((9, 16)), 0)
    return x, y, truth


@pytest.fixture
def counted():
    """Signature (12 x 3) and counts (12 x 16) of it, and the true proportions."""
    random = np.random.default_rng(5)
    x = random.gamma(0.7, 4.0, (12, 3)) + 0.05
    truth = random.dirichlet(np.full(3, 0.5), 16)
    y = random.poisson(x @ truth.T * random.gamma(6.0, 0.5, 16)).astype(float)
    return x, y, truth
