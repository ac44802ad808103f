"""The two halves of the problem, prepared once and used for every weight.

`DataTerm` holds A and C, `PriorTerm` holds Q. What is costly and does not depend on the weight
(eigenbasis, sorted copies of either precision, colours, multigrid levels) is kept in them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sparse

from napari_smoother.errors import InputError
from napari_smoother.solvers.row_blocks import rows_taken, total_of_squares
from napari_smoother.solvers.sparse_rows import (
    largest_asymmetry,
    reordered_rows,
    without_diagonal,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.solvers.aggregates import Coarsening
    from napari_smoother.solvers.spectral_multigrid import GraphLevel

FEWEST_NODES = 6
"""Multigrid makes no coarser level than one of about so many nodes."""

FEWEST_SPOTS = 1000
"""Graphs with no more spots than this are not made coarser for a start."""


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
    gram_single
        A in float32.
    eigenvalues, basis
        A = basis diag(eigenvalues) basis', float64, ascending, not below zero.
    linear_norm
        Frobenius norm of C, against which residuals are measured.
    """

    gram: NDArray[np.float64]
    linear: NDArray[np.float64]
    gram_single: NDArray[np.float32]
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
            gram_single=a.astype(np.float32),
            eigenvalues=np.maximum(eigenvalues, 0.0),
            basis=np.ascontiguousarray(basis),
            linear_norm=float(np.sqrt(total_of_squares(c))),
        )


@dataclass(frozen=True, eq=False)
class PriorTerm:
    """What the tissue asks of the abundances: ``1/2 tr(B' Q B)``.

    Build it with `PriorTerm.prepare`. Coarse levels and colours are computed when first needed
    and shared by all weights.

    Attributes
    ----------
    pointers, neighbours
        Sparse rows of Q without its diagonal, with sorted columns, int32.
    entries, entries_single
        Their values, float64 and float32, in the same order.
    diagonal
        Diagonal of Q, float64.
    """

    pointers: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    entries: NDArray[np.float64]
    entries_single: NDArray[np.float32]
    diagonal: NDArray[np.float64]

    @classmethod
    def prepare(cls, precision: Any) -> PriorTerm:
        """Check Q and sort its rows.

        Parameters
        ----------
        precision
            Q, a scipy sparse matrix or array, symmetric, shape (spots, spots).

        Returns
        -------
        PriorTerm

        Raises
        ------
        InputError
            If Q is not square, not finite, not symmetric or has a negative diagonal.
        """
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
        diagonal = np.asarray(q.diagonal(), dtype=np.float64)
        if diagonal.min() < 0:
            raise InputError(
                f"The precision has the negative diagonal entry {diagonal.min():.3g}",
                where="precision",
                remedy="Choose rho inside the range that keeps the precision positive",
            )
        if q.nnz > np.iinfo(np.int32).max:
            raise InputError(
                f"The precision has {q.nnz} entries",
                where="precision",
                remedy="Use fewer neighbours a spot",
            )
        pointers, neighbours, entries = without_diagonal(q)
        return cls(pointers, neighbours, entries, entries.astype(np.float32), diagonal)

    @property
    def spots(self) -> int:
        """Number of spots."""
        return int(self.diagonal.size)

    @cached_property
    def largest_diagonal(self) -> float:
        """The largest diagonal entry of Q."""
        return float(self.diagonal.max())

    @cached_property
    def common_diagonal(self) -> float:
        """A diagonal entry of Q that nineteen of twenty spots reach."""
        place = self.spots // 20
        return float(np.partition(self.diagonal, place)[place])

    @cached_property
    def surplus(self) -> NDArray[np.float64]:
        """Sums of the rows of Q: what a constant feels; exactly 0 where only rounding is left."""
        counts = np.diff(self.pointers)
        spots = np.repeat(np.arange(self.spots), counts)
        sums = self.diagonal + np.bincount(spots, self.entries, minlength=self.spots)
        sums[np.abs(sums) <= 1e-14 * (counts + 1) * self.diagonal] = 0
        return sums

    @cached_property
    def surplus_single(self) -> NDArray[np.float32]:
        """`surplus` in float32."""
        return self.surplus.astype(np.float32)

    @cached_property
    def colours(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Spots by colour and where each colour begins, for coordinate descent."""
        from napari_smoother.solvers.coordinate_descent import colour_spots

        return colour_spots(self.pointers, self.neighbours)

    @cached_property
    def first_coarsening(self) -> tuple[Coarsening, ...]:
        """Aggregates of spots; empty where nothing can be gathered."""
        from napari_smoother.solvers.aggregates import coarsen

        return coarsen(self.pointers, self.neighbours, self.entries, FEWEST_NODES, most=1)

    @cached_property
    def coarsening(self) -> tuple[Coarsening, ...]:
        """Aggregates of spots, aggregates of those, and so on, for multigrid."""
        from napari_smoother.solvers.aggregates import coarsen

        begun = self.first_coarsening
        return coarsen(self.pointers, self.neighbours, self.entries, FEWEST_NODES, begun=begun)

    @cached_property
    def graph_levels(self) -> tuple[GraphLevel, ...]:
        """Q on every level of the coarsening, for multigrid in the eigenbasis of A."""
        from napari_smoother.solvers.spectral_multigrid import graph_levels

        return graph_levels(self.matrix(), self.surplus, self.coarsening)

    def matrix(self) -> sparse.csr_array:
        """Return Q."""
        shape = (self.spots, self.spots)
        beside = sparse.csr_array((self.entries, self.neighbours, self.pointers), shape=shape)
        return sparse.csr_array(beside + sparse.diags_array(self.diagonal))

    @cached_property
    def coarser(self) -> CoarserPrior | None:
        """The same prior on a coarser graph; None where that would save nothing."""
        from napari_smoother.solvers.aggregates import sum_over_aggregates

        if self.spots <= FEWEST_SPOTS or not self.first_coarsening:
            return None
        step = self.first_coarsening[0]
        aggregate, nodes = step.aggregate.copy(), step.nodes
        inside = np.flatnonzero(aggregate >= 0)
        root = np.sqrt(np.bincount(aggregate[inside], minlength=nodes))
        gather = sparse.csr_array(
            (1 / root[aggregate[inside]], (aggregate[inside], inside)), shape=(nodes, self.spots)
        )
        rows = (self.pointers, self.neighbours, self.entries, self.diagonal)
        own, between = sum_over_aggregates(*rows, step, root)
        pattern = (between, step.neighbours.copy(), step.pointers)
        coarse = sparse.csr_array(pattern, shape=(nodes, nodes))
        coarse.sort_indices()
        entries = coarse.data
        # A piece of the graph in one row keeps nothing of an intrinsic prior but rounding.
        diagonal = np.maximum(own, 0)
        prior = PriorTerm(
            step.pointers, coarse.indices, entries, entries.astype(np.float32), diagonal
        )
        return CoarserPrior(aggregate, root, gather, prior)

    def compute_shared(self) -> None:
        """Compute what all weights share now, and not when a solve first asks for it."""
        term = self if self.closer is None else self.closer.prior
        _ = term.colours, term.graph_levels
        coarser = term.coarser
        while coarser is not None:
            _ = coarser.prior.colours
            coarser = coarser.prior.coarser

    @cached_property
    def closer(self) -> ReorderedPrior | None:
        """The same prior with neighbours closer together in memory; None where they are close."""
        from napari_smoother.solvers.spot_order import closer_order

        order = closer_order(self.pointers, self.neighbours)
        if order is None:
            return None
        place = np.empty_like(order)
        place[order] = np.arange(order.size, dtype=order.dtype)
        rows = (self.pointers, self.neighbours, self.entries)
        pointers, neighbours, entries = reordered_rows(*rows, order, place)
        diagonal = self.diagonal[order]
        prior = PriorTerm(pointers, neighbours, entries, entries.astype(np.float32), diagonal)
        return ReorderedPrior(order, place, prior)


@dataclass(frozen=True, eq=False)
class CoarserPrior:
    """A prior with one row an aggregate of spots, scaled so that A stays what it is.

    Attributes
    ----------
    aggregate
        Row of each spot, or -1 for one without neighbours, int32.
    root
        Square root of the number of spots of each aggregate, float64.
    gather
        Aggregates x spots, sparse: sums over spots, divided by the root.
    prior
        ``gather Q gather'``.
    """

    aggregate: NDArray[np.int32]
    root: NDArray[np.float64]
    gather: sparse.csr_array
    prior: PriorTerm


class ReorderedPrior:
    """A prior with its spots in another order.

    Parameters
    ----------
    order, place
        Spots in that order, and where each of them is in it, int32.
    prior
        The prior, its rows in that order.
    """

    def __init__(
        self, order: NDArray[np.int32], place: NDArray[np.int32], prior: PriorTerm
    ) -> None:
        self.order, self.prior = order, prior
        self._place = place
        self._latest: tuple[DataTerm, DataTerm] | None = None

    def data(self, data: DataTerm) -> DataTerm:
        """Return what the data ask of the spots in this order; the latest answer is kept."""
        kept = self._latest
        if kept is None or kept[0] is not data:
            kept = self._latest = (data, replace(data, linear=rows_taken(data.linear, self.order)))
        return kept[1]

    def back(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return rows that are in this order in the order of before."""
        return rows_taken(values, self._place)
