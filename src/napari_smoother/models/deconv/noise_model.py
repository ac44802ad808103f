r"""What the cells of a reference and the spots of a section say about signature and noise.

A spot holds a few cells, and cells of one type differ. With m the mean of a gene over the spots
and b its variance between cells of one type beyond what counting explains, the variance of the
gene at a spot is taken as

.. math:: d_g = c\,m_g + b_g / N + \kappa m_g^2

c being known from the depth of the spots; N, the cells that a spot is worth, and kappa, what
types cannot explain, are found from the residuals of a first fit. Generalised least squares
(Aitken 1935, Proc. R. Soc. Edinb. 55) then weighs every gene by ``1 / d_g``.

The signature is a mean over few cells, seen on another platform. Three steps make the best of it:
factors on the genes, shrunk by how well each is known (empirical Bayes: Efron and Morris 1973,
J. Am. Stat. Assoc. 68); one update towards the section, which the means of the reference hold by
their standard errors; and what is left of these errors is taken out of the Gram matrix, which they
inflate (errors in variables: Fuller 1987, Measurement Error Models, chapter 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from scipy.optimize import nnls

from napari_smoother.models.deconv.expression import DAMPING, squares
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.cell_spread import CellSpread

NOISE_FLOOR = 0.01
"""Share of the mean noise over genes that is added to every gene's."""

OUTLIER = 5.0
"""Residual variances above so many times the model count as that many times."""

TRUST_IN_SECTION = 0.2
"""Share of its spots that the section counts with where it updates the signature: residuals of
spots and genes are not independent. `docs/accuracy.md` shows how little the value matters."""

MOST_REMOVED = 0.8
"""Of the Gram matrix, in any direction, the error of the signature takes away no more."""

ROUNDING = 1e-12
"""Share of its size that is added to a Gram matrix, which may be singular."""

GENES_AT_ONCE = 2**22
"""Entries of the small matrices that the update inverts together."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseModel:
    """Signature and noise as section and reference together tell them.

    Parameters
    ----------
    signature
        G x K, float64, not negative: in the units of the reference, on the section's platform.
    signature_variance
        G x K: squared standard error that is left of it.
    noise
        G, positive: variance of the expression of a spot around the mixture.
    cells_per_spot
        N: how many independent cells a spot is worth; infinite where spots vary no more than
        counting and platform explain.
    unexplained
        kappa: squared coefficient of variation that types and cells do not explain.
    gene_factors
        G: what the section's platform makes of each gene, in the mean 1.
    residuals
        G: mean squared residual of every gene in the last fit, to some spots and without a prior.
    spread
        How cells of one type differ, on the section's platform.
    """

    signature: NDArray[np.float64]
    signature_variance: NDArray[np.float64]
    noise: NDArray[np.float64]
    cells_per_spot: float
    unexplained: float
    gene_factors: NDArray[np.float64]
    residuals: NDArray[np.float64]
    spread: CellSpread


def fit_noise_model(
    expression: Any,
    counting: float,
    signature: NDArray[np.float64],
    spread: CellSpread,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> NoiseModel:
    """Find noise and signature from some spots of a section.

    Parameters
    ----------
    expression
        m x G, sparse: spots brought to the total of the signature.
    counting
        Mean over these spots of that total over the spot's own.
    signature
        G x K: mean counts of the reference.
    spread
        Of the same genes.
    cancelled
        Asked in every step.

    Returns
    -------
    NoiseModel

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    mean = np.asarray(expression.mean(axis=0)).ravel()
    smallest = 1e-9 * max(float(mean.mean()), 1e-300)

    weights = 1 / (mean + DAMPING * mean.mean() + smallest)
    fit = _Mixture.fit(expression, signature, weights, None, cancelled)
    biology = spread.biological(signature)
    cells, unexplained = _components(fit.variances, counting * mean, biology, mean**2, smallest)
    noise = counting * mean + cells * biology + unexplained * mean**2
    noise = noise + NOISE_FLOOR * noise.mean() + smallest

    errors = spread.of_means(signature)
    factors, confirmed = _gene_factors(
        mean, counting / expression.shape[0], signature, errors, noise
    )
    signature, errors = signature * factors[:, None], errors * confirmed * factors[:, None] ** 2
    fit = _Mixture.fit(expression, signature, 1 / noise, errors, cancelled)
    # Without the platform, cells are better told from what nothing explains.
    cells, unexplained = _components(
        fit.variances, counting * mean, biology * factors**2, mean**2, smallest
    )
    signature, errors = _updated(fit, signature, errors, smallest)
    return NoiseModel(
        signature=signature,
        signature_variance=errors,
        noise=noise,
        cells_per_spot=float(1 / cells) if cells > 0 else float("inf"),
        unexplained=unexplained,
        gene_factors=factors,
        residuals=fit.variances,
        spread=spread.times(factors),
    )


def signature_error(
    gram: NDArray[np.float64],
    weights: NDArray[np.float64],
    signature_variance: NDArray[np.float64],
    *,
    intercept: bool,
) -> NDArray[np.float64]:
    """Return what errors of the signature add to the diagonal of its Gram matrix.

    Errors of different types are independent, so they add ``sum_g w_g v_gk`` to entry k. Where
    that is most of the matrix in some direction, only a common share of it is returned.

    Parameters
    ----------
    gram
        K x K.
    weights
        G.
    signature_variance
        G x K.
    intercept
        Whether the weighted mean over genes was taken from the signature.

    Returns
    -------
    numpy.ndarray
        K, not negative: the Gram matrix less this diagonal stays positive, to rounding.
    """
    total = weights.sum()
    counted = weights * (1 - weights / total) if intercept and total > 0 else weights
    added: NDArray[np.float64] = counted @ signature_variance
    if not added.any():
        return added
    steadied = gram + ROUNDING * (np.trace(gram) + added.sum()) * np.eye(len(gram))
    share = float(eigh(np.diag(added), steadied, eigvals_only=True)[-1])
    removed: NDArray[np.float64] = added * min(1.0, MOST_REMOVED / share)
    return removed


def squared_residuals(
    expression: Any, signature: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean squared residual of every gene, by weighted least squares without prior or bound.

    Parameters
    ----------
    expression
        m x G, sparse, on the scale of the signature.
    signature
        G x K.
    weights
        G, not negative.

    Returns
    -------
    numpy.ndarray
        G, not negative.
    """
    centred = signature - (weights @ signature) / weights.sum()
    weighted = weights[:, None] * centred
    abundance = expression @ weighted @ np.linalg.pinv(weighted.T @ centred, hermitian=True)
    return _residuals(expression, signature, weights, abundance)[2]


@dataclass(frozen=True, slots=True, eq=False)
class _Mixture:
    """Some spots as mixtures of a signature, without a prior.

    Parameters
    ----------
    abundance
        m x K.
    products
        G x K: expression less constants, times abundance.
    variances
        G: mean squared residual.
    """

    abundance: NDArray[np.float64]
    products: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        expression: Any,
        signature: NDArray[np.float64],
        weights: NDArray[np.float64],
        errors: NDArray[np.float64] | None,
        cancelled: Callable[[], bool] | None,
    ) -> _Mixture:
        n_types = signature.shape[1]
        centred = signature - (weights @ signature) / weights.sum()
        weighted = weights[:, None] * centred
        gram = weighted.T @ centred
        if errors is not None:
            gram = gram - np.diag(signature_error(gram, weights, errors, intercept=True))
        # Where every gene has one mean in all types, nothing is left once constants are gone.
        gram = gram + ROUNDING * float(weights @ (signature**2).sum(axis=1)) * np.eye(n_types)
        # The solver's tolerances are relative; the scale only keeps its numbers near 1.
        scale = n_types / np.trace(gram)
        linear = np.ascontiguousarray(expression @ weighted)
        alone = PriorTerm.prepare(sparse.csr_array((len(linear),) * 2))
        data = DataTerm.prepare(gram * scale, linear * scale)
        found = solve_bounded_quadratic(data, alone, 0.0, tolerance=1e-6, cancelled=cancelled)
        abundance = np.asarray(found.values, dtype=np.float64)
        constants, products, variances = _residuals(expression, signature, weights, abundance)
        return cls(
            abundance=abundance,
            products=products - constants @ abundance,
            variances=variances,
        )


def _residuals(
    expression: Any,
    signature: NDArray[np.float64],
    weights: NDArray[np.float64],
    abundance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Constants of the spots, expression times abundance, and mean squared residual of genes."""
    left = expression @ weights - abundance @ (signature.T @ weights)
    constants = left / weights.sum()
    together = np.column_stack([abundance, constants])
    products = np.asarray(expression.T @ together)
    extended = np.column_stack([signature, np.ones(len(signature))])
    squared = np.asarray(squares(expression).sum(axis=0)).ravel()
    squared = squared - 2 * np.einsum("gk,gk->g", products, extended)
    squared += np.einsum("gk,kl,gl->g", extended, together.T @ together, extended)
    return constants, products[:, :-1], np.maximum(squared, 0) / expression.shape[0]


def _components(
    found: NDArray[np.float64],
    counted: NDArray[np.float64],
    biology: NDArray[np.float64],
    unexplained: NDArray[np.float64],
    smallest: float,
) -> tuple[float, float]:
    """Shares of biology and of what is unexplained in the variances that were found.

    Least squares on ratios, for variances are known to a factor; the second round takes them
    relative to the first.
    """
    terms = np.column_stack([biology, unexplained])
    expected = counted + DAMPING * terms.sum(axis=1) + smallest
    shares, _ = nnls(terms / expected[:, None], np.maximum(found - counted, 0) / expected)
    expected = counted + terms @ shares + smallest
    beyond = np.clip(found - counted, 0, OUTLIER * expected)
    shares, _ = nnls(terms / expected[:, None], beyond / expected)
    return float(shares[0]), float(shares[1])


def _gene_factors(
    mean: NDArray[np.float64],
    counting: float,
    signature: NDArray[np.float64],
    errors: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Mean expression of the section over that of the mixture, shrunk by how well it is known.

    Beside it, how much of the squared standard errors of the signature the section confirms, at
    most 1: the mixture must miss the section's mean by as much. It does not where the cells of
    the reference are the section's own, and then the signature has no error here.
    """
    root = 1 / np.sqrt(noise)
    shares, _ = nnls(signature * root[:, None], mean * root)
    mixture = signature @ shares
    if not mixture.any():
        return np.ones(len(mean)), 1.0
    damped = mixture + DAMPING * mixture.mean()
    ratio = np.log((mean + DAMPING * mean.mean()) / damped)
    sampled, counted = (errors @ shares**2) / damped**2, counting * mean / damped**2
    variance = sampled + counted
    # Genes that are hardly there would all say that nothing differs.
    known = (mixture / damped) / (variance + DAMPING)
    ratio = ratio - np.average(ratio, weights=known)
    between = max(float(np.average(ratio**2 - variance, weights=known)), 0.0)
    factors = np.exp(ratio * between / (between + variance + 1e-300))
    claimed = float(np.average(sampled, weights=known))
    seen = float(np.average(ratio**2 - counted, weights=known))
    # The shares were fitted to the mean, and took as many of its misses with them.
    n_shares = int(np.count_nonzero(shares))
    seen *= len(mean) / max(len(mean) - n_shares, 1)
    confirmed = min(max(seen / claimed, 0.0), 1.0) if claimed > 0 else 1.0
    shrunk: NDArray[np.float64] = factors / np.average(factors, weights=mixture)
    return shrunk, confirmed


def _updated(
    fit: _Mixture,
    signature: NDArray[np.float64],
    errors: NDArray[np.float64],
    smallest: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posterior mean and variance of the signature, every gene a regression on the abundances.

    Once: further rounds drift, each taking the errors of the last for data.
    """
    n_genes, n_types = signature.shape
    held = 1 / (errors + smallest**2)
    moments = TRUST_IN_SECTION * (fit.abundance.T @ fit.abundance)
    precision = 1 / (fit.variances + smallest)
    mean, variance = np.empty_like(signature), np.empty_like(signature)
    step = max(1, GENES_AT_ONCE // n_types**2)
    diagonal = np.arange(n_types)
    for first in range(0, n_genes, step):
        these = slice(first, first + step)
        system = precision[these, None, None] * moments
        system[:, diagonal, diagonal] += held[these]
        inverse = np.linalg.inv(system)
        told = TRUST_IN_SECTION * precision[these, None] * fit.products[these]
        mean[these] = np.einsum("gkl,gl->gk", inverse, told + held[these] * signature[these])
        variance[these] = inverse[:, diagonal, diagonal]
    return np.maximum(mean, 0), np.maximum(variance, 0)
