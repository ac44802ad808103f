"""What the data and the prior ask where every spot weighs the data in its own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.solvers.local_blocks import (
    add_prior,
    group_count,
    local_gradient,
    packed_size,
)
from napari_smoother.solvers.quadratic_terms import PriorTerm
from napari_smoother.solvers.row_blocks import (
    BLOCK_ROWS,
    block_count,
    share_out,
    sums_over_rows,
)
from napari_smoother.solvers.sparse_rows import without_diagonal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class LocalTerm:
    """What the data ask of every spot.

    Attributes
    ----------
    blocks
        Packed Gram matrices, shape (groups, types (types + 1) / 2, 64), float32: the lower
        triangles of 64 spots side by side; lanes beyond the last spot are zero.
    linear
        C, shape (spots, types), float64.
    coupling
        U, shape (spots, types), float64; None for none. H - U U' must not be indefinite.
    """

    blocks: NDArray[np.float32]
    linear: NDArray[np.float64]
    coupling: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        rows, types = self.linear.shape
        expected = (group_count(rows), packed_size(types))
        if self.blocks.shape[:2] != expected:
            raise InputError(
                f"The packed Gram matrices have shape {self.blocks.shape}",
                where="local quadratic term",
                remedy=f"Pass {expected[0]} groups of {expected[1]} entries",
            )


class LocalPrior:
    """One precision for all types, or one for each, on their common pattern.

    Parameters
    ----------
    precisions
        Symmetric sparse matrices, n x n: one, or one for each type.

    Raises
    ------
    InputError
        If a precision is not square, symmetric and finite.
    """

    def __init__(self, precisions: Sequence[Any]) -> None:
        terms = [PriorTerm.prepare(precision) for precision in precisions]
        self.shared = terms[0] if len(terms) == 1 else None
        if self.shared is not None:
            self.pointers, self.neighbours = self.shared.pointers, self.shared.neighbours
            self.entries = self.shared.entries[:, None]
            self.surplus = self.shared.surplus[:, None]
            self.diagonal = self.shared.diagonal[:, None]
        else:
            matrices: list[Any] = [sparse.csr_array(precision) for precision in precisions]
            pattern: Any = sparse.csr_array(sum(abs(matrix) for matrix in matrices))
            pattern.sort_indices()
            self.pointers, self.neighbours, _ = without_diagonal(pattern)
            rows = np.repeat(np.arange(pattern.shape[0]), np.diff(self.pointers))
            self.entries = np.zeros((rows.size, len(matrices)))
            # Indexing by nothing gives a sparse array, not an empty one.
            for k, matrix in enumerate(matrices if rows.size else []):
                self.entries[:, k] = np.asarray(matrix[rows, self.neighbours]).ravel()
            self.surplus = np.column_stack([term.surplus for term in terms])
            self.diagonal = np.column_stack([term.diagonal for term in terms])
        self.entries_single = self.entries.astype(np.float32)
        self.surplus_single = self.surplus.astype(np.float32)

    @property
    def spots(self) -> int:
        """Number of spots."""
        return int(self.pointers.size - 1)

    @property
    def types(self) -> int:
        """Number of types with a precision of their own, or 1."""
        return int(self.entries.shape[1])

    def product(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Q B, each type with its own Q, shape (spots, types).

        Q is applied to differences between neighbours, so that a stiff prior on nearly constant
        values leaves little rounding.
        """
        result = np.zeros(values.shape)
        share_out(
            _product_of_rows,
            block_count(values.shape[0]),
            self.neighbours.size * values.shape[1],
            (self.pointers, self.neighbours, self.entries, self.surplus, values, result),
        )
        return result


@numba.njit(nogil=True, cache=True)
def _product_of_rows(  # type: ignore[no-untyped-def]
    pointers, neighbours, entries, surplus, values, out, first, last
):
    """Write the rows of some blocks into `out`, which is zero."""
    for block in range(first, last):
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(values))
        here = out[start:stop]
        add_prior(pointers, neighbours, entries, surplus, 1.0, values, here, start, stop)


def block_product(blocks: NDArray[np.float32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``b_i H_i`` for every spot, shape (spots, types), float64."""
    rows = values.shape[0]
    out = np.empty_like(values)
    sums_over_rows(
        local_gradient,
        values.shape,
        2,
        (
            np.zeros(rows + 1, np.int32),
            np.zeros(0, np.int32),
            np.zeros((0, 1)),
            np.zeros((rows, 1)),
            0.0,
            blocks,
            np.zeros_like(values),
            values,
            False,
            out,
        ),
    )
    return out
