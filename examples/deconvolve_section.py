"""Cell types in every spot, with a graph that stops at the borders of regions."""

import napari_smoother
from napari_smoother.sample_data import simulate_cortex

sample = simulate_cortex(rows=30, n_genes=400, seed=0)
adata = sample.section.adata

napari_smoother.spatial_neighbors(adata, scale_by_obs="region", boundary_connectivity=0.1)
napari_smoother.deconvolve(adata, sample.reference, cell_type="cell_type", lambda_=0.3)

proportions = adata.obsm["nnls"]
error = ((proportions - sample.proportions[proportions.columns]) ** 2).to_numpy().mean() ** 0.5
report = adata.uns["smoother"]["nnls"]["report"]
print(proportions.mean().sort_values(ascending=False).round(3).to_string())
print(f"root mean square error {error:.3f}, residual of the solver {report['kkt_residual']:.0e}")
