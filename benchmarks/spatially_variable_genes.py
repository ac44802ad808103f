"""Moran's I of all genes beside squidpy, on the same values and the same graph.

Prints a markdown table, the best of five runs each, and the largest differences. Run from the
repository: ``python benchmarks/spatially_variable_genes.py``, with squidpy installed; without it
only our own rows are printed. The folder with the real sections is ``../shared/data`` unless given
as the first argument; without it only the simulated section is taken.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import scanpy as sc
from scipy import sparse

import napari_smoother as ns
from napari_smoother.models.spatial_autocorrelation import moran, moran_test

HERE = Path(__file__).resolve().parent
SECTION = Path("visium_dlpfc_151675") / "visium_dlpfc_151675.h5ad"
REPEATS = 5
PERMUTATIONS = 5


def simulated(side: int = 200, n_genes: int = 1000, seed: int = 0) -> ad.AnnData:
    """Counts on a jittered lattice, one gene in twenty with a pattern."""
    random = np.random.default_rng(seed)
    positions = np.stack(np.indices((side, side)), axis=-1).reshape(-1, 2)
    positions = positions + random.uniform(-0.3, 0.3, positions.shape)
    means = np.tile(random.gamma(0.5, 0.2, n_genes), (len(positions), 1))
    angles = random.uniform(0, 0.1, (2, n_genes // 20))
    means[:, ::20] *= 1 + np.cos(positions @ angles)
    counts = sparse.csr_matrix(random.poisson(means).astype(np.float32))
    return ad.AnnData(counts, obsm={"spatial": positions})


def best_time(work: Any, repeats: int = REPEATS) -> tuple[float, Any]:
    best, answer = np.inf, None
    for _ in range(repeats):
        began = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - began)
    return best, answer


def squidpy_table(adata: ad.AnnData, n_perms: int | None = None) -> Any:
    import squidpy

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = squidpy.gr.spatial_autocorr(
            adata, mode="moran", transformation=True, n_perms=n_perms, seed=0, copy=True,
            n_jobs=1, show_progress_bar=False,
        )  # fmt: skip
    return found.loc[adata.var_names]


def compare(name: str, counts: ad.AnnData) -> None:
    ns.spatial_neighbors(counts, n_neighs=6)
    logged = counts.copy()
    sc.pp.normalize_total(logged, target_sum=1e4)
    sc.pp.log1p(logged)
    values, graph = logged.X, logged.obsp["spatial_connectivities"]
    stored = 100 * values.nnz / np.prod(values.shape)
    print(
        f"\n### {name}: {counts.n_obs:,} spots, {counts.n_vars:,} genes, {stored:.1f} % above 0\n"
    )
    print("| what | with | seconds | times ours | largest difference of I | of pval_norm |")
    print("|-|-|-|-|-|-|")
    alone, _ = best_time(lambda: moran(values, graph))
    tested, test = best_time(lambda: moran_test(values, graph))
    whole, _ = best_time(lambda: ns.spatially_variable_genes(counts))
    many, _ = best_time(lambda: moran_test(values, graph, n_permutations=PERMUTATIONS), 1)
    rows = [
        ("I", alone, lambda: sc.metrics.morans_i(row_shares(graph), values.T), REPEATS),
        ("I, p-values by formula", tested, lambda: squidpy_table(logged), REPEATS),
        (
            f"the same and {PERMUTATIONS} permutations",
            many,
            lambda: squidpy_table(logged, PERMUTATIONS),
            1,
        ),
    ]
    for what, ours, theirs, repeats in rows:
        print(f"| {what} | here | {ours:.3f} | 1 | | |")
        if importlib.util.find_spec("squidpy") is None:
            continue
        took, found = best_time(theirs, repeats)
        statistic = found if what == "I" else found["I"].to_numpy()
        apart = f"{np.nanmax(np.abs(statistic - test.statistic)):.0e}"
        p_apart = ""
        if what != "I":
            p_apart = f"{np.nanmax(np.abs(found['pval_norm'].to_numpy() - test.p_normal)):.0e}"
        peer = "scanpy" if what == "I" else "squidpy"
        print(f"| {what} | {peer} | {took:.3f} | {took / ours:.1f} | {apart} | {p_apart} |")
    print(f"| from counts to a ranked table | here | {whole:.3f} | | | |")


def row_shares(graph: Any) -> sparse.csr_matrix:
    """Divide every row by its sum, as squidpy does before it asks scanpy."""
    from sklearn.preprocessing import normalize

    return normalize(graph, norm="l1", axis=1)


def main() -> None:
    warnings.filterwarnings("ignore")
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "shared" / "data"
    print(
        "Where a gene has no count, squidpy has no false discovery rate for any gene. Its "
        "permutations shuffle the rows of the weights alone, ours the spots."
    )
    if (data / SECTION).exists():
        compare("Human cortex (151675)", ad.read_h5ad(data / SECTION))
    compare("Simulated", simulated())


if __name__ == "__main__":
    main()
