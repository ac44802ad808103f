"""Add a spatial loss to any differentiable model, and descend by gradient.

For quadratic losses the models of this package find optima directly. This is for everything
else: contrastive losses, losses a user writes, models of other packages.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import optimize

from napari_smoother.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

CUT = 0.2
LAST_CUT = 4


@dataclass(frozen=True, slots=True)
class GradientFit:
    """How a descent went.

    Parameters
    ----------
    loss
        The lowest total loss, at which the parameters were left; with Adam the lowest mean over
        `patience` epochs.
    model_loss, spatial_loss
        The two parts of the lowest loss of an epoch; the second with lambda.
    history
        Total loss of every epoch.
    epochs
        How many there were.
    seconds
        Wall time.
    converged
        Whether the loss stopped falling before the epochs ran out.
    """

    loss: float
    model_loss: float
    spatial_loss: float
    history: tuple[float, ...]
    epochs: int
    seconds: float
    converged: bool


def fit_with_spatial_loss(
    model_loss: Callable[[], torch.Tensor],
    parameters: Iterable[torch.Tensor],
    coefs: Callable[[], torch.Tensor],
    spatial_loss: Callable[[torch.Tensor], torch.Tensor],
    lambda_: float = 1.0,
    *,
    nonnegative: Sequence[torch.Tensor] = (),
    lr: float | None = None,
    max_epochs: int = 2000,
    tolerance: float = 1e-8,
    patience: int = 20,
    cancelled: Callable[[], bool] | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> GradientFit:
    """Minimise ``model_loss() + lambda * spatial_loss(coefs())`` over the parameters.

    The losses are calculated twice at the start. Where both times give the same, projected
    L-BFGS is used (Byrd, Lu, Nocedal and Zhu 1995, SIAM J. Sci. Comput. 16), which comes close
    to an optimum. Where they do not (random relabelings, mini-batches), or a step is asked for,
    it is Adam (Kingma and Ba 2015, arXiv:1412.6980) with projection; the step is cut to a fifth
    whenever the mean loss of `patience` epochs is no lower than before, and after the fourth cut
    the descent ends. The best parameters seen are left in place, not the last ones.

    Parameters
    ----------
    model_loss
        Calculates the model's own loss, a scalar.
    parameters
        What to fit: leaf tensors that require gradients.
    coefs
        Returns what is to be smooth, dims x spots, made of the parameters.
    spatial_loss
        Any torch loss of such a tensor: a `SpatialLoss`, `ContrastiveSpatialLoss` or your own.
    lambda_
        Strength of the spatial loss, zero or more.
    nonnegative
        Those of the parameters that must not be negative.
    lr
        First step of Adam; None lets L-BFGS work where it can, and else takes a hundredth of the
        size (root mean square) of each parameter.
    max_epochs
        Stop after calculating the losses this many times.
    tolerance
        Relative fall of the loss in one step below which it is at rest.
    patience
        Epochs without a fall after which Adam's step is cut.
    cancelled
        Asked in every epoch.
    on_epoch
        Told the epoch and its total loss.

    Returns
    -------
    GradientFit

    Raises
    ------
    InputError
        If lambda is negative, there are no parameters, or the first loss is not a number.
    Cancelled
        If ``cancelled`` returned True; the parameters then hold the best values so far.

    Examples
    --------
    >>> target = torch.randn(3, 50)
    >>> z = torch.zeros(3, 50, requires_grad=True)
    >>> rough = lambda c: c.diff().square().mean()
    >>> fit = fit_with_spatial_loss(lambda: (z - target).square().mean(), [z], lambda: z, rough)
    """
    began = time.perf_counter()
    if not lambda_ >= 0:
        raise InputError(
            f"lambda is {lambda_}", where="spatial loss", remedy="Choose a number from zero up"
        )
    fitted = list(parameters)
    if not fitted:
        raise InputError(
            "There are no parameters", where="gradient descent", remedy="Pass model.parameters()"
        )

    def losses() -> tuple[torch.Tensor, torch.Tensor]:
        own = model_loss()
        return own, lambda_ * spatial_loss(coefs()) if lambda_ > 0 else own.new_zeros(())

    bounded = {id(tensor) for tensor in nonnegative}
    run = _Descent(fitted, [id(p) in bounded for p in fitted], losses, cancelled, on_epoch)
    with torch.no_grad():
        first, again = (float(sum(losses())) for _ in range(2))
    if first != first:
        raise InputError(
            "The loss is not a number at the start",
            where="gradient descent",
            remedy="Start from parameters at which the model has a loss",
        )
    try:
        if lr is None and first == again:
            converged = _quasi_newton(run, max_epochs, tolerance)
        else:
            converged = _adam(run, lr, max_epochs, tolerance, patience)
    finally:
        _copy(run.best_values, fitted)
    return GradientFit(
        loss=run.best,
        model_loss=run.best_parts[0],
        spatial_loss=run.best_parts[1],
        history=tuple(run.history),
        epochs=len(run.history),
        seconds=time.perf_counter() - began,
        converged=converged,
    )


class _Descent:
    """What every way down needs: the loss with its gradient, and the best so far."""

    def __init__(
        self,
        parameters: list[torch.Tensor],
        bounded: list[bool],
        losses: Callable[[], tuple[torch.Tensor, torch.Tensor]],
        cancelled: Callable[[], bool] | None,
        on_epoch: Callable[[int, float], None] | None,
    ) -> None:
        self.parameters, self.bounded, self.losses = parameters, bounded, losses
        self.cancelled, self.on_epoch = cancelled, on_epoch
        self.history: list[float] = []
        self.best, self.best_parts = float("inf"), (0.0, 0.0)
        self.best_values = [tensor.detach().clone() for tensor in parameters]

    def epoch(self) -> float:
        """Calculate loss and gradients here."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("the descent was cancelled")
        for tensor in self.parameters:
            tensor.grad = None
        own, spatial = self.losses()
        total = own + spatial
        total.backward()  # type: ignore[no-untyped-call]
        value = float(total.detach())
        if value < self.best:
            self.best = value
            self.best_parts = (float(own.detach()), float(spatial.detach()))
            _copy(self.parameters, self.best_values)
        self.history.append(value)
        if self.on_epoch is not None:
            self.on_epoch(len(self.history) - 1, value)
        return value


def _quasi_newton(run: _Descent, max_epochs: int, tolerance: float) -> bool:
    sizes = [tensor.numel() for tensor in run.parameters]
    cuts = np.cumsum(sizes)[:-1]
    lowest = np.repeat([0.0 if bounded else -np.inf for bounded in run.bounded], sizes)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        with torch.no_grad():
            for tensor, part in zip(run.parameters, np.split(flat, cuts), strict=True):
                tensor.copy_(torch.from_numpy(part.reshape(tensor.shape)))
        value = run.epoch()
        slopes = [
            np.zeros(size) if p.grad is None else p.grad.double().cpu().numpy().ravel()
            for p, size in zip(run.parameters, sizes, strict=True)
        ]
        if not np.isfinite(value):
            # Outside of where the model has a loss: the line search turns back from a level wall.
            return 10 * max(map(abs, filter(np.isfinite, run.history))) + 1, np.zeros_like(flat)
        return value, np.concatenate(slopes)

    before = np.inf
    while len(run.history) < max_epochs and (not run.history or run.best < before):
        # From the best so far, anew: after a wall the line search can lose its way.
        before = run.best
        begin = np.concatenate([p.double().cpu().numpy().ravel() for p in run.best_values])
        result = optimize.minimize(
            loss,
            np.maximum(begin, lowest),
            jac=True,
            method="L-BFGS-B",
            bounds=optimize.Bounds(lowest, np.full(lowest.shape, np.inf)),
            options={
                "maxfun": max_epochs - len(run.history),
                "maxiter": max_epochs,
                "ftol": tolerance,
                "gtol": 0.0,
                "maxcor": 20,
            },
        )
        if result.success:
            return True
    return False


def _adam(
    run: _Descent, lr: float | None, max_epochs: int, tolerance: float, patience: int
) -> bool:
    groups = [{"params": [p], "lr": _first_step(p) if lr is None else lr} for p in run.parameters]
    optimiser = torch.optim.Adam(groups)
    cuts = 0
    lowest = float("inf")
    best = [tensor.detach().clone() for tensor in run.parameters]
    while cuts < LAST_CUT and len(run.history) < max_epochs:
        window = min(patience, max_epochs - len(run.history))
        for _ in range(window):
            run.epoch()
            optimiser.step()
            with torch.no_grad():
                for tensor, bounded in zip(run.parameters, run.bounded, strict=True):
                    if bounded:
                        tensor.clamp_(min=0)
        # Means: one lucky draw of a random loss says nothing about its parameters.
        mean = float(np.mean(run.history[-window:]))
        falls = lowest - mean > tolerance * abs(mean)
        if mean < lowest:
            lowest = mean
            _copy(run.parameters, best)
        if not falls:
            cuts += 1
            for group in optimiser.param_groups:
                group["lr"] *= CUT
    _copy(best, run.best_values)
    run.best = lowest
    return cuts == LAST_CUT


def _first_step(parameter: torch.Tensor) -> float:
    size = float(parameter.detach().square().mean().sqrt()) if parameter.numel() else 0.0
    return 0.01 * size if size > 0 else 0.01


def _copy(source: Sequence[torch.Tensor], target: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for one, other in zip(source, target, strict=True):
            other.copy_(one)
