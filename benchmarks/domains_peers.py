"""Layers of the cortex by other methods: adjusted Rand index, mutual information, seconds.

Run from the repository in an environment that has them (pybanksy, GraphST, leidenalg, scanpy,
scikit-misc): ``python benchmarks/domains_peers.py [--only METHOD ...]``. Writes
benchmarks/domains_peers.json, answer by answer; what is there is not done again. Seconds are of
the processor, the median over seeds, with the search for a resolution that gives as many clusters
as there are layers.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import scanpy as sc
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "domains_peers.json"
WITH_GENES = Path("visium_dlpfc_151675") / "visium_dlpfc_151675.h5ad"
UNKNOWN = ("NA", "nan", "")
SEARCH_STEPS = 14
VISIUM_NEIGHBOURS = 18
"""Two rings of the hexagonal lattice, which BANKSY's vignettes take for Visium."""


@dataclass(frozen=True)
class Cortex:
    """A section with layers; values are whole counts, or components when there are no genes."""

    name: str
    adata: ad.AnnData
    has_genes: bool
    layer: np.ndarray

    @property
    def known(self) -> np.ndarray:
        return ~np.isin(self.layer, UNKNOWN)

    @property
    def n_layers(self) -> int:
        return len(np.unique(self.layer[self.known]))


def cortices(data: Path) -> list[Cortex]:
    adata = ad.read_h5ad(data / WITH_GENES)
    layer = adata.obs["layer"].astype(str).to_numpy()
    bare = ad.AnnData(adata.X, var=adata.var[[]], obsm={"spatial": adata.obsm["spatial"]})
    sections = [Cortex("visium_dlpfc_151675", bare, True, layer)]
    for path in sorted((data / "dlpfc_components").glob("*.npz")):
        with np.load(path, allow_pickle=True) as file:
            values = ad.AnnData(np.asarray(file["components"], dtype=float))
            values.obsm["spatial"] = np.asarray(file["positions"], dtype=float)
            sections.append(Cortex(path.stem, values, False, file["layer"].astype(str)))
    return sections


def as_many_as(n_wanted: int, partition: Callable[[float], np.ndarray]) -> np.ndarray:
    """Labels at a resolution found by bisection that gives as many clusters as wanted."""
    low, high = 0.01, 4.0
    labels = np.zeros(0)
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        labels = partition(middle)
        n_found = len(np.unique(labels))
        if n_found == n_wanted:
            return labels
        low, high = (middle, high) if n_found < n_wanted else (low, middle)
    return labels


def leiden(cortex: Cortex, seed: int) -> np.ndarray:
    """Scanpy's usual route: log1p, 2,000 variable genes, 50 components, 15 neighbours."""
    adata = cortex.adata.copy()
    if cortex.has_genes:
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata, n_top_genes=2000)
        sc.pp.pca(adata, random_state=seed)
        sc.pp.neighbors(adata, random_state=seed)
    else:
        sc.pp.neighbors(adata, use_rep="X", random_state=seed)

    def partition(resolution: float) -> np.ndarray:
        sc.tl.leiden(
            adata,
            resolution=resolution,
            random_state=seed,
            flavor="igraph",
            n_iterations=2,
            directed=False,
        )
        return adata.obs["leiden"].to_numpy()

    return as_many_as(cortex.n_layers, partition)


def banksy_domains(cortex: Cortex, seed: int) -> np.ndarray:
    """BANKSY with the weight of neighbours for domains."""
    return banksy(cortex, seed, 0.8)


def banksy_visium(cortex: Cortex, seed: int) -> np.ndarray:
    """BANKSY with the weight of neighbours that its vignettes take for Visium cortex."""
    return banksy(cortex, seed, 0.2)


def banksy(cortex: Cortex, seed: int, weight: float) -> np.ndarray:
    """As its notebooks do: totals brought to one, 2,000 variable genes, 20 components."""
    import leidenalg
    from banksy.cluster_methods import LeidenPartition
    from banksy.embed_banksy import generate_banksy_matrix
    from banksy.initialize_banksy import initialize_banksy
    from banksy_utils.umap_pca import pca_umap

    np.random.seed(seed)  # noqa: NPY002 - what it draws, it draws from this one
    adata = cortex.adata.copy()
    if cortex.has_genes:
        sc.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat_v3")
        sc.pp.normalize_total(adata)
        adata = adata[:, adata.var["highly_variable"]].copy()
    adata.obs["x"], adata.obs["y"] = adata.obsm["spatial"].T
    made = initialize_banksy(
        adata,
        ("x", "y", "spatial"),
        VISIUM_NEIGHBOURS,
        nbr_weight_decay="scaled_gaussian",
        max_m=1,
        plt_edge_hist=False,
        plt_nbr_weights=False,
        plt_theta=False,
    )
    made, _ = generate_banksy_matrix(adata, made, [weight], max_m=1, verbose=False)
    pca_umap(made, pca_dims=[20], plt_remaining_var=False, add_umap=False)
    partitioner = LeidenPartition(
        made["scaled_gaussian"][weight]["adata"].obsm["reduced_pc_20"],
        num_nn=50,
        nns_have_weights=True,
        compute_shared_nn=True,
        filter_shared_nn=True,
        shared_nn_max_rank=3,
        shared_nn_min_shared_nbrs=5,
        verbose=False,
    )

    def partition(resolution: float) -> np.ndarray:
        label, _ = partitioner.partition(
            resolution=resolution,
            partition_metric=leidenalg.RBConfigurationVertexPartition,
            n_iterations=-1,
            seed=1234 + seed,
        )
        return np.asarray(label.dense)

    return as_many_as(cortex.n_layers, partition)


def graphst(cortex: Cortex, seed: int) -> np.ndarray:
    """GraphST's defaults; its mclust EEE as a mixture with one covariance; 50 spots refine."""
    import torch
    from GraphST import GraphST
    from GraphST.utils import refine_label
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    model = GraphST.GraphST(cortex.adata.copy(), device=torch.device("cpu"), random_seed=41 + seed)
    # The same products, twenty times less work: the matrix of neighbours is kept dense there.
    model.adj = model.adj.to_sparse_csr()
    adata = model.train()
    values = PCA(n_components=20, random_state=42).fit_transform(adata.obsm["emb"])
    mixture = GaussianMixture(
        cortex.n_layers, covariance_type="tied", n_init=10, random_state=seed
    )
    adata.obs["domain"] = mixture.fit_predict(values).astype(str)
    return np.asarray(refine_label(adata, radius=50, key="domain"))


@dataclass(frozen=True)
class Method:
    work: Callable[[Cortex, int], np.ndarray]
    package: str
    seeds: int
    needs_genes: bool = False


METHODS = {
    "Leiden on PCA": Method(leiden, "scanpy", 5),
    "BANKSY, lambda 0.8": Method(banksy_domains, "pybanksy", 3),
    "BANKSY, lambda 0.2": Method(banksy_visium, "pybanksy", 3),
    "GraphST": Method(graphst, "GraphST", 3, needs_genes=True),
}


def kept_results() -> dict[str, dict[str, Any]]:
    """What is in the file now: another method may have been written since."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser()
    shared = HERE.parents[1] / "shared" / "data"
    parser.add_argument("data", type=Path, nargs="?", default=shared)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sections", nargs="+", help="sections whose name holds one of these")
    parser.add_argument("--seeds", type=int, default=5, help="at most so many")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in arguments.only:
        method = METHODS[name]
        for cortex in cortices(arguments.data):
            if method.needs_genes and not cortex.has_genes:
                continue
            if arguments.sections and not any(part in cortex.name for part in arguments.sections):
                continue
            empty: dict[str, Any] = {"ari": [], "nmi": [], "domains": [], "each_seconds": []}
            result = kept_results().get(cortex.name, {}).get(name, empty)
            for seed in range(len(result["ari"]), min(arguments.seeds, method.seeds)):
                ticked = time.process_time()
                with contextlib.redirect_stdout(io.StringIO()):
                    found = method.work(cortex, seed)
                result["each_seconds"].append(time.process_time() - ticked)
                truth, labels = cortex.layer[cortex.known], found[cortex.known]
                result["ari"].append(float(adjusted_rand_score(truth, labels)))
                result["nmi"].append(float(normalized_mutual_info_score(truth, labels)))
                result["domains"].append(len(np.unique(found)))
                result["seconds"] = float(np.median(result["each_seconds"]))
                result["version"] = version(method.package)
                results = kept_results()
                results.setdefault(cortex.name, {})[name] = result
                RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(cortex.name, name, result["ari"], flush=True)


if __name__ == "__main__":
    main()
