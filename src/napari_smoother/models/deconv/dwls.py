"""Dampened weighted least squares: genes weigh less where they are high."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.likelihood import Likelihood
from napari_smoother.models.deconv.local_models import LocalModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.models.deconv.inputs import Inputs


class DWLS(LocalModel):
    r"""Dampened weighted least squares with a spatial prior, solved to the optimum.

    .. math::
        \min_{B, g} \frac{1}{Gn} \sum_{gi} w_{gi} (y_{gi} - x_g b_i - g_i)^2
        + \frac{\lambda}{Kn} \sum_k s_k b_k^\top Q b_k

    with ``w = min(c, min(c^2, y^-2) / u_i)``, u_i being the least of ``min(c^2, y^-2)`` over the
    genes of a spot: the highest gene has weight 1, none more than c (after Tsoucas et al. 2019,
    Nature Communications 10:2975, with observed in place of fitted values).

    Parameters
    ----------
    bias
        Whether every spot has a free constant g.
    nonneg
        Whether abundances must not be negative.
    max_weights
        The largest weight c, at least 1.

    Attributes
    ----------
    report : FitReport or None
        Objective, KKT residual, iterations and seconds of the last fit.

    Raises
    ------
    InputError
        If the largest weight is below 1.
    """

    def __init__(self, bias: bool = True, nonneg: bool = True, max_weights: float = 8) -> None:
        super().__init__(bias)
        if not (np.isfinite(max_weights) and max_weights >= 1):
            raise InputError(
                f"The largest weight is {max_weights}",
                where="DWLS",
                remedy="Choose a number from 1 up; 1 is plain least squares",
            )
        self.nonneg = nonneg
        self.max_weights = float(max_weights)

    def _likelihood(self, inputs: Inputs, bias: bool, scale: NDArray[np.float64]) -> Likelihood:
        return Likelihood(inputs, "damped square", bias, numbers=(self.max_weights, 0.0))
