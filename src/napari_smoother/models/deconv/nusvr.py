"""Nu support vector regression: residuals inside a tube cost nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.likelihood import SHARP, Likelihood
from napari_smoother.models.deconv.local_models import LocalModel
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.fit import FitReport, Fitted
    from napari_smoother.models.deconv.inputs import Inputs
    from napari_smoother.models.deconv.likelihood import Minimum
    from napari_smoother.models.deconv.spatial_prior import Prior

LossMode = Literal["l2", "l1"]

GAP = 10.0
"""How far above the optimum the absolute loss may end: this times the tolerance, relatively."""

BAND = 0.35
"""Width at first of the band in which the loss is smoothed, in half widths of the tube."""

SAMPLED = 64


class NuSVR(LocalModel):
    r"""Nu support vector regression with a spatial prior, solved to the optimum.

    .. math::
        \min_{B, g, \epsilon \ge 0} C \Bigl(\nu \epsilon + \frac{1}{Gn} \sum_{gi}
        \max(|y_{gi} - x_g b_i - g_i| - \epsilon, 0)^p\Bigr) + \frac{1}{2Kn} \|B\|^2
        + \frac{\lambda}{Kn} \sum_k s_k b_k^\top Q b_k

    with p = 2 (``"l2"``) or 1 (``"l1"``); the width of the tube is shared by all spots
    (Schoelkopf et al. 2000, Neural Computation 12). The problem is convex. For l2 Newton's steps
    end at the optimum. For l1 they are taken on an augmented Lagrangian until a lower bound from
    the dual problem shows that the objective is within ten times the tolerance of the optimum,
    relatively (1e-4 by default): `report.kkt_residual` is that gap, and `report.note` has it on
    the scale of the objective.

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
        Objective, KKT residual (l1: gap to the lower bound), iterations and seconds of the last
        fit.

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
        absolute = self.loss_mode == "l1"
        return Likelihood(
            inputs,
            "tube absolute" if absolute else "tube square",
            bias,
            cost=self.C / 2 if absolute else self.C,
            ridge=scale**2 * inputs.n_genes / (2 * inputs.n_types),
            width_cost=self.C * self.nu * inputs.n_genes * inputs.n_spots / 2,
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
        return replace(begin, extra=_spread(inputs, begin, self.loss_mode, self.nu))

    def _minimise(
        self,
        likelihood: Likelihood,
        prior: Prior,
        state: State,
        scale: NDArray[np.float64],
        tolerance: float,
        cancelled: Callable[[], bool] | None,
        **settings: float,
    ) -> Minimum:
        if self.loss_mode == "l1":
            settings = {"band": max(BAND * state[-1].item(), SHARP)}
            tolerance = GAP * tolerance
        return super()._minimise(likelihood, prior, state, scale, tolerance, cancelled, **settings)

    def _report(
        self, minimum: Minimum, likelihood: Likelihood, tolerance: float, note: str = ""
    ) -> FitReport:
        if self.loss_mode == "l2":
            return super()._report(minimum, likelihood, tolerance, note)
        below = 2 * minimum.value * minimum.residual / likelihood.n_values
        note = (
            f"The loss has kinks: the residual is the gap to a lower bound (dual problem), so "
            f"the optimum is at most {below:.2g} below"
        )
        return super()._report(minimum, likelihood, GAP * tolerance, note)


@one_blas_thread()
def _spread(inputs: Inputs, begin: Fitted, mode: LossMode, nu: float) -> float:
    """Return a width to start from, of what the start leaves in some spots.

    The root mean square; for l1 what a share nu of the values exceeds, as at the optimum.
    """
    stride = max(inputs.n_spots // SAMPLED, 1)
    found = inputs.signature @ begin.abundance[::stride].T + begin.intercepts[::stride]
    every = np.abs(inputs.every(stride) - found)
    if mode == "l1":
        return float(np.quantile(every, max(1 - nu, 0.0)))
    return float(np.sqrt((every**2).mean()))
