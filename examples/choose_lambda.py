"""Let genes that the fit has not seen choose rho and lambda."""

import napari_smoother as ns
from napari_smoother.sample_data import simulate_tumour

sample = simulate_tumour(rows=30, n_genes=400, seed=0)
adata = sample.section.adata.copy()

ns.choose_smoothing(adata, sample.reference)
report = adata.uns["smoother"]["choice"]["report"]
row = report["rhos"].index(report["rho"])
for lambda_, error in zip(report["lambdas"], report["errors"][row], strict=True):
    print(f"lambda {lambda_:8.3g}  held-out error {error:.5f}")
print(f"chosen: rho {report['rho']:g}, lambda {report['lambda']:g}; on an edge: {report['edges']}")

ns.deconvolve(adata, sample.reference, rho=report["rho"], lambda_=report["lambda"])
