"""Quadratic forms of a precision matrix on dims x spots values.

What is on the processor comes and goes as numpy arrays, what is on another device as tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from napari_smoother import _core
from napari_smoother.weights.moving_average import MovingAverage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array


Values: TypeAlias = Any
"""A numpy array, or a tensor on a device other than the processor."""

Product: TypeAlias = Callable[
    [Values, float, Values | None, bool], tuple[float | torch.Tensor, Values | None]
]
"""Called with dims x spots values x, a number c, numbers s (1 or dims; None: 1) and whether the
product is wanted. Returns sum_k c s_k x_k Q x_k', and c s_k Q x_k' as dims x spots, of its own, or
None.
"""

FEWEST_BY_SPOT = 4
"""Dims of values with all dims of a spot side by side that are multiplied as they are."""


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
        self._core_form: _core.Form | None = None
        self._average: tuple[float, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tensors": {}, "_core_form": None}

    def product(
        self,
        values: Values,
        scale: float,
        each: Values | None,
        keep: bool,
        own: float = 0.0,
        other: float = 0.0,
    ) -> tuple[float | torch.Tensor, Values | None]:
        """Return the form and the precision times each row, as a `Product`.

        Parameters
        ----------
        values
            Dims x spots, float32 or float64.
        scale
            Factor of all dims.
        each
            Factor of each dim besides, or one; of the same dtype and device.
        keep
            Whether the product is wanted.
        own, other
            Q less ``own I + other 11'`` takes the place of Q.
        """
        if self._is_compiled(values):
            if values.flags.f_contiguous and len(values) >= FEWEST_BY_SPOT:
                columns = values.T
                product = np.empty_like(columns) if keep else None
                form = self._compiled().product_by_spot(columns, scale, each, own, other, product)
                return form, None if product is None else product.T
            rows = np.ascontiguousarray(values)
            product = np.empty_like(rows) if keep else None
            return self._compiled().product(rows, scale, each, own, other, product), product
        product = self._multiply(values)
        if own or other:
            product = product - own * values - other * values.sum(1)[:, None]
        return _form(values, product, scale, each)

    def contrasted_product(
        self,
        values: Values,
        scale: float,
        each: Values | None,
        keep: bool,
        *,
        ratio: float,
        orders: NDArray[np.int32] | None = None,
    ) -> tuple[float | torch.Tensor, Values | None]:
        """As `product`, of Q less `ratio` times its mean over relabelings P of spots, P'QP.

        Parameters
        ----------
        values, scale, each, keep
            As for `product`.
        ratio
            Weight of the mean.
        orders
            Relabelings x spots, int32: each row a permutation; without them it is the mean over
            all permutations.
        """
        if orders is None:
            diagonal, other = self.average()
            own = diagonal - other
            return self.product(values, scale, each, keep, ratio * own, ratio * other)
        if self._is_compiled(values):
            rows = np.ascontiguousarray(values)
            product = np.empty_like(rows) if keep else None
            core = self._compiled()
            return core.contrasted_product(rows, scale, each, orders, ratio, product), product
        product = self._multiply(values)
        for row in orders:
            order: Any = row
            if isinstance(values, torch.Tensor):
                order = torch.from_numpy(row.astype(np.int64)).to(values.device)
            product[:, order] -= ratio / len(orders) * self._multiply(values[:, order])
        return _form(values, product, scale, each)

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

    def _is_compiled(self, values: Values) -> bool:
        """Whether the core multiplies: sparse rows, on the processor."""
        return (
            isinstance(values, np.ndarray)
            and not self._dense
            and not isinstance(self.precision, MovingAverage)
        )

    def _compiled(self) -> _core.Form:
        """Rows of a sparse precision in the core."""
        if self._core_form is None:
            q: Any = self.precision
            pointers, columns = (part.astype(np.int32) for part in (q.indptr, q.indices))
            self._core_form = _core.Form(pointers, columns, q.data.astype(np.float64))
        return self._core_form

    def _multiply(self, values: Values) -> Values:
        """Precision times each row, by the library of where they are."""
        if isinstance(self.precision, MovingAverage):
            if isinstance(values, torch.Tensor):
                return torch.from_numpy(self._multiply(values.cpu().numpy())).to(values)
            solved = self.precision.product(values.T.astype(np.float64))
            return np.ascontiguousarray(solved.T, values.dtype)
        if isinstance(values, torch.Tensor):
            return (self._tensor(values) @ values.t()).t()
        return (self._tensor(torch.from_numpy(values[:0])).numpy() @ values.T).T

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


def _form(
    values: Values, product: Values, scale: float, each: Values | None
) -> tuple[float | torch.Tensor, Values]:
    """Form and product with their factors, from the product without."""
    product = product * (scale if each is None else scale * each[:, None])
    form = (product * values).sum()
    return (form if isinstance(form, torch.Tensor) else float(form)), product


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
