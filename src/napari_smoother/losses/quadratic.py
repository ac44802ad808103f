"""Quadratic forms of a precision matrix on dims x spots values.

What is on the processor comes and goes as numpy arrays, what is on another device as tensors.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from napari_smoother.losses.product_loops import (
    relabelled_product,
    spot_product,
    subtract_expectation,
    turn,
    turn_and_multiply,
    turn_rows,
    turned_product,
)
from napari_smoother.solvers.row_blocks import (
    THREADS,
    block_count,
    share_out,
    stays_on_one_thread,
    sums_over_rows,
)
from napari_smoother.solvers.sparse_rows import without_diagonal
from napari_smoother.weights.moving_average import MovingAverage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array


Values: TypeAlias = Any
"""A numpy array, or a tensor on a device other than the processor."""

DIMS_AT_ONCE = 32
"""Dims of a relabelled product at once."""


class QuadraticForm:
    """x Q x' for each row x of a dims x spots tensor.

    Parameters
    ----------
    precision
        A sparse symmetric matrix, or a `MovingAverage`.
    dense
        Whether to multiply with a dense copy; only sensible for a few hundred spots.
    """

    def __init__(self, precision: csr_array | MovingAverage, *, dense: bool = False) -> None:
        self.precision = precision
        self.n_spots = int(precision.shape[0])
        self._dense = dense
        self._tensors: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}
        self._matrices: dict[np.dtype[Any], tuple[NDArray[Any], ...]] = {}
        self._average: tuple[float, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tensors": {}, "_matrices": {}}

    def product(
        self, values: Values, factors: Values, *, keep: bool = True
    ) -> tuple[Values | None, Values]:
        """Precision times each row, and the form of each row.

        Parameters
        ----------
        values
            Dims x spots, float32 or float64.
        factors
            Dims: what the product of each row is multiplied with, of the same dtype and device.
        keep
            Whether the product is wanted.

        Returns
        -------
        product, shares
            f_k Q x_k' as dims x spots, of its own (None where it is not wanted), and x_k Q x_k'
            as dims.
        """
        product: Values
        if isinstance(values, torch.Tensor):
            product = self._product_elsewhere(values)
        elif isinstance(self.precision, MovingAverage):
            solved = self.precision.product(values.T.astype(np.float64))
            product = np.ascontiguousarray(solved.T, values.dtype)
        elif self._dense:
            product = (self._tensor(torch.from_numpy(values[:0])).numpy() @ values.T).T
        else:
            return self._compiled_product(values, factors, keep)
        shares = (product * values).sum(1)
        return product * factors[:, None], shares

    def _product_elsewhere(self, values: torch.Tensor) -> torch.Tensor:
        if isinstance(self.precision, MovingAverage):
            solved = self.precision.product(values.double().cpu().numpy().T)
            return torch.from_numpy(solved.T).to(values)
        return (self._tensor(values) @ values.t()).t()

    def _compiled_product(
        self, values: NDArray[Any], factors: NDArray[Any], keep: bool
    ) -> tuple[NDArray[Any] | None, NDArray[np.float64]]:
        matrix = self.matrix(values.dtype)
        dims, n = values.shape
        if values.flags.f_contiguous and not values.flags.c_contiguous:
            columns = values.T
            across = np.empty_like(columns)
            arguments = (*matrix, factors, columns, across)
            return across.T, sums_over_rows(spot_product, (n, dims), dims, arguments)
        rows = np.ascontiguousarray(values)
        product = np.empty_like(rows) if keep else np.empty((0, 0), rows.dtype)
        runs = -(-dims // DIMS_AT_ONCE)
        if runs == 1:
            shares = _turned_product(matrix, factors, rows, product, False)
            return (product if keep else None), shares
        shares = np.empty(dims)
        each_alone = runs >= 2 * THREADS

        def multiply(first: int, last: int) -> None:
            for start in range(first * DIMS_AT_ONCE, last * DIMS_AT_ONCE, DIMS_AT_ONCE):
                run = slice(start, start + DIMS_AT_ONCE)
                room = product[run] if keep else product
                shares[run] = _turned_product(matrix, factors[run], rows[run], room, each_alone)

        if each_alone:
            share_out(multiply, runs, dims * n, ())
        else:
            multiply(0, runs)
        return (product if keep else None), shares

    def matrix(self, dtype: np.dtype[Any]) -> tuple[NDArray[Any], ...]:
        """Rows of a sparse precision, its diagonal only in their sums, in this dtype."""
        found = self._matrices.get(dtype)
        if found is None:
            assert not isinstance(self.precision, MovingAverage)
            q = self.precision
            pointers, neighbours, entries = without_diagonal(q)
            surplus = np.asarray(q.sum(axis=1)).astype(dtype)
            found = (pointers, neighbours, entries.astype(dtype), surplus)
            self._matrices[dtype] = found
        return found

    def average(self) -> tuple[float, float]:
        """Diagonal and off-diagonal value of the mean over all relabelings of spots.

        For a permutation P drawn uniformly, E[P'QP] = a I + b (11' - I) with a = tr Q / n and
        b = (1'Q1 - tr Q) / (n (n - 1)).
        """
        if self._average is None:
            n = self.n_spots
            ones = np.ones(n)
            if isinstance(self.precision, MovingAverage):
                trace = self.precision.trace()
                total = float(ones @ self.precision.product(ones))
            else:
                trace = float(self.precision.diagonal().sum())
                total = float(self.precision.data.sum())
            self._average = (trace / n, (total - trace) / max(n * (n - 1), 1))
        return self._average

    def _tensor(self, like: torch.Tensor) -> torch.Tensor:
        key = (like.device, like.dtype)
        if key not in self._tensors:
            assert not isinstance(self.precision, MovingAverage)
            matrix = self.precision
            if self._dense:
                tensor = torch.from_numpy(matrix.toarray()).to(like)
            else:
                tensor = _compressed(matrix, like)
            self._tensors[key] = tensor
        return self._tensors[key]


class RelabelledForm:
    """The mean of a form over relabelings of spots: the mean of x P'Q P x'.

    Parameters
    ----------
    form
        The form of each relabeling.
    orders
        Relabelings x spots, int32: each row a permutation.
    """

    def __init__(self, form: QuadraticForm, orders: NDArray[np.int32]) -> None:
        self._form = form
        self._orders = orders

    def product(
        self, values: Values, factors: Values, *, keep: bool = True
    ) -> tuple[Values | None, Values]:
        """As `QuadraticForm.product`."""
        precision = self._form.precision
        if isinstance(precision, MovingAverage) or isinstance(values, torch.Tensor):
            return self._one_by_one(values, factors)
        rows = np.ascontiguousarray(values)
        pattern = (precision.indptr, precision.indices, precision.data.astype(rows.dtype))
        dims, n = rows.shape
        shares, product = np.zeros(dims), np.empty_like(rows)

        def multiply(first: int, last: int) -> None:
            # So few at once that they stay in the cache, where they are read at random.
            for start in range(first * 4, min(last * 4, dims), DIMS_AT_ONCE):
                run = slice(start, min(start + DIMS_AT_ONCE, last * 4, dims))
                columns = np.empty((n, run.stop - start), rows.dtype)
                turn_rows(rows[run], 0, n, columns, 0)
                found = relabelled_product(*pattern, self._orders, columns, shares[run])
                turn_rows(found, 0, found.shape[1], product[run], 0)

        share_out(multiply, -(-dims // 4), dims * len(pattern[1]) * len(self._orders), ())
        product *= factors[:, None]
        return (product if keep else None), shares

    def _one_by_one(self, values: Values, factors: Values) -> tuple[Values, Values]:
        total, ones = values * 0, factors * 0 + 1
        for row in self._orders:
            order: Any = row
            if isinstance(values, torch.Tensor):
                order = torch.from_numpy(row.astype(np.int64)).to(values.device)
            product, _ = self._form.product(values[:, order], ones)
            total[:, order] += product
        total /= len(self._orders)
        return total * factors[:, None], (total * values).sum(1)


class ContrastedForm:
    """A form less a share of its mean over all relabelings, x (Q - r E[P'QP]) x'.

    Parameters
    ----------
    form
        The form.
    ratio
        r.
    """

    def __init__(self, form: QuadraticForm, ratio: float) -> None:
        self._form = form
        self._ratio = ratio

    def product(
        self, values: Values, factors: Values, *, keep: bool = True
    ) -> tuple[Values | None, Values]:
        """As `QuadraticForm.product`."""
        product, shares = self._form.product(values, factors, keep=keep)
        diagonal, other = (self._ratio * value for value in self._form.average())
        own = diagonal - other
        if isinstance(values, np.ndarray) and values.flags.c_contiguous:
            room = np.empty((0, 0), values.dtype) if product is None else product
            arguments = (values, factors, own, other, room, shares)
            share_out(subtract_expectation, len(values), values.size, arguments)
            return product, shares
        total = values.sum(1)
        shares = shares - own * (values * values).sum(1) - other * total**2
        if product is not None:
            product -= factors[:, None] * (own * values + other * total[:, None])
        return product, shares


def _turned_product(
    matrix: tuple[NDArray[Any], ...],
    factors: NDArray[np.floating],
    rows: NDArray[np.floating],
    product: NDArray[np.floating],
    alone: bool,
) -> NDArray[np.float64]:
    """Product with a few dims x spots into `product`, on this thread or all; return the forms.

    Turned to spots x dims all dims of a neighbour lie side by side.
    """
    work = rows.size // 2
    forms: NDArray[np.float64]
    if alone or stays_on_one_thread(work):
        forms = turn_and_multiply(*matrix, factors, rows, product)
        return forms
    dims, n = rows.shape
    columns, blocks = np.empty((n, dims), rows.dtype), block_count(n)
    shares = np.zeros((blocks, dims))
    share_out(turn, blocks, work, (rows, columns))
    share_out(turned_product, blocks, work, (*matrix, factors, columns, product, shares))
    forms = shares.sum(axis=0)
    return forms


def _compressed(matrix: csr_array, like: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        # Only their product is used here, which has been there since torch 1.10.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            (int(matrix.shape[0]), int(matrix.shape[1])),
            dtype=like.dtype,
            device=like.device,
            check_invariants=False,
        )


Form: TypeAlias = QuadraticForm | RelabelledForm | ContrastedForm
