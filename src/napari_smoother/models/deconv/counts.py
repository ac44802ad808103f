"""Find the counts in an AnnData the way a scanpy user keeps them, and read them in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

ROWS_PER_CHUNK = 8192
VALUES_AT_ONCE = 100_000
CONSTANT_TOTAL = 0.02  # relative spread of totals below which a matrix is normalised, not counted


@dataclass(frozen=True, slots=True, eq=False)
class FoundCounts:
    """Counts and the genes they belong to.

    Parameters
    ----------
    matrix
        Observations x genes: sparse, dense or backed by a file.
    var
        One row a gene, in the order of the columns.
    place
        Where they were found: ``"X"``, ``'layers["counts"]'``, ``"raw.X"``.
    logged
        Whether the values are log1p of normalised counts, so that expm1 gives them back.
    """

    matrix: Any
    var: pd.DataFrame
    place: str
    logged: bool = False


def find_counts(adata: AnnData, *, where: str) -> FoundCounts:
    """Find the counts of an AnnData.

    Whole numbers win, looked for in ``X``, ``layers["counts"]`` and ``raw.X``, in this order.
    Without any, ``X`` or ``raw.X`` is used when it is log1p of counts normalised to a common total
    (which can be undone), or else fractional but neither negative nor marked as log-transformed
    (counts after removal of ambient RNA).

    Parameters
    ----------
    adata
        Observations x genes.
    where
        What to call it in messages.

    Returns
    -------
    FoundCounts
        The matrix as it is stored, not copied.

    Raises
    ------
    InputError
        If nothing in it can be read as counts.
    """
    places: list[tuple[str, Any, pd.DataFrame]] = []
    if adata.X is not None:
        places.append(("X", adata.X, adata.var))
    if "counts" in adata.layers:
        places.append(('layers["counts"]', adata.layers["counts"], adata.var))
    if adata.raw is not None:
        places.append(("raw.X", adata.raw.X, adata.raw.var))
    for place, matrix, var in places:
        if _are_whole(matrix):
            return FoundCounts(matrix, var, place)
    for place, matrix, var in places:
        first = next(csr_chunks(matrix), None)
        if first is None or not np.isfinite(first.data).all() or (first.data < 0).any():
            continue
        if _is_logged(first):
            return FoundCounts(matrix, var, place, logged=True)
        if "log1p" not in adata.uns:
            return FoundCounts(matrix, var, place)
    looked = ", ".join(place for place, _, _ in places) or "no matrix at all"
    raise InputError(
        f"No counts were found; looked at {looked}, with negative, infinite or log values",
        where=where,
        remedy='Keep the raw counts in X or in layers["counts"]; scaled values cannot be used',
    )


def rows_of(matrix: sparse.csr_matrix, start: int, stop: int) -> sparse.csr_matrix:
    """Return some rows of a matrix in the memory of the matrix itself.

    Parameters
    ----------
    matrix
        CSR, whose own slices copy what they hold.
    start, stop
        The first row, and the one after the last.

    Returns
    -------
    scipy.sparse.csr_matrix
        Only to be read.
    """
    stop = min(stop, matrix.shape[0])
    here = slice(matrix.indptr[start], matrix.indptr[stop])
    part: sparse.csr_matrix = sparse.csr_matrix(
        (stop - start, matrix.shape[1]), dtype=matrix.dtype
    )
    # Given to the constructor, part of a much larger array would be copied.
    part.data, part.indices = matrix.data[here], matrix.indices[here]
    part.indptr = matrix.indptr[start : stop + 1] - matrix.indptr[start]
    return part


def csr_chunks(matrix: Any, rows: int = ROWS_PER_CHUNK) -> Iterator[sparse.csr_matrix]:
    """Read a matrix a few thousand rows at a time, each piece as float64 CSR.

    Parameters
    ----------
    matrix
        Sparse, dense or backed by a file.
    rows
        How many rows a piece has at most.

    Yields
    ------
    scipy.sparse.csr_matrix
        A copy the caller may change.
    """
    in_memory: bool = sparse.issparse(matrix)
    if in_memory:
        stored: Any = matrix
        matrix = stored.tocsr()
    for start in range(0, matrix.shape[0], rows):
        stop = start + rows
        chunk = rows_of(matrix, start, stop) if in_memory else matrix[start:stop]
        yield sparse.csr_matrix(chunk, dtype=np.float64, copy=True)


def _are_whole(matrix: Any) -> bool:
    in_memory: bool = sparse.issparse(matrix)
    if in_memory:
        stored: Any = matrix
        values = stored.data if stored.format in ("csr", "csc") else stored.tocsr().data
        if values.dtype.kind in "bu":
            return True
        return _all_whole(values)
    return all(_all_whole(chunk.data) for chunk in csr_chunks(matrix))


def _all_whole(values: NDArray[Any]) -> bool:
    """Whether all are whole numbers from zero up; missing and infinite values are none."""
    parts = (values[i : i + VALUES_AT_ONCE] for i in range(0, values.size, VALUES_AT_ONCE))
    return all(((part >= 0) & (part < np.inf) & (part == np.floor(part))).all() for part in parts)


def _is_logged(chunk: sparse.csr_matrix) -> bool:
    """Whether expm1 of every row has the same total, as log1p of normalised counts does."""
    if chunk.data.size == 0 or chunk.data.max() > np.log1p(1e7):
        return False
    chunk = chunk.copy()
    chunk.data = np.expm1(chunk.data)
    totals = np.asarray(chunk.sum(axis=1)).ravel()
    totals = totals[totals > 0]
    return bool(totals.size > 1 and totals.std() <= CONSTANT_TOTAL * totals.mean())
