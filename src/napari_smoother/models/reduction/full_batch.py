"""Train a module on all spots at once, so that every step sees the whole tissue."""

from __future__ import annotations

import copy
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from napari_smoother.errors import Cancelled, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Settings of Adam and of the slow start of the divergence.

    Attributes
    ----------
    lr, weight_decay, eps
        Of Adam.
    n_epochs_kl_warmup
        Epochs over which the weight of the divergence rises; 0 or None for none.
    min_kl_weight, max_kl_weight
        Between which it rises.
    """

    lr: float = 0.01
    weight_decay: float = 1e-6
    eps: float = 0.01
    n_epochs_kl_warmup: int | None = 400
    min_kl_weight: float = 0.0
    max_kl_weight: float = 1.0

    def __post_init__(self) -> None:
        if not (self.lr > 0 and self.eps > 0 and self.weight_decay >= 0):
            raise InputError(
                f"lr is {self.lr}, eps {self.eps} and weight_decay {self.weight_decay}",
                where="training",
                remedy="Choose lr and eps above 0 and a weight_decay of at least 0",
            )

    def kl_weight(self, epoch: int) -> float:
        """Weight of the divergence in an epoch, counted from 0."""
        if not self.n_epochs_kl_warmup or epoch >= self.n_epochs_kl_warmup:
            return self.max_kl_weight
        rise = (self.max_kl_weight - self.min_kl_weight) * epoch / self.n_epochs_kl_warmup
        return self.min_kl_weight + rise


@dataclass(slots=True)
class TrainingLog:
    """What happened, one number an epoch.

    Attributes
    ----------
    total, reconstruction, divergence, spatial
        Means over spots: the loss that was stepped on, and its parts before weighting.
    seconds
        Wall time.
    stopped_early
        Whether the loss had settled.
    """

    total: list[float] = field(default_factory=list)
    reconstruction: list[float] = field(default_factory=list)
    divergence: list[float] = field(default_factory=list)
    spatial: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stopped_early: bool = False

    def settled(self, patience: int, min_delta: float) -> bool:
        """Whether the last `patience` epochs are no better than those before them.

        Compared are means of reconstruction and spatial loss, which do not change with the
        weight of the divergence; better means lower by `min_delta` times their size.
        """
        if len(self.total) < 2 * patience:
            return False
        both = [a + b for a, b in zip(self.reconstruction, self.spatial, strict=True)]
        before = sum(both[-2 * patience : -patience]) / patience
        last = sum(both[-patience:]) / patience
        return before - last < min_delta * abs(before)


def train_full_batch(
    module: Any,
    tensors: dict[str, torch.Tensor],
    plan: TrainingPlan,
    max_epochs: int,
    *,
    patience: int | None = None,
    min_delta: float = 1e-4,
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> TrainingLog:
    """Train by Adam, every epoch one step on all spots.

    Parameters
    ----------
    module
        Called as ``module(tensors, loss_kwargs={"kl_weight": ...})``; the last it returns has
        ``loss``, ``reconstruction_loss``, ``kl_local`` and ``kl_global``.
    tensors
        All spots, on the device of the module.
    plan
        Settings of the optimiser.
    max_epochs
        Most epochs.
    patience
        Stop when `TrainingLog.settled` says so for this many epochs; None never stops early.
    min_delta
        See there.
    seed
        Of sampling and dropout; the global random state is left alone.
    on_epoch
        Called after every epoch with the number of epochs so far and the loss.
    cancelled
        Asked before every layer, forward and backward.

    Returns
    -------
    TrainingLog

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True. After this or any other error the module is as it was.
    InputError
        If the loss is no longer finite.
    """
    began = time.perf_counter()
    before = copy.deepcopy(module.state_dict())
    was_training = module.training
    device = next(module.parameters()).device
    log = TrainingLog()

    def asked() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled("the training was cancelled")

    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda), _listening(module, asked):
            torch.manual_seed(seed)
            module.train()
            free = [value for value in module.parameters() if value.requires_grad]
            optimiser = torch.optim.Adam(
                free, lr=plan.lr, eps=plan.eps, weight_decay=plan.weight_decay
            )
            for epoch in range(max_epochs):
                _step(module, tensors, optimiser, plan.kl_weight(epoch), log, asked)
                if on_epoch is not None:
                    on_epoch(epoch + 1, log.total[-1])
                if patience is not None and log.settled(patience, min_delta):
                    log.stopped_early = True
                    break
            asked()
    except BaseException:
        module.load_state_dict(before)
        module.train(was_training)
        raise
    finally:
        module.zero_grad(set_to_none=True)
    module.eval()
    log.seconds = time.perf_counter() - began
    return log


def _step(
    module: Any,
    tensors: dict[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
    kl_weight: float,
    log: TrainingLog,
    asked: Callable[[], None],
) -> None:
    asked()
    optimiser.zero_grad(set_to_none=True)
    outcome = module(tensors, loss_kwargs={"kl_weight": kl_weight})[-1]
    loss = outcome.loss
    total = float(loss.detach())
    if not torch.isfinite(loss):
        raise InputError(
            f"The loss became {total} in epoch {len(log.total) + 1}",
            where="training",
            remedy="Choose a smaller lr, and check that the layer holds what the likelihood wants",
        )
    asked()
    loss.backward()
    asked()
    optimiser.step()
    log.total.append(total)
    log.reconstruction.append(_mean(outcome.reconstruction_loss))
    log.divergence.append(_mean(outcome.kl_local))
    log.spatial.append(_mean(outcome.kl_global))


def _mean(parts: Any) -> float:
    listed = list(parts.values()) if isinstance(parts, dict) else [parts]
    return float(sum(part.detach().mean() for part in listed))


@contextmanager
def _listening(module: Any, asked: Callable[[], None]) -> Iterator[None]:
    """Ask before every layer of the forward pass, and where its gradient passes back."""

    def before(_module: Any, _inputs: Any) -> None:
        asked()

    def after(_module: Any, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.requires_grad:
            passing: Any = output
            passing.register_hook(lambda _gradient: asked())

    handles = []
    for layer in module.modules():
        if not list(layer.children()):
            handles.append(layer.register_forward_pre_hook(before))
            handles.append(layer.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
