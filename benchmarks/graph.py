"""Graphs of neighbours beside smoother-omics, squidpy and scikit-learn, on the same positions.

Prints markdown tables. Run from the repository: ``python benchmarks/graph.py``; peers that are
not installed are left out.
"""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.neighbors import kneighbors_graph, radius_neighbors_graph

from napari_smoother import SpatialWeightMatrix

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (4_000, 100_000, 1_000_000)
NEIGHBOURS = 6
RADIUS = 1.5
LARGEST_FOR_SMOOTHER = 100_000
LEAST_SECONDS = 2.0


def jittered(n: int, seed: int = 0) -> np.ndarray:
    """A square lattice, each spot moved by up to 0.3 of the spacing: no equal distances."""
    random = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n)))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)[:n]
    return grid + random.uniform(-0.3, 0.3, grid.shape)


def best_time(work: Callable[[], Any], most: int = 7) -> tuple[float, Any]:
    """Best of several runs, and the answer; long work runs once or twice."""
    best, spent, answer = np.inf, 0.0, None
    for _ in range(most):
        began = time.perf_counter()
        answer = work()
        took = time.perf_counter() - began
        best, spent = min(best, took), spent + took
        if spent > LEAST_SECONDS:
            break
    return best, answer


def without_diagonal(graph: Any) -> csr_array:
    """Pattern of a graph: its edges with values other than 0, a diagonal left out."""
    graph = csr_array(graph, dtype=np.float64, copy=True)
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph


def mutual(lists: Any) -> csr_array:
    """Pairs that list each other."""
    graph = without_diagonal(lists)
    return without_diagonal(graph.minimum(graph.T))


def from_tensor(graph: torch.Tensor) -> csr_array:
    graph = graph.coalesce()
    row, column = graph.indices().numpy()
    shape = tuple(graph.shape)
    return without_diagonal(csr_array((graph.values().numpy(), (row, column)), shape=shape))


def difference(graph: csr_array, other: csr_array) -> tuple[str, str]:
    """Edges that only one of two graphs has, and the largest difference of weights."""
    gap = abs(graph - other)
    edges = int(abs(pattern(graph) - pattern(other)).sum()) // 2
    return f"{edges:,}", f"{gap.max() if gap.nnz else 0.0:.0e}"


def pattern(graph: csr_array) -> csr_array:
    """The same graph with weights of 1."""
    return csr_array((np.ones(graph.nnz), graph.indices, graph.indptr), shape=graph.shape)


def peers(positions: np.ndarray, kind: str) -> dict[str, tuple[Callable[[], Any], Any]]:
    """Work of each peer, and how to read its graph as the one we make (None: another graph)."""
    n = len(positions)
    found: dict[str, tuple[Callable[[], Any], Any]] = {}
    if n <= LARGEST_FOR_SMOOTHER:
        try:
            from smoother.weights import SpatialWeightMatrix as Peer
        except ImportError:
            pass
        else:

            def smoother() -> Any:
                weights = Peer()
                if kind == "neighbours":
                    weights.calc_weights_knn(positions, k=NEIGHBOURS, verbose=False)
                else:
                    weights.calc_weights_dist(
                        torch.from_numpy(positions), scale_coords=False, radius_cutoff=RADIUS,
                        band_width=0.5, row_scale=False, verbose=False,
                    )  # fmt: skip
                return weights.swm

            found["smoother-omics"] = smoother, from_tensor
    try:
        import anndata as ad
        import squidpy
    except ImportError:
        pass
    else:
        adata = ad.AnnData(csr_array((n, 1), dtype=np.float32), obsm={"spatial": positions})
        how = {"n_neighs": NEIGHBOURS} if kind == "neighbours" else {"radius": RADIUS}

        def squid() -> Any:
            with contextlib.redirect_stdout(io.StringIO()):
                squidpy.gr.spatial_neighbors(adata, coord_type="generic", **how)
            return adata.obsp["spatial_connectivities"]

        found["squidpy"] = squid, mutual if kind == "neighbours" else without_diagonal

    def scikit() -> Any:
        if kind == "neighbours":
            return kneighbors_graph(positions, NEIGHBOURS, n_jobs=2)
        return radius_neighbors_graph(positions, RADIUS, mode="distance", n_jobs=2)

    def read_scikit(graph: Any) -> csr_array:
        if kind == "neighbours":
            return mutual(graph)
        graph = without_diagonal(graph)
        graph.data = np.exp(-2 * graph.data**2)
        return graph

    found["scikit-learn"] = scikit, read_scikit
    return found


def ours(positions: np.ndarray, kind: str) -> SpatialWeightMatrix:
    weights = SpatialWeightMatrix()
    if kind == "neighbours":
        weights.calc_weights_knn(positions, k=NEIGHBOURS)
    else:
        weights.calc_weights_dist(
            positions, scale_coords=False, radius_cutoff=RADIUS, band_width=0.5, row_scale=False
        )
    return weights


def table(kind: str, title: str) -> None:
    print(f"\n### {title}\n")
    print("| spots | with | seconds | edges | edges that differ | weights differ | times ours |")
    print("|-|-|-|-|-|-|-|")
    ours(jittered(200), kind)
    for n in SIZES:
        positions = jittered(n)
        seconds, made = best_time(lambda positions=positions: ours(positions, kind))
        graph = made.scaled
        print(f"| {n:,} | here | {seconds:.4f} | {graph.nnz // 2:,} | | | 1 |")
        for name, (work, read) in peers(positions, kind).items():
            took, answer = best_time(work)
            other = read(answer)
            if kind == "band" and name == "squidpy":  # it has no kernel
                weights = "–"
                edges = difference(pattern(graph), other)[0]
            else:
                edges, weights = difference(graph, other)
            print(
                f"| {n:,} | {name} | {took:.4f} | {other.nnz // 2:,} | {edges} | {weights} | "
                f"{took / seconds:.1f} |"
            )


def main() -> None:
    warnings.filterwarnings("ignore")
    print(
        "Jittered lattice. squidpy and scikit-learn list neighbours one way: their lists are made "
        "mutual, and scikit-learn's distances turned into weights, after their time was taken. "
        "squidpy's band has no kernel: edges alone are compared."
    )
    table("neighbours", f"{NEIGHBOURS} mutual nearest neighbours")
    table("band", f"All within a radius of {RADIUS:g} spacings, Gaussian kernel")


if __name__ == "__main__":
    main()
