"""What the data cannot tell: standard deviation of every abundance, and what every spot leaves.

Seen as a Gaussian field, the abundances have given the data the precision
``(I x A + weight Q x I) / noise variance`` (Rue and Held 2005, Gaussian Markov Random Fields,
section 2.3). In the eigenbasis of A, with eigenvalues d_k, it comes apart into the n x n matrices
``d_k I + weight Q``, and the diagonals of their inverses hold every variance. What is noisier or
rougher than that passes through the same solve (`AbundanceCovariance`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.abundance_covariance import AbundanceCovariance, SolveDiagonals
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.noise_model import NoiseModel
    from napari_smoother.models.deconv.preparation import PreparedDeconvolution

ASSUMPTIONS = (
    "Abundances are taken as a Gaussian field with the given precision, at least as rough as the "
    "fit shows them to be, and the residuals of the section for the noise of genes and spots. "
    "What the reference's cells tell is counted in: errors of the signature, genes that vary "
    "together, and, where proportions are shares of cells, how unequal the cells of a spot are; "
    "from a table, none of these is known. Types that the reference lacks, and cells that differ "
    "from it, are not. That abundances cannot be negative is ignored: entries at zero are "
    "flagged, and an interval may be cut there. Proportions follow to first order."
)

ENTRIES_AT_ONCE = 2**20
"""Entries of the small matrices that are held together."""


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
    roughness
        Variance of the abundances over what the prior takes it for, no less than 1. More where
        the prior smooths away what is there.
    """

    deviation: NDArray[np.float64]
    proportion_deviation: NDArray[np.float64]
    noise_variance: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.float64]
    at_bound: NDArray[np.bool_]
    assumptions: str = ASSUMPTIONS
    roughness: float = 1.0


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
    one noise variance s, the covariance of the abundances of spot i is ``s V diag(h_i) V'`` if
    A is the Gram matrix, weights are one over the noise, the weight is right and the signature
    exact. Where they are not, `AbundanceCovariance` says what is added.

    The noise variance is the residual sum of squares over what the fit has left free to vary:
    the number of genes, less 1 for an intercept, less ``sum_k d_k h_ik``. That of a spot is
    drawn towards that of all as far as chance alone would scatter it.

    Cells of one type hold unequal amounts of RNA. If their squared coefficient of variation is v,
    the RNA of a share p of the N cells of a spot varies by ``p v / N``, which its share of cells
    then is off by; the mean over the m cells of the reference adds ``p^2 v / m``.

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
    solved = SolveDiagonals.find(q, data.eigenvalues, float(weight), cancelled=cancelled)
    decided = solved.once @ data.eigenvalues
    free = _free_genes(prepared, decided)
    residual = prepared.residual_squares(values)[used]
    noise, common = residual / free, float(residual.sum() / free.sum())
    covariance = AbundanceCovariance.prepare(
        prepared, data, q, float(weight), values[used], common, solved
    )
    steadied = _steadied(noise, common, free)

    shape = (prepared.n_spots, prepared.n_types)
    deviation, share_deviation = np.full(shape, np.nan), np.full(shape, np.nan)
    step = max(1, ENTRIES_AT_ONCE // prepared.n_types**2)
    for first in range(0, used.size, step):
        these = slice(first, first + step)
        spots = used[these]
        found = covariance.of_spots(solved.of_spots(these), steadied[these], values[spots])
        variance = found @ covariance.form(data.basis, data.basis)
        deviation[spots] = np.sqrt(np.maximum(variance, 0))
        share_deviation[spots] = _of_shares(
            prepared, values[spots], covariance, found, cell_totals
        )
    return PosteriorDeviation(
        deviation=deviation,
        proportion_deviation=share_deviation,
        noise_variance=_everywhere(noise, used, prepared.n_spots),
        degrees_of_freedom=_everywhere(decided, used, prepared.n_spots),
        at_bound=values <= 0,
        roughness=covariance.roughness,
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


def _steadied(
    noise: NDArray[np.float64], common: float, free: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Noise of spots, drawn towards the common one (James and Stein 1961).

    Of a variance that is known from f free genes, ``2 / f`` of its square is chance.
    """
    scatter = float(((noise - common) ** 2).mean())
    chance = float((2 * noise**2 / free).mean())
    kept = max(0.0, 1 - chance / scatter) if scatter > 0 else 0.0
    return common + kept * (noise - common)


def _of_shares(
    prepared: PreparedDeconvolution,
    values: NDArray[np.float64],
    covariance: AbundanceCovariance,
    found: NDArray[np.float64],
    cell_totals: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    """Deviation of shares; the derivative of share k by abundance j is (1[k = j] - p_k) / total.

    `found` are the covariances of the same spots.
    """
    basis = covariance.basis
    cells = np.ones(len(basis)) if cell_totals is None else np.asarray(cell_totals, np.float64)
    counted = np.maximum(values, 0) / cells
    shares = proportions(counted)
    total = counted.sum(axis=1, keepdims=True)
    basis = basis / cells[:, None]
    together = basis.sum(axis=0, keepdims=True)
    own = found @ covariance.form(basis, basis)
    mixed = found @ covariance.form(basis, together)
    whole = found @ covariance.form(together, together)
    if cell_totals is not None and prepared.noise_model is not None:
        unequal = _of_contents(prepared.noise_model, shares) * total**2
        own, mixed = own + unequal, mixed + unequal
        whole = whole + unequal.sum(axis=1, keepdims=True)
    variance = own - 2 * shares * mixed + shares**2 * whole
    result: NDArray[np.float64] = np.divide(
        np.sqrt(np.maximum(variance, 0)),
        total,
        out=np.full(values.shape, np.nan),
        where=total > 0,
    )
    return result


def _of_contents(model: NoiseModel, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of shares of RNA, each over the mean content of a cell, for given cells.

    N unequal cells count as ``N / (1 + v)`` equal ones, which is what the noise model has found.
    """
    variation = model.spread.total_variation
    chosen = variation / (1 + variation) / model.cells_per_spot
    of_means = variation / model.spread.cells_per_type
    variance: NDArray[np.float64] = shares * chosen + shares**2 * of_means
    return variance


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
