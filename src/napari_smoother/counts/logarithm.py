"""Bring counts back from the logarithm that was taken of them.

Log-normalised values are ``log(1 + s c)`` of whole counts c, with a factor s that belongs to the
cell (its total, a pooled size factor, any other). Within one cell ``exp(value) - 1`` is then a
multiple of one unit, the s of that cell: nearly always its smallest positive value, or that over
a small whole number where no gene was counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

LARGEST_DIVISOR = 64
"""The smallest positive count of a cell is looked for up to here."""

SINGLE = float(np.finfo(np.float32).eps)
"""Relative spacing of float32, in which logarithms are most often taken."""

SCALING_STEPS = 3
"""Roundings of a count on its way to the logarithm: product, quotient, sum."""

MARGIN = 1.25
"""Values may be off by this much more than roundings add up to."""


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """Rows with their logarithm undone.

    Parameters
    ----------
    counts
        Rows x genes, float64 CSR. Where a row is not a multiple of whole numbers, ``exp - 1`` over
        its smallest value: its shares hold, its total means nothing.
    whole
        For every row, whether it is whole numbers. Rows without a value are.
    evidence
        Natural logarithm of how unlikely it is that values which are no logarithms of counts come
        this near to whole numbers.
    """

    counts: sparse.csr_matrix
    whole: NDArray[np.bool_]
    evidence: float


def restore_counts(rows: sparse.csr_matrix, base: float, precision: float) -> Restored:
    """Undo ``log(1 + s c)`` with a factor s that is found within every row.

    Parameters
    ----------
    rows
        Rows x genes, float64 CSR, not negative. Not changed.
    base
        Base of the logarithm.
    precision
        Relative spacing of the numbers the values are stored in (2^-23 for float32).

    Returns
    -------
    Restored
    """
    counts: sparse.csr_matrix = rows.copy()
    counts.eliminate_zeros()
    whole = np.ones(counts.shape[0], dtype=bool)
    if counts.nnz == 0:
        return Restored(counts, whole, 0.0)
    logarithm = counts.data * np.log(base)
    with np.errstate(over="ignore"):
        value = np.expm1(logarithm)
        error = _relative_error(value, logarithm, precision)
    length = np.diff(counts.indptr)
    filled = np.flatnonzero(length)
    begin, length = counts.indptr[filled].astype(np.int64), length[filled]
    unit = np.minimum.reduceat(value, begin)
    unit_error = _relative_error(unit, np.log1p(unit), precision)
    ratio = value / np.repeat(unit, length)
    tolerance = MARGIN * ratio * (error + np.repeat(unit_error, length))

    evidence = 0.0
    result = ratio.copy()
    pending = np.arange(filled.size)
    for divisor in range(1, LARGEST_DIVISOR + 1):
        places, starts = _values_of(pending, begin, length)
        multiple, slack = divisor * ratio[places], divisor * tolerance[places]
        nearest = np.rint(multiple)
        fits = (np.abs(multiple - nearest) <= slack) & (slack < 0.5)
        accepted = np.logical_and.reduceat(fits, starts)
        of_accepted = np.repeat(accepted, length[pending])
        result[places[of_accepted]] = nearest[of_accepted]
        # The unit itself is whole by its definition and says nothing.
        tested = of_accepted & (ratio[places] > 1)
        evidence -= float(np.log(np.minimum(2 * slack[tested], 1)).sum())
        evidence -= float(accepted.sum() * np.log(divisor))
        pending = pending[~accepted]
        if pending.size == 0 or (divisor == 4 and 2 * pending.size > filled.size):
            break
    whole[filled[pending]] = False
    counts.data = result
    return Restored(counts, whole, evidence)


def _relative_error(
    value: NDArray[np.float64], logarithm: NDArray[np.float64], precision: float
) -> NDArray[np.float64]:
    """How far ``exp(logarithm) - 1`` may be off: scaled and logged in float32, then stored."""
    in_logarithm = (SINGLE + max(precision, SINGLE) / 2) * logarithm
    error: NDArray[np.float64] = SCALING_STEPS * SINGLE + in_logarithm * (1 + value) / value
    return error


def _values_of(
    rows: NDArray[np.intp], begin: NDArray[np.int64], length: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the values of some rows, one row after the other, and where each row starts."""
    lengths = length[rows]
    starts = np.cumsum(lengths) - lengths
    places = np.repeat(begin[rows] - starts, lengths) + np.arange(int(lengths.sum()))
    return places, starts
