"""Principal components that respect the tissue, and spatial domains found on them."""

import numpy as np
from sklearn.metrics import adjusted_rand_score

import napari_smoother
from napari_smoother.models.reduction import find_domains
from napari_smoother.sample_data import simulate_cortex

sample = simulate_cortex(rows=40, n_genes=400, seed=1)
adata = sample.section.adata
totals = np.asarray(adata.X.sum(axis=1)).ravel()
adata.layers["log"] = adata.X.multiply(1e4 / np.maximum(totals, 1)[:, None]).tocsr().log1p()

truth = adata.obs["region"].astype(str)
for smoothing in (0.0, 1.0):
    napari_smoother.spatial_pca(adata, layer="log", n_latent=10, smoothing=smoothing)
    domains = find_domains(adata.obsm["X_spatial_pca"], truth.nunique(), seed=0)
    index = adjusted_rand_score(truth, domains.labels)
    print(f"smoothing {smoothing:g}: adjusted Rand index of the domains {index:.2f}")
