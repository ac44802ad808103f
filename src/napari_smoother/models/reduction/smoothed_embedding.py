"""An embedding with its noise taken off: the posterior mean under a spatial prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.shared_prior import shared_prior
from napari_smoother.solvers.positive_systems import Solved, solve_positive

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray


def smooth_embedding(
    embedding: ArrayLike,
    spatial_loss: Any,
    lambda_spatial_loss: float = 1.0,
    *,
    tolerance: float = 1e-8,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float64]:
    r"""Smooth every column of an embedding over the tissue.

    The posterior mean of Z when Z0 = Z + noise, with independent noise of variance s^2 and the
    Gaussian Markov field of the spatial loss as prior of every column:

    .. math::
        \min_Z \|Z - Z_0\|^2 + \lambda\,\mathrm{tr}(Z'QZ),
        \qquad (I + \lambda Q) Z = Z_0

    Lambda is s^2 over the variance scale of the prior. Unlike the components of a penalised
    projection, every spot is moved towards its neighbours (Rue and Held 2005, Gaussian Markov
    Random Fields, section 2.3).

    Parameters
    ----------
    embedding
        Z0, spots x dims: components, or expression itself. The prior pulls to zero where rho
        is below 1: centre the columns first.
    spatial_loss
        A `SpatialLoss` with one graph for all columns.
    lambda_spatial_loss
        Strength of the prior; 0 gives the embedding back.
    tolerance
        Relative residual, where the system is too large to be factored.
    cancelled
        Asked between blocks of columns.

    Returns
    -------
    numpy.ndarray
        Z, spots x dims, float64.

    Raises
    ------
    InputError
        If shapes do not fit, a value is not finite, lambda is negative or the solve did not
        reach its tolerance.
    Cancelled
        If ``cancelled`` returned True.
    """
    values = np.asarray(embedding, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InputError(
            f"The embedding has the shape {values.shape}, or values that are not finite",
            where="smoothed embedding",
            remedy="Give spots x dims, all finite",
        )
    if not (np.isfinite(lambda_spatial_loss) and lambda_spatial_loss >= 0):
        raise InputError(
            f"lambda is {lambda_spatial_loss}",
            where="smoothed embedding",
            remedy="Choose a finite lambda of at least 0",
        )
    n_spots = len(values)
    precision, confidence = shared_prior(spatial_loss, n_spots)
    weight = lambda_spatial_loss * confidence
    if weight == 0:
        return values.copy()
    solved = smooth_columns(values, precision, weight, tolerance=tolerance, cancelled=cancelled)
    return solved.values


def smooth_columns(
    values: NDArray[np.float64],
    precision: Any,
    weight: float,
    *,
    tolerance: float = 1e-8,
    cancelled: Callable[[], bool] | None = None,
) -> Solved:
    """Solve (I + weight Q) Z = Z0 for a sparse Q or a `MovingAverage`."""
    identity: Any = sparse.eye_array(len(values), format="csr")
    is_sparse: bool = sparse.issparse(precision)
    if is_sparse:
        system, right = identity + weight * precision, values
    else:
        # Its precision is the inverse of a sparse covariance S: (S + weight I) Z = S Z0.
        covariance = precision.covariance()
        system, right = covariance + weight * identity, covariance @ values
    # One common factor keeps numbers near 1 for any weight.
    system, right = system / (1 + weight), right / (1 + weight)
    solved = solve_positive(system, right, tolerance=tolerance, cancelled=cancelled)
    if not solved.converged and solved.method == "multigrid":
        raise InputError(
            f"The solve stopped at a residual of {solved.residual:.1e}",
            where="smoothed embedding",
            remedy="Ask for a larger tolerance, or a smaller lambda",
        )
    return solved
