"""Fit on some genes, measure on the others, from small matrices only.

With a column of ones beside the signature, ``X+ = [X 1]``, all that least squares wants from a
group of genes is ``X+'WX+``, ``YWX+`` and ``tr(YWY')``, summed over its genes. The sums of the
genes that are kept are those of all genes less those held out, so a fold costs one pass over its
own genes, and a setting of the prior none at all. Where errors of the signature are known, each
group has its own taken out of its Gram matrix: of the kept genes they would draw the abundances
towards zero, of those held out they would favour small ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv.expression import DataScale, normalise_counts, squares
from napari_smoother.models.deconv.genes import match_genes
from napari_smoother.models.deconv.noise_model import signature_error
from napari_smoother.solvers import DataTerm

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray
    from scipy import sparse

    from napari_smoother.models.deconv.preparation import PreparedDeconvolution
    from napari_smoother.models.deconv.reference import Reference

SPOTS_PER_PIECE = 65_536
BLOCK_ROWS = 128


@dataclass(frozen=True, eq=False)
class GeneSums:
    """What a group of genes says, summed over them.

    Parameters
    ----------
    gram
        X+'WX+, (K + 1) x (K + 1).
    linear
        YWX+, n x (K + 1).
    norm
        Weighted sum of squares of the expression.
    n_genes
        How many genes.
    """

    gram: NDArray[np.float64]
    linear: NDArray[np.float64]
    norm: float
    n_genes: int


@dataclass(frozen=True, eq=False)
class Fold:
    """One split: the sums of the genes that are kept, and of those held out.

    Parameters
    ----------
    kept, held_out
        Sums of either group.
    intercept
        Whether every spot has a free constant.
    """

    kept: GeneSums
    held_out: GeneSums
    intercept: bool

    @cached_property
    def data(self) -> DataTerm:
        """Data term of the kept genes, constants eliminated."""
        last = self.kept.gram.shape[0] - 1
        gram, linear = self.kept.gram[:last, :last], self.kept.linear[:, :last]
        if self.intercept:
            mean = self.kept.gram[:last, last] / self.kept.gram[last, last]
            gram = gram - np.outer(mean, self.kept.gram[:last, last])
            linear = linear - np.outer(self.kept.linear[:, last], mean)
        return DataTerm.prepare((gram + gram.T) / 2, linear)

    def error(self, abundance: NDArray[np.floating]) -> float:
        """Mean weighted squared error at the genes held out.

        The constants are those that fit the kept genes best.

        Parameters
        ----------
        abundance
            n x K.

        Returns
        -------
        float
            Over spots and held-out genes.
        """
        n_spots, n_types = len(abundance), abundance.shape[1]
        gram, linear, constant = self._form
        squared = constant
        # Stacked blocks: BLAS would share out one large product, and waits where cores are busy.
        for first in range(0, n_spots, SPOTS_PER_PIECE):
            rows = slice(first, first + SPOTS_PER_PIECE)
            values = np.zeros((-(-len(abundance[rows]) // BLOCK_ROWS), BLOCK_ROWS, n_types))
            flat = values.reshape(-1, n_types)[: len(abundance[rows])]
            flat[...] = abundance[rows]
            product = np.matmul(values, gram).reshape(-1, n_types)[: len(flat)]
            product -= 2 * linear[rows]
            squared += float(np.einsum("ik,ik->", flat, product))
        return squared / (n_spots * self.held_out.n_genes)

    @cached_property
    def _form(self) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Squared error at the held-out genes, ``<BG, B> - 2 <B, L> + constant``: G, L, constant.

        The constants of the spots are ``g0 - B m``, so ``[B g] = B [I -m] + g0 [0 1]``.
        """
        gram, linear = self.held_out.gram, self.held_out.linear
        last = gram.shape[0] - 1
        if not self.intercept:
            return gram[:last, :last], np.ascontiguousarray(linear[:, :last]), self.held_out.norm
        weight = self.kept.gram[last, last]
        shift = np.column_stack([np.eye(last), -self.kept.gram[:last, last] / weight])
        start = self.kept.linear[:, last] / weight
        constant = self.held_out.norm - 2 * float(start @ linear[:, last])
        constant += float(gram[last, last] * (start @ start))
        moved = linear @ shift.T - np.outer(start, shift @ gram[last])
        return shift @ gram @ shift.T, moved, constant


def split_genes(
    signature: NDArray[np.float64], weights: NDArray[np.float64], folds: int, seed: int
) -> NDArray[np.int64]:
    """Deal the genes out to folds, each like the others.

    Genes are ranked within the type that expresses them most, by weighted squared expression,
    and dealt out rank by rank in random order, so that no fold takes all the markers of a type.

    Parameters
    ----------
    signature
        G x K.
    weights
        G.
    folds
        Number of folds.
    seed
        Of the order.

    Returns
    -------
    numpy.ndarray
        G, int64: the fold in which each gene is held out.
    """
    energy = weights[:, None] * signature**2
    order = np.lexsort((energy.sum(axis=1), energy.argmax(axis=1)))
    random = np.random.default_rng(seed)
    fold = np.empty(len(order), dtype=np.int64)
    for first in range(0, len(order), folds):
        ranked = order[first : first + folds]
        fold[ranked] = random.permutation(folds)[: len(ranked)]
    return fold


def make_folds(
    counts: sparse.csr_matrix,
    section_var: pd.DataFrame | pd.Index[str],
    reference: Reference,
    prepared: PreparedDeconvolution,
    *,
    scale: DataScale,
    folds: int,
    seed: int,
    cancelled: Callable[[], bool] | None = None,
) -> list[Fold]:
    """Split a prepared deconvolution by genes.

    Spots without counts are left out. Totals and gene weights are those of all genes, so that
    a lambda means in every fold what it means for the whole.

    Parameters
    ----------
    counts, section_var, reference, scale
        What `prepared` was made from.
    prepared
        From `prepare_deconvolution`.
    folds
        Number of folds, from 2 to the number of shared genes.
    seed
        Of the split.
    cancelled
        Asked at every block of spots.

    Returns
    -------
    list of Fold

    Raises
    ------
    InputError
        If there are more folds than genes, or some fold keeps no gene with a weight.
    Cancelled
        If ``cancelled`` returned True.
    """
    if not 2 <= folds <= prepared.n_genes:
        raise InputError(
            f"{folds} folds of {prepared.n_genes} genes were asked for",
            where="held-out genes",
            remedy="Choose two folds or more, and not more than there are genes",
        )
    match = match_genes(section_var, reference)
    signature, weights = prepared.signature, prepared.gene_weights
    fold_of = split_genes(signature, weights, folds, seed)
    members = [np.flatnonzero(fold_of == fold) for fold in range(folds)]
    extended = np.column_stack([signature, np.ones(len(weights))])
    weighted = weights[:, None] * extended

    used = np.flatnonzero(~prepared.empty)
    linear = np.empty((folds, used.size, extended.shape[1]))
    norms = np.zeros(folds)
    for start in range(0, used.size, SPOTS_PER_PIECE):
        if cancelled is not None and cancelled():
            raise Cancelled
        rows: Any = counts[used[start : start + SPOTS_PER_PIECE]]
        piece = normalise_counts(rows[:, match.section_index], scale, total=prepared.spot_total)
        for fold, mine in enumerate(members):
            part: Any = piece[:, mine]
            linear[fold, start : start + part.shape[0]] = part @ weighted[mine]
            norms[fold] += float(np.asarray(squares(part).sum(axis=0)).ravel() @ weights[mine])
    gram, total = extended.T @ weighted, linear.sum(axis=0)
    result = []
    for fold, mine in enumerate(members):
        others = np.flatnonzero(fold_of != fold)
        apart = extended[mine].T @ weighted[mine]
        if not gram[-1, -1] - apart[-1, -1] > 1e-12 * gram[-1, -1]:
            raise InputError(
                "Without its held-out genes a fold has no gene with a weight",
                where="held-out genes",
                remedy="Use fewer folds, or give weights to more genes",
            )
        result.append(
            Fold(
                GeneSums(
                    _without_error(prepared, gram - apart, others),
                    total - linear[fold],
                    float(norms.sum() - norms[fold]),
                    others.size,
                ),
                GeneSums(
                    _without_error(prepared, apart, mine),
                    linear[fold],
                    float(norms[fold]),
                    mine.size,
                ),
                prepared.intercept,
            )
        )
    return result


def _without_error(
    prepared: PreparedDeconvolution, gram: NDArray[np.float64], genes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return X+'WX+ of some genes less what errors of their signature add to it."""
    model = prepared.noise_model
    if model is None:
        return gram
    last = len(gram) - 1
    centred = gram[:last, :last]
    if prepared.intercept and gram[last, last] > 0:
        centred = centred - np.outer(gram[:last, last], gram[last, :last]) / gram[last, last]
    error = signature_error(
        centred,
        prepared.gene_weights[genes],
        model.signature_variance[genes],
        intercept=prepared.intercept,
    )
    return gram - np.diag(np.append(error, 0.0))
