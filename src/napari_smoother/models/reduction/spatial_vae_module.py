"""The network of scvi-tools' SCVI with a spatial loss on its latent means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.distributions import kl_divergence

from napari_smoother.errors import InputError
from napari_smoother.models.reduction.scvi_extra import scvi_module

if TYPE_CHECKING:
    from numpy.typing import NDArray

VAE: Any = scvi_module("scvi.module").VAE
LossOutput: Any = scvi_module("scvi.module.base").LossOutput
X_KEY: str = scvi_module("scvi").REGISTRY_KEYS.X_KEY


class SpatialVAEModule(VAE):  # type: ignore[misc]
    r"""A variational autoencoder whose latent means are smooth over the tissue.

    With the posterior N(m, diag v) of every spot, n spots and d latent dims, the loss of all
    spots is the mean reconstruction loss plus

    .. math::
        \mathrm{KL}(N(m, v) \| N(0, I)) + \frac{\lambda}{n} \sum_k s_k m_k' Q m_k

    or, where the field takes the place of the standard normal prior,

    .. math::
        \frac{\lambda}{2n} \sum_k \left(s_k m_k' Q m_k + s_k \mathrm{diag}(Q)'v_k
        - 1'\log v_k\right)

    which is lambda / n times the divergence from N(0, (sQ)^-1), up to a constant. While the
    module is not training, its loss is that of the plain network, which takes spots one by one.
    """

    spatial_loss: Any  # without a value: one of the class would hide the module set below
    lambda_spatial_loss: float
    sp_loss_as_kl: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_prior(None, 0.0, False)

    def set_prior(self, spatial_loss: Any, lambda_spatial_loss: float, as_kl: bool) -> None:
        """Set the spatial loss.

        Raises
        ------
        InputError
            If lambda is negative, or the field is to replace the divergence and is missing.
        """
        if not (np.isfinite(lambda_spatial_loss) and lambda_spatial_loss >= 0):
            raise InputError(
                f"lambda is {lambda_spatial_loss}",
                where="SpatialVAE",
                remedy="Choose a finite lambda of at least 0",
            )
        if as_kl and (spatial_loss is None or lambda_spatial_loss == 0):
            raise InputError(
                "There is no spatial loss to take the place of the divergence",
                where="SpatialVAE, sp_loss_as_kl",
                remedy="Give a spatial_loss and a lambda_spatial_loss above 0",
            )
        self.spatial_loss = spatial_loss
        self.lambda_spatial_loss = float(lambda_spatial_loss)
        self.sp_loss_as_kl = bool(as_kl)
        # A buffer that is not saved: it moves with the module and follows from the loss.
        found = torch.from_numpy(_diagonals(spatial_loss)).float() if as_kl else torch.zeros(0)
        self.register_buffer("precision_diagonal", found, persistent=False)

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        kl_weight: float = 1.0,
    ) -> Any:
        """Loss of a batch; of all spots where the module is training."""
        spatial = self.spatial_loss if self.training else None
        posterior = inference_outputs["qz"]
        x = tensors[X_KEY]
        rough = torch.zeros((), device=x.device)
        if spatial is not None and self.lambda_spatial_loss > 0:
            share = self.lambda_spatial_loss / x.shape[0]
            rough = share * spatial(posterior.mean.t(), normalize=False)
        if spatial is not None and self.sp_loss_as_kl:
            variance = posterior.variance
            confidence = torch.as_tensor(spatial.confidences).to(variance)
            spread = (self.precision_diagonal * confidence * variance).sum()
            by_spread = self.lambda_spatial_loss / x.shape[0] * (spread - variance.log().sum())
            # One number, the same for every spot, so that its mean is itself.
            divergence = (0.5 * (rough + by_spread)).expand(x.shape[0])
            beside: Any = 0.0
        else:
            divergence = kl_divergence(posterior, generative_outputs["pz"]).sum(dim=-1)
            beside = rough
        if self.use_observed_lib_size:
            of_size = torch.zeros_like(divergence)
        else:
            of_size = kl_divergence(inference_outputs["ql"], generative_outputs["pl"]).sum(dim=1)
        reconstruction = -generative_outputs["px"].log_prob(x).sum(-1)
        total = torch.mean(reconstruction + kl_weight * divergence + of_size) + beside
        return LossOutput(
            loss=total,
            reconstruction_loss=reconstruction,
            kl_local={"kl_divergence_l": of_size, "kl_divergence_z": divergence},
            kl_global=rough.detach(),
        )


def _diagonals(spatial_loss: Any) -> NDArray[np.float64]:
    """Diagonal of the precision of every group: spots x (1 or groups)."""
    each = [np.asarray(precision.diagonal(), np.float64) for precision in spatial_loss.precisions]
    return np.stack(each, axis=1)
