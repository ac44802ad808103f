"""Graphs and stand-ins of losses for the tests of deconvolution models."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from scipy import sparse


def chain(n_spots, rho=0.99):
    """Precision of the intrinsic process on a chain of spots."""
    weights = np.diag(np.ones(n_spots - 1), 1)
    weights += weights.T
    return sparse.csr_array(np.diag(weights.sum(1)) - rho * weights)


def grid(side, rho=1.0, cut=None):
    """Precision on a square grid; columns from `cut` on are a piece of their own."""
    index = np.arange(side * side).reshape(side, side)
    pairs = [np.stack([index[:-1].ravel(), index[1:].ravel()])]
    pairs += [np.stack([index[:, c], index[:, c + 1]]) for c in range(side - 1) if c + 1 != cut]
    i, j = np.concatenate(pairs, axis=1)
    n = side * side
    weights = sparse.coo_array((np.ones(i.size), (i, j)), shape=(n, n)).tocsr()
    weights = weights + weights.T
    return sparse.csr_array(sparse.diags_array(weights.sum(axis=1)) - rho * weights)


def loss_of(precision, confidences=None):
    """Stand-in with what a spatial loss shows."""
    if confidences is None:
        return SimpleNamespace(inv_cov=precision)
    return SimpleNamespace(inv_cov=precision, confidences=np.asarray(confidences))
