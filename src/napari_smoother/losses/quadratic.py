"""The quadratic form of a precision matrix on tensors, with its exact gradient."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_smoother.losses.product_loops import (
    relabelled_product,
    row_product,
    spot_product,
    transpose_into,
)
from napari_smoother.weights.moving_average import MovingAverage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_array


LONGEST_ROW = 8192
"""Spots up to which four rows of dims x spots stay in the cache."""

DIMS_AT_ONCE = 32
"""Dims of a relabelled product at once."""

LARGE_PRODUCT = 4_000_000
"""Multiplications from which a second thread is worth waking."""


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
        self._data: dict[np.dtype[Any], NDArray[np.floating]] = {}
        self._average: tuple[float, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tensors": {}, "_data": {}}

    def product(
        self, coefs: torch.Tensor, *, keep: bool = True
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Precision times each row of a tensor, and the form of each row.

        Parameters
        ----------
        coefs
            Dims x spots, float32 or float64, on any device.
        keep
            Whether the product is wanted.

        Returns
        -------
        product, shares
            Q x_k' as dims x spots, a tensor of its own (None where it is not wanted), and
            x_k Q x_k' as dims, of the same dtype and device.
        """
        values = coefs.detach()
        if isinstance(self.precision, MovingAverage):
            solved = self.precision.product(values.double().cpu().numpy().T)
            product = torch.from_numpy(solved.T).to(values)
        elif self._dense or values.device.type != "cpu":
            product = (self._tensor(values) @ values.t()).t()
        else:
            return self._compiled_product(values, keep)
        return product, (product * values).sum(dim=1)

    def _compiled_product(
        self, values: torch.Tensor, keep: bool
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        assert not isinstance(self.precision, MovingAverage)
        matrix = self.precision
        array = values.numpy()
        pattern = self.pattern(array.dtype)
        dims, n = array.shape
        shares = np.zeros(dims)
        spots_first = array.T.flags.c_contiguous
        if spots_first:
            product = spot_product(*pattern, array.T, shares).T
        else:
            rows = np.ascontiguousarray(array)
            product = np.empty_like(rows) if keep else np.empty((0, 0), rows.dtype)

            def multiply(first: int, end: int) -> None:
                if n <= LONGEST_ROW:
                    row_product(*pattern, rows, first, end, product, shares)
                    return
                columns = np.empty((n, end - first), rows.dtype)
                transpose_into(rows[first:end], columns)
                found = spot_product(*pattern, columns, shares[first:end])
                if keep:
                    transpose_into(found, product[first:end])

            _in_two(dims, multiply, large=dims * matrix.nnz >= LARGE_PRODUCT)
        of_rows = torch.from_numpy(shares).to(values.dtype)
        return (torch.from_numpy(product) if keep else None), of_rows

    def pattern(
        self, dtype: np.dtype[Any]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.floating]]:
        """Row starts, columns and values of a sparse precision, values in this dtype."""
        assert not isinstance(self.precision, MovingAverage)
        if dtype not in self._data:
            self._data[dtype] = self.precision.data.astype(dtype)
        return self.precision.indptr, self.precision.indices, self._data[dtype]

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
        self, coefs: torch.Tensor, *, keep: bool = True
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """As `QuadraticForm.product`."""
        values = coefs.detach()
        if isinstance(self._form.precision, MovingAverage) or values.device.type != "cpu":
            return self._one_by_one(values)
        rows = np.ascontiguousarray(values.numpy())
        pattern = self._form.pattern(rows.dtype)
        dims, n = rows.shape
        shares, product = np.zeros(dims), np.empty_like(rows)

        def multiply(first: int, end: int) -> None:
            # So few at once that they stay in the cache, where they are read at random.
            for start in range(first, end, DIMS_AT_ONCE):
                run = slice(start, min(start + DIMS_AT_ONCE, end))
                columns = np.empty((n, run.stop - start), rows.dtype)
                transpose_into(rows[run], columns)
                found = relabelled_product(*pattern, self._orders, columns, shares[run])
                transpose_into(found, product[run])

        _in_two(dims, multiply, large=dims * len(pattern[1]) * len(self._orders) >= LARGE_PRODUCT)
        of_rows = torch.from_numpy(shares).to(values.dtype)
        return (torch.from_numpy(product) if keep else None), of_rows

    def _one_by_one(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total = torch.zeros_like(values)
        for row in self._orders:
            order = torch.from_numpy(row.astype(np.int64)).to(values.device)
            product, _ = self._form.product(values[:, order])
            assert product is not None
            total[:, order] += product
        total /= len(self._orders)
        return total, (total * values).sum(dim=1)


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


Form = QuadraticForm | RelabelledForm


class SymmetricForm(torch.autograd.Function):
    """sum_k s_k x_k Q x_k' of a dims x spots tensor; the gradient is 2 s_k Q x_k'.

    The product Q x' of the forward pass is all that the gradient needs: a step costs one sparse
    product. `forms` holds one precision for all dims, or one for each equal run of dims.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, coefs: torch.Tensor, confidences: torch.Tensor, forms: Sequence[Form]
    ) -> torch.Tensor:
        product, shares = apply_forms(coefs, forms, keep=ctx.needs_input_grad[0])
        ctx.save_for_backward(coefs, confidences, shares)
        ctx.product, ctx.forms = product, forms
        return (shares * confidences).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: D102
        coefs, confidences, shares = ctx.saved_tensors
        product, ctx.product = ctx.product, None
        if product is None and ctx.needs_input_grad[0]:
            # Scaled and given away by an earlier pass over the same graph.
            product, _ = apply_forms(coefs, ctx.forms)
        if product is not None:
            # Where it lies: a new tensor of this size takes longer than the multiplication.
            factors = (2 * gradient * confidences)[:, None]
            if product.device.type == "cpu":
                # By numpy, in this thread: torch would wake all of its own.
                product.numpy()[...] *= factors.numpy()
            else:
                product.mul_(factors)
        by_confidences = gradient * shares if ctx.needs_input_grad[1] else None
        return product, by_confidences, None


def apply_forms(
    coefs: torch.Tensor, forms: Sequence[Form], *, keep: bool = True
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Product and form of every row: one precision for all rows, or one for equal runs."""
    if len(forms) == 1:
        return forms[0].product(coefs, keep=keep)
    products, shares = [], []
    for form, run in zip(forms, coefs.chunk(len(forms), dim=0), strict=True):
        product, share = form.product(run, keep=keep)
        products.append(product)
        shares.append(share)
    kept = [product for product in products if product is not None]
    return (torch.cat(kept) if kept else None), torch.cat(shares)


def _in_two(dims: int, work: Callable[[int, int], None], *, large: bool) -> None:
    """Do the work on a range of dims, in two halves at once where it is large."""
    if not large or dims < 2 or torch.get_num_threads() == 1:
        work(0, dims)
        return
    half = min(dims, (dims + 7) // 8 * 4)  # whole fours
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(work, half, dims)
        work(0, half)
        other.result()
