"""One other method on one section of known composition, in an environment of its own.

Called by composition_peers.py: ``python composition_peer.py METHOD FOLDER``. FOLDER holds
spots.h5ad, signature.csv (genes x types, counts per ten thousand), totals.txt (mean
total count of a cell of each type) and, unless the reference is a
table, cells.h5ad with ``obs["type"]``. Writes found.csv (spots x types, as the method has them)
and fit.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

ONCE_MORE_BELOW = 10.0
"""Seconds below which a fit is repeated, so that compiling just in time is not counted."""
EPOCHS = 3000
CELLS_PER_SPOT = 8


@dataclass(frozen=True)
class Given:
    spots: ad.AnnData
    signature: pd.DataFrame
    totals: np.ndarray
    """Mean total count of a cell of each type."""
    cells: ad.AnnData | None

    def shared(self) -> tuple[np.ndarray, np.ndarray]:
        """Spots x genes and genes x types over the genes of both."""
        genes = self.spots.var_names.intersection(self.signature.index)
        return self.spots[:, genes].X.toarray(), self.signature.loc[genes].to_numpy()


def nnls(given: Given) -> pd.DataFrame:
    """Every spot for itself, counts on shares of RNA, no weights."""
    from scipy.optimize import nnls as solve

    counts, signature = given.shared()
    signature = signature / signature.sum(axis=0)
    return table(given, np.stack([solve(signature, spot)[0] for spot in counts]))


def smoother_counts(given: Given) -> pd.DataFrame:
    """As its page shows: counts per ten thousand, mutual nearest neighbours, ICAR, lambda 1."""
    counts, signature = given.shared()
    share = counts / counts.sum(axis=1, keepdims=True) * 1e4
    return smoothed_nnls(given, share, signature)


def smoother_log(given: Given) -> pd.DataFrame:
    """The same on log1p, the scale of its tutorial."""
    counts, signature = given.shared()
    share = counts / counts.sum(axis=1, keepdims=True) * 1e4
    return smoothed_nnls(given, np.log1p(share), np.log1p(signature))


def smoothed_nnls(given: Given, spots: np.ndarray, signature: np.ndarray) -> pd.DataFrame:
    import torch
    from smoother.losses import SpatialLoss
    from smoother.models.deconv import NNLS
    from smoother.weights import SpatialWeightMatrix

    torch.manual_seed(0)
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(given.spots.obsm["spatial"], k=4, symmetric=True, row_scale=False)
    loss = SpatialLoss("icar", weights, rho=0.99, use_sparse=True, standardize_cov=False)
    model = NNLS(backend="pytorch")
    model.deconv(signature, spots.T, spatial_loss=loss, lambda_spatial_loss=1.0, quiet=True)
    return table(given, model.get_props().numpy())


def flashdeconv(given: Given) -> pd.DataFrame:
    import flashdeconv as package

    if given.cells is None:
        from flashdeconv import FlashDeconv

        counts, signature = given.shared()
        found = FlashDeconv().fit_transform(counts, signature.T, given.spots.obsm["spatial"])
        return table(given, found)
    spots = given.spots.copy()
    package.tl.deconvolve(spots, given.cells, cell_type_key="type")
    return spots.obsm["flashdeconv"]


def rctd_full(given: Given) -> pd.DataFrame:
    """Full mode, meant for Visium; every type and every spot is kept, however few its counts."""
    return rctd(given, "full")


def rctd_multi(given: Given) -> pd.DataFrame:
    """Multi mode, at most four types a spot."""
    return rctd(given, "multi")


def rctd(given: Given, mode: str) -> pd.DataFrame:
    from rctd import RCTDConfig, Reference, run_rctd

    if given.cells is None:
        raise ValueError("needs cells, and this reference is a table")
    reference = Reference(given.cells, cell_type_col="type", cell_min=1, min_UMI=1)
    config = RCTDConfig(UMI_min=1, counts_MIN=1, device="cpu", compile=False)
    result = run_rctd(given.spots, reference, mode=mode, config=config)
    kept = given.spots.obs_names[result.pixel_mask]
    if mode == "full":
        weights = result.weights
    else:
        weights = np.zeros((len(kept), len(result.cell_type_names)))
        chosen = np.asarray(result.cell_type_indices)
        for column in range(chosen.shape[1]):
            there = np.flatnonzero(column < np.asarray(result.n_types))
            weights[there, chosen[there, column]] = result.sub_weights[there, column]
    found = pd.DataFrame(np.maximum(weights, 0), index=kept, columns=result.cell_type_names)
    return found.reindex(given.spots.obs_names, fill_value=0.0)


def cell2location(given: Given) -> pd.DataFrame:
    """Far fewer epochs than its 30,000; signatures are averages of the cells of a type."""
    import torch
    from cell2location.cluster_averages import compute_cluster_averages
    from cell2location.models import Cell2location

    torch.manual_seed(0)
    signature = (
        given.signature * given.totals / given.signature.sum(axis=0)
        if given.cells is None
        else compute_cluster_averages(given.cells, labels="type", use_raw=False)
    )
    genes = given.spots.var_names.intersection(signature.index)
    spots = given.spots[:, genes].copy()
    Cell2location.setup_anndata(spots)
    model = Cell2location(
        spots,
        cell_state_df=signature.loc[genes],
        N_cells_per_location=CELLS_PER_SPOT,
        detection_alpha=20,
    )
    model.train(
        max_epochs=EPOCHS,
        batch_size=None,
        train_size=1,
        accelerator="cpu",
        enable_progress_bar=False,
    )
    drawn = model.export_posterior(
        spots, sample_kwargs={"num_samples": 100, "batch_size": spots.n_obs, "accelerator": "cpu"}
    )
    abundance = drawn.obsm["means_cell_abundance_w_sf"]
    prefix = "meanscell_abundance_w_sf_"
    return abundance.rename(columns=lambda name: str(name).removeprefix(prefix))


METHODS: dict[str, tuple[Callable[[Given], pd.DataFrame], str]] = {
    "nnls": (nnls, "scipy"),
    "smoother_counts": (smoother_counts, "smoother-omics"),
    "smoother_log": (smoother_log, "smoother-omics"),
    "flashdeconv": (flashdeconv, "flashdeconv"),
    "rctd_full": (rctd_full, "rctd-py"),
    "rctd_multi": (rctd_multi, "rctd-py"),
    "cell2location": (cell2location, "cell2location"),
}


def table(given: Given, found: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(found, index=given.spots.obs_names, columns=given.signature.columns)


def write_likelihood_tables(path: Path) -> None:
    """What RCTD downloads: log chance of k counts at a mean, for every sigma it may choose.

    The package can calculate them, one count and one sigma at a time. The Poisson chances are the
    same for every sigma, so here all of them are one product of matrices a mean.
    """
    from rctd._likelihood import _get_q_single, _ht_pdf_norm, build_x_vals
    from rctd._sigma import SIGMA_ALL
    from scipy.special import gammaln

    means, step = build_x_vals(), 4e-3
    deviation = np.arange(-5000, 5001) * step
    density = np.stack([_ht_pdf_norm(deviation / s * 100) / s * 100 for s in SIGMA_ALL], axis=1)
    logs = np.empty((len(SIGMA_ALL), 1003, means.size))
    for first, end in itertools.pairwise((0, 4, 16, 64, 256, 1003)):
        counts = np.arange(first, end, dtype=float)[:, None]
        for at, mean in enumerate(means):
            log_mean = np.log(mean) + deviation
            log_chance = counts[[0, -1]] * log_mean - np.exp(log_mean)
            likely = log_chance - gammaln(counts[[0, -1]] + 1) > -60
            near = np.arange(log_mean.size) <= np.flatnonzero(likely[1]).max(initial=0)
            near[: np.flatnonzero(likely[0]).min(initial=log_mean.size)] = False
            log_mean = log_mean[near]
            chance = np.exp(counts * log_mean - np.exp(log_mean) - gammaln(counts + 1))
            share = (chance @ density[near]) * step
            logs[:, first:end, at] = np.log(np.maximum(share, 1e-300)).T
    for sigma, count in ((10, 0), (63, 7), (100, 50), (200, 1000)):
        theirs = np.log(np.maximum(_get_q_single(means, count, sigma / 100), 1e-300))
        ours = logs[list(SIGMA_ALL).index(sigma), count]
        if not np.allclose(theirs, ours, rtol=1e-6, atol=1e-6):
            raise RuntimeError(f"Table for sigma {sigma} and count {count} differs from RCTD's")
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = {f"Q_{sigma}": logs[at] for at, sigma in enumerate(SIGMA_ALL)}
    np.savez(path, X_vals=means, **tables)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    fit, package = METHODS[arguments.method]
    if arguments.method.startswith("rctd"):
        tables = Path(os.environ["RCTD_Q_MATRICES"])
        if not tables.exists():
            write_likelihood_tables(tables)
    cells = arguments.folder / "cells.h5ad"
    given = Given(
        ad.read_h5ad(arguments.folder / "spots.h5ad"),
        pd.read_csv(arguments.folder / "signature.csv", index_col=0, keep_default_na=False),
        np.loadtxt(arguments.folder / "totals.txt", ndmin=1),
        ad.read_h5ad(cells) if cells.exists() else None,
    )
    seconds, busy = np.inf, np.inf
    for _ in range(2):
        began, ticked = time.perf_counter(), time.process_time()
        found = fit(given)
        seconds = min(seconds, time.perf_counter() - began)
        busy = min(busy, time.process_time() - ticked)
        if seconds > ONCE_MORE_BELOW:
            break
    found.to_csv(arguments.folder / "found.csv")
    facts = {"seconds": seconds, "processor_seconds": busy, "version": version(package)}
    (arguments.folder / "fit.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
