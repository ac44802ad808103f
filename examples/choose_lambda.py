"""Let genes that the fit has not seen choose rho and lambda."""

from napari_smoother.models.choice import choose
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_tumour
from napari_smoother.weights.lattice import nearest_on_section

sample = simulate_tumour(rows=30, n_genes=400, seed=0)
adata = sample.section.adata
reference = Reference.from_cells(sample.reference, "cell_type", "cells")
graph = nearest_on_section(sample.section.positions)

choice = choose(adata.X, adata.var, reference, graph.weights)
row = choice.rhos.tolist().index(choice.rho)
for lambda_, error in zip(choice.lambdas, choice.mean[row], strict=True):
    print(f"lambda {lambda_:8.3g}  held-out error {error:.5f}")
print(f"chosen: rho {choice.rho:g}, lambda {choice.lambda_:g}; on an edge: {choice.on_edge}")
