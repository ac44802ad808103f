"""What the data cannot tell: standard deviation of every abundance, and what every spot leaves.

Seen as a Gaussian field, the abundances have given the data the precision
``(I x A + weight Q x I) / noise variance`` (Rue and Held 2005, Gaussian Markov Random Fields,
section 2.3). In the eigenbasis of A, with eigenvalues d_k, it comes apart into the n x n matrices
``d_k I + weight Q``, and the diagonals of their inverses hold every variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic
from napari_smoother.solvers.selected_inverse import inverse_diagonals
from napari_smoother.solvers.sparse_factor import SparseFactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.preparation import PreparedDeconvolution

ASSUMPTIONS = (
    "The signature is taken as exact and the noise as Gaussian, independent between genes, with "
    "a variance inverse to the gene weight and estimated at every spot from what the fit leaves. "
    "Abundances are taken as a Gaussian field with the given precision and weight. That they "
    "cannot be negative is ignored: entries at zero are flagged, and an interval may be cut "
    "there. Proportions follow to first order."
)


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorDeviation:
    """How far the abundances may be off, if the model holds.

    Parameters
    ----------
    deviation
        n x K, float64: standard deviation of every abundance; NaN for spots without counts.
    proportion_deviation
        n x K: that of every proportion, by the delta method; NaN where nothing was found.
    noise_variance
        n: estimated noise variance of a gene of weight 1; NaN for spots without counts.
    degrees_of_freedom
        n: how many of a spot's K abundances the data themselves decide.
    at_bound
        n x K, bool: abundances that are zero, where the Gaussian is wrong on one side.
    assumptions
        What all of this takes for granted.
    """

    deviation: NDArray[np.float64]
    proportion_deviation: NDArray[np.float64]
    noise_variance: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.float64]
    at_bound: NDArray[np.bool_]
    assumptions: str = ASSUMPTIONS


def posterior_deviation(
    prepared: PreparedDeconvolution,
    precision: Any,
    weight: float,
    abundance: NDArray[np.floating] | None = None,
    *,
    cell_totals: NDArray[np.floating] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> PosteriorDeviation:
    """Find the posterior standard deviation of every abundance, exactly.

    With h_ik the i-th diagonal entry of ``(d_k I + weight Q)^-1``, V the eigenvectors of A and
    one noise variance s, the covariance of the abundances of spot i is ``s V diag(h_i) V'``. The
    noise variance is the residual sum of squares over what the fit has left free to vary: the
    number of genes, less 1 for an intercept, less ``sum_k d_k h_ik``; that is unbiased under the
    model. The weight is taken as right for the noise of all spots together. What a spot's own
    noise adds is ``s_i d_k h_ik^2`` of ``s h_ik``, so where it is louder or quieter than the
    rest, ``(s_i - s) d_k h_ik^2`` is added; its neighbours count with the noise of all.

    Parameters
    ----------
    prepared
        From `prepare_deconvolution`.
    precision
        Q, sparse, for the m spots that have counts: m x m.
    weight
        Of the prior, in the solver's units: see `lambda_to_weight`.
    abundance
        n x K: the fit whose residuals tell the noise. None finds the non-negative one.
    cell_totals
        As in `proportions`: given, proportions are shares of cells.
    cancelled
        Asked some ten times a second.

    Returns
    -------
    PosteriorDeviation

    Raises
    ------
    InputError
        If precision or abundances belong to other spots, data and prior together leave a
        direction undecided, or there are too few genes to tell the noise.
    Cancelled
        If ``cancelled`` returned True.
    """
    used = np.flatnonzero(~prepared.empty)
    q = sparse.csr_array(precision, dtype=np.float64)
    if q.shape != (used.size, used.size):
        raise InputError(
            f"The precision has the shape {q.shape} for {used.size} spots with counts",
            where="posterior deviation",
            remedy="Leave spots without counts out of the graph",
        )
    data = DataTerm.prepare(prepared.gram, prepared.linear[used])
    if abundance is None:
        prior = PriorTerm.prepare(q)
        values = np.zeros((prepared.n_spots, prepared.n_types))
        values[used] = solve_bounded_quadratic(data, prior, weight, cancelled=cancelled).values
    else:
        values = np.asarray(abundance, dtype=np.float64)
        _check_abundance(values, prepared)
    spread = inverse_diagonals(
        SparseFactor.prepare(q, cancelled=cancelled),
        data.eigenvalues,
        float(weight),
        cancelled=cancelled,
    )
    decided = spread @ data.eigenvalues
    free = _free_genes(prepared, decided)
    residual = prepared.residual_squares(values)[used]
    noise, common = residual / free, residual.sum() / free.sum()
    spread = common * spread + (noise - common)[:, None] * data.eigenvalues * spread**2

    shape = (prepared.n_spots, prepared.n_types)
    deviation, share_deviation = np.full(shape, np.nan), np.full(shape, np.nan)
    deviation[used] = np.sqrt(spread @ (data.basis**2).T)
    share_deviation[used] = _of_shares(values[used], spread, data.basis, cell_totals)
    return PosteriorDeviation(
        deviation=deviation,
        proportion_deviation=share_deviation,
        noise_variance=_everywhere(noise, used, prepared.n_spots),
        degrees_of_freedom=_everywhere(decided, used, prepared.n_spots),
        at_bound=values <= 0,
    )


def residual_of(
    prepared: PreparedDeconvolution, abundance: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Share of every spot's expression that the mixture leaves unexplained.

    Parameters
    ----------
    prepared
        From `prepare_deconvolution`.
    abundance
        n x K.

    Returns
    -------
    numpy.ndarray
        n, float64: root of the weighted residual sum of squares over that of the spot's
        (centred) expression. 0 is a perfect fit, 1 no better than nothing; NaN for spots
        without any.

    Raises
    ------
    InputError
        If there are other spots or types.
    """
    values = np.asarray(abundance, dtype=np.float64)
    _check_abundance(values, prepared)
    known = ~prepared.empty & (prepared.spot_norm > 0)
    result = np.full(prepared.n_spots, np.nan)
    result[known] = np.sqrt(prepared.residual_squares(values)[known] / prepared.spot_norm[known])
    return result


def _free_genes(
    prepared: PreparedDeconvolution, decided: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How many genes of every spot are left to tell its noise."""
    n_genes = int((prepared.gene_weights > 0).sum()) - int(prepared.intercept)
    left: NDArray[np.float64] = n_genes - decided
    if not (left > 1e-6 * n_genes).all():
        raise InputError(
            f"{n_genes} free genes cannot tell noise from {prepared.n_types} abundances a spot",
            where="posterior deviation",
            remedy="Use more genes, or a stronger prior",
        )
    return left


def _of_shares(
    values: NDArray[np.float64],
    spread: NDArray[np.float64],
    basis: NDArray[np.float64],
    cell_totals: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    """Deviation of shares, from the variances along the eigenvectors (`spread`).

    The derivative of share k by abundance j is ``(1[k = j] - p_k) / total``.
    """
    if cell_totals is not None:
        values, basis = values / cell_totals, basis / np.asarray(cell_totals)[:, None]
    shares = proportions(values)
    total = np.maximum(values, 0).sum(axis=1)
    found = total > 0
    together = basis.sum(axis=0)
    mixed = spread @ (basis * together).T
    variance = (
        spread @ (basis**2).T - 2 * shares * mixed + shares**2 * (spread @ together**2)[:, None]
    )
    result = np.full(values.shape, np.nan)
    result[found] = np.sqrt(np.maximum(variance[found], 0)) / total[found, None]
    return result


def _everywhere(
    values: NDArray[np.float64], used: NDArray[np.int64], n_spots: int
) -> NDArray[np.float64]:
    result = np.full(n_spots, np.nan)
    result[used] = values
    return result


def _check_abundance(values: NDArray[np.float64], prepared: PreparedDeconvolution) -> None:
    if values.shape != (prepared.n_spots, prepared.n_types):
        raise InputError(
            f"The abundances have the shape {values.shape} for {prepared.n_spots} spots and "
            f"{prepared.n_types} types",
            where="abundance",
            remedy="Give one row a spot and one column a type",
        )
