"""Features of points in space: one smoothed, or many reduced to few that vary smoothly.

The prior is the intrinsic conditional autoregression (ICAR) on the mutual nearest neighbours of
the points. Points without a value are left out, and are no neighbours of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.models.reduction.smoothed_embedding import smooth_columns
from napari_smoother.solvers.spatial_eigen import leading_eigenvectors
from napari_smoother.solvers.spatial_scatter import SpatialScatter
from napari_smoother.weights.lattice import nearest_on_section
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

RHO = 0.99
"""Autocorrelation: of one that is 1, patches without neighbours would have no mean."""


def smoothed_feature(
    values: ArrayLike,
    positions: ArrayLike,
    *,
    n_neighbors: int = 6,
    lambda_: float = 1.0,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float64]:
    r"""Take the noise off one number a point.

    The posterior mean of z where the values are z + noise, less their mean m:
    :math:`m + (I + \lambda Q)^{-1} (y - m)`.

    Parameters
    ----------
    values
        y, n numbers; NaN where there is none.
    positions
        n x 2 or n x 3, any unit.
    n_neighbors
        How many nearest neighbours a point has.
    lambda_
        Strength of the prior; 0 leaves the values as they are.
    cancelled
        Asked now and then.

    Returns
    -------
    ndarray
        n float64, NaN where there was no value.

    Raises
    ------
    InputError
        If no value is finite, or lambda is not a number of at least 0.
    Cancelled
        If ``cancelled`` returned True.
    """
    _check_lambda(lambda_)
    given = np.asarray(values, dtype=np.float64)
    known = _known(given[:, None])
    smooth = np.full(len(given), np.nan)
    mean = given[known].mean()
    deviations = (given[known] - mean)[:, None]
    prior = _prior(positions, known, n_neighbors)
    smooth[known] = (
        mean + smooth_columns(deviations, prior, lambda_, cancelled=cancelled).values[:, 0]
    )
    return smooth


def spatial_components(
    values: ArrayLike,
    positions: ArrayLike,
    *,
    n_components: int = 3,
    n_neighbors: int = 6,
    lambda_: float = 0.1,
    unit_variance: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float64]:
    """Find the components of many numbers a point that explain most and vary smoothly.

    Exactly what `napari_smoother.spatial_pca` finds on the same graph.

    Parameters
    ----------
    values
        n x m numbers; a point with a NaN is left out.
    positions
        n x 2 or n x 3, any unit.
    n_components
        How many to find, at most m.
    n_neighbors
        How many nearest neighbours a point has.
    lambda_
        Penalty on what varies between neighbours; 0 is plain PCA.
    unit_variance
        Whether every feature counts alike, whatever its unit.
    cancelled
        Asked now and then.

    Returns
    -------
    ndarray
        n x n_components float64, the first component first; NaN for points left out.

    Raises
    ------
    InputError
        If no point has all its values, none of them varies, or settings are out of range.
    Cancelled
        If ``cancelled`` returned True.
    """
    _check_lambda(lambda_)
    given = np.asarray(values, dtype=np.float64)
    if not 1 <= n_components <= given.shape[1]:
        raise InputError(
            f"{n_components} components are asked for, of {given.shape[1]} features",
            where="spatial components",
            remedy="Choose more features, or fewer components",
        )
    known = _known(given)
    used = given[known]
    deviation = used.std(axis=0)
    if not deviation.any():
        raise InputError(
            "Every feature has one value at all points",
            where="spatial components",
            remedy="Choose features that vary",
        )
    if unit_variance:
        used = (used - used.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    scatter = SpatialScatter(used, _prior(positions, known, n_neighbors))
    found = leading_eigenvectors(scatter, lambda_, n_components, cancelled=cancelled)
    scores = np.full((len(given), n_components), np.nan)
    scores[known] = scatter.project(found.vectors)
    return scores


def _prior(positions: ArrayLike, known: NDArray[np.bool_], n_neighbors: int) -> csr_array:
    graph = nearest_on_section(np.asarray(positions)[known], n_neighbors)
    return precision(graph.weights, "icar", RHO)


def _known(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    known = np.asarray(np.isfinite(values).all(axis=1))
    if not known.any():
        raise InputError(
            "No point has a value",
            where="features of points",
            remedy="Choose other features",
        )
    return known


def _check_lambda(lambda_: float) -> None:
    if not (np.isfinite(lambda_) and lambda_ >= 0):
        raise InputError(
            f"lambda is {lambda_}",
            where="features of points",
            remedy="Choose a finite lambda of at least 0",
        )
