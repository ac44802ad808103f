"""Genes of a section: found by any of their names, as log counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.gene_names import GeneNames
from napari_smoother.models.shared_prior import expression_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.section import Section

SCALE = "log1p of counts per 10,000"

TOTAL = 1e4

_factors_of: WeakKeyDictionary[Section, NDArray[np.float64]] = WeakKeyDictionary()
"""What the counts of each spot are multiplied by: 10,000 over its total, 0 where that is 0."""

_gene_names: WeakKeyDictionary[Section, GeneNames] = WeakKeyDictionary()


def gene_names(section: Section) -> GeneNames:
    """Return how the genes of a section are shown, and what else they are called."""
    if section not in _gene_names:
        _gene_names[section] = GeneNames.of(section.adata.var)
    return _gene_names[section]


def find_gene(names: GeneNames, name: str, *, where: str) -> str:
    """Return the row name of the gene that has a name.

    Raises
    ------
    InputError
        If there is none.
    """
    row = names.find(name)
    if row is None:
        raise InputError(
            f"There is no gene {name!r}", where=where, remedy="Choose one from the list"
        )
    return row


def log_expression(adata: AnnData, genes: Sequence[str] | None, *, where: str) -> Any:
    """Return log1p of the counts of X per ten thousand of the spot.

    Every value is found from its count and the total of its spot alone, so that a gene has the
    same values whichever others are asked for.

    Parameters
    ----------
    adata
        Spots x genes.
    genes
        Row names; None for all.
    where
        What the section is called in errors.

    Returns
    -------
    array or scipy matrix
        Spots x genes, float64; sparse (csr) where X is. 0 for spots without a count.

    Raises
    ------
    InputError
        If there is no such gene, or a value is not finite.
    """
    whole = expression_of(adata, None, where=where)
    counts, factors = _columns(adata, whole, genes, where), _factors(whole)
    is_sparse: bool = sparse.issparse(counts)
    if not is_sparse:
        return np.log1p(np.asarray(counts, dtype=np.float64) * factors[:, None])
    values = sparse.csr_array(counts, dtype=np.float64, copy=True)
    values.data *= np.repeat(factors, np.diff(values.indptr))
    np.log1p(values.data, out=values.data)
    return values


def log_expression_in_pieces(
    adata: AnnData, spots: NDArray[np.integer], size: int, *, where: str
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Give the values of `log_expression` for some spots, a few genes at a time.

    Parameters
    ----------
    adata
        Spots x genes.
    spots
        Places of the m spots.
    size
        Genes at a time.
    where
        What the section is called in errors.

    Yields
    ------
    int
        Place of the first gene.
    ndarray
        m x genes, dense.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    counts = expression_of(adata, None, where=where)[spots]
    factors = _factors(counts)[:, None]
    by_gene: Any = sparse.csc_array(counts) if sparse.issparse(counts) else counts
    for start in range(0, adata.n_vars, size):
        piece = by_gene[:, start : start + size]
        dense = piece.toarray() if sparse.issparse(piece) else piece
        yield start, np.log1p(np.asarray(dense, dtype=np.float64) * factors)


def _factors(counts: Any) -> NDArray[np.float64]:
    """Return what counts of each spot are multiplied with; 0 where there is none."""
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64), dtype=np.float64).ravel()
    return np.divide(TOTAL, totals, out=np.zeros_like(totals), where=totals > 0)


def gene_expression(section: Section, gene: str) -> NDArray[np.float64]:
    """Return what `log_expression` returns of one gene of an open section, n spots.

    The totals of the spots are summed once, and of a sparse matrix by rows the values of the
    gene are picked out: the window shows one gene after the other.

    Parameters
    ----------
    section
        Whose X holds the counts.
    gene
        Row name.

    Raises
    ------
    InputError
        If there is no such gene, or a value of X is not finite.
    """
    if section not in _factors_of:
        _factors_of[section] = _factors(expression_of(section.adata, None, where=section.name))
    counts: Any = section.adata.X
    if sparse.issparse(counts) and counts.format == "csr" and section.adata.var_names.is_unique:
        (place,) = section.adata.var_names.get_indexer(pd.Index([gene]))
        if place >= 0:
            stored = np.flatnonzero(counts.indices == place)
            spots = np.searchsorted(counts.indptr, stored, side="right") - 1
            found = np.bincount(spots, weights=counts.data[stored], minlength=counts.shape[0])
            return np.log1p(found * _factors_of[section])
    values = _columns(section.adata, counts, [gene], section.name)
    dense = values.toarray() if sparse.issparse(values) else np.asarray(values)
    return np.log1p(dense[:, 0].astype(np.float64) * _factors_of[section])


def layer_expression(
    adata: AnnData, layer: str, genes: Sequence[str] | None, *, where: str
) -> Any:
    """Return the values of a layer as they are, ``"X"`` for X: spots x genes.

    Raises
    ------
    InputError
        If there is no such layer or gene, or a value is not finite.
    """
    values = expression_of(adata, None if layer == "X" else layer, where=where)
    return _columns(adata, values, genes, where)


def spots_with_counts(adata: AnnData, *, where: str) -> NDArray[np.bool_]:
    """Return which spots have any count: the others have no expression, not one of 0.

    Raises
    ------
    InputError
        If the section has no counts: none at all, negative ones, or ones that are not finite.
    """
    counts: Any = adata.X
    remedy = 'Put raw counts into X, or choose a layer ("X" for X as it is)'
    if counts is None or adata.n_vars == 0:
        raise InputError("The section has no counts", where=where, remedy=remedy)
    is_sparse: bool = sparse.issparse(counts)
    stored = counts.data if is_sparse else np.asarray(counts)
    if stored.size and not (np.isfinite(stored).all() and stored.min() >= 0):
        raise InputError(
            "X has values that are negative or not finite, so they are not counts",
            where=where,
            remedy=remedy,
        )
    counted = np.asarray(counts.sum(axis=1)).ravel() > 0
    if not counted.any():
        raise InputError("No spot has any count", where=where, remedy=remedy)
    return counted


def _columns(adata: AnnData, values: Any, genes: Sequence[str] | None, where: str) -> Any:
    if genes is None:
        return values
    if not adata.var_names.is_unique:
        raise InputError(
            "Several genes have one name",
            where=f"{where}, var_names",
            remedy="Call adata.var_names_make_unique() first",
        )
    places = adata.var_names.get_indexer(pd.Index(genes))
    lost = [name for name, place in zip(genes, places, strict=True) if place < 0]
    if lost or not len(genes):
        raise InputError(
            f"{len(lost)} genes are not there, for example {lost[0]}" if lost else "No gene given",
            where=where,
            remedy="Choose from var_names",
        )
    return values[:, places]
