"""Products with X'(I - weight Q)X, of dense or sparse X, centred without being changed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sparse

from napari_smoother.errors import InputError
from napari_smoother.solvers.wide_products import (
    column_moments,
    wide_back_product,
    wide_product,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROWS = 2048
"""Spots centred at a time."""

COLUMNS = 256
"""Genes multiplied at a time while the whole matrix is formed."""


class SpatialScatter:
    """X'(I - weight Q)X for any weight, with X spots x genes and Q spots x spots.

    Parameters
    ----------
    expression
        X: array or scipy sparse matrix. Sparse X stays sparse and is centred implicitly.
    precision
        Q: scipy sparse matrix, symmetric; or an object with ``product(n x d array)``; or None,
        for none.
    centre
        Whether the mean of every gene is taken off.

    Raises
    ------
    InputError
        If shapes disagree or a value is not finite.
    """

    def __init__(self, expression: Any, precision: Any = None, *, centre: bool = True) -> None:
        given: Any = expression
        self._sparse: bool = sparse.issparse(given)
        if self._sparse:
            self._wide: Any = sparse.csr_array(given)
        else:
            self._wide = np.asarray(given)
        if self._wide.dtype not in (np.float32, np.float64):
            self._wide = self._wide.astype(np.float64)
        if self._wide.ndim != 2 or min(self._wide.shape) == 0:
            raise InputError(
                f"The expression has the shape {self._wide.shape}",
                where="spatial components",
                remedy="Give spots x genes, at least one of each",
            )
        sums, squares = _moments(self._wide)
        stored = self._wide.data if self._sparse else self._wide
        if not np.isfinite(squares) and not np.isfinite(stored).all():
            raise InputError(
                "The expression has values that are missing or infinite",
                where="spatial components",
                remedy="Remove these genes or spots, or give them a value",
            )
        self.n_spots, self.n_genes = (int(size) for size in self._wide.shape)
        if precision is not None and tuple(precision.shape) != (self.n_spots, self.n_spots):
            raise InputError(
                f"The precision has the shape {tuple(precision.shape)} for {self.n_spots} spots",
                where="spatial components",
                remedy="Build both from the same section",
            )
        self._precision = precision
        #: Mean of every gene that is taken off: n_genes float64.
        self.mean = np.zeros(self.n_genes)
        if centre:
            self.mean = sums / self.n_spots
        energy = self.n_spots * float(self.mean @ self.mean)
        #: Sum of the squares of centred X: no eigenvalue of X'X is larger.
        self.size = max(squares - energy, 0.0)
        # Means that are small beside the deviations cost products in float32 no precision.
        single = self._wide.dtype == np.float32
        self._implicit = self._sparse or (single and energy <= self.size)
        self._matrices: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._last_weight = -1.0
        self._last: dict[np.dtype[Any], NDArray[Any]] = {}

    @property
    def has_single(self) -> bool:
        """Whether products in float32 are at hand; a moving average has none."""
        return self._precision is None or bool(sparse.issparse(self._precision))

    @cached_property
    def stiffness(self) -> float:
        """Bound on the eigenvalues of Q by row sums; 0 without one."""
        if self._precision is None:
            return 0.0
        if self.has_single:
            matrix = sparse.csr_array(self._precision, copy=True)
            matrix.data = np.abs(matrix.data)
            return float(matrix.sum(axis=1).max())
        return float(np.abs(self._precision.product(np.ones(self.n_spots))).max())

    def project(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """Centred X times genes x d, in the dtype of `vectors`."""
        if vectors.dtype == np.float32:
            single: NDArray[Any] = self._single @ vectors
            shift = self._shift_single
            return single if shift is None else single - shift @ vectors
        if self._sparse or self._wide.dtype == np.float64:
            scores = self._wide @ vectors
        else:
            scores = wide_product(self._wide, vectors)
        return np.asarray(scores - self.mean @ vectors)

    def product(self, vectors: NDArray[Any], weight: float) -> NDArray[Any]:
        """X'(I - weight Q)X times genes x d, in the dtype of `vectors` (float32 or float64).

        By the matrices themselves once `matrices` has formed them, whatever the number of spots.
        """
        if self._matrices is not None:
            formed: NDArray[Any] = self._combined(weight, vectors.dtype) @ vectors
            return formed
        scores = self._penalised(self.project(vectors), weight)
        if vectors.dtype == np.float32:
            back: NDArray[Any] = self._turned_single @ scores
            shift = self._shift_single
            return back if shift is None else back - np.outer(shift, scores.sum(axis=0))
        return self._back(scores)

    def product_and_spread(
        self, vectors: NDArray[np.float64], weight: float
    ) -> tuple[NDArray[np.float64], float]:
        """As `product`, in float64, and the sum of the squares of centred X times the vectors."""
        if self._matrices is not None:
            spread = float(np.vdot(vectors, self._matrices[0] @ vectors))
            return self.product(vectors, weight), spread
        scores = self.project(vectors)
        return self._back(self._penalised(scores, weight)), float(np.vdot(scores, scores))

    @property
    def is_formed(self) -> bool:
        """Whether `matrices` has been called."""
        return self._matrices is not None

    @property
    def is_read_whole(self) -> bool:
        """Whether every product reads all of a dense X."""
        return not self._sparse and self._matrices is None

    def matrices(
        self, asked: Callable[[], None] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """X'X and X'QX whole, genes x genes; formed once."""
        if self._matrices is None:
            plain = np.empty((self.n_genes, self.n_genes))
            spatial = np.zeros_like(plain)
            by_gene = self._wide.tocsc() if self._sparse else self._wide
            for first in range(0, self.n_genes, COLUMNS):
                if asked is not None:
                    asked()
                these = slice(first, min(first + COLUMNS, self.n_genes))
                columns = by_gene[:, these]
                columns = columns.toarray() if self._sparse else columns
                centred = columns.astype(np.float64) - self.mean[these]
                plain[:, these] = self._back(centred)
                if self._precision is not None:
                    spatial[:, these] = self._back(self._smoothed(centred))
            self._matrices = ((plain + plain.T) / 2, (spatial + spatial.T) / 2)
        return self._matrices

    # --- inside -----------------------------------------------------------------------------

    def _combined(self, weight: float, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Combine the whole matrix for a weight; the last is remembered in both precisions."""
        if self._last_weight != weight:
            self._last_weight, self._last = weight, {}
        if dtype not in self._last:
            plain, spatial = self.matrices()
            self._last[dtype] = (plain - weight * spatial).astype(dtype)
        return self._last[dtype]

    @cached_property
    def _single(self) -> Any:
        """X in float32, dense X centred."""
        if self._implicit:
            return self._wide.astype(np.float32, copy=False)
        single = np.empty(self._wide.shape, np.float32)
        for start in range(0, self.n_spots, ROWS):
            these = slice(start, start + ROWS)
            np.subtract(self._wide[these], self.mean, out=single[these], casting="same_kind")
        return single

    @cached_property
    def _shift_single(self) -> NDArray[np.float32] | None:
        return self.mean.astype(np.float32) if self._implicit and self.mean.any() else None

    @cached_property
    def _turned_single(self) -> Any:
        return self._single.T.tocsr() if self._sparse else self._single.T

    @cached_property
    def _turned(self) -> Any:
        return self._wide.T.tocsr() if self._sparse else self._wide.T

    @cached_property
    def _precision_single(self) -> Any:
        return sparse.csr_array(self._precision, dtype=np.float32)

    def _smoothed(self, scores: NDArray[Any]) -> NDArray[Any]:
        if not self.has_single:
            return np.asarray(self._precision.product(scores))
        matrix = self._precision_single if scores.dtype == np.float32 else self._precision
        smoothed: NDArray[Any] = matrix @ scores
        return smoothed

    def _penalised(self, scores: NDArray[Any], weight: float) -> NDArray[Any]:
        if self._precision is None or weight == 0:
            return scores
        smoothed: NDArray[Any] = self._smoothed(scores) * scores.dtype.type(weight)
        penalised: NDArray[Any] = scores - smoothed
        return penalised

    def _back(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Centred X' times spots x d, float64."""
        if self._sparse or self._wide.dtype == np.float64:
            back = self._turned @ scores
        else:
            back = wide_back_product(self._wide, scores)
        return np.asarray(back - np.outer(self.mean, scores.sum(axis=0)))


def _moments(values: Any) -> tuple[NDArray[np.float64], float]:
    """Sum of every column and the sum of all squares, in float64."""
    if isinstance(values, np.ndarray):
        return column_moments(values)
    wide = values.data.astype(np.float64)
    sums = np.bincount(values.indices, wide, values.shape[1])
    return np.asarray(sums, np.float64), float(np.vdot(wide, wide))
