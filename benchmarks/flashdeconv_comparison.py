"""From raw counts to proportions beside FlashDeconv, on sections with a known truth.

Prints a markdown table. Run from the repository: ``python benchmarks/flashdeconv_comparison.py``,
with flashdeconv installed. Both get the same section and single cells, take their own graph, and
keep their own defaults.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
from graph import jittered
from scipy import sparse

from napari_smoother import deconvolve

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (20_000, 100_000)
GENES, TYPES, CELLS_OF_A_TYPE = 2_500, 18, 100
REPEATS = 3


def signatures(random: np.random.Generator) -> np.ndarray:
    """Types x genes, rows sum to one: a shared log-normal level, and 60 markers for each type."""
    level = random.lognormal(0, 1.3, GENES)
    own = level * random.lognormal(0, 0.3, (TYPES, GENES))
    for row in own:
        row[random.choice(GENES, 60, replace=False)] *= random.uniform(3, 15, 60)
    return own / own.sum(axis=1, keepdims=True)


def single_cells(expected: np.ndarray, random: np.random.Generator) -> ad.AnnData:
    """Cells with gamma-Poisson counts."""
    types = np.repeat(np.arange(TYPES), CELLS_OF_A_TYPE)
    depth = random.lognormal(np.log(3000), 0.4, types.size)
    mean = expected[types] * depth[:, None]
    counts = random.poisson(mean * random.gamma(2, 0.5, mean.shape)).astype(np.float32)
    cells = ad.AnnData(sparse.csr_matrix(counts), obs={"cell_type": [f"type {t}" for t in types]})
    cells.var_names = [f"gene {g}" for g in range(GENES)]
    return cells


def section(n: int, seed: int = 0) -> tuple[ad.AnnData, ad.AnnData, np.ndarray]:
    """A section, its reference cells, and the proportions of each type in each spot.

    Types lie in smooth patches; capture differs from gene to gene between the two techniques,
    and depth from spot to spot.
    """
    random = np.random.default_rng(seed)
    positions = jittered(n, seed)
    expected = signatures(random)
    cells = single_cells(expected, random)
    scaled = positions / np.sqrt(n)
    waves = sum(
        random.standard_normal(TYPES)
        * np.cos(scaled @ random.uniform(-25, 25, (2, TYPES)) + random.uniform(0, 6, TYPES))
        for _ in range(6)
    )
    level = np.exp(1.2 * waves + 0.3 * random.standard_normal((n, TYPES)))
    truth = level / level.sum(axis=1, keepdims=True)
    truth[truth < 0.02] = 0
    truth /= truth.sum(axis=1, keepdims=True)
    captured = expected * random.lognormal(0, 0.25, GENES)
    depth = random.lognormal(np.log(1500), 0.4, n)
    parts = []
    for first in range(0, n, 5000):
        part = slice(first, min(first + 5000, n))
        mean = depth[part, None] * (truth[part] @ captured)
        parts.append(sparse.csr_matrix(random.poisson(mean).astype(np.float32)))
    adata = ad.AnnData(sparse.vstack(parts, format="csr"), obsm={"spatial": positions})
    adata.var_names = cells.var_names
    return adata, cells, truth


def here(adata: ad.AnnData, cells: ad.AnnData) -> pd.DataFrame:
    deconvolve(adata, cells)
    found: pd.DataFrame = adata.obsm["nnls"]
    return found


def flashdeconv(adata: ad.AnnData, cells: ad.AnnData) -> pd.DataFrame:
    import flashdeconv as fd

    fd.tl.deconvolve(adata, cells, cell_type_key="cell_type")
    found: pd.DataFrame = adata.obsm["flashdeconv"]
    return found


def measured(
    work: Callable[[ad.AnnData, ad.AnnData], pd.DataFrame], adata: ad.AnnData, cells: ad.AnnData
) -> tuple[float, float, pd.DataFrame]:
    """Best seconds and best seconds of the processor, each on a fresh copy; and the answer."""
    best, busy, found = np.inf, np.inf, pd.DataFrame()
    for _ in range(REPEATS):
        copy = adata.copy()
        began, ticked = time.perf_counter(), time.process_time()
        found = work(copy, cells)
        best = min(best, time.perf_counter() - began)
        busy = min(busy, time.process_time() - ticked)
    return best, busy, found


def main() -> None:
    warnings.filterwarnings("ignore")
    rows: dict[str, Any] = {"here": here, "FlashDeconv": flashdeconv}
    try:
        import flashdeconv as package
    except ImportError:
        print("flashdeconv is not installed: no rows of it\n")
        del rows["FlashDeconv"]
    else:
        print(f"FlashDeconv {package.__version__}, best of {REPEATS}. ", end="")
    print(
        f"{GENES:,} genes, {TYPES} types, {TYPES * CELLS_OF_A_TYPE:,} reference cells. Gene "
        "choice, signature, graph and solve are in the time; compiling is not.\n"
    )
    print("| spots | counts a spot | with | s | processor, s | rmse | correlation | times ours |")
    print("|-|-|-|-|-|-|-|-|")
    small = section(500)
    for work in rows.values():
        work(small[0].copy(), small[1])
    for n in SIZES:
        adata, cells, truth = section(n)
        columns = [f"type {t}" for t in range(TYPES)]
        counts = float(np.median(np.asarray(adata.X.sum(axis=1))))
        first = np.nan
        for name, work in rows.items():
            seconds, busy, found = measured(work, adata, cells)
            first = seconds if np.isnan(first) else first
            shares = found[columns].to_numpy()
            error = float(np.sqrt(np.mean((shares - truth) ** 2)))
            alike = float(np.corrcoef(shares.ravel(), truth.ravel())[0, 1])
            print(
                f"| {n:,} | {counts:,.0f} | {name} | {seconds:.2f} | {busy:.2f} | {error:.4f} | "
                f"{alike:.4f} | {seconds / first:.1f} |"
            )


if __name__ == "__main__":
    main()
