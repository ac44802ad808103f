r"""Moran's I: how much alike neighbouring spots are, for every feature by itself.

.. math::
    I = \frac{n}{S_0} \frac{z' W z}{z' z}, \qquad z = x - \bar x, \quad S_0 = 1' W 1

(Moran 1950, Biometrika 37:17). It is about 0 for values without a pattern and 1 for values that
hardly change between neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother import _core
from napari_smoother.counts.rows import float_rows
from napari_smoother.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

BLOCK = 2**18
"""Values that are dense at a time: what a core keeps near."""

FEWEST = 8
"""Features of a block, where there are so many spots that one of them is more than that."""

CONSTANT = 8 * float(np.finfo(np.float64).eps)
"""Relative deviation from its mean up to which a feature is constant."""


def moran(
    values: ArrayLike | sparse.sparray | sparse.spmatrix,
    weights: sparse.sparray | sparse.spmatrix,
    *,
    row_standardise: bool = True,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.float64]:
    """Moran's I of every feature.

    Parameters
    ----------
    values
        Spots x features, sparse or dense.
    weights
        Spots x spots, sparse; it need not be symmetric.
    row_standardise
        Whether the weights of every spot are divided by their sum first. Spots without
        neighbours keep none, and count among the n spots.
    cancelled
        Asked between blocks of features.
    progress
        Told the share that is done, from 0 to 1.

    Returns
    -------
    numpy.ndarray
        One number a feature, float64; NaN for those that are constant.

    Raises
    ------
    InputError
        If shapes do not agree, a value is not finite, or the graph has no edge.
    Cancelled
        If ``cancelled`` returned True.
    """
    features = _features(values)
    graph = _graph(weights, int(features.shape[1]), row_standardise)
    return _statistics(features, graph, cancelled, progress)


def _features(values: Any) -> Any:
    """Turn spots x features into features x spots, CSR or an array, all finite."""
    is_sparse: bool = sparse.issparse(values)
    features: Any = sparse.csc_matrix(values).T if is_sparse else np.asarray(values).T
    if features.ndim != 2 or features.dtype.kind not in "biuf":
        raise InputError(
            f"The values are {features.dtype} of the shape {features.shape[::-1]}",
            where="Moran's I",
            remedy="Give numbers, spots x features",
        )
    stored = features.data if is_sparse else features
    if not np.isfinite(stored).all():
        raise InputError(
            f"{int((~np.isfinite(stored)).sum())} values are missing or infinite",
            where="Moran's I",
            remedy="Remove these features or spots, or give them a value",
        )
    return features


def _graph(weights: Any, n_spots: int, row_standardise: bool) -> sparse.csr_array:
    """Check the weights, and standardise them."""
    graph = sparse.csr_array(weights, dtype=np.float64, copy=True)
    if graph.shape != (n_spots, n_spots):
        raise InputError(
            f"The graph has the shape {graph.shape} for {n_spots} spots",
            where="Moran's I",
            remedy="Give spots x spots",
        )
    sums = np.asarray(graph.sum(axis=1)).ravel()
    if not np.isfinite(sums).all() or (graph.data < 0).any() or not (sums > 0).any():
        raise InputError(
            "The graph has no edge, or weights that are negative or not finite",
            where="Moran's I",
            remedy="Choose more neighbours, or a larger radius",
        )
    if row_standardise:
        graph.data /= np.repeat(np.where(sums > 0, sums, 1.0), np.diff(graph.indptr))
    return graph


def _statistics(
    features: Any,
    graph: sparse.csr_array,
    cancelled: Callable[[], bool] | None,
    progress: Callable[[float], None] | None,
) -> NDArray[np.float64]:
    n_features, n_spots = features.shape
    # W and W' have the same form; the core takes symmetric ones.
    both = sparse.csr_array((graph + graph.T) / 2)
    pointers, neighbours = (part.astype(np.int32) for part in (both.indptr, both.indices))
    form = _core.Form(pointers, neighbours, both.data)
    found = np.full(n_features, np.nan)
    for these, centred, squares in _blocks(features):
        if cancelled is not None and cancelled():
            raise Cancelled("Moran's I was cancelled")
        product = np.empty_like(centred)
        form.product(centred, 1.0, None, 0.0, 0.0, product)
        forms = np.einsum("ij,ij->i", centred, product)
        np.divide(forms, squares, out=found[these], where=squares > 0)
        if progress is not None:
            progress(these.stop / n_features)
    found *= n_spots / float(both.data.sum())
    return found


def _blocks(features: Any) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Which features, their centred values, and the sums of their squares, 0 for constant ones."""
    n_features, n_spots = features.shape
    step = max(FEWEST, BLOCK // max(n_spots, 1))
    for first in range(0, n_features, step):
        these = slice(first, min(first + step, n_features))
        centred = _dense(features, these)
        means = centred.mean(axis=1)
        centred -= means[:, None]
        squares = np.einsum("ij,ij->i", centred, centred)
        squares[squares <= n_spots * (CONSTANT * means) ** 2] = 0
        yield these, centred, squares


def _dense(features: Any, these: slice) -> NDArray[np.float64]:
    """Copy some features as an array."""
    if isinstance(features, np.ndarray):
        return np.array(features[these], dtype=np.float64, order="C")
    dense: NDArray[np.float64] = float_rows(features, these.start, these.stop).toarray()
    return dense
