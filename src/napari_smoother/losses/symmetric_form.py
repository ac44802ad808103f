"""Quadratic forms as a function that torch differentiates, once or twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_smoother.losses.quadratic import Product, Values


class SymmetricForm(torch.autograd.Function):
    """c sum_k s_k x_k Q x_k' of a dims x spots tensor; the gradient is 2 c s_k Q x_k'.

    The product Q x' of the forward pass is all that the gradient needs: a step costs one sparse
    product. `products` holds one precision for all dims, or one for each equal run of dims; s are
    the confidences, and c is a number. Small tensors take no longer for the product than for
    what surrounds it, so that few calls of torch are made here.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        coefs: torch.Tensor,
        confidences: torch.Tensor,
        products: Sequence[Product],
        scale: float,
    ) -> torch.Tensor:
        form, product = _apply(
            _bare(coefs), 2 * scale, confidences, products, ctx.needs_input_grad[0]
        )
        ctx.save_for_backward(coefs, confidences)
        ctx.product, ctx.products, ctx.scale = product, products, scale
        if isinstance(form, torch.Tensor):
            return form / 2
        return torch.scalar_tensor(form / 2, dtype=coefs.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: D102
        if torch.is_grad_enabled() or ctx.needs_input_grad[1]:
            return *_derivatives(ctx, gradient), None, None
        product, ctx.product = ctx.product, None
        if product is None:
            # Given away by an earlier pass over the same graph.
            coefs, confidences = ctx.saved_tensors
            _, product = _apply(_bare(coefs), 2 * ctx.scale, confidences, ctx.products, True)
        if isinstance(product, torch.Tensor):
            return product.mul_(gradient), None, None, None
        # Where it lies: a new tensor of this size takes longer than the multiplication. By numpy,
        # in this thread: torch would wake all of its own.
        factor = gradient.item()
        if factor != 1:
            product *= factor
        return torch.from_numpy(product), None, None, None


class _Product(torch.autograd.Function):
    """Q x' of a dims x spots tensor, whose derivative is the same product."""

    @staticmethod
    def forward(ctx: Any, coefs: torch.Tensor, products: Sequence[Product]) -> torch.Tensor:
        ctx.products = products
        return torch.as_tensor(_apply(_bare(coefs), 1.0, None, products, True)[1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        found: torch.Tensor = _Product.apply(gradient, ctx.products)  # type: ignore[no-untyped-call]
        return found, None


def _derivatives(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both derivatives as tensors that are differentiable themselves."""
    coefs, confidences = ctx.saved_tensors
    product: torch.Tensor = _Product.apply(coefs, ctx.products)  # type: ignore[no-untyped-call]
    forms = gradient * ctx.scale * (coefs * product).sum(dim=1)
    alike = confidences.numel() == 1
    by_coefs = 2 * gradient * ctx.scale * confidences.view(-1, 1) * product
    return by_coefs, forms.sum().view(1) if alike else forms


def _bare(tensor: torch.Tensor) -> Values:
    """Return the numbers of a tensor: an array where they are on the processor."""
    plain = tensor.detach()
    return plain.numpy() if plain.is_cpu else plain


def _apply(
    values: Values,
    scale: float,
    confidences: torch.Tensor | None,
    products: Sequence[Product],
    keep: bool,
) -> tuple[float | torch.Tensor, Values | None]:
    """Form and product of all rows: one precision for them, or one for equal runs."""
    each: Values = None
    if confidences is not None:
        if confidences.is_cpu and confidences.numel() == 1:
            scale *= confidences.item()
        else:
            each = _bare(confidences)
    if len(products) == 1:
        return products[0](values, scale, each, keep)
    size = len(values) // len(products)
    runs = [slice(place, place + size) for place in range(0, len(values), size)]
    found = [
        multiply(values[run], scale, each if each is None or len(each) == 1 else each[run], keep)
        for multiply, run in zip(products, runs, strict=True)
    ]
    joined: Any = np.concatenate if isinstance(values, np.ndarray) else torch.cat
    product = joined([product for _, product in found]) if keep else None
    return sum(form for form, _ in found), product
