"""How cells of one type differ from each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTED_SHARE = 0.98
"""Of the variance between cells, at most so much is taken for counting noise."""

LEAST_EXPRESSION = 0.2
"""Variances of a type go with its mean, which counts as no less than this share of the mean over
types: a gene that was not seen in ten cells may still be there."""

RANDOM_SUMS = 128
"""How many random sums of cells stand for the covariance of genes: quadratic forms of it are known
to sqrt(2 / 128), an eighth."""


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
    random_sums
        `RANDOM_SUMS` x G, float32: sums with random signs of how cells differ from the mean of
        their type, of each cell in one row. Products of columns, summed over the rows, are on
        average the pooled covariance of genes within types (Charikar, Chen and Farach-Colton
        2002, Finding Frequent Items in Data Streams); that of all pairs of genes would not fit.
    total_variation
        Squared coefficient of variation of a cell's total within types, beyond counting: how
        unevenly cells of one type share the RNA of a spot.
    """

    variance: NDArray[np.float64]
    counting: float
    cells_per_type: NDArray[np.int64]
    random_sums: NDArray[np.float32]
    total_variation: float

    def of_genes(self, genes: NDArray[np.integer]) -> CellSpread:
        """Return that of some genes only."""
        return replace(self, variance=self.variance[genes], random_sums=self.random_sums[:, genes])

    def times(self, factors: NDArray[np.float64]) -> CellSpread:
        """Return that of expression times a factor on every gene."""
        return replace(
            self,
            variance=self.variance * factors**2,
            random_sums=self.random_sums * factors.astype(np.float32),
        )

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

    def correlation(self, weighted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covariance of weighted sums over genes that genes add by not being independent.

        Parameters
        ----------
        weighted
            G x K: one column a sum.

        Returns
        -------
        numpy.ndarray
            K x K: what the covariances of different genes add up to, without the variances.
        """
        told = self.random_sums @ weighted
        alone = np.einsum("rg,rg->g", self.random_sums, self.random_sums, dtype=np.float64)
        added: NDArray[np.float64] = told.T @ told - (weighted * alone[:, None]).T @ weighted
        return added
