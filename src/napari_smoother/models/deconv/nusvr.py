"""Nu support vector regression: residuals inside a tube cost nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.likelihood import Likelihood
from napari_smoother.models.deconv.local_models import LocalModel
from napari_smoother.models.deconv.newton import minimise
from napari_smoother.models.deconv.pointwise import tube_smoothed, tube_square

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.fit import FitReport, Fitted
    from napari_smoother.models.deconv.inputs import Inputs
    from napari_smoother.models.deconv.newton import Minimum
    from napari_smoother.models.deconv.spatial_prior import Prior
    from napari_smoother.solvers.local_quadratic import LocalPrior

LossMode = Literal["l2", "l1"]

GAP = 1e-4
"""How far above the optimum, relatively, the absolute loss may end."""

SHARPEST = 1e-7
NARROWING = 0.25
ROUGH = 1e-3


class NuSVR(LocalModel):
    r"""Nu support vector regression with a spatial prior, solved to the optimum.

    .. math::
        \min_{B, g, \epsilon \ge 0} C \Bigl(\nu \epsilon + \frac{1}{Gn} \sum_{gi}
        \max(|y_{gi} - x_g b_i - g_i| - \epsilon, 0)^p\Bigr) + \frac{1}{2Kn} \|B\|^2
        + \frac{\lambda}{Kn} \sum_k s_k b_k^\top Q b_k

    with p = 2 (``"l2"``) or 1 (``"l1"``); the width of the tube is shared by all spots
    (Schoelkopf et al. 2000, Neural Computation 12). The problem is convex. For l2 Newton's steps
    end at the optimum. For l1 the kinks of the loss are smoothed ever less, from each answer to
    the next, until a lower bound (from the dual problem) shows that the objective is within 1e-4
    of the optimum; `report.note` has the difference.

    Parameters
    ----------
    bias
        Whether every spot has a free constant g.
    C, nu
        Weight of the data against the ridge, and of the width of the tube.
    nonneg
        Whether abundances must not be negative.
    loss_mode
        ``"l2"`` or ``"l1"``.

    Attributes
    ----------
    report : FitReport or None
        Objective, KKT residual, iterations and seconds of the last fit.

    Raises
    ------
    InputError
        If C or nu is not positive, or the loss is another.
    """

    def __init__(
        self,
        bias: bool = True,
        C: float = 1.0,
        nu: float = 0.1,
        nonneg: bool = False,
        loss_mode: LossMode = "l2",
    ) -> None:
        super().__init__(bias)
        for name, value in (("C", C), ("nu", nu)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(
                    f"{name} is {value}", where="NuSVR", remedy="Choose a number above zero"
                )
        if loss_mode not in get_args(LossMode):
            raise InputError(
                f"There is no loss {loss_mode!r}",
                where="NuSVR",
                remedy=f"Choose one of {', '.join(get_args(LossMode))}",
            )
        self.C, self.nu = float(C), float(nu)
        self.nonneg = nonneg
        self.loss_mode: LossMode = loss_mode

    @property
    def epsilon(self) -> float:
        """Half width of the tube of the last fit."""
        if self._extra is None:
            raise self._not_fitted()
        return self._extra

    def _likelihood(self, inputs: Inputs, bias: bool, scale: NDArray[np.float64]) -> Likelihood:
        n_values = inputs.n_genes * inputs.n_spots
        squared = self.loss_mode == "l2"
        return Likelihood(
            inputs,
            bias,
            tube_square if squared else tube_smoothed,
            (self.C, 0.0) if squared else (self.C, 0.0, SHARPEST),
            ridge=scale**2 * inputs.n_genes / (2 * inputs.n_types),
            tube=self.C * self.nu * n_values / 2,
        )

    def _begin(
        self,
        inputs: Inputs,
        prior: Prior,
        bias: bool,
        start: NDArray[np.float64] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Fitted:
        begin = super()._begin(inputs, prior, bias, start, cancelled)
        return replace(begin, extra=_spread(inputs, begin))

    def _minimise(
        self,
        likelihood: Likelihood,
        prior: LocalPrior,
        weight: float,
        state: State,
        tolerance: float,
        cancelled: Callable[[], bool] | None,
    ) -> Minimum:
        if self.loss_mode == "l2":
            return super()._minimise(likelihood, prior, weight, state, tolerance, cancelled)
        rounding = max(state[-1].item(), 1e-6)
        steps = inner = 0
        seconds = 0.0
        sure = False
        while True:
            likelihood.settings[2] = rounding
            found = minimise(
                likelihood,
                prior,
                weight,
                state,
                nonneg=self.nonneg,
                tolerance=tolerance if sure else max(tolerance, ROUGH),
                cancelled=cancelled,
            )
            steps, inner, seconds = (
                steps + found.iterations,
                inner + found.inner,
                seconds + found.seconds,
            )
            state = found.state
            here = likelihood.expand(state, curvature=False)
            self._gap, value = here.gap, found.value + here.excess
            # Far from sharp, and rough answers do for the start of the next.
            if (sure and self._gap <= GAP * value) or rounding <= SHARPEST:
                break
            sure = self._gap <= GAP * value
            rounding *= 1.0 if sure else NARROWING
        return replace(found, value=value, iterations=steps, inner=inner, seconds=seconds)

    def _report(
        self, minimum: Minimum, likelihood: Likelihood, tolerance: float, note: str = ""
    ) -> FitReport:
        if self.loss_mode == "l1":
            gap = 2 * self._gap / likelihood.n_values
            note = (
                f"Kinks of the loss were smoothed: the optimum is at most {gap:.2g} below, apart "
                "from what the residual stands for"
            )
        return super()._report(minimum, likelihood, tolerance, note)


def _spread(inputs: Inputs, begin: Fitted) -> float:
    """Root mean square of what the start leaves."""
    total = 0.0
    for first in range(0, inputs.n_spots, 4096):
        spots = slice(first, min(first + 4096, inputs.n_spots))
        found = inputs.signature @ begin.abundance[spots].T + begin.intercepts[spots]
        left = inputs.spots_block(spots.start, spots.stop) - found
        total += float((left**2).sum())
    return float(np.sqrt(total / (inputs.n_genes * inputs.n_spots)))
