"""The quadratic form of a precision matrix on tensors, with its exact gradient."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_smoother.weights.moving_average import MovingAverage

if TYPE_CHECKING:
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
        self._average: tuple[float, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tensors": {}}

    def product(self, columns: torch.Tensor) -> torch.Tensor:
        """Precision times a spots x dims tensor of float32 or float64, on its device."""
        if isinstance(self.precision, MovingAverage):
            solved = self.precision.product(columns.detach().double().cpu().numpy())
            return torch.from_numpy(solved).to(columns)
        return self._tensor(columns) @ columns

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
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
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
        columns = coefs.t().contiguous()
        product = apply_forms(columns, forms)
        shares = (columns * product).sum(dim=0)
        ctx.save_for_backward(product, confidences, shares)
        return (shares * confidences).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: D102
        product, confidences, shares = ctx.saved_tensors
        by_coefs = (product * (2 * gradient * confidences)).t()
        by_confidences = gradient * shares if ctx.needs_input_grad[1] else None
        return by_coefs, by_confidences, None


def apply_forms(columns: torch.Tensor, forms: list[QuadraticForm]) -> torch.Tensor:
    """Precision times spots x dims: one precision for all columns, or one for equal runs."""
    if len(forms) == 1:
        return forms[0].product(columns)
    runs = columns.chunk(len(forms), dim=1)
    products = [form.product(run) for form, run in zip(forms, runs, strict=True)]
    return torch.cat(products, dim=1)
