"""How noisy the scores are: the products X'Wy of a spot, of which alone its abundances are made.

Their errors have three sources, and each adds a K x K matrix:

- noise of the spot, ``s X'WX`` if weights are one over the noise up to a factor s. The residuals
  of the section tell how far they are from that, gene by gene (the sandwich: White 1980,
  Econometrica 48);
- genes that vary together within a type: ``X'W C WX / N`` for their covariances C between cells,
  and N cells at a spot;
- errors of the signature, of variance v_gk: with b the abundances of the spot,
  ``sum_k b_k^2 X'W diag(v_k) WX`` (errors in variables: Fuller 1987, Measurement Error Models,
  section 2.2). They are the same at all spots, so that no smoothing averages them out.

The Gram matrix that is solved with has the signature's errors taken out; X'WX is the whole one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.models.deconv.preparation import PreparedDeconvolution


def whole_gram(prepared: PreparedDeconvolution) -> NDArray[np.float64]:
    """Return X'WX, K x K: the noise of the scores for a noise variance of 1."""
    whole: NDArray[np.float64] = prepared.gram + np.diag(prepared.signature_error)
    return whole


def score_noise(prepared: PreparedDeconvolution, noise: float) -> NDArray[np.float64]:
    """Covariance of the scores from what differs from spot to spot.

    Parameters
    ----------
    prepared
        From `prepare_deconvolution`.
    noise
        s: noise variance of a gene of weight 1, over all spots.

    Returns
    -------
    numpy.ndarray
        K x K, positive semidefinite.
    """
    found = noise * whole_gram(prepared)
    weighted, model = _weighted(prepared), prepared.noise_model
    weights, residuals = prepared.gene_weights, prepared.gene_residuals
    if residuals is not None and (total := weights @ residuals) > 0:
        of_genes = noise * (weights > 0).sum() / total * residuals
        found = weighted.T @ (weighted * of_genes[:, None])
    if model is not None and np.isfinite(model.cells_per_spot):
        found = found + model.spread.correlation(weighted) / model.cells_per_spot
    # Random sums may leave less than nothing.
    values, vectors = np.linalg.eigh((found + found.T) / 2)
    bounded: NDArray[np.float64] = (vectors * np.maximum(values, 0)) @ vectors.T
    return bounded


def signature_noise(prepared: PreparedDeconvolution) -> NDArray[np.float64] | None:
    """Covariance of the scores from the signature's errors, one a type.

    Parameters
    ----------
    prepared
        From `prepare_deconvolution`.

    Returns
    -------
    numpy.ndarray or None
        K x K x K: the k-th times the squared abundance of type k is what its errors add; None
        where nothing is known of them.
    """
    if prepared.noise_model is None:
        return None
    weighted = _weighted(prepared)
    return np.stack(
        [
            weighted.T @ (weighted * variance[:, None])
            for variance in prepared.noise_model.signature_variance.T
        ]
    )


def _weighted(prepared: PreparedDeconvolution) -> NDArray[np.float64]:
    """WX, G x K, centred where there is an intercept."""
    signature, weights = prepared.signature, prepared.gene_weights
    if prepared.intercept:
        signature = signature - (weights @ signature) / weights.sum()
    weighted: NDArray[np.float64] = weights[:, None] * signature
    return weighted
