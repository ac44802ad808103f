r"""Moran's I: how much alike neighbouring spots are, for every feature by itself.

.. math::
    I = \frac{n}{S_0} \frac{z' W z}{z' z}, \qquad z = x - \bar x, \quad S_0 = 1' W 1

(Moran 1950, Biometrika 37:17). It is about 0 for values without a pattern and 1 for values that
hardly change between neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.special import gammainc, gammaincc, ndtr

from napari_smoother import _core
from napari_smoother.counts.rows import float_rows
from napari_smoother.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

BLOCK = 2**19
"""Values that are dense at a time: what the processor keeps near."""

EDGES = 2**22
"""Edges of permuted graphs that are held at a time."""

FEWEST = 8
"""Features of a block, where there are so many spots that one of them is more than that."""

FEWEST_SPOTS = 20
"""A gene found in fewer is chosen after all others."""

TIE = 1e-12
"""Arrangements whose I differ by less are the same but for rounding."""

SYMMETRIC = 1e-4
"""Skewness below which I is taken for normal."""

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
    found: NDArray[np.float64] = _statistics(features, [graph], cancelled, progress)[0]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class MoranTest:
    """Moran's I of every feature, and how surprising it would be of values without a pattern.

    Features that are constant have NaN. Every p-value is the probability of the tail on the
    side of I, above `expected` or below it: none is much above one half.

    Attributes
    ----------
    statistic
        I, one number a feature, float64.
    expected
        Its mean over all arrangements of the values over the spots: -1 / (n - 1).
    variance_normal, p_normal
        Variance, one for all features, and p-values where the values are normal.
    variance_random, p_random
        Variance over all arrangements, one a feature (Cliff and Ord 1981, Spatial Processes,
        section 2.3), and p-values of a shifted gamma distribution that has its skewness, too:
        that of features with few values above zero is large, and a normal one would give them
        p-values far too small.
    variance_permuted, p_permuted_normal
        Variance over the permutations that were drawn, and p-values of a normal I with their
        mean and variance; None without permutations.
    p_permuted
        Share of the permutations whose I is as far out, the values themselves counted among
        them; None without permutations.
    """

    statistic: NDArray[np.float64]
    expected: float
    variance_normal: float
    p_normal: NDArray[np.float64]
    variance_random: NDArray[np.float64]
    p_random: NDArray[np.float64]
    variance_permuted: NDArray[np.float64] | None = None
    p_permuted_normal: NDArray[np.float64] | None = None
    p_permuted: NDArray[np.float64] | None = None


def moran_test(
    values: ArrayLike | sparse.sparray | sparse.spmatrix,
    weights: sparse.sparray | sparse.spmatrix,
    *,
    row_standardise: bool = True,
    n_permutations: int | None = None,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[float], None] | None = None,
) -> MoranTest:
    """Moran's I of every feature with p-values.

    Parameters
    ----------
    values, weights, row_standardise, cancelled, progress
        As for `moran`.
    n_permutations
        How many times the spots are shuffled, all features together; None for p-values by
        formula alone. No p-value of n permutations is below 1 / (n + 1).
    seed
        Of the permutations.

    Returns
    -------
    MoranTest

    Raises
    ------
    InputError
        As `moran`; also where there are fewer than four spots, or no permutation is asked for.
    Cancelled
        If ``cancelled`` returned True.
    """
    features = _features(values)
    n_spots = int(features.shape[1])
    graph = _graph(weights, n_spots, row_standardise)
    rounds = 1 + (n_permutations or 0)
    if n_spots < 4 or (n_permutations is not None and n_permutations < 1):
        raise InputError(
            f"There are {n_spots} spots, and {rounds - 1} permutations are asked for",
            where="Moran's I",
            remedy="Give at least four spots, and one permutation or None",
        )

    def tell(done: int, more: int) -> Callable[[float], None] | None:
        return progress and (lambda share: progress((done + more * share) / rounds))

    moments = np.full((2, features.shape[0]), np.nan)
    found = _statistics(features, [graph], cancelled, tell(0, 1), moments)[0]
    expected = -1 / (n_spots - 1)
    normal, random = _variances(graph, moments[1])
    test = MoranTest(
        statistic=found,
        expected=expected,
        variance_normal=normal,
        p_normal=_tail(found - expected, normal),
        variance_random=random,
        p_random=_tail(found - expected, random, _skewness(graph, moments[0])),
    )
    if n_permutations is None:
        return test
    generator = np.random.default_rng(seed)
    above, below, total, squares = np.zeros((4, len(found)))
    together = max(1, EDGES // graph.nnz)
    for done in range(1, rounds, together):
        orders = [generator.permutation(n_spots) for _ in range(min(together, rounds - done))]
        graphs = [graph[order][:, order] for order in orders]
        for permuted in _statistics(features, graphs, cancelled, tell(done, len(graphs))):
            above += permuted >= found - TIE
            below += permuted <= found + TIE
            total += permuted - expected
            squares += (permuted - expected) ** 2
    mean = total / n_permutations
    variance = np.maximum(squares / n_permutations - mean**2, 0)
    share = (1 + np.minimum(above, below)) / rounds
    return replace(
        test,
        variance_permuted=variance,
        p_permuted_normal=_tail(found - expected - mean, variance),
        p_permuted=np.where(np.isnan(found), np.nan, share),
    )


def most_spatial(
    values: ArrayLike | sparse.sparray | sparse.spmatrix,
    weights: sparse.sparray | sparse.spmatrix,
    n_genes: int,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.intp]:
    """Choose the genes of largest Moran's I.

    Genes that are found in fewer than `FEWEST_SPOTS` spots come after all others: by chance
    alone the I of a few spots is as large as that of genes with a pattern.

    Parameters
    ----------
    values
        Spots x genes, sparse or dense: log1p of counts that were brought to one total.
    weights
        As for `moran`.
    n_genes
        How many at most.
    cancelled
        Asked between blocks of genes.

    Returns
    -------
    numpy.ndarray
        Their places in the order of the data; none that is constant.

    Raises
    ------
    InputError, Cancelled
        As `moran`.
    """
    statistic = moran(values, weights, cancelled=cancelled)
    is_sparse: bool = sparse.issparse(values)
    nonzero: Any = values if is_sparse else np.asarray(values)
    rare = np.asarray((nonzero != 0).sum(axis=0)).ravel() < FEWEST_SPOTS
    order = np.lexsort((-statistic, rare))
    return np.sort(order[~np.isnan(statistic[order])][:n_genes])


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
    """Check the weights, standardise them, and take the mean of both directions.

    z'Wz is the same of that, and so are the moments of I.
    """
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
    return sparse.csr_array((graph + graph.T) / 2)


def _statistics(
    features: Any,
    graphs: list[sparse.csr_array],
    cancelled: Callable[[], bool] | None,
    progress: Callable[[float], None] | None,
    moments: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """I of every feature on some symmetric graphs, graphs x features.

    The square of the skewness of every feature and its kurtosis are put into `moments`.
    """
    n_features, n_spots = features.shape
    forms = [_form(graph) for graph in graphs]
    found = np.full((len(graphs), n_features), np.nan)
    step = min(n_features, max(FEWEST, BLOCK // n_spots))
    workspace = np.empty((2, step, n_spots))  # memory that is new takes longer than the product
    for first in range(0, n_features, max(step, 1)):
        these = slice(first, min(first + step, n_features))
        centred, product = workspace[:, : these.stop - first]
        squares = _centre(features, these, centred)
        varying = squares > 0
        for form, statistic in zip(forms, found, strict=True):
            if cancelled is not None and cancelled():
                raise Cancelled("Moran's I was cancelled")
            form.product(centred, 1.0, None, 0.0, 0.0, product)
            of_form = np.einsum("ij,ij->i", centred, product)
            np.divide(of_form, squares, out=statistic[these], where=varying)
        if moments is not None:
            np.multiply(centred, centred, out=product)
            third = np.einsum("ij,ij->i", product, centred)
            fourth = np.einsum("ij,ij->i", product, product)
            np.divide(n_spots * third**2, squares**3, out=moments[0, these], where=varying)
            np.divide(n_spots * fourth, squares**2, out=moments[1, these], where=varying)
        if progress is not None:
            progress(these.stop / n_features)
    found *= n_spots / float(graphs[0].sum())
    return found


def _form(graph: sparse.csr_array) -> _core.Form:
    pointers, neighbours = (part.astype(np.int32) for part in (graph.indptr, graph.indices))
    return _core.Form(pointers, neighbours, graph.data)


def _centre(features: Any, these: slice, centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Write some features less their means; return sums of squares, 0 for constant ones."""
    if isinstance(features, np.ndarray):
        centred[...] = features[these]
    else:
        float_rows(features, these.start, these.stop).toarray(out=centred)
    means = centred.mean(axis=1)
    centred -= means[:, None]
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", centred, centred)
    squares[squares <= centred.shape[1] * (CONSTANT * means) ** 2] = 0
    return squares


def _variances(
    graph: sparse.csr_array, kurtosis: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Variance of I for normal values, and over all arrangements of the values at hand."""
    n = graph.shape[0]
    total = float(graph.sum())
    of_pairs = 2 * float(graph.power(2).sum())
    of_spots = 4 * float((np.asarray(graph.sum(axis=1)) ** 2).sum())
    expected = 1 / (n - 1) ** 2
    normal = (n * n * of_pairs - n * of_spots + 3 * total**2) / ((n * n - 1) * total**2) - expected
    plain = n * ((n * n - 3 * n + 3) * of_pairs - n * of_spots + 3 * total**2)
    peaked = (n * n - n) * of_pairs - 2 * n * of_spots + 6 * total**2
    random = (plain - kurtosis * peaked) / ((n - 1) * (n - 2) * (n - 3) * total**2) - expected
    return max(normal, 0.0), np.maximum(random, 0)


def _skewness(graph: sparse.csr_array, skewed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Skewness of I over all arrangements, to the first order in the number of spots.

    Of z'Sz with independent z: only edges taken three times, and triangles, have a third moment.
    """
    triangles = float((graph @ graph).multiply(graph).sum())
    third = 4 * float(graph.power(3).sum()) * skewed + 8 * triangles
    return np.asarray(third / (2 * float(graph.power(2).sum())) ** 1.5)


def _tail(
    deviation: NDArray[np.float64],
    variance: float | NDArray[np.float64],
    skewness: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Probability to be farther out on the same side: normal, or gamma (Pearson's type III)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        score = deviation / np.sqrt(variance)
    normal: NDArray[np.float64] = ndtr(-np.abs(score))
    if skewness is None:
        return normal
    shape = 4 / np.maximum(skewness, SYMMETRIC) ** 2
    place = np.maximum(shape + score * np.sqrt(shape), 0)
    gamma = np.where(score > 0, gammaincc(shape, place), gammainc(shape, place))
    return np.where(skewness < SYMMETRIC, normal, gamma)
