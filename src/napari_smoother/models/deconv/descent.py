"""Deconvolution under a spatial loss that is no quadratic form: descent by gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_smoother.models.deconv.fit import FitReport, Fitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

State = list["NDArray[np.float64]"]
"""Abundances first, then what else a model fits (constants, the width of a tube)."""


class DataLoss(Protocol):
    """The data's part of an objective, divided by genes x spots."""

    def state(self, fitted: Fitted) -> State:
        """Return where to start."""

    def bounds(self, nonneg: bool) -> list[bool]:
        """Say which parts of the state must not be negative."""

    def evaluate(self, state: State) -> tuple[float, State]:
        """Return the loss and its gradient by every part of the state."""

    def fitted(self, state: State, report: FitReport) -> Fitted:
        """Return the answer that a state stands for."""


def descend(
    data_loss: DataLoss,
    begin: Fitted,
    spatial_loss: Any,
    lambda_: float,
    *,
    start: NDArray[np.float64] | None,
    nonneg: bool,
    tolerance: float,
    cancelled: Callable[[], bool] | None,
    lr: float | None = None,
    max_epochs: int = 2000,
) -> Fitted:
    """Minimise data loss plus lambda times any torch loss of the abundances.

    Parameters
    ----------
    data_loss
        The data's part.
    begin
        The optimum without the spatial loss, where the descent starts.
    spatial_loss
        A torch loss of a tensor (types x spots).
    lambda_
        Its strength.
    start
        Abundances to start from in place of those.
    nonneg
        Whether abundances must not be negative.
    tolerance
        The square of it, above 1e-12, is the relative fall at which the loss counts as at rest.
    cancelled
        Asked in every epoch.
    lr, max_epochs
        See `fit_with_spatial_loss`.

    Returns
    -------
    Fitted
        Its residual is the norm of the projected gradient times the norm of the state over the
        objective, at the end.
    """
    import torch

    from napari_smoother.models.gradient import fit_with_spatial_loss

    class Evaluated(torch.autograd.Function):
        """The data loss with the gradient that it knows itself."""

        @staticmethod
        def forward(ctx: Any, *tensors: torch.Tensor) -> torch.Tensor:
            value, gradients = data_loss.evaluate([tensor.numpy() for tensor in tensors])
            ctx.gradients = [torch.from_numpy(gradient) for gradient in gradients]
            return tensors[0].new_tensor(value)

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> Any:
            return tuple(upstream * gradient for gradient in ctx.gradients)

    first = data_loss.state(begin)
    if start is not None:
        first[0] = np.maximum(start, 0) if nonneg else start
    state = [torch.tensor(part, requires_grad=True) for part in first]
    bounded = [part for part, held in zip(state, data_loss.bounds(nonneg), strict=True) if held]

    def model_loss() -> torch.Tensor:
        loss: torch.Tensor = Evaluated.apply(*state)  # type: ignore[no-untyped-call]
        return loss

    fit = fit_with_spatial_loss(
        model_loss,
        state,
        lambda: state[0].t(),
        spatial_loss,
        lambda_,
        nonnegative=bounded,
        lr=lr,
        max_epochs=max_epochs,
        tolerance=max(tolerance**2, 1e-12),
        cancelled=cancelled,
    )
    total = model_loss() + lambda_ * spatial_loss(state[0].t())
    gradients = torch.autograd.grad(total, state)
    size = slope = 0.0
    for part, gradient in zip(state, gradients, strict=True):
        held = (part <= 0) & (gradient > 0) if any(part is b for b in bounded) else part != part
        slope += float(gradient.masked_fill(held, 0).square().sum())
        size += float(part.detach().square().sum())
    report = FitReport(
        objective=fit.loss,
        kkt_residual=float(np.sqrt(slope * size) / max(abs(fit.loss), 1e-300)),
        iterations=fit.epochs,
        seconds=fit.seconds,
        converged=fit.converged,
        tolerance=tolerance,
        method=f"gradient descent, {type(spatial_loss).__name__}",
        note="Descended by gradient: at rest when converged, not certified as an optimum",
    )
    return data_loss.fitted([part.detach().numpy() for part in state], report)
