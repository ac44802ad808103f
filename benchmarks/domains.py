"""Domains against layers and regions that are known: by defaults, step by step, and other methods.

Writes docs/domains.md. Run from the repository: ``python benchmarks/domains.py``; the folder with
the real sections is ``../shared/data`` unless given as the first argument. Figures of other
methods are read from benchmarks/domains_peers.json, which benchmarks/domains_peers.py writes.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import scanpy as sc
from scipy import sparse
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from napari_smoother.analyses.domain_steps import DomainSteps
from napari_smoother.analyses.domains import compute
from napari_smoother.analyses.embedding_settings import (
    DomainSettings,
    ExpressionSettings,
    ReductionSettings,
)
from napari_smoother.models.reduction import SpatialPCA, find_domains, smooth_embedding
from napari_smoother.models.reduction.choice_of_smoothing import BEYOND
from napari_smoother.models.reduction.domain_mixture import fit_domain_mixture
from napari_smoother.models.reduction.number_of_domains import STABLE
from napari_smoother.models.reduction.smoothed_embedding import smooth_columns
from napari_smoother.models.reduction.variable_genes import most_variable, residual_variances
from napari_smoother.sample_data import simulate_cortex, simulate_tumour
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "domains.md"
PEERS = HERE / "domains_peers.json"
SEEDS = range(10)
FEW_SEEDS = range(1)
MULTIPLES = (1.0, 3.0, 10.0, 30.0)
"""Of the smoothing that is best for values."""

STEPS_OF_WALK = (8, 16)
UNKNOWN = ("NA", "nan", "", "Excluded")
CORTEX = "visium_dlpfc_151675"


@dataclass(frozen=True)
class Source:
    name: str
    what: str
    adata: ad.AnnData
    truth: np.ndarray
    layer: str | None
    weights: sparse.csr_array

    @property
    def known(self) -> np.ndarray:
        return ~np.isin(self.truth, UNKNOWN)

    @property
    def n_domains(self) -> int:
        return len(np.unique(self.truth[self.known]))

    @property
    def is_real(self) -> bool:
        return not self.name.startswith("simulated")

    @property
    def is_cortex(self) -> bool:
        return "dlpfc_15" in self.name and "151673" not in self.name


@dataclass(frozen=True)
class Scores:
    rand: list[float]
    information: list[float]
    processor: list[float]


def source(
    name: str, what: str, adata: ad.AnnData, truth: np.ndarray, layer: str | None = None
) -> Source:
    return Source(name, what, adata, truth.astype(str), layer, section_graph(adata)[0])


def sources(data: Path) -> Iterator[Source]:
    adata = ad.read_h5ad(data / CORTEX / f"{CORTEX}.h5ad")
    what = f"{adata.n_vars:,} genes"
    yield source(CORTEX, what, adata, adata.obs["layer"].astype(str).to_numpy())
    for path in sorted((data / "dlpfc_components").glob("*.npz")):
        with np.load(path, allow_pickle=True) as file:
            made = ad.AnnData(np.asarray(file["components"], dtype=float))
            made.obsm["spatial"] = np.asarray(file["positions"], dtype=float)
            layers = file["layer"].astype(str)
        yield source(path.stem, "30 components by others", made, layers, "X")
    name = "visium_dlpfc_151673"
    adata = ad.read_h5ad(data / name / f"{name}.h5ad")
    yield source(name, "332 genes with counts", adata, adata.obs["layer"].astype(str).to_numpy())
    adata = ad.read_h5ad(data / "osmfish_somatosensory_cortex" / "osmfish_cells.h5ad")
    adata = adata[adata.obs["Valid"] == 1].copy()
    regions = adata.obs["Region"].astype(str).to_numpy()
    yield source("osmfish_somatosensory_cortex", "single cells, 33 genes", adata, regions)
    for kind, make in (("cortex", simulate_cortex), ("tumour", simulate_tumour)):
        section = make(rows=60, median_counts=1000, image_size=300, seed=1).section
        truth = section.adata.obs["region"].astype(str).to_numpy()
        yield source(f"simulated {kind}", "1,500 genes", section.adata, truth)


def settings_of(source: Source) -> ReductionSettings:
    """All defaults, with the number of domains."""
    return ReductionSettings(
        data=ExpressionSettings(source.layer), domains=DomainSettings(True, source.n_domains)
    )


def scored(
    source: Source, settings: ReductionSettings, seeds: range, steps: DomainSteps
) -> Scores:
    scores = Scores([], [], [])
    for seed in seeds:
        processor = time.process_time()
        found = compute(source.adata, source.weights, replace(settings, seed=seed), steps=steps)
        scores.processor.append(time.process_time() - processor)
        truth, labels = source.truth[source.known], found.labels[source.known]
        scores.rand.append(float(adjusted_rand_score(truth, labels)))
        scores.information.append(float(normalized_mutual_info_score(truth, labels)))
    return scores


def as_before(source: Source) -> float:
    """The Reduce page's defaults of version 0.1."""
    adata = source.adata.copy()
    if source.layer is None:
        genes = most_variable(residual_variances(adata.X), 2000)
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        adata = adata[:, genes].copy()
    values = adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)
    values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)

    class Loss:
        inv_cov = precision(source.weights, "icar", 0.99)
        precisions = (inv_cov,)

    model = SpatialPCA(ad.AnnData(values), n_latent=10, spatial_loss=Loss, lambda_spatial_loss=0.1)
    model.reduce()
    scores = smooth_embedding(model.get_latent_representation(), Loss, 1.0)
    found = [
        find_domains(scores, source.n_domains, weights=source.weights, coupling=2.0, seed=seed)
        for seed in FEW_SEEDS
    ]
    known = source.known
    return float(
        np.median([adjusted_rand_score(source.truth[known], each.labels[known]) for each in found])
    )


def variants(source: Source, chosen: float) -> dict[str, ReductionSettings]:
    """The defaults with one thing taken away or changed."""
    base = settings_of(source)
    made = {
        "a penalty of 0.1 on components": replace(base, lambda_=0.1),
        "no field on labels": replace(base, domains=replace(base.domains, coupling=0.0)),
    }
    if source.layer is None:
        data = base.data
        made |= {
            "genes by variance beyond counting": replace(
                base, data=replace(data, genes_by="variable")
            ),
            "genes at unit variance": replace(base, data=replace(data, scale=True)),
        }
    for multiple in MULTIPLES:
        name = f"smoothed by {multiple:g} times the best for values"
        made[name] = replace(base, smoothing=chosen / BEYOND * multiple)
    return made


def walks(source: Source, steps: DomainSteps) -> dict[int, tuple[float, float, float]]:
    """Lazy walks, and the posterior mean that leaves as many degrees of freedom."""
    components = steps.components(source.adata, "section", source.weights, settings_of(source))
    coherent = steps.coherent(components.projected, components.linked).scores
    shares = steps.shares(components.linked)
    probes = np.random.default_rng(0).choice([-1.0, 1.0], size=(len(coherent), 8))
    domains, known = source.n_domains, source.known

    def rand(scores: np.ndarray) -> float:
        found = fit_domain_mixture(scores, domains, shares, 2.0)
        return float(adjusted_rand_score(source.truth[known], found.labels[known]))

    found = {}
    walked, walked_probes = coherent, probes
    for step in range(1, max(STEPS_OF_WALK) + 1):
        walked = (walked + shares @ walked) / 2
        walked_probes = (walked_probes + shares @ walked_probes) / 2
        if step not in STEPS_OF_WALK:
            continue
        freedom = float(np.vdot(probes, walked_probes))
        low, high = 1e-2, 1e3
        for _ in range(8):
            middle = float(np.sqrt(low * high))
            smooth = smooth_columns(probes, components.precision, middle).values
            low, high = (middle, high) if np.vdot(probes, smooth) > freedom else (low, middle)
        smoothed = smooth_columns(coherent, components.precision, middle).values
        found[step] = middle, rand(walked), rand(smoothed)
    return found


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "shared" / "data"
    warnings.filterwarnings("ignore")
    began = time.perf_counter()
    given = list(sources(data))
    rows, before, changed, numbers, walked = [], {}, {}, [], {}
    defaults: dict[str, Scores] = {}
    for each in given:
        first = scored(each, settings_of(each), range(1), DomainSteps())
        steps = DomainSteps()
        scores = defaults[each.name] = scored(each, settings_of(each), SEEDS, steps)
        chosen = compute(each.adata, each.weights, settings_of(each), steps=steps)
        before[each.name] = as_before(each)
        median, worst = float(np.median(scores.rand)), min(scores.rand)
        rows.append(
            [
                each.name,
                each.what,
                f"{len(each.truth):,}",
                f"{each.n_domains}",
                f"{before[each.name]:.3f}",
                f"**{median:.3f}**",
                f"{worst:.3f}",
                f"{np.median(scores.information):.3f}",
                f"{chosen.smoothing.lambda_:.3g}",
                f"{len(chosen.kept)}",
                f"{first.processor[0]:.1f}",
            ]
        )
        for name, settings in variants(each, chosen.smoothing.lambda_).items():
            tried = scored(each, settings, FEW_SEEDS, steps)
            changed.setdefault(name, {})[each.name] = float(np.median(tried.rand))
        if each.is_cortex:
            walked[each.name] = walks(each, steps)
        settings = settings_of(each)
        free = replace(settings, domains=replace(settings.domains, number=None))
        found = compute(each.adata, each.weights, free, steps=steps)
        assert found.number is not None
        labels = found.labels[each.known]
        rand = adjusted_rand_score(each.truth[each.known], labels)
        curve = " ".join(f"{value:.2f}" for value in found.number.criterion)
        chosen_number = str(found.number.number)
        numbers.append([each.name, str(each.n_domains), chosen_number, f"{rand:.3f}", curve])
        print(each.name, f"{median:.3f}", f"{time.perf_counter() - began:.0f} s", flush=True)

    cortex = [each.name for each in given if each.is_cortex]
    four = [name for name in cortex if name != CORTEX]
    medians = {name: float(np.median(scores.rand)) for name, scores in defaults.items()}
    mean_four = float(np.mean([medians[name] for name in four]))
    drop = max(float(np.median(scores.rand)) - min(scores.rand) for scores in defaults.values())
    names = [each.name for each in given]
    worse = [name for name in names if medians[name] < before[name]]

    def mean(values: dict[str, float], which: list[str]) -> str:
        there = [values[name] for name in which if name in values]
        return f"{np.mean(there):.3f}" if there else "–"

    short = {
        name: name.replace("visium_", "").replace("_somatosensory_cortex", "") for name in names
    }
    change_rows = [["as it is", *(f"{medians[name]:.3f}" for name in names)]]
    for name, values in changed.items():
        if "times the best" not in name:
            cells = [f"{values[each]:.3f}" if each in values else "–" for each in names]
            change_rows.append([name, *cells])
    multiple_rows = []
    for multiple in MULTIPLES:
        values = changed[f"smoothed by {multiple:g} times the best for values"]
        multiple_rows.append([f"{multiple:g}", *(f"{values[name]:.3f}" for name in names)])
    left_out = []
    for name in names:
        others = [other for other in names if other != name]
        by = {
            multiple: np.mean(
                [
                    changed[f"smoothed by {multiple:g} times the best for values"][other]
                    for other in others
                ]
            )
            for multiple in MULTIPLES
        }
        left_out.append(max(by, key=lambda multiple: float(by[multiple])))
    walk_rows = []
    for step in STEPS_OF_WALK:
        at = [walked[name][step] for name in cortex]
        walk_rows.append(
            [
                str(step),
                f"{np.median([entry[0] for entry in at]):.2g}",
                f"{np.mean([entry[1] for entry in at]):.3f}",
                f"{np.mean([entry[2] for entry in at]):.3f}",
            ]
        )

    peer_text = "No figures of other methods are at hand: run `benchmarks/domains_peers.py`."
    if PEERS.exists():
        peers = json.loads(PEERS.read_text())
        methods = sorted({method for name in cortex for method in peers.get(name, {})})
        peer_rows = [
            [
                "**napari-smoother**",
                *(f"{medians[name]:.3f}" for name in cortex),
                f"{np.mean([medians[name] for name in cortex]):.3f}",
                mean({n: float(np.median(s.information)) for n, s in defaults.items()}, cortex),
                f"{np.median([np.median(defaults[name].processor) for name in cortex]):.1f}",
            ]
        ]
        for method in methods:
            there = {name: peers[name][method] for name in cortex if method in peers.get(name, {})}
            rand = {name: float(np.median(entry["ari"])) for name, entry in there.items()}
            information = {name: float(np.median(entry["nmi"])) for name, entry in there.items()}
            seconds = [float(np.median(entry["seconds"])) for entry in there.values()]
            all_of_them = len(rand) == len(cortex)
            peer_rows.append(
                [
                    f"{method} ({next(iter(there.values()))['version']})",
                    *(f"{rand[name]:.3f}" if name in rand else "–" for name in cortex),
                    mean(rand, cortex) if all_of_them else "–",
                    mean(information, cortex) if all_of_them else "–",
                    f"{np.median(seconds):.1f}",
                ]
            )
        head = ["method", *(short[name] for name in cortex), "mean", "mean NMI", "processor s"]
        peer_text = (
            "Adjusted Rand index, median over seeds; every method is given the number of layers.\n"
            "Sections 151507 to 151510 are components only, for all methods alike.\n\n"
            + table(head, peer_rows)
        )

    rising = [
        "section",
        "known by",
        "spots",
        "domains",
        "0.1 defaults",
        "median ARI",
        "worst seed",
        "NMI",
        "λ chosen",
        "directions",
        "processor s",
    ]
    text = f"""# Spatial domains

Written by `benchmarks/domains.py`; no number in it was typed.

`ns.domains(adata, n)` by defaults alone; the number of domains is given, as in the published
comparisons, nothing else is. Scores are the adjusted Rand index (ARI; 0 by chance, 1 for the same
partition) and normalised mutual information (NMI) against layers and regions that were drawn by
anatomists, or simulated. Spots without a label are left out in scoring, not in fitting. Medians
over {len(SEEDS)} seeds. The defaults were chosen on these sections, each rule by more than one of
them.

{table(rising, rows)}

- {CORTEX}: {medians[CORTEX]:.3f}. Mean of the four sections that are components only, which judge
  smoothing and mixture and not the choice of genes: {mean_four:.3f}.
- The worst seed of {len(SEEDS)} is at most {drop:.3f} below the median, over all sections.
- Below the defaults of version 0.1: {", ".join(worse) or "none"}.
- visium_dlpfc_151673 here has few genes, and is low for every route that was tried.
- Seconds are those of the processor, for one section with nothing found before, the graph at hand.

## How

1. **Genes**: 2,000 of largest Moran's I on the graph; log1p of counts per ten thousand, centred,
   not brought to unit variance.
2. **Components**: 30 principal components. Their noise is measured by what neighbouring spots
   differ by, and taken to unit covariance; the directions of largest variance are then those of
   largest signal over noise (minimum noise fraction). Kept are those whose own Moran's I is at
   least 0.15. Scores beyond three standard deviations are cut.
3. **Smoothing**: the posterior mean `smooth_embedding`. Lambda is {BEYOND:g} times that which best
   predicts spots that are left out.
4. **Mixture**: Gaussian, one covariance, equal shares; the most likely of 16 starts by k-means++,
   half of them with all directions at one scale.
5. **Field**: a hidden Markov random field on the labels, coupling 2.

## One thing changed at a time

ARI of the first seed.

{table(["", *(short[name] for name in names)], change_rows)}

## How strongly to smooth

ARI when the components are smoothed by a multiple of the lambda that is best for predicting
values of spots left out. Domains are larger than what values follow: on tissue more is better, on
small structures (the simulated tumour) less. The multiple that is best on all other sections, one
left out at a time: {", ".join(f"{multiple:g}" for multiple in left_out)}.

{table(["times", *(short[name] for name in names)], multiple_rows)}

**Posterior mean or a walk.** A lazy walk of so many steps on the graph, and the posterior mean
that leaves as many degrees of freedom: mean ARI over the {len(cortex)} sections of human cortex.

{table(["steps", "lambda (median)", "walk", "posterior mean"], walk_rows)}

## How many domains

Without a number, as many are looked for as halves of the spots agree on: each half by itself is
smoothed over the whole tissue, and the largest number is chosen whose agreement (ARI between
halves) is at least {STABLE} and above that of its neighbours, or else that which agrees best.

{table(["section", "known", "chosen", "ARI", "agreement for 2 to 12"], numbers)}

## Other methods

{peer_text}
"""
    REPORT.write_text(text)
    print(text)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
