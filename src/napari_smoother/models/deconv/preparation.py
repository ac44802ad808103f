"""Turn counts and a reference into the small matrices the deconvolution is solved with.

A spot's expression is modelled as a mixture of signatures, ``y_i = X b_i + g_i 1 + noise``. Least
squares needs the genes only through the Gram matrix ``A = X'WX`` and the products ``C = YWX``, so
both are made once for a data set and every later solve is independent of the number of genes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import sparse

from napari_smoother.counts.rows import csr_chunks, rows_of
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv.expression import (
    DataScale,
    GeneWeights,
    check_choice,
    damped_weights,
    gene_moments,
    given_weights,
    normalise_counts,
    sampled_spots,
    squares,
)
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.models.deconv.noise_model import (
    fit_noise_model,
    signature_error,
    squared_residuals,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.deconv.noise_model import NoiseModel
    from napari_smoother.models.deconv.reference import Reference

__all__ = [
    "DEFAULT_GENE_WEIGHTS",
    "DEFAULT_INTERCEPT",
    "DEFAULT_LAMBDA",
    "DEFAULT_SCALE",
    "DataScale",
    "GeneWeights",
    "PreparedDeconvolution",
    "lambda_to_weight",
    "normalise_counts",
    "prepare_deconvolution",
    "reduce_genes",
]

# docs/accuracy.md holds the evidence, benchmarks/accuracy.py makes it.
DEFAULT_SCALE: DataScale = "counts"
DEFAULT_GENE_WEIGHTS: GeneWeights = "within_type"
DEFAULT_INTERCEPT = True
DEFAULT_LAMBDA = 0.2

SPOTS_PER_PIECE = 32_768


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDeconvolution:
    """A deconvolution problem without its genes.

    The data term of abundances B (n x K) is ``1/2 tr(B A B') - <C, B> + data_norm / 2``, half the
    weighted sum of squares that is left.

    Parameters
    ----------
    gram
        A, K x K, float64, less `signature_error`.
    linear
        C, n x K, float64; zero for spots without counts.
    types
        The K cell types.
    genes
        The G shared genes, as the section spells them.
    intercept
        Whether every spot has a free constant, eliminated here.
    gene_weights
        G, float64: the weights that were used, after normalisation.
    spot_norm
        n, float64: weighted sum of squares of each spot's (centred) expression.
    empty
        n, bool: spots without a single count in the shared genes. They say nothing.
    spot_total
        The total every spot was brought to before the logarithm.
    signature
        G x K, float64: what the spots were fitted with, not centred.
    signature_error
        K, float64: what errors of the signature were found to add to the diagonal of A.
    noise_model
        What section and cells tell of noise and signature; None where it was not asked for, or
        the reference has no cells.
    gene_residuals
        G: mean squared residual of every gene, from some spots without a prior; None where the
        weights are taken for one over the noise.
    """

    gram: NDArray[np.float64]
    linear: NDArray[np.float64]
    types: tuple[str, ...]
    genes: pd.Index[str]
    intercept: bool
    gene_weights: NDArray[np.float64]
    spot_norm: NDArray[np.float64]
    empty: NDArray[np.bool_]
    spot_total: float
    signature: NDArray[np.float64]
    signature_error: NDArray[np.float64]
    noise_model: NoiseModel | None = None
    gene_residuals: NDArray[np.float64] | None = None

    @property
    def n_genes(self) -> int:
        """Number of shared genes, G."""
        return len(self.genes)

    @property
    def n_types(self) -> int:
        """Number of cell types, K."""
        return len(self.types)

    @property
    def n_spots(self) -> int:
        """Number of spots, n."""
        return len(self.spot_norm)

    @property
    def data_norm(self) -> float:
        """Weighted sum of squares of the (centred) data: what is left when B is zero."""
        return float(self.spot_norm.sum())

    def residual_squares(self, abundance: NDArray[np.floating]) -> NDArray[np.float64]:
        """Weighted sum of squares that the abundances leave at every spot.

        Parameters
        ----------
        abundance
            n x K.

        Returns
        -------
        numpy.ndarray
            n, float64, not negative.
        """
        values = np.asarray(abundance, dtype=np.float64)
        whole = self.gram + np.diag(self.signature_error)
        left = self.spot_norm - np.einsum("ik,ik->i", values, 2 * self.linear - values @ whole)
        bounded: NDArray[np.float64] = np.maximum(left, 0)
        return bounded


def prepare_deconvolution(
    counts: Any,
    section_var: pd.DataFrame | pd.Index[str],
    reference: Reference,
    *,
    scale: DataScale,
    gene_weights: GeneWeights | ArrayLike,
    intercept: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> PreparedDeconvolution:
    r"""Reduce counts and a reference to the matrices of the least-squares problem.

    Every spot is brought to one total over the shared genes: the total that the reference's types
    have over these genes when each has ten thousand counts over all its genes. Section and
    signature are then on one scale however many genes they share, and abundances add up to about
    one.

    Weights are normalised so that the mean diagonal of the Gram matrix (before centring) is that
    of the unweighted ``log1p`` problem on the same genes. A lambda therefore asks for about the
    same smoothness at every scale and with every weighting; on ``log1p`` without weights it is
    exactly the lambda of the published method.

    Parameters
    ----------
    counts
        n x section genes, raw counts: CSR, any other sparse format, or dense.
    section_var
        ``var`` of the section, or only its gene names, in the order of the columns.
    reference
        Mean expression of every cell type.
    scale
        ``"counts"``: normalised counts against the reference's mean counts; ``"log1p"``: log1p
        of both.
    gene_weights
        ``"within_type"``: one over the gene's noise at a spot, as counting, the spread of the
        reference's cells within their type and the section's own residuals tell it, with a
        signature that is adjusted to the section (`fit_noise_model`); for counts and a reference
        of counted cells, elsewhere it is ``"inverse_mean"``. ``"none"``. ``"inverse_mean"``: one
        over the gene's mean over the spots; ``"inverse_variance"``: one over its variance; both
        on the chosen scale and damped by five per cent of their mean over genes. Or one weight
        for every gene of the section.
    intercept
        Whether every spot has a free constant.
    cancelled
        Asked at every block of spots.

    Returns
    -------
    PreparedDeconvolution

    Raises
    ------
    InputError
        If a count is negative or not finite, too few genes are shared, or weights are unusable.
    Cancelled
        If ``cancelled`` returned True.
    """
    check_choice(scale, gene_weights)
    if counts.shape[0] == 0:
        raise InputError(
            "There are no spots", where="counts of the section", remedy="Open another section"
        )
    matrix = _as_csr(counts)
    n_columns = len(section_var)
    if matrix.shape[1] != n_columns:
        raise InputError(
            f"The counts have {matrix.shape[1]} columns for {n_columns} gene names",
            where="counts of the section",
            remedy="Give counts as spots x genes",
        )
    match = match_genes(section_var, reference)
    mean_counts = reference.mean_counts[match.reference_index]
    mean_log = reference.mean_log[match.reference_index]
    total = float(mean_counts.sum(axis=0).mean())
    pieces = _Pieces(matrix, match.section_index, scale, total, cancelled)

    signature = mean_counts if scale == "counts" else mean_log
    noise_model, spread = None, reference.spread_for(gene_weights, scale)
    if isinstance(gene_weights, str):
        named = cast("GeneWeights", gene_weights)
        weights = np.ones(match.n_shared)
        if spread is not None:
            spots, counting = pieces.sample()
            if spots.shape[0] > 0 and signature.any():
                noise_model = fit_noise_model(
                    spots,
                    counting,
                    signature,
                    spread.of_genes(match.reference_index),
                    cancelled=cancelled,
                )
                signature, weights = noise_model.signature, 1 / noise_model.noise
        elif named != "none":
            weights = damped_weights(*gene_moments(pieces), named)
    else:
        weights = given_weights(gene_weights, n_columns)[match.section_index]
    energy = float((weights[:, None] * signature**2).sum())
    if energy == 0:
        raise InputError(
            "No shared gene with a weight is expressed by any cell type",
            where=reference.name,
            remedy="Use a reference of the same tissue, or other gene weights",
        )
    weights = weights * (float((mean_log**2).sum()) / energy)

    linear = np.empty((matrix.shape[0], reference.n_types))
    spot_norm, empty = np.empty(matrix.shape[0]), np.empty(matrix.shape[0], dtype=np.bool_)
    done = 0
    for piece in pieces:
        rows = slice(done, done + piece.shape[0])
        gram, linear[rows], spot_norm[rows] = reduce_genes(
            piece, signature, weights, intercept=intercept
        )
        empty[rows] = np.asarray(piece.sum(axis=1)).ravel() == 0
        done = rows.stop
    error = np.zeros(reference.n_types)
    if noise_model is not None:
        error = signature_error(gram, weights, noise_model.signature_variance, intercept=intercept)
    residuals = None
    if noise_model is not None:
        residuals = noise_model.residuals
    elif not empty.all():
        spots, _ = pieces.sample()
        residuals = squared_residuals(
            spots.log1p() if scale == "log1p" else spots, signature, weights
        )
    return PreparedDeconvolution(
        gram=gram - np.diag(error),
        linear=linear,
        types=reference.types,
        genes=match.names,
        intercept=intercept,
        gene_weights=weights,
        spot_norm=spot_norm,
        empty=empty,
        spot_total=total,
        signature=signature,
        signature_error=error,
        noise_model=noise_model,
        gene_residuals=residuals,
    )


def reduce_genes(
    expression: sparse.csr_matrix | NDArray[np.float64],
    signature: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    intercept: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum over the genes: Gram matrix, products with the data, and squared norm of every spot.

    The intercept of a spot is the weighted mean of what the mixture leaves, so it goes when the
    weighted mean over genes is taken from the signature; the data need not be centred, because
    the centred signature is orthogonal to constants.

    Parameters
    ----------
    expression
        n x G; sparse stays sparse.
    signature
        G x K.
    weights
        G, not negative.
    intercept
        Whether to eliminate a constant for every spot.

    Returns
    -------
    gram : numpy.ndarray
        K x K.
    linear : numpy.ndarray
        n x K.
    spot_norm : numpy.ndarray
        n.
    """
    weight_sum = weights.sum()
    if intercept:
        signature = signature - (weights @ signature) / weight_sum
    weighted = weights[:, None] * signature
    gram = weighted.T @ signature
    linear = np.ascontiguousarray(expression @ weighted)
    spot_norm, mean = squares(expression) @ weights, expression @ weights
    if intercept:
        spot_norm = np.maximum(spot_norm - mean**2 / weight_sum, 0)
    return (gram + gram.T) / 2, linear, spot_norm


def lambda_to_weight(lambda_: float, n_genes: int, n_types: int) -> float:
    """Weight of the prior in the solver's units.

    The published objective is ``||Y - XB'||^2 / (G n) + lambda tr(B'QB) / (K n)``. Times
    ``G n / 2`` it is the solver's ``1/2 ||Y - XB'||^2 + weight / 2 tr(B'QB)`` with
    ``weight = lambda G / K``.

    Parameters
    ----------
    lambda_
        Strength of the spatial prior, zero or more.
    n_genes, n_types
        G and K.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If lambda is negative or not finite.
    """
    if not (np.isfinite(lambda_) and lambda_ >= 0):
        raise InputError(
            f"lambda is {lambda_}", where="spatial prior", remedy="Choose a number from zero up"
        )
    return float(lambda_) * n_genes / n_types


def _as_csr(counts: Any) -> sparse.csr_matrix:
    is_sparse: bool = sparse.issparse(counts)
    if is_sparse:
        return sparse.csr_matrix(counts)
    stacked: sparse.csr_matrix = sparse.vstack(list(csr_chunks(counts)), format="csr")
    return stacked


class _Pieces:
    """Normalised counts of the shared genes, a block of spots at a time.

    A section of one block is normalised once; a larger one at every pass, so that the memory
    it takes does not grow with the section.
    """

    def __init__(
        self,
        matrix: sparse.csr_matrix,
        genes: NDArray[np.int64],
        scale: DataScale,
        total: float,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._matrix, self._genes = matrix, genes
        self._all_genes = np.array_equal(genes, np.arange(matrix.shape[1]))
        self._scale, self._total = scale, total
        self._cancelled = cancelled
        self._only: sparse.csr_matrix | None = None

    def __iter__(self) -> Iterator[sparse.csr_matrix]:
        n_spots = self._matrix.shape[0]
        for start in range(0, n_spots, SPOTS_PER_PIECE):
            if self._cancelled is not None and self._cancelled():
                raise Cancelled
            if self._only is not None:
                yield self._only
                return
            piece = normalise_counts(self._taken(start), self._scale, total=self._total)
            if n_spots <= SPOTS_PER_PIECE:
                self._only = piece
            yield piece

    def _taken(self, start: int) -> sparse.csr_matrix:
        """Return the counts of the shared genes in the spots of one block."""
        whole = self._matrix.shape[0] <= SPOTS_PER_PIECE
        rows: Any = (
            self._matrix if whole else rows_of(self._matrix, start, start + SPOTS_PER_PIECE)
        )
        taken: sparse.csr_matrix = rows if self._all_genes else rows[:, self._genes]
        return taken

    def sample(self) -> tuple[sparse.csr_matrix, float]:
        """Return `sampled_spots`."""
        blocks = range(0, self._matrix.shape[0], SPOTS_PER_PIECE)
        totals = [np.asarray(self._taken(start).sum(axis=1)).ravel() for start in blocks]
        return sampled_spots(self._matrix, self._genes, np.concatenate(totals), self._total)
