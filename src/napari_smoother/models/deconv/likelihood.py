"""The data's part of an objective that weighs every gene of every spot in its own way.

Sums over genes of a pointwise loss with two derivatives, minimised under a spatial prior by
Newton's steps on the quadratic solver, in the compiled core. Nothing of the size genes x spots is
held, but for the multipliers of the absolute loss: four bytes for every gene and spot.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from napari_smoother import _core
from napari_smoother.models.deconv.fit import FitReport, Fitted
from napari_smoother.solvers.watching import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.inputs import Inputs
    from napari_smoother.solvers.quadratic_terms import PriorTerm

LossName = Literal["damped square", "tube square", "tube absolute", "log square", "poisson"]

SHARP = 1e-7
"""The narrowest band in which the absolute loss is smoothed, and that for descent by gradient."""


@dataclass(frozen=True)
class Minimum:
    """Where Newton's steps ended.

    Attributes
    ----------
    state
        Abundances and what else is fitted.
    value
        Data's part plus prior, at the scale of the likelihood.
    residual
        Norm of the projected gradient over that of the quadratic model's linear term; of the
        absolute loss the gap to a lower bound over the objective.
    steps, inner_steps
        Newton steps, and steps of the linear solver within them.
    history
        The objective at the start and after every step; it never rises.
    """

    state: State
    value: float
    residual: float
    steps: int
    inner_steps: int
    history: tuple[float, ...]
    seconds: float
    converged: bool


class Likelihood:
    """A sum of losses of ``Y - X B' - 1 g'`` over genes and spots, times genes x spots / 2.

    The state is [B], with a bias [B, g], and the width of nu-SVR comes last.

    Parameters
    ----------
    inputs
        Signature, expression and weights.
    loss
        Of the core's `losses`.
    bias
        Whether every spot has a free constant.
    numbers
        What the loss needs: largest weight (damped square); added count and share of the
        curvature kept (log square); share and floor of the expected curvature (Poisson).
    cost
        Factor of the loss beside the weights of genes.
    depth
        Of every spot (Poisson).
    ridge
        Added to the curvature of every type: K numbers; None for none.
    width_cost
        Derivative by the width apart from the losses, where there is a width.
    """

    def __init__(
        self,
        inputs: Inputs,
        loss: LossName,
        bias: bool,
        *,
        numbers: tuple[float, float] = (0.0, 0.0),
        cost: float = 1.0,
        depth: NDArray[np.float64] | None = None,
        ridge: NDArray[np.float64] | None = None,
        width_cost: float = 0.0,
    ) -> None:
        self.inputs, self.loss, self.bias = inputs, loss, bias
        self.has_width = loss.startswith("tube")
        none = np.zeros(0)
        self._core = _core.Likelihood(
            loss,
            np.ascontiguousarray(inputs.signature),
            _expression(inputs),
            cost * inputs.weights,
            bias=bias,
            first=numbers[0],
            second=numbers[1],
            depth=none if depth is None else depth,
            ridge=none if ridge is None else ridge,
            width_cost=width_cost,
        )

    @property
    def n_values(self) -> int:
        """Genes x spots."""
        return self.inputs.n_genes * self.inputs.n_spots

    def minimise(
        self,
        prior: PriorTerm,
        weight: float,
        start: State,
        *,
        nonneg: bool,
        tolerance: float,
        band: float = SHARP,
        cancelled: Callable[[], bool] | None = None,
        report: Callable[[NDArray[np.float64], float], None] | None = None,
    ) -> Minimum:
        """Minimise the likelihood plus ``weight/2 tr(B' Q B)``.

        Parameters
        ----------
        prior, weight
            Q and its factor.
        start
            A state in which the likelihood is finite.
        nonneg
            Whether abundances must not be negative.
        tolerance
            Residual to stop at.
        band
            In which the absolute loss is smoothed at first.
        cancelled
            Asked every few milliseconds.
        report
            Called with abundances and their residual: the latest now and then, and the last.

        Raises
        ------
        Cancelled
            If ``cancelled`` returned True.
        """
        began = time.perf_counter()
        shape = start[0].shape

        found = self._core.minimise(
            prior.core_in_order,
            weight,
            bounded=nonneg,
            tolerance=tolerance,
            band=band,
            **self._parts(start),
            watch=watch(cancelled, report, shape=shape, what="the fit"),
            iterates=report is not None,
        )
        values, constants, width, value, residual, steps, inner_steps, history, converged = found
        state = self._state(values.reshape(shape), constants, width)
        if report is not None:
            report(state[0], residual)
        seconds = time.perf_counter() - began
        return Minimum(
            state, value, residual, steps, inner_steps, tuple(history), seconds, converged
        )

    # What `descend` needs, on the scale of the published objective.

    def state(self, fitted: Fitted) -> State:  # noqa: D102
        return self._state(fitted.abundance, fitted.intercepts, fitted.extra or 0.0)

    def bounds(self, nonneg: bool) -> list[bool]:  # noqa: D102
        return [nonneg] + [False] * self.bias + [True] * self.has_width

    def evaluate(self, state: State) -> tuple[float, State]:  # noqa: D102
        found = self._core.evaluate(**self._parts(state), watch=None)
        value, by_values, by_constants, by_width = found
        scale = 2 / self.n_values
        gradients = self._state(by_values.reshape(state[0].shape), by_constants, by_width)
        return scale * value, [scale * gradient for gradient in gradients]

    def fitted(self, state: State, report: FitReport) -> Fitted:  # noqa: D102
        return Fitted(
            abundance=state[0],
            intercepts=state[1] if self.bias else np.zeros(self.inputs.n_spots),
            report=report,
            extra=state[-1].item() if self.has_width else None,
        )

    def _state(
        self, values: NDArray[np.float64], constants: NDArray[np.float64], width: float
    ) -> State:
        return [values] + [constants] * self.bias + [np.array([width])] * self.has_width

    def _parts(self, state: State) -> dict[str, Any]:
        """Take a state apart for the core, which has all parts always."""
        constants = state[1] if self.bias else np.zeros(self.inputs.n_spots)
        return {
            "values": np.ascontiguousarray(state[0], np.float64),
            "constants": np.ascontiguousarray(constants, np.float64),
            "width": state[-1].item() if self.has_width else 0.0,
        }


def _expression(inputs: Inputs) -> Any:
    """Return expression as the core reads it: dense at any strides, or sparse by spot."""
    given = inputs.expression
    is_sparse: bool = sparse.issparse(given)
    if not is_sparse:
        return given
    given.check_format(full_check=True)
    indices = given.indices.astype(np.int32, copy=False)
    return inputs.n_genes, given.indptr.astype(np.int64), indices, given.data
