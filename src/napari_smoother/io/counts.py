"""What may stand in a count matrix, and bringing it to one shape in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_counts(matrix: Any, *, where: str) -> sparse.csr_matrix:
    """Bring a matrix of counts to sparse float32 rows.

    Parameters
    ----------
    matrix
        Spots x genes, sparse or dense. Never changed; not copied where it fits already.
    where
        File and field, for the message.

    Returns
    -------
    scipy.sparse.csr_matrix
        Spots x genes, float32, column indices sorted, no entry stored twice. Whole numbers are
        exact up to 2^24.

    Raises
    ------
    InputError
        If there is no gene, or a value is negative, missing or infinite.
    """
    if matrix.shape[1] == 0:
        raise InputError(
            "The section has no genes",
            where=where,
            remedy="Open a matrix with gene expression features",
        )
    if matrix.dtype == np.float16:  # which scipy does not take
        matrix = matrix.astype(np.float32)
    rows = sparse.csr_matrix(matrix)
    check_counts(rows.data, where=where)
    if rows.dtype != np.float32:
        rows = rows.astype(np.float32)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


def check_counts(values: NDArray[Any], *, where: str) -> None:
    """Refuse values that no count can have.

    Parameters
    ----------
    values
        The stored values, of any shape.
    where
        File and field, for the message.

    Raises
    ------
    InputError
        If a value is negative, missing or infinite, or is not a number at all.
    """
    if values.dtype.kind not in "biuf":
        raise InputError(
            f"Counts are of the type {values.dtype}, not numbers",
            where=where,
            remedy="Store the counts as numbers",
        )
    if values.size == 0 or values.dtype.kind in "bu":
        return
    lowest, highest = values.min(), values.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        lost = int(np.count_nonzero(~np.isfinite(values)))
        raise InputError(
            f"{lost} counts are missing or infinite",
            where=where,
            remedy="Set missing counts to zero, or remove these spots or genes",
        )
    if lowest < 0:
        negative = int(np.count_nonzero(values < 0))
        raise InputError(
            f"{negative} counts are negative, the lowest {lowest:.4g}: looks like scaled data",
            where=where,
            remedy='Store the raw counts in X, layers["counts"] or raw, and open the file again',
        )
