"""How cells of one type differ from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTED_SHARE = 0.98
"""Of the variance between cells, at most so much is taken for counting noise."""

LEAST_EXPRESSION = 0.2
"""Variances of a type go with its mean, which counts as no less than this share of the mean over
types: a gene that was not seen in ten cells may still be there."""


@dataclass(frozen=True, slots=True, eq=False)
class CellSpread:
    """How cells of one type differ, gene by gene, per ten thousand counts of a cell.

    Parameters
    ----------
    variance
        G, float64: pooled variance within types.
    counting
        Mean over cells of ten thousand over the cell's total: times a mean it is what counting
        alone adds to the variance.
    cells_per_type
        K: how many cells each mean is taken over.
    """

    variance: NDArray[np.float64]
    counting: float
    cells_per_type: NDArray[np.int64]

    def of_genes(self, genes: NDArray[np.integer]) -> CellSpread:
        """Return that of some genes only."""
        return CellSpread(self.variance[genes], self.counting, self.cells_per_type)

    def of_means(self, signature: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared standard error of every mean of the signature, G x K."""
        over_types = signature @ self.cells_per_type / self.cells_per_type.sum()
        per_count = np.divide(
            self.variance, over_types, out=np.zeros_like(over_types), where=over_types > 0
        )
        means = np.maximum(signature, LEAST_EXPRESSION * over_types[:, None])
        errors: NDArray[np.float64] = per_count[:, None] * means / self.cells_per_type
        return errors

    def biological(self, signature: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance between cells beyond counting, G."""
        over_types = signature @ self.cells_per_type / self.cells_per_type.sum()
        beyond: NDArray[np.float64] = np.maximum(
            self.variance - self.counting * over_types, (1 - COUNTED_SHARE) * self.variance
        )
        return beyond
