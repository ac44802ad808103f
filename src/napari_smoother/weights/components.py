"""Principal components of the features of spots, dense or sparse, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, issparse

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CONSTANT = 1e-12
"""Features of a smaller standard deviation, relative to their mean, are constant."""


def principal_components(features: ArrayLike | Any, n_components: int) -> NDArray[np.float64]:
    """Leading principal components of standardised features, exactly.

    Features are centred and divided by their standard deviation (ddof 1); constant ones are
    left out. Signs are fixed (largest loading positive), so that the answer is the same
    everywhere.

    Parameters
    ----------
    features
        Spots x features, dense or sparse. Sparse stays sparse.
    n_components
        How many to keep; never more than there are.

    Returns
    -------
    scores
        Spots x components, float64.
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    is_sparse: bool = issparse(features)
    table: Any = (csr_array(features) if is_sparse else np.asarray(features)).astype(np.float64)
    scaler = StandardScaler(with_mean=not is_sparse)
    scaled = scaler.fit_transform(table)
    scaled = scaled[:, np.sqrt(scaler.var_) > CONSTANT * np.abs(scaler.mean_)]
    n, m = scaled.shape
    rank = min(n_components, n - 1, m)
    if rank == 0:
        return np.zeros((n, 0))
    # Products of all features are quick to come by where the table is dense and they are few.
    solver = "arpack" if rank < m and (is_sparse or m > n) else "covariance_eigh"
    found = PCA(rank, svd_solver=solver, random_state=0).fit_transform(scaled)
    scores: NDArray[np.float64] = found * np.sqrt((n - 1) / n)
    return scores
