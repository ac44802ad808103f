"""Which reduction finds the layers of the cortex, against the anatomists' own.

Writes docs/domains.md. Run from the repository: ``python benchmarks/domains.py``; the folder with
the real sections is ``../shared/data`` unless given as the first argument.
"""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.models.reduction import SpatialPCA, find_domains, smooth_embedding

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "domains.md"
SECTION = Path("visium_dlpfc_151673") / "visium_dlpfc_151673.h5ad"
SEEDS = range(10)
DIMS = 15
RHO = 0.99
SMOOTHING = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
PENALTIES = (0.0, 0.01, 0.1, 0.3, 1.0)
COUPLINGS = (1.0, 2.0, 4.0, 8.0)
STARTS = 3


@dataclass(frozen=True)
class Cortex:
    scaled: ad.AnnData
    truth: np.ndarray
    known: np.ndarray
    weights: SpatialWeightMatrix
    loss: SpatialLoss


@dataclass(frozen=True)
class Score:
    mean: float
    spread: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.spread:.3f}"


def read_cortex(data: Path) -> Cortex:
    adata = ad.read_h5ad(data / SECTION)
    layer = adata.obs["layer"].astype(str).to_numpy()
    known = ~np.isin(layer, ["NA", "nan", ""])
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    dense = adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)
    spread = dense.std(axis=0, ddof=1)
    keep = spread > 0
    scaled = ad.AnnData((dense[:, keep] - dense[:, keep].mean(axis=0)) / spread[keep])
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(adata.obsm["spatial"], k=6)
    return Cortex(scaled, layer, known, weights, SpatialLoss("icar", weights, rho=RHO))


def components(cortex: Cortex, values: np.ndarray, penalty: float = 0.0) -> np.ndarray:
    model = SpatialPCA(
        ad.AnnData(values), n_latent=DIMS, spatial_loss=cortex.loss, lambda_spatial_loss=penalty
    )
    model.reduce()
    return model.get_latent_representation()


def score(cortex: Cortex, embedding: np.ndarray, coupling: float = 0.0) -> Score:
    """Adjusted Rand index of as many domains as there are layers, over several seeds."""
    n_domains = len(np.unique(cortex.truth[cortex.known]))
    found = []
    for seed in SEEDS:
        domains = find_domains(
            embedding,
            n_domains,
            weights=cortex.weights.scaled,
            coupling=coupling,
            n_starts=STARTS,
            seed=seed,
        )
        labels = domains.labels[cortex.known]
        found.append(adjusted_rand_score(cortex.truth[cortex.known], labels))
    return Score(float(np.mean(found)), float(np.std(found, ddof=1)))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "shared" / "data"
    warnings.filterwarnings("ignore")
    began = time.perf_counter()
    cortex = read_cortex(data)
    values = np.asarray(cortex.scaled.X)
    plain = components(cortex, values)

    penalised = {p: score(cortex, components(cortex, values, p)) for p in PENALTIES}
    smoothed_scores = {s: smooth_embedding(plain, cortex.loss, s) for s in SMOOTHING}
    after = {s: score(cortex, z) for s, z in smoothed_scores.items()}
    smoothed_values = {s: smooth_embedding(values, cortex.loss, s) for s in SMOOTHING}
    first_scores = {s: components(cortex, x) for s, x in smoothed_values.items()}
    first = {s: score(cortex, z) for s, z in first_scores.items()}
    both = {
        s: score(cortex, smooth_embedding(components(cortex, values, 0.1), cortex.loss, s))
        for s in SMOOTHING
    }
    field = {c: score(cortex, plain, c) for c in COUPLINGS}
    field_after = {c: score(cortex, smoothed_scores[1.0], c) for c in COUPLINGS}
    field_first = {c: score(cortex, first_scores[1.0], c) for c in COUPLINGS}

    def best(scores: dict[float, Score]) -> tuple[float, Score]:
        return max(scores.items(), key=lambda item: item[1].mean)

    groups = [
        ("principal components (PCA)", "", {0.0: penalised[0.0]}),
        ("SpatialPCA", "lambda", {p: s for p, s in penalised.items() if p > 0}),
        ("PCA, scores smoothed", "lambda", {p: s for p, s in after.items() if p > 0}),
        ("SpatialPCA (0.1), scores smoothed", "lambda", {p: s for p, s in both.items() if p > 0}),
        ("expression smoothed, then PCA", "lambda", {p: s for p, s in first.items() if p > 0}),
        ("PCA, labels a field", "coupling", {p: s for p, s in field.items() if p > 0}),
        (
            "PCA smoothed by 1, labels a field",
            "coupling",
            {p: s for p, s in field_after.items() if p > 0},
        ),
        (
            "expression smoothed by 1, PCA, labels a field",
            "coupling",
            {p: s for p, s in field_first.items() if p > 0},
        ),
    ]
    ranking = []
    for name, knob, scores in groups:
        at, top = best(scores)
        low = min(scores.values(), key=lambda item: item.mean)
        setting = f"{knob} {at:g}" if knob else "–"
        ranking.append([name, str(top), setting, str(low)])

    base = penalised[0.0]
    pca_gain = best(groups[1][2])[1].mean - base.mean
    after_gain = best(groups[2][2])[1].mean - base.mean
    both_gain = best(groups[3][2])[1].mean - base.mean
    first_gain = best(groups[4][2])[1].mean - base.mean
    field_gain = best(groups[5][2])[1].mean - base.mean
    winner = max(groups, key=lambda group: best(group[2])[1].mean)
    combined = max((groups[6], groups[7]), key=lambda group: best(group[2])[1].mean)
    separate = max(after_gain, both_gain, first_gain)
    combined_gain = best(combined[2])[1].mean - base.mean

    def verdict(gain: float) -> str:
        if gain > 2 * base.spread and gain > 0.02:
            return f"helps: {gain:+.3f}"
        return f"does not help: {gain:+.3f}" if gain < 0 else f"changes little: {gain:+.3f}"

    smooth_rows = [[f"{s:g}", str(after[s]), str(both[s]), str(first[s])] for s in SMOOTHING]
    penalty_rows = [[f"{p:g}", str(penalised[p])] for p in PENALTIES]
    field_rows = [
        [f"{c:g}", str(field[c]), str(field_after[c]), str(field_first[c])] for c in COUPLINGS
    ]
    n_domains = len(np.unique(cortex.truth[cortex.known]))
    without = int((~cortex.known).sum())
    smooth_head = ["lambda", "PCA smoothed", "SpatialPCA (0.1) smoothed", "expression smoothed"]
    text = f"""# Spatial domains: what helps

Written by `benchmarks/domains.py`; no number in it was typed.

A section of human cortex (`visium_dlpfc_151673`, {cortex.scaled.n_obs} spots,
{cortex.scaled.n_vars} genes) on which anatomists drew {n_domains} layers. Counts per ten
thousand, log1p, every gene scaled to mean 0 and variance 1; {DIMS} components; ICAR with
rho = {RHO:g} on six neighbours; {n_domains} domains by a Gaussian mixture with one shared
covariance, the best of {STARTS} k-means starts a seed. The score is the adjusted Rand
index against the layers, over
{int(cortex.known.sum())} spots ({without} without a layer are left out in scoring, not in
fitting): mean ± standard deviation over {len(SEEDS)} seeds. One section, so the order of
the methods is worth more than the differences, and the best setting of a method was chosen by
the score itself.

## In plain words

- **A spatial penalty on the components (SpatialPCA)** {verdict(pca_gain)} at its best lambda. It
  chooses directions that vary smoothly, but every spot is still its own projection: its noise
  stays.
- **Smoothing the scores** (`smooth_embedding`, the posterior mean) {verdict(after_gain)}.
- **Smoothing the scores of SpatialPCA** (0.1) instead {verdict(both_gain)}, which is
  {both_gain - after_gain:+.3f} beside smoothed plain components.
- **Smoothing expression first, then PCA** {verdict(first_gain)}.
- **A field on the labels** (`find_domains(..., coupling=...)`) on plain components
  {verdict(field_gain)}.
- **Smoothing and a field together** {verdict(combined_gain)}, which is
  {combined_gain - separate:+.3f} beside the best way of smoothing alone.
- Best of all here: {winner[0]}, {best(winner[2])[1]}.

{table(["method", "best score", "at", "worst score over its settings"], ranking)}

## Over the penalty of SpatialPCA

{table(["lambda", "SpatialPCA"], penalty_rows)}

## Over the strength of smoothing

{table(smooth_head, smooth_rows)}

## Over the coupling of the field

A coupling of c gives the label that all neighbours have c more in log odds. The second and third
columns are smoothed by lambda = 1 first.

{table(["coupling", "PCA", "PCA smoothed", "expression smoothed"], field_rows)}
"""
    REPORT.write_text(text)
    print(text)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
