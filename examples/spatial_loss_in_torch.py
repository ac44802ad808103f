"""The spatial loss beside any other torch loss."""

import numpy as np
import torch

from napari_smoother import SpatialLoss, SpatialWeightMatrix

rng = np.random.default_rng(0)
coords = rng.random((500, 2))  # spots x 2; tensors are dims x spots
noisy = torch.as_tensor(np.sin(6 * coords[:, 0]) + 0.5 * rng.normal(size=500))[
    None
]  # dims x spots

weights = SpatialWeightMatrix()
weights.calc_weights_knn(coords, k=6)
spatial_loss = SpatialLoss("icar", weights, rho=0.99)

smooth = noisy.clone().requires_grad_()
optimiser = torch.optim.Adam([smooth], lr=0.05)
for _ in range(200):
    optimiser.zero_grad()
    loss = ((smooth - noisy) ** 2).mean() + 1.0 * spatial_loss(smooth)
    loss.backward()
    optimiser.step()

truth = torch.as_tensor(np.sin(6 * coords[:, 0]))
before, after = (
    (values - truth).pow(2).mean().sqrt() for values in (noisy[0], smooth[0].detach())
)
print(f"error before {before:.3f}, after {after:.3f}")
