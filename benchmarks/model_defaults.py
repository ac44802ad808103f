"""Error of every model at each scale of the data and gene weighting, where the truth is known.

Prints root mean square errors of proportions at lambda 0.1 and 1; the own settings of the models
(`napari_smoother.models.deconv.catalogue`) rest on them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import numpy as np

import napari_smoother
from napari_smoother.models.deconv import Reference
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.sample_data import simulate_cortex, simulate_tumour

DATA = Path(__file__).parents[2] / "shared" / "data"


def sections() -> list[tuple[str, anndata.AnnData, Reference, np.ndarray]]:
    found = []
    for name, simulate in (("cortex", simulate_cortex), ("tumour", simulate_tumour)):
        sample = simulate(rows=40, n_genes=600, seed=1)
        reference = Reference.from_cells(sample.reference, "cell_type", name)
        truth = sample.section.adata.obsm["proportions"][list(reference.types)].to_numpy()
        found.append((name, sample.section.adata, reference, truth))
    folder = DATA / "starmap_visual_cortex"
    if folder.exists():
        from napari_smoother.io.reference import read_reference

        table = next(folder.glob("*signature*"))
        spots = anndata.read_h5ad(next(folder.glob("*spots*.h5ad")))
        reference = read_reference(table)
        shares = spots.obsm["proportions"]
        known = [kind for kind in reference.types if kind in shares.columns]
        places = [reference.types.index(kind) for kind in known]
        truth = np.full((spots.n_obs, reference.n_types), np.nan)
        truth[:, places] = shares[known].to_numpy()
        found.append(("STARmap", spots, reference, truth))
    return found


def main() -> None:
    """Print one line a model, scale and weighting."""
    data = sections()
    print("model scale weights |", " ".join(f"{name} 0.1, 1 |" for name, *_ in data))
    for model, facts in MODELS.items():
        for scale in facts.scales:  # those on which the model converges
            for weights in ("none", "inverse_mean", "inverse_variance"):
                errors = []
                for _, adata, reference, truth in data:
                    for lambda_ in (0.1, 1.0):
                        here = adata.copy()
                        napari_smoother.deconvolve(
                            here,
                            reference,
                            model=model,
                            scale=scale,
                            gene_weights=weights,
                            lambda_=lambda_,
                        )
                        apart = here.obsm[model].to_numpy() - truth
                        errors.append(f"{np.sqrt(np.nanmean(apart**2)):.4f}")
                print(model, scale, weights, "|", " ".join(errors), flush=True)


if __name__ == "__main__":
    sys.exit(main())
