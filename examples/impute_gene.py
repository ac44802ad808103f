"""Fill in a gene where it was not measured, from its neighbours in the tissue."""

import numpy as np

import napari_smoother
from napari_smoother.sample_data import simulate_cortex

sample = simulate_cortex(rows=30, n_genes=300, seed=2)
adata = sample.section.adata
totals = np.asarray(adata.X.sum(axis=1)).ravel()
adata.layers["log"] = adata.X.multiply(1e4 / np.maximum(totals, 1)[:, None]).tocsr().log1p()
gene = "MBP"
truth = adata[:, gene].layers["log"].toarray().ravel()

adata.obs["measured"] = np.random.default_rng(0).random(adata.n_obs) < 0.5
napari_smoother.impute(adata, genes=[gene], layer="log", observed="measured")
filled = adata.obsm["imputed"][gene].to_numpy()

hidden = ~adata.obs["measured"].to_numpy()
correlation = np.corrcoef(filled[hidden], truth[hidden])[0, 1]
print(f"{hidden.sum()} hidden spots of {gene}: correlation with the truth {correlation:.2f}")
