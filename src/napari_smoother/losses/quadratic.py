"""The quadratic form of a precision matrix on tensors, with its exact gradient."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_smoother.losses.product_loops import column_shares, sparse_product, transposed
from napari_smoother.weights.moving_average import MovingAverage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array


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

    def product(self, coefs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Precision times each row of a tensor, and the form of each row.

        Parameters
        ----------
        coefs
            Dims x spots, float32 or float64, on any device.

        Returns
        -------
        product, shares
            Q x_k' as dims x spots and x_k Q x_k' as dims, of the same dtype and device.
        """
        values = coefs.detach()
        if isinstance(self.precision, MovingAverage):
            solved = self.precision.product(values.double().cpu().numpy().T)
            product = torch.from_numpy(solved.T).to(values)
            return product, (product * values).sum(dim=1)
        if self._dense or values.device.type != "cpu":
            product = (self._tensor(values) @ values.t()).t()
            return product, (product * values).sum(dim=1)
        return self._compiled_product(values)

    def _compiled_product(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert not isinstance(self.precision, MovingAverage)
        matrix = self.precision
        array = values.numpy()
        if array.dtype not in self._data:
            self._data[array.dtype] = matrix.data.astype(array.dtype)
        spots_first = array.T.flags.c_contiguous
        columns = array.T if spots_first else transposed(np.ascontiguousarray(array))
        product = sparse_product(matrix.indptr, matrix.indices, self._data[array.dtype], columns)
        shares = column_shares(product, columns)
        by_dim = product.T if spots_first else transposed(product)
        return torch.from_numpy(by_dim), torch.from_numpy(shares).to(values.dtype)

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


class SymmetricForm(torch.autograd.Function):
    """sum_k s_k x_k Q x_k' of a dims x spots tensor; the gradient is 2 s_k Q x_k'.

    The product Q x' of the forward pass is all that the gradient needs: a step costs one sparse
    product. `forms` holds one precision for all dims, or one for each equal run of dims.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, coefs: torch.Tensor, confidences: torch.Tensor, forms: list[QuadraticForm]
    ) -> torch.Tensor:
        product, shares = apply_forms(coefs, forms)
        ctx.save_for_backward(product, confidences, shares)
        return (shares * confidences).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: D102
        product, confidences, shares = ctx.saved_tensors
        by_coefs = product * (2 * gradient * confidences)[:, None]
        by_confidences = gradient * shares if ctx.needs_input_grad[1] else None
        return by_coefs, by_confidences, None


def apply_forms(
    coefs: torch.Tensor, forms: list[QuadraticForm]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Product and form of every row: one precision for all rows, or one for equal runs."""
    if len(forms) == 1:
        return forms[0].product(coefs)
    runs = coefs.chunk(len(forms), dim=0)
    products, shares = zip(
        *(form.product(run) for form, run in zip(forms, runs, strict=True)), strict=True
    )
    return torch.cat(products), torch.cat(shares)
