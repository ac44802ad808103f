"""Log-normal regression: squared differences of logarithms of counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.likelihood import Likelihood
from napari_smoother.models.deconv.local_models import LocalModel, refuse_negative

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.fit import Fitted
    from napari_smoother.models.deconv.inputs import Inputs
    from napari_smoother.models.deconv.spatial_prior import Prior

LEAST_CURVATURE = 0.1


class LogNormReg(LocalModel):
    r"""Log-normal regression with a spatial prior, for counts and their mean signatures.

    .. math::
        \min_{B \ge 0, g} \frac{1}{Gn} \sum_{gi}
        \bigl(\log(x_g b_i + g_i + e) - \log(y_{gi} + e)\bigr)^2
        + \frac{\lambda}{Kn} \sum_k s_k b_k^\top Q b_k

    (Danaher et al. 2022, Nature Communications 13:385, algorithm 1). Newton's steps from the
    least-squares answer, with the curvature kept positive and the objective never rising. The
    problem is **not convex**: what is found is a stationary point, which the residual certifies,
    and need not be the lowest.

    Parameters
    ----------
    bias
        Whether every spot has a free constant g.
    epsilon
        Count added before the logarithm, above zero.

    Attributes
    ----------
    report : FitReport or None
        Objective, KKT residual, iterations and seconds of the last fit.

    Raises
    ------
    InputError
        If the added count is not positive.
    """

    note = "Not convex: a stationary point, not necessarily the lowest"

    def __init__(self, bias: bool = True, epsilon: float = 1) -> None:
        super().__init__(bias)
        if not (np.isfinite(epsilon) and epsilon > 0):
            raise InputError(
                f"The added count is {epsilon}",
                where="LogNormReg",
                remedy="Choose a number above zero, usually 1",
            )
        self.epsilon = float(epsilon)

    def _likelihood(self, inputs: Inputs, bias: bool, scale: NDArray[np.float64]) -> Likelihood:
        refuse_negative(inputs, "LogNormReg")
        return Likelihood(inputs, "log square", bias, numbers=(self.epsilon, LEAST_CURVATURE))

    def _begin(
        self,
        inputs: Inputs,
        prior: Prior,
        bias: bool,
        start: NDArray[np.float64] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Fitted:
        # A negative constant could take the logarithm of nothing; begin without constants.
        return super()._begin(inputs, prior, False, start, cancelled)
