"""Linear regression with a spatial prior: least squares without a bound."""

from __future__ import annotations

from napari_smoother.models.deconv.least_squares import LeastSquares


class LinearRegression(LeastSquares):
    r"""Linear regression with a spatial prior, solved to the optimum.

    .. math::
        \min_{B, g} \frac{1}{Gn} \|Y - XB^\top - 1g^\top\|^2
        + \frac{\lambda}{Kn} \sum_k s_k b_k^\top Q b_k

    The problem of `NNLS` without the bound. In the eigenbasis of the Gram matrix it falls into K
    linear systems ``(d_k I + weight Q) z = r``, which conjugate gradients solve together.
    Abundances can be negative; `get_props` counts those as zero.

    Parameters
    ----------
    bias
        Whether every spot has a free constant g.

    Attributes
    ----------
    report : FitReport or None
        Objective, relative gradient, iterations and seconds of the last fit.
    """

    nonneg = False
