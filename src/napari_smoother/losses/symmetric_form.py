"""Quadratic forms as a function that torch differentiates, once or twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_smoother.losses.quadratic import Form, Values


class SymmetricForm(torch.autograd.Function):
    """c sum_k s_k x_k Q x_k' of a dims x spots tensor; the gradient is 2 c s_k Q x_k'.

    The product Q x' of the forward pass is all that the gradient needs: a step costs one sparse
    product. `forms` holds one precision for all dims, or one for each equal run of dims; s are
    the confidences, and c is a number. Small tensors take no longer for the product than for
    what surrounds it, so that few calls of torch are made here.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        coefs: torch.Tensor,
        confidences: torch.Tensor,
        forms: Sequence[Form],
        scale: float,
    ) -> torch.Tensor:
        values: Values = coefs.detach()
        if values.device.type == "cpu":
            values = values.numpy()
        factors = _factors(values, confidences, 2 * scale)
        product, shares = _apply(values, factors, forms, ctx.needs_input_grad[0])
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(coefs, confidences)
            ctx.shares = shares
        else:
            # A tensor less to keep: what is kept is looked after, and takes its time.
            ctx.save_for_backward(coefs)
            ctx.confidences = confidences
        ctx.product, ctx.factors, ctx.forms, ctx.scale = product, factors, forms, scale
        if isinstance(shares, np.ndarray):
            return torch.tensor(float(shares @ factors) / 2, dtype=coefs.dtype)
        return torch.dot(shares, factors) / 2

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: D102
        if torch.is_grad_enabled():
            return *_derivatives(ctx, gradient), None, None
        by_coefs, by_confidences, *_ = ctx.needs_input_grad
        product, ctx.product = ctx.product, None
        if product is None and by_coefs:
            # Given away by an earlier pass over the same graph.
            values = _bare(ctx.saved_tensors[0])
            product, _ = _apply(values, ctx.factors, ctx.forms, True)
        if isinstance(product, np.ndarray):
            # Where it lies: a new tensor of this size takes longer than the multiplication. By
            # numpy, in this thread: torch would wake all of its own.
            factor = gradient.item()
            if factor != 1:
                product *= product.dtype.type(factor)
            product = torch.from_numpy(product)
        elif product is not None:
            product.mul_(gradient)
        shares = None
        if by_confidences:
            _, confidences = _kept(ctx)
            shares = gradient * ctx.scale * torch.as_tensor(ctx.shares).to(confidences)
            shares = shares.sum().view(1) if confidences.numel() == 1 else shares
        return product, shares, None, None


class _Product(torch.autograd.Function):
    """Q x' of a dims x spots tensor, whose derivative is the same product."""

    @staticmethod
    def forward(ctx: Any, coefs: torch.Tensor, forms: Sequence[Form]) -> torch.Tensor:
        ctx.forms = forms
        values = _bare(coefs)
        one = values[:, 0] * 0 + 1
        return torch.as_tensor(_apply(values, one, forms, True)[0])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        found: torch.Tensor = _Product.apply(gradient, ctx.forms)  # type: ignore[no-untyped-call]
        return found, None


def _derivatives(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both derivatives as tensors that are differentiable themselves."""
    coefs, confidences = _kept(ctx)
    product: torch.Tensor = _Product.apply(coefs, ctx.forms)  # type: ignore[no-untyped-call]
    shares = gradient * ctx.scale * (coefs * product).sum(dim=1)
    alike = confidences.numel() == 1
    by_coefs = 2 * gradient * ctx.scale * confidences.view(-1, 1) * product
    return by_coefs, shares.sum().view(1) if alike else shares


def _kept(ctx: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Coefs and confidences of the forward pass."""
    coefs, *more = ctx.saved_tensors
    return coefs, (more[0] if more else ctx.confidences)


def _bare(tensor: torch.Tensor) -> Values:
    """Return the numbers of a tensor: an array where they are on the processor."""
    plain = tensor.detach()
    return plain.numpy() if plain.device.type == "cpu" else plain


def _factors(values: Values, confidences: torch.Tensor, scale: float) -> Values:
    """Return c s_k, one number for each dim."""
    dims = len(values)
    if isinstance(values, np.ndarray):
        if confidences.numel() == 1:
            return np.full(dims, scale * confidences.item(), values.dtype)
        return confidences.detach().numpy() * scale
    return (confidences.detach() * scale).expand(dims).contiguous()


def _apply(
    values: Values, factors: Values, forms: Sequence[Form], keep: bool
) -> tuple[Values | None, Values]:
    """Product and form of every row: one precision for all rows, or one for equal runs."""
    if len(forms) == 1:
        return forms[0].product(values, factors, keep=keep)
    each = len(values) // len(forms)
    found = [
        form.product(values[place : place + each], factors[place : place + each], keep=keep)
        for form, place in zip(forms, range(0, len(values), each), strict=True)
    ]
    joined: Any = np.concatenate if isinstance(values, np.ndarray) else torch.cat
    products = joined([product for product, _ in found]) if keep else None
    return products, joined([shares for _, shares in found])
