"""Deconvolution beside smoother-omics 1.1.0: the same input, in the same run.

Prints a Markdown table with seconds and objectives of every model. Run from the repository:
``python benchmarks/deconvolution.py [spots [models...]]``. Their objective is calculated by their
own code and from our answer by the same formula, with their spatial loss; both on the precision
that they build. *Tuned* is one extra setting of theirs, a step of 5e-3 for 500 epochs.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
import warnings
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch

from napari_smoother.models import deconv as ours

N_GENES, N_TYPES, RHO, LAMBDA = 1000, 20, 0.99, 1.0
TUNED = {"lr": 5e-3, "max_epochs": 500}
REPEATS = 3


@dataclass(frozen=True)
class Case:
    """A model here and there, with the scale of data it wants."""

    name: str
    settings: dict[str, object]
    counts: bool = False
    label: str = ""


CASES = (
    Case("LinearRegression", {}),
    Case("NNLS", {}),
    Case("DWLS", {}),
    Case("NuSVR", {}, label="NuSVR l2"),
    Case("NuSVR", {"loss_mode": "l1"}, label="NuSVR l1"),
    Case("LogNormReg", {"bias": False}, counts=True, label="LogNormReg, no bias"),
    Case("LogNormReg", {}, counts=True),
    Case("PoissonRegression", {}, counts=True),
)


def simulate(n_spots: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, signature, true proportions and counts of a section with smooth domains."""
    random = np.random.default_rng(0)
    side = np.sqrt(n_spots)
    positions = random.random((n_spots, 2)) * side
    signature = random.gamma(0.5, 1.0, (N_GENES, N_TYPES)) * random.gamma(1, 1, (N_GENES, 1)) * 3
    waves = np.cos(positions @ random.normal(scale=0.3, size=(2, 30)) + random.random(30) * 6.28)
    fields = waves @ random.normal(scale=0.6, size=(30, N_TYPES))
    share = np.exp(fields - fields.max(axis=1, keepdims=True))
    share *= share > 0.05 * share.max(axis=1, keepdims=True)
    share /= share.sum(axis=1, keepdims=True)
    counts = random.poisson(signature @ share.T).astype(np.float64)
    return positions, signature, share, counts


def timed(model, *data, repeats: int = 1, **settings) -> list[float]:
    """Seconds of each of a few fits."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        model.deconv(*data, **settings)
        taken.append(time.perf_counter() - began)
    return taken


def theirs(case: Case, x, y, loss, **training) -> tuple[float, float]:
    """Seconds and objective of their model."""
    import smoother.models.deconv as peer

    torch.manual_seed(0)
    model = getattr(peer, case.name)(**case.settings)
    (seconds,) = timed(
        model, x, y, spatial_loss=loss, lambda_spatial_loss=LAMBDA, quiet=True, **training
    )
    with torch.no_grad():
        return seconds, (model.get_model_loss() + model.get_sp_loss()).item()


def ours_by_their_formula(case: Case, model, x, y, loss) -> float:
    """Their objective at our answer, in float64."""
    import smoother.models.deconv as peer

    with torch.no_grad():
        b = torch.tensor(model.abundance.T)
        fitted, y = x.double() @ b + torch.tensor(model.intercepts), y.double()
        if case.name == "DWLS":
            data = peer._dwls_loss(fitted, y)
        elif case.name == "NuSVR":
            mode = case.settings.get("loss_mode", "l2")
            data = peer._nu_svr_loss(fitted, y, b, 1.0, 0.1, model.epsilon, loss=mode)
        elif case.name == "LogNormReg":
            data = (torch.log(fitted + 1) - torch.log(y + 1)).square().mean()
        else:
            data = (fitted - y).square().mean()
        return float(data + LAMBDA * loss(b.float()))


def main(n_spots: int, chosen: list[str]) -> None:
    """Print the table."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from smoother.losses import SpatialLoss
        from smoother.weights import SpatialWeightMatrix

        positions, signature, _, counts = simulate(n_spots)
        weights = SpatialWeightMatrix()
        weights.calc_weights_knn(positions, k=6, verbose=False)
        loss = SpatialLoss("icar", weights, rho=RHO, standardize_cov=False)
    warnings.simplefilter("ignore")
    prior = SimpleNamespace(inv_cov=loss.inv_cov.double())
    print(
        f"{n_spots} spots, {N_GENES} genes, {N_TYPES} types, icar, rho {RHO}, lambda {LAMBDA:g}; "
    )
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ours: median of "
        f"{REPEATS} fits before and {REPEATS} after theirs, after one to warm up\n"
    )
    print(
        "| model | ours, s | objective | default, s | objective | times "
        "| tuned, s | objective | times |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for case in CASES:
        label = case.label or case.name
        if chosen and label not in chosen and case.name not in chosen:
            continue
        scale = (lambda a: a) if case.counts else np.log1p
        x = torch.tensor(scale(signature)).float()
        y = torch.tensor(scale(counts)).float()
        model = getattr(ours, case.name)(**case.settings)
        fits = timed(model, x, y, prior, LAMBDA, repeats=1 + REPEATS)[1:]
        spent = float(np.median(fits))
        if case.name == "PoissonRegression":
            print(f"| {label} | {spent:.3f} | {model.report.objective:.7f} " + "| - " * 6 + "|")
            continue
        peers = [theirs(case, x, y, loss, **training) for training in ({}, TUNED)]
        # The speed of a shared machine drifts: half of ours before, half after.
        spent = float(np.median(fits + timed(model, x, y, prior, LAMBDA, repeats=REPEATS)))
        row = f"| {label} | {spent:.3f} | {ours_by_their_formula(case, model, x, y, loss):.7f} "
        for seconds, objective in peers:
            row += f"| {seconds:.1f} | {objective:.7f} | {seconds / spent:.0f} "
        print(row + "|", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096, sys.argv[2:])
