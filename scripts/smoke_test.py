"""Use an installed package once: python scripts/smoke_test.py, from any folder.

Without torch or napari in the environment, what needs them is left out, and that is said.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

import napari_smoother
from napari_smoother import _core
from napari_smoother.sample_data import simulate_cortex

SOURCES = Path(__file__).resolve().parents[1] / "src"


def deconvolve_and_impute() -> None:
    sample = simulate_cortex(rows=30, n_genes=300, seed=0)
    adata = sample.section.adata
    napari_smoother.spatial_neighbors(adata, scale_by_obs="region", boundary_connectivity=0.1)
    napari_smoother.deconvolve(adata, sample.reference)
    proportions = adata.obsm["nnls"]
    error = np.square(proportions - sample.proportions[proportions.columns]).to_numpy().mean()
    residual = adata.uns["smoother"]["nnls"]["report"]["kkt_residual"]
    print(f"deconvolved {adata.n_obs} spots: error {error**0.5:.3f}, residual {residual:.0e}")
    assert error**0.5 < 0.1
    assert residual <= 1e-5
    napari_smoother.spatial_pca(adata)
    assert np.isfinite(adata.obsm["X_spatial_pca"]).all()
    adata.obs["measured"] = np.arange(adata.n_obs) % 2 == 0
    napari_smoother.impute(adata, genes=["MBP"], observed="measured")
    assert np.isfinite(adata.obsm["imputed"].to_numpy()).all()


def spatial_loss() -> None:
    import torch

    positions = np.random.default_rng(0).random((200, 2))
    weights = napari_smoother.SpatialWeightMatrix()
    weights.calc_weights_knn(positions, k=6)
    loss = napari_smoother.SpatialLoss("icar", weights, rho=0.9)
    assert loss(torch.ones(3, 200)) >= 0


def manifest() -> None:
    from npe2 import PluginManifest

    assert PluginManifest.from_distribution("napari-smoother").contributions.widgets


def main() -> None:
    home = Path(napari_smoother.__file__).parent
    assert SOURCES not in home.parents, "this is the checkout, not what was installed"
    print(f"napari-smoother {napari_smoother.__version__}, core {_core.LEVEL} of {_core.LEVELS}")
    deconvolve_and_impute()
    for package, check in {"torch": spatial_loss, "npe2": manifest}.items():
        if find_spec(package):
            check()
        else:
            print(f"{package} is not installed: {check.__name__} is left out")


if __name__ == "__main__":
    main()
