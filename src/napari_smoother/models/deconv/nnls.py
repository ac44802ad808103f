"""Non-negative least squares with a spatial prior, for arrays and tensors."""

from __future__ import annotations

from napari_smoother.models.deconv.least_squares import LeastSquares


class NNLS(LeastSquares):
    r"""Non-negative least squares with a spatial prior, solved to the optimum.

    .. math::
        \min_{B \ge 0, g} \frac{1}{Gn} \|Y - XB^\top - 1g^\top\|^2
        + \frac{\lambda}{Kn} \sum_k s_k b_k^\top Q b_k

    for G genes, n spots and K types; Q and the confidences s come from the spatial loss
    (Su et al. 2023, Genome Biology 24:291).

    Parameters
    ----------
    bias
        Whether every spot has a free constant g.

    Attributes
    ----------
    report : FitReport or None
        Objective, KKT residual, iterations and seconds of the last fit.
    """

    nonneg = True
