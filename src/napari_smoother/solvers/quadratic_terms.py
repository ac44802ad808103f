"""The two halves of the problem, prepared once and used for every weight.

`DataTerm` holds A and C, `PriorTerm` holds Q. What is costly and does not depend on the weight
(eigenbasis, an order of the spots, colours, coarser graphs) is kept in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sparse

from napari_smoother import _core
from napari_smoother.errors import InputError
from napari_smoother.solvers.sparse_rows import largest_asymmetry, without_diagonal
from napari_smoother.solvers.spot_order import closer_order

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ROW_UNIT = 4
"""The core pads numbers of types to a multiple of this."""


def _finite(array: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    if not np.isfinite(array).all():
        raise InputError(
            f"{name} has values that are not finite",
            where=name,
            remedy="Remove spots, genes or edges with missing or infinite values",
        )
    return array


@dataclass(frozen=True, eq=False)
class DataTerm:
    """What the data ask of the abundances: ``1/2 tr(B A B') - <C, B>``.

    Build it with `DataTerm.prepare`.

    Attributes
    ----------
    gram, linear
        A, shape (types, types), and C, shape (spots, types), float64, C-contiguous.
    eigenvalues, basis
        A = basis diag(eigenvalues) basis', float64, ascending, not below zero.
    linear_norm
        Frobenius norm of C, against which residuals are measured.
    """

    gram: NDArray[np.float64]
    linear: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    basis: NDArray[np.float64]
    linear_norm: float

    @classmethod
    def prepare(cls, gram: ArrayLike, linear: ArrayLike) -> DataTerm:
        """Check A and C and compute what all weights share.

        Parameters
        ----------
        gram
            A, symmetric positive semidefinite, shape (types, types); may be singular.
        linear
            C, shape (spots, types).

        Returns
        -------
        DataTerm

        Raises
        ------
        InputError
            If shapes disagree, a value is not finite, or A is not symmetric or has a clearly
            negative eigenvalue.
        """
        a = _finite(np.array(gram, dtype=np.float64, order="C"), "gram")
        c = _finite(np.array(linear, dtype=np.float64, order="C"), "linear")
        if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape[0] == 0:
            raise InputError(
                f"The Gram matrix has shape {a.shape}",
                where="gram",
                remedy="Pass a square matrix with one row a type",
            )
        if c.ndim != 2 or c.shape[1] != a.shape[0] or c.shape[0] == 0:
            raise InputError(
                f"The linear term has shape {c.shape} beside {a.shape[0]} types",
                where="linear",
                remedy="Pass one row a spot and one column a type",
            )
        scale = float(np.abs(a).max())
        if np.abs(a - a.T).max() > 1e-6 * scale:
            raise InputError(
                "The Gram matrix is not symmetric",
                where="gram",
                remedy="Pass X'X, or X'WX with gene weights W",
            )
        a = np.ascontiguousarray((a + a.T) / 2)
        eigenvalues, basis = np.linalg.eigh(a)
        if eigenvalues[0] < -1e-6 * max(scale, 1e-300):
            raise InputError(
                f"The Gram matrix has the negative eigenvalue {eigenvalues[0]:.3g}",
                where="gram",
                remedy="Pass X'X with gene weights that are not negative",
            )
        return cls(
            gram=a,
            linear=c,
            eigenvalues=np.maximum(eigenvalues, 0.0),
            basis=np.ascontiguousarray(basis),
            linear_norm=float(np.sqrt(np.einsum("ik,ik->", c, c))),
        )


@dataclass(frozen=True, eq=False)
class PriorTerm:
    """What the tissue asks of the abundances: ``1/2 tr(B' Q B)``, or with a Q for each type.

    Build it with `PriorTerm.prepare`.

    Attributes
    ----------
    pointers, neighbours
        Sparse rows of Q without its diagonal, with sorted columns, int32.
    entries
        Their values, float64, in the same order; entries x types where every type has a Q.
    diagonal
        Diagonal of Q, float64, spots or spots x types.
    """

    pointers: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    entries: NDArray[np.float64]
    diagonal: NDArray[np.float64]

    @classmethod
    def prepare(cls, precision: Any) -> PriorTerm:
        """Check Q and sort its rows.

        Parameters
        ----------
        precision
            Q, a scipy sparse matrix or array, symmetric, shape (spots, spots); or a list of them,
            one for each type.

        Returns
        -------
        PriorTerm

        Raises
        ------
        InputError
            If a Q is not square, not finite, not symmetric or has a negative diagonal.
        """
        if not isinstance(precision, list):
            q = _checked(precision)
            pointers, neighbours, entries = without_diagonal(q)
            return cls(pointers, neighbours, entries, np.asarray(q.diagonal(), np.float64))
        each = [_checked(q) for q in precision]
        # Their common pattern; what a matrix lacks of it is zero.
        pattern = sparse.csr_array(sum(abs(q) for q in each))
        pattern.sort_indices()
        pointers, neighbours, _ = without_diagonal(pattern)
        shape = pattern.shape
        places = sparse.csr_array(
            (np.arange(1, neighbours.size + 1), neighbours, pointers), shape=shape
        )
        entries = np.zeros((neighbours.size, len(each)))
        for k, q in enumerate(each):
            begins, columns, values = without_diagonal(q)
            rows = np.repeat(np.arange(shape[0]), np.diff(begins))
            found = np.asarray(places[rows, columns]).ravel() if rows.size else rows
            entries[found - 1, k] = values
        diagonal = np.column_stack([q.diagonal() for q in each])
        return cls(pointers, neighbours, entries, np.ascontiguousarray(diagonal, np.float64))

    @property
    def spots(self) -> int:
        """Number of spots."""
        return int(self.pointers.size - 1)

    @property
    def types(self) -> int:
        """Number of types with a precision of their own, or 1."""
        return 1 if self.diagonal.ndim == 1 else int(self.diagonal.shape[1])

    @cached_property
    def core(self) -> _core.Prior:
        """The same in the compiled core, with what all weights share, made when first needed."""
        order = closer_order(self.pointers, self.neighbours)
        return self._made(np.zeros(0, np.int32) if order is None else order)

    @cached_property
    def core_in_order(self) -> _core.Prior:
        """The same, the spots kept in the order they are in."""
        return self._made(np.zeros(0, np.int32))

    def _made(self, order: NDArray[np.int32]) -> _core.Prior:
        if self.types == 1:
            entries, diagonal, each = self.entries.ravel(), self.diagonal.ravel(), 1
        else:
            each = -(-self.types // ROW_UNIT) * ROW_UNIT
            beside = ((0, 0), (0, each - self.types))
            entries = np.pad(self.entries, beside).ravel()
            diagonal = np.pad(self.diagonal, beside).ravel()
        return _core.Prior(self.pointers, self.neighbours, entries, diagonal, order, each)

    def product(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return Q B, each type with its own Q where it has one, shape (spots, types).

        Q is applied to differences between neighbours, so that a stiff prior on nearly constant
        values leaves little rounding.
        """
        given = np.ascontiguousarray(values, np.float64)
        found = np.empty_like(given)
        _core.multiply_prior(self.core_in_order, given, found)
        return found

    def compute_shared(self) -> None:
        """Compute what all weights share now, and not when a solve first asks for it."""
        self.core.prepare()

    def matrix(self) -> sparse.csr_array:
        """Return Q, where there is one for all types."""
        shape = (self.spots, self.spots)
        beside = sparse.csr_array((self.entries, self.neighbours, self.pointers), shape=shape)
        return sparse.csr_array(beside + sparse.diags_array(self.diagonal))


def _checked(precision: Any) -> sparse.csr_array:
    """Q with sorted rows, float64, once it is known to be fit for use."""
    q = sparse.csr_array(precision, dtype=np.float64, copy=True)
    q.sum_duplicates()
    q.sort_indices()
    if q.shape[0] != q.shape[1] or q.shape[0] == 0:
        raise InputError(
            f"The precision has shape {q.shape}",
            where="precision",
            remedy="Pass a square sparse matrix with one row a spot",
        )
    _finite(q.data, "precision")
    scale = float(np.abs(q.data).max()) if q.nnz else 0.0
    if largest_asymmetry(q) > 1e-6 * scale:
        raise InputError(
            "The precision is not symmetric",
            where="precision",
            remedy="Symmetrise the weights before building it",
        )
    lowest = float(q.diagonal().min())
    if lowest < 0:
        raise InputError(
            f"The precision has the negative diagonal entry {lowest:.3g}",
            where="precision",
            remedy="Choose rho inside the range that keeps the precision positive",
        )
    if q.nnz > np.iinfo(np.int32).max:
        raise InputError(
            f"The precision has {q.nnz} entries",
            where="precision",
            remedy="Use fewer neighbours a spot",
        )
    return q
