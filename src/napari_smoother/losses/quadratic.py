"""The quadratic form of a precision matrix on tensors, with its exact gradient."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_smoother.losses.product_loops import (
    relabelled_product,
    spot_product,
    subtract_expectation,
    turn,
    turn_rows,
    turned_product,
)
from napari_smoother.solvers.quadratic_terms import without_diagonal
from napari_smoother.solvers.row_blocks import THREADS, block_count, share_out, sums_over_rows
from napari_smoother.weights.moving_average import MovingAverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_array


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
        self, coefs: torch.Tensor, factors: torch.Tensor, *, keep: bool = True
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Precision times each row of a tensor, and the form of each row.

        Parameters
        ----------
        coefs
            Dims x spots, float32 or float64, on any device.
        factors
            Dims: what the product of each row is multiplied with, of the same dtype and device.
        keep
            Whether the product is wanted.

        Returns
        -------
        product, shares
            f_k Q x_k' as dims x spots, a tensor of its own (None where it is not wanted), and
            x_k Q x_k' as dims, of the same dtype and device.
        """
        values = coefs.detach()
        if isinstance(self.precision, MovingAverage):
            solved = self.precision.product(values.double().cpu().numpy().T)
            product = torch.from_numpy(solved.T).to(values)
        elif self._dense or values.device.type != "cpu":
            product = (self._tensor(values) @ values.t()).t()
        else:
            return self._compiled_product(values, factors, keep)
        shares = (product * values).sum(dim=1)
        return product * factors[:, None], shares

    def _compiled_product(
        self, values: torch.Tensor, factors: torch.Tensor, keep: bool
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        array, scale = values.numpy(), factors.numpy()
        matrix = self.matrix(array.dtype)
        dims, n = array.shape
        if array.T.flags.c_contiguous:
            columns = array.T
            across = np.empty_like(columns)
            shares = sums_over_rows(
                spot_product, (n, dims), dims, (*matrix, scale, columns, across)
            )
            product = across.T
        else:
            rows = np.ascontiguousarray(array)
            product = np.empty_like(rows) if keep else np.empty((0, 0), rows.dtype)
            shares = np.empty(dims)
            runs = -(-dims // DIMS_AT_ONCE)
            each_alone = runs >= 2 * THREADS

            def multiply(first: int, last: int) -> None:
                for start in range(first * DIMS_AT_ONCE, last * DIMS_AT_ONCE, DIMS_AT_ONCE):
                    run = slice(start, start + DIMS_AT_ONCE)
                    room = product[run] if keep else product
                    shares[run] = _turned_product(matrix, scale[run], rows[run], room, each_alone)

            if each_alone:
                share_out(multiply, runs, dims * n, ())
            else:
                multiply(0, runs)
        of_rows = torch.from_numpy(shares).to(values.dtype)
        return (torch.from_numpy(product) if keep else None), of_rows

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
        self, coefs: torch.Tensor, factors: torch.Tensor, *, keep: bool = True
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """As `QuadraticForm.product`."""
        values = coefs.detach()
        precision = self._form.precision
        if isinstance(precision, MovingAverage) or values.device.type != "cpu":
            return self._one_by_one(values, factors)
        rows = np.ascontiguousarray(values.numpy())
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
        product *= factors.numpy()[:, None]
        of_rows = torch.from_numpy(shares).to(values.dtype)
        return (torch.from_numpy(product) if keep else None), of_rows

    def _one_by_one(
        self, values: torch.Tensor, factors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        total = torch.zeros_like(values)
        ones = torch.ones_like(factors)
        for row in self._orders:
            order = torch.from_numpy(row.astype(np.int64)).to(values.device)
            product, _ = self._form.product(values[:, order], ones)
            assert product is not None
            total[:, order] += product
        total /= len(self._orders)
        return total * factors[:, None], (total * values).sum(dim=1)


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
        self, coefs: torch.Tensor, factors: torch.Tensor, *, keep: bool = True
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """As `QuadraticForm.product`."""
        values = coefs.detach()
        product, shares = self._form.product(values, factors, keep=keep)
        diagonal, other = (self._ratio * value for value in self._form.average())
        own = diagonal - other
        if values.device.type == "cpu" and values.is_contiguous():
            x = values.numpy()
            room = np.empty((0, 0), x.dtype) if product is None else product.numpy()
            share_out(
                subtract_expectation,
                len(x),
                x.size,
                (x, factors.numpy(), own, other, room, shares.numpy()),
            )
            return product, shares
        total = values.sum(dim=1)
        shares = shares - own * values.square().sum(dim=1) - other * total.square()
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
    dims, n = rows.shape
    columns = np.empty((n, dims), rows.dtype)
    blocks = block_count(n)
    shares = np.zeros((blocks, dims))
    arguments = (*matrix, factors, columns, product, shares)
    if alone:
        turn(rows, columns, 0, blocks)
        turned_product(*arguments, 0, blocks)
    else:
        share_out(turn, blocks, columns.size // 2, (rows, columns))
        share_out(turned_product, blocks, columns.size // 2, arguments)
    forms: NDArray[np.float64] = shares.sum(axis=0)
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


Form = QuadraticForm | RelabelledForm | ContrastedForm


class SymmetricForm(torch.autograd.Function):
    """c sum_k s_k x_k Q x_k' of a dims x spots tensor; the gradient is 2 c s_k Q x_k'.

    The product Q x' of the forward pass is all that the gradient needs: a step costs one sparse
    product. `forms` holds one precision for all dims, or one for each equal run of dims; s are
    the confidences, and c is a number.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        coefs: torch.Tensor,
        confidences: torch.Tensor,
        forms: Sequence[Form],
        scale: float,
    ) -> torch.Tensor:
        factors = _factors(coefs, confidences, scale)
        product, shares = _apply(coefs, factors, forms, ctx.needs_input_grad[0])
        ctx.save_for_backward(coefs, factors, shares)
        ctx.product, ctx.forms, ctx.scale = product, forms, scale
        ctx.alike = confidences.numel() == 1
        return torch.dot(shares, factors) / 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: D102
        coefs, factors, shares = ctx.saved_tensors
        product, ctx.product = ctx.product, None
        if product is None and ctx.needs_input_grad[0]:
            # Given away by an earlier pass over the same graph.
            product, _ = _apply(coefs, factors, ctx.forms, True)
        if product is not None and product.device.type != "cpu":
            product.mul_(gradient)
        elif product is not None and gradient.item() != 1:
            # Where it lies: a new tensor of this size takes longer than the multiplication. By
            # numpy, in this thread: torch would wake all of its own.
            product.numpy()[...] *= gradient.numpy()
        by_confidences = None
        if ctx.needs_input_grad[1]:
            by_confidences = gradient * ctx.scale * shares
            by_confidences = by_confidences.sum().view(1) if ctx.alike else by_confidences
        return product, by_confidences, None, None


def _factors(coefs: torch.Tensor, confidences: torch.Tensor, scale: float) -> torch.Tensor:
    """Return 2 c s_k, one number for each dim."""
    if confidences.numel() == 1:
        factor = 2 * scale * confidences.item()
        return torch.full((len(coefs),), factor, dtype=coefs.dtype, device=coefs.device)
    return 2 * scale * confidences.detach()


def _apply(
    coefs: torch.Tensor, factors: torch.Tensor, forms: Sequence[Form], keep: bool
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Gradient and form of every row: one precision for all rows, or one for equal runs."""
    if len(forms) == 1:
        return forms[0].product(coefs, factors, keep=keep)
    products, shares = [], []
    runs = zip(forms, coefs.chunk(len(forms)), factors.chunk(len(forms)), strict=True)
    for form, run, of_run in runs:
        product, share = form.product(run, of_run, keep=keep)
        products.append(product)
        shares.append(share)
    kept = [product for product in products if product is not None]
    return (torch.cat(kept) if kept else None), torch.cat(shares)
