"""Factors on the edges of a graph: how much of each edge a similarity or a border leaves.

A factor array lies along the stored entries of the graph (`weights.data`), so that scalings
compose by multiplying arrays and are undone by leaving one out. A factor of 0 cuts an edge but
keeps it stored: a picture of the graph can show where it was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.weights.components import principal_components
from napari_smoother.weights.neighbours import Neighbourhood

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

EUCLIDEAN_BANDWIDTH = 0.1
"""Width of the Gaussian that turns distance into similarity; the farthest feature is at 1."""


def identity_factors(
    graph: Neighbourhood | csr_array, labels: ArrayLike, connectivity: float
) -> NDArray[np.float64]:
    """Keep edges within a region whole, and weaken those between two regions.

    Parameters
    ----------
    graph
        The neighbourhood or its weights.
    labels
        n codes or names; equal labels are one region. A missing label (NaN, None) is a region
        of its own.
    connectivity
        What an edge between two regions keeps, from 0 (cut) to 1 (untouched).

    Returns
    -------
    factors
        One number for each stored entry of the graph, float64.

    Raises
    ------
    InputError
        If labels are not one a spot, or the connectivity is not between 0 and 1.
    """
    weights = weights_of(graph)
    codes = region_codes(labels)
    if codes.shape != (weights.shape[0],):
        raise InputError(
            f"{codes.size} labels for {weights.shape[0]} spots",
            where="regions",
            remedy="Give one label for each spot",
        )
    if not 0 <= connectivity <= 1:
        raise InputError(
            f"The boundary connectivity is {connectivity}",
            where="regions",
            remedy="Give a share from 0, which cuts edges between regions, to 1",
        )
    across = codes[rows_of(weights)] != codes[weights.indices]
    return np.where(across, float(connectivity), 1.0)


def region_codes(labels: ArrayLike) -> NDArray[np.int64]:
    """Integer code of each label; any missing value has the code -1."""
    given = np.asarray(labels)
    if given.ndim == 1 and given.dtype.kind in "iub":
        return given.astype(np.int64)
    import pandas as pd

    codes: NDArray[np.int64] = pd.factorize(given)[0].astype(np.int64)
    return codes


def similarity_factors(
    graph: Neighbourhood | csr_array,
    features: ArrayLike | Any,
    *,
    metric: str = "cosine",
    reduce: str = "pca",
    n_components: int = 10,
    width: float = EUCLIDEAN_BANDWIDTH,
) -> NDArray[np.float64]:
    """Similarity of the two ends of every edge, between 0 and 1.

    `cosine` is the cosine of the angle between the features of both spots, 0 where it is
    negative or a spot has no features at all; with `reduce="pca"` features are standardised
    first, so that it is a correlation in the leading components. `euclidean` is
    exp(-d^2 / (2 b^2)), features divided by their largest absolute value.

    Parameters
    ----------
    graph
        The neighbourhood or its weights.
    features
        Spots x features: expression, or an embedding, or the colours of the image. Sparse is
        kept sparse until it is reduced.
    metric
        `cosine` or `euclidean`.
    reduce
        `pca`: standardise each feature and take the leading components. `none`: as given.
    n_components
        Components to keep; all of them when there are fewer.
    width
        The b of `euclidean`, as a share of the largest absolute value of a feature.

    Returns
    -------
    factors
        One number for each stored entry of the graph, float64.

    Raises
    ------
    InputError
        If features are not one row a spot, hold missing numbers, a name is unknown, or the width
        is not positive.
    """
    weights = weights_of(graph)
    if metric not in ("cosine", "euclidean") or reduce not in ("pca", "none"):
        raise InputError(
            f"Unknown similarity: metric {metric!r}, reduce {reduce!r}",
            where="similarity of spots",
            remedy='Take "cosine" or "euclidean", and "pca" or "none"',
        )
    if not (np.isfinite(width) and width > 0):
        raise InputError(
            f"The width of the kernel is {width}",
            where="similarity of spots",
            remedy="Give a share above 0 of the largest value",
        )
    dense = _dense(principal_components(features, n_components) if reduce == "pca" else features)
    if dense.ndim != 2 or len(dense) != weights.shape[0]:
        raise InputError(
            f"Features have the shape {dense.shape} for {weights.shape[0]} spots",
            where="similarity of spots",
            remedy="Give one row of features for each spot",
        )
    if not np.isfinite(dense).all():
        raise InputError(
            "Some features are not finite numbers",
            where="similarity of spots",
            remedy="Fill or remove missing values first",
        )
    if metric == "cosine":
        length = np.linalg.norm(dense, axis=1, keepdims=True)
        unit = np.divide(dense, length, out=np.zeros_like(dense), where=length > 0)
        return np.clip(_edge_products(weights, unit), 0.0, 1.0)
    largest = np.abs(dense).max(initial=0.0)
    scaled = dense / largest if largest > 0 else dense
    gap = _edge_gaps(weights, scaled)
    return np.exp(-gap / (2 * width**2))


def weights_of(graph: Neighbourhood | csr_array) -> csr_array:
    """Take the weights of a neighbourhood, or the matrix itself."""
    return graph.weights if isinstance(graph, Neighbourhood) else graph


def rows_of(weights: csr_array) -> NDArray[np.int32]:
    """Row of every stored entry."""
    return np.repeat(np.arange(weights.shape[0], dtype=np.int32), np.diff(weights.indptr))


def _dense(features: Any) -> NDArray[np.float64]:
    return np.asarray(features.toarray() if hasattr(features, "toarray") else features, np.float64)


def _edge_products(weights: csr_array, unit: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty(weights.nnz)
    for block in _edge_blocks(weights, unit.shape[1]):
        out[block] = np.einsum(
            "ij,ij->i", unit[rows_of(weights)[block]], unit[weights.indices[block]]
        )
    return out


def _edge_gaps(weights: csr_array, features: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty(weights.nnz)
    for block in _edge_blocks(weights, features.shape[1]):
        gap = features[rows_of(weights)[block]] - features[weights.indices[block]]
        out[block] = np.einsum("ij,ij->i", gap, gap)
    return out


def _edge_blocks(weights: csr_array, n_features: int) -> list[slice]:
    """Cut the edges into runs whose gathered features stay below 64 MiB."""
    step = max(1, 8_000_000 // max(n_features, 1))
    return [slice(at, min(at + step, weights.nnz)) for at in range(0, weights.nnz, step)]
