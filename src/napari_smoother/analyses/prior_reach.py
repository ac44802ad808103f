"""How far a spatial prior reaches: its correlation as a function of distance, exactly.

Columns of the inverse precision are found by solves for some spots from all over the section, and
variances of all spots by selected inversion. Where the precision is singular, as that of an
intrinsic process at rho 1, no spot has a variance, but differences between spots have one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np
from scipy.sparse import csr_array

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.deconvolution_settings import INTRINSIC
from napari_smoother.analyses.prior import check_rho
from napari_smoother.errors import require
from napari_smoother.solvers.selected_inverse import inverse_diagonals
from napari_smoother.solvers.sparse_factor import SparseFactor
from napari_smoother.weights.annotated import positions_of, section_graph
from napari_smoother.weights.moving_average import MovingAverage
from napari_smoother.weights.precision import Process, precision, rho_range
from napari_smoother.weights.scaling import rows_of
from napari_smoother.weights.summary import graph_summary

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

SPOTS = 32
"""From which correlation is followed, unless said otherwise."""

MOST_STEPS = 2_000
"""Of the curve; each is as long as an edge, or longer where a section is very large."""

MIDDLE = (0.1, 0.9)
"""Quantiles of spots between which the band of the curve lies."""


@dataclass(frozen=True, slots=True, eq=False)
class PriorReach:
    """How the prior of a process ties spots together, over their distance.

    Parameters
    ----------
    process, rho
        Of the prior.
    is_proper
        Whether spots have a variance, so that they have a correlation. Otherwise the curve is the
        variance of differences, relative to that of the nearest pairs.
    distances
        m, rising: mean distances of the pairs of each step, in `unit`.
    mean, low, high
        m: correlation at that distance (or relative variance of differences), the mean over
        spots, and what a tenth of the spots is below and above.
    half, tenth
        Distance at which the mean correlation falls to 0.5 and to 0.1, in `unit`; NaN where it
        does not within the section; infinite where the prior is not proper.
    n_spots
        From how many spots it was followed, to all others.
    unit
        "µm", or "pixels" where the scale is not known.
    residual
        Largest relative residual of the solves.
    """

    process: Process
    rho: float
    is_proper: bool
    distances: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    half: float
    tenth: float
    n_spots: int
    unit: str
    residual: float

    def describe(self) -> str:
        """Say how far it reaches, in a sentence without its full stop."""
        if not self.is_proper:
            return (
                f"{self.process.upper()} at ρ {self.rho:g} reaches without limit: it ties spots "
                "to each other, none to a value of its own, so that only differences have a "
                "variance"
            )
        half, tenth = (self._say(reach) for reach in (self.half, self.tenth))
        return f"Correlation falls to 0.5 {half} and to 0.1 {tenth}"

    def _say(self, reach: float) -> str:
        if math.isnan(reach):
            return "nowhere in the section"
        nearest = float(self.distances[0])
        if reach < nearest:  # between a spot and its neighbours there is nothing to correlate with
            return f"before the nearest spots ({length_in_words(nearest)} {self.unit})"
        return f"at {length_in_words(reach)} {self.unit}"


def length_in_words(length: float) -> str:
    """Return three digits of a length, without an exponent where it has more."""
    return f"{length:,.0f}" if length >= 100 else f"{length:.3g}"


def prior_reach(
    adata: AnnData,
    *,
    process: Process = "icar",
    rho: float = 0.99,
    micrometres_per_pixel: float | None = None,
    library_key: str | None = None,
    n_samples: int = SPOTS,
    seed: int = 0,
) -> PriorReach:
    """Find how far the prior of a spatial process reaches on the graph of a section.

    Parameters
    ----------
    adata
        With ``obsm["spatial"]``, and ``obsp["spatial_connectivities"]`` or else the graph of its
        six nearest neighbours.
    process, rho
        Of the prior. The weight lambda scales its variance, not its correlation.
    micrometres_per_pixel
        Size of the unit of the positions; None leaves distances in that unit.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.
    n_samples, seed
        From how many spots correlation is followed to all others, and how they are drawn; all
        where there are no more.

    Returns
    -------
    PriorReach
        Exact for the spots drawn: nothing in it is approximated but that they stand for all.

    Raises
    ------
    InputError
        If there is neither graph nor positions, the process is not there at this rho, or the
        factor of its precision would not fit in memory.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> adata = simulate_cortex(rows=20, n_genes=50).section.adata
    >>> near, far = (ns.prior_reach(adata, rho=rho) for rho in (0.9, 0.99))
    >>> bool(near.tenth < far.tenth)
    True
    """
    weights, _ = section_graph(adata, library_key=library_key)
    positions = np.asarray(positions_of(adata), dtype=np.float64)
    return reach_on(
        weights,
        positions * (micrometres_per_pixel or 1.0),
        process,
        rho,
        unit="pixels" if micrometres_per_pixel is None else "µm",
        n_samples=n_samples,
        seed=seed,
    )


def reach_on(
    weights: csr_array,
    positions: NDArray[np.float64],
    process: Process,
    rho: float,
    *,
    unit: str = "pixels",
    n_samples: int = SPOTS,
    seed: int = 0,
    context: Context = Context(),
) -> PriorReach:
    """Find how far a prior reaches on a graph; see `prior_reach`.

    Parameters
    ----------
    weights
        n x n, symmetric.
    positions
        n x 2 or 3, in `unit`.
    process, rho, n_samples, seed
        As for `prior_reach`.
    unit
        Of the positions, in words.
    context
        Who asks.

    Raises
    ------
    InputError
        As `prior_reach`.
    Cancelled
        If the context said so.
    """
    require(
        process in get_args(Process),
        f"Unknown spatial process {process!r}",
        "prior reach, process",
        f"Choose one of {', '.join(get_args(Process))}",
    )
    require(n_samples >= 1, f"{n_samples} spots are none", "prior reach", "Follow at least one")
    limits = (
        (-1.0, np.nextafter(1.0, 2.0)) if process in INTRINSIC else rho_range(weights, process)
    )
    check_rho(process, rho, limits)
    n = int(weights.shape[0])
    spots = np.arange(n)
    if n_samples < n:
        spots = np.sort(np.random.default_rng(seed).choice(n, n_samples, replace=False))
    context.look_up()
    is_proper = not (process in INTRINSIC and rho == 1.0)
    if is_proper:
        columns, variances, residual = _covariances(weights, process, rho, spots, context)
        tied = columns / np.sqrt(variances[spots] * variances[:, None])
    else:
        tied, residual = _differences(weights, process, spots, context)
    context.look_up()
    distances, curves = _curves(weights, positions, spots, tied, context)
    low = mean = high = np.empty(0)
    if len(distances):  # else no two spots are tied
        if not is_proper:
            curves = curves / np.nanmean(curves[:, 0])
        mean = np.nanmean(curves, axis=0)
        low, high = np.nanquantile(curves, MIDDLE, axis=0)
    half, tenth = (
        _falls_to(level, distances, mean) if is_proper else math.inf for level in (0.5, 0.1)
    )
    return PriorReach(
        process,
        rho,
        is_proper,
        distances,
        mean,
        low,
        high,
        half,
        tenth,
        len(spots),
        unit,
        residual,
    )


def _covariances(
    weights: csr_array,
    process: Process,
    rho: float,
    spots: NDArray[np.integer],
    context: Context,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Covariance of all spots with some (n x m), variances of all, and the residual."""
    if process == "sma":
        average = MovingAverage(weights, rho, cancelled=context.cancelled)
        covariance = average.covariance()
        return covariance[spots].toarray().T, covariance.diagonal(), 0.0
    matrix = precision(weights, process, rho, check=False)
    return _inverse(matrix, spots, context)


def _inverse(
    matrix: csr_array, spots: NDArray[np.integer], context: Context
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Columns of the inverse of a precision (n x m), its diagonal, and the residual."""
    factor = SparseFactor.prepare(matrix, cancelled=context.cancelled)
    variances = inverse_diagonals(factor, [0.0], cancelled=context.cancelled)[:, 0]
    found = factor.factorise(cancelled=context.cancelled)
    assert found is not None  # a singular one has no diagonal of the inverse either
    unit = np.zeros((matrix.shape[0], len(spots)))
    unit[spots, np.arange(len(spots))] = 1.0
    columns, residual = found.solve(unit, cancelled=context.cancelled)
    return columns, variances, residual


def _differences(
    weights: csr_array, process: Process, spots: NDArray[np.integer], context: Context
) -> tuple[NDArray[np.float64], float]:
    """Half the variance of differences of all spots to some (n x m); NaN where they have none.

    Adding a constant to a piece of the graph changes nothing in an intrinsic prior, so that one of
    its spots can be held at 0: differences are distributed as before, and have a covariance.
    """
    pieces = graph_summary(weights).components
    alone = np.bincount(pieces)[pieces] == 1
    held = np.zeros(len(pieces), dtype=bool)
    held[np.unique(pieces, return_index=True)[1]] = True
    held &= ~alone
    matrix = precision(weights, process, 1.0, check=False)
    rows = rows_of(matrix)
    free = ~(held[rows] | held[matrix.indices])
    own = (rows == matrix.indices) & held[rows]
    matrix = csr_array(
        (np.where(own, 1.0, matrix.data * free), matrix.indices, matrix.indptr),
        shape=matrix.shape,
    )
    columns, variances, residual = _inverse(matrix, spots, context)
    columns[held], variances[held] = 0.0, 0.0
    columns[:, held[spots]] = 0.0
    tied = 0.5 * (variances[:, None] + variances[spots]) - columns
    apart = (pieces[:, None] != pieces[spots]) | alone[:, None]
    tied[apart] = np.nan
    return tied, residual


def _curves(
    weights: csr_array,
    positions: NDArray[np.float64],
    spots: NDArray[np.integer],
    tied: NDArray[np.float64],
    context: Context,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean distances (m), and how each spot is tied to those that far away (spots x m).

    Steps are centred on multiples of the length of an edge, so that rings of a lattice stay whole.
    """
    rows = rows_of(weights)
    lengths = np.linalg.norm(positions[rows] - positions[weights.indices], axis=1)
    extent = float(np.linalg.norm(np.ptp(positions, axis=0)))
    typical = float(np.median(lengths)) if len(lengths) else 0.0
    step = max(typical, extent / MOST_STEPS) or 1.0
    size = int(extent / step) + 2
    total, number, far = (np.zeros((len(spots), size)) for _ in range(3))
    for place, spot in enumerate(spots):
        context.look_up()
        apart = np.linalg.norm(positions - positions[spot], axis=1)
        known = np.isfinite(tied[:, place])
        known[spot] = False
        at = np.rint(apart[known] / step).astype(np.int64)
        number[place] = np.bincount(at, minlength=size)
        total[place] = np.bincount(at, tied[known, place], minlength=size)
        far[place] = np.bincount(at, apart[known], minlength=size)
    there = number.sum(axis=0) > 0
    distances = far.sum(axis=0)[there] / number.sum(axis=0)[there]
    counted = np.where(number > 0, number, np.nan)[:, there]
    return distances, total[:, there] / counted


def _falls_to(level: float, distances: NDArray[np.float64], mean: NDArray[np.float64]) -> float:
    """Distance at which a correlation that is 1 at distance 0 first falls to a level, or NaN."""
    x, y = np.concatenate([[0.0], distances]), np.concatenate([[1.0], mean])
    below = np.flatnonzero(y <= level)
    if not below.size:
        return math.nan
    at = int(below[0])
    share = (y[at - 1] - level) / (y[at - 1] - y[at])
    return float(x[at - 1] + share * (x[at] - x[at - 1]))
