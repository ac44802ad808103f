"""Error of every model at each scale of the data and gene weighting, where the truth is known.

Prints root mean square errors of proportions at the default lambda and at 1, on one section of
every source; the own settings of the models (`napari_smoother.models.deconv.catalogue`) rest on
them. Run from the repository: ``python benchmarks/model_defaults.py``; the folder with the real
sections is ``../shared/data`` unless given as the first argument.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import get_args

import anndata as ad
from known_sections import KnownSection, known_sections

import napari_smoother
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.models.deconv.expression import GeneWeights
from napari_smoother.models.deconv.preparation import DEFAULT_LAMBDA

NAMES = (
    "STARmap, table",
    "STARmap halves, y-",
    "osmFISH halves, y+",
    "simulated cortex",
    "lymph node cells mixed",
    "lymph node cells drawn, 200 a type, other platform",
    "STARmap cells drawn, 30 a type",
)
LAMBDAS = (DEFAULT_LAMBDA, 1.0)


def error(known: KnownSection, **settings) -> float:
    adata = ad.AnnData(known.counts, var=known.var)
    adata.obsm["spatial"] = known.positions
    shares = "cells" if known.of_cells else "rna"
    napari_smoother.deconvolve(
        adata, known.reference, shares=shares, key_added="found", **settings
    )
    return known.scores(adata.obsm["found"].to_numpy())[0]


def main() -> None:
    """Print one line a model, scale and weighting."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared/data")
    warnings.filterwarnings("ignore", "The cell types", UserWarning)
    known = [each for each in known_sections(data) if each.name in NAMES]
    columns = [f"{each.name} {lambda_:g}" for each in known for lambda_ in LAMBDAS]
    print("| model | scale | weights |", " | ".join(columns), "|")
    for model, facts in MODELS.items():
        for scale in facts.scales:  # those on which the model converges
            for weights in get_args(GeneWeights):
                if weights == "within_type" and scale == "log1p":
                    continue  # which is inverse_mean there
                errors = [
                    error(each, model=model, scale=scale, gene_weights=weights, lambda_=lambda_)
                    for each in known
                    for lambda_ in LAMBDAS
                ]
                found = " | ".join(f"{value:.4f}" for value in errors)
                print(f"| {model} | {scale} | {weights} | {found} |", flush=True)


if __name__ == "__main__":
    main()
