"""What Newton's steps and the descent ask of the data's part of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import Cancelled
from napari_smoother.models.deconv.fit import FitReport, Fitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.inputs import Inputs
    from napari_smoother.models.deconv.quadratic_model import QuadraticModel


@dataclass(frozen=True)
class Expansion:
    """The data's part around a state.

    Attributes
    ----------
    value
        The data's part here.
    gradients
        Its derivatives by every part of the state.
    model
        The quadratic model; None where it was not wanted.
    """

    value: float
    gradients: State
    model: QuadraticModel | None = None


class Likelihood(ABC):
    """A sum of losses of ``Y - X B' - 1 g'`` over genes and spots, times genes x spots / 2.

    The state is [B], with a bias [B, g], and the width of a tube comes last.

    Parameters
    ----------
    inputs
        Signature, expression and weights.
    bias
        Whether every spot has a free constant.
    ridge
        Added to the curvature of every type: K numbers; None for none.
    tube
        Derivative of the data's part by the width apart from the losses, where there is a tube.
    constant_curvature
        Whether the Gram matrices are the same at every state.

    Attributes
    ----------
    cancelled
        Asked at every piece of the spots.
    report
        Called with the abundances and their residual after every step of Newton.
    """

    def __init__(
        self,
        inputs: Inputs,
        bias: bool,
        *,
        ridge: NDArray[np.float64] | None = None,
        tube: float | None = None,
        constant_curvature: bool = False,
    ) -> None:
        self.inputs, self.bias, self.tube = inputs, bias, tube
        self.ridge = np.zeros(inputs.n_types) if ridge is None else ridge
        self.constant_curvature = constant_curvature
        self.cancelled: Callable[[], bool] | None = None
        self.report: Callable[[NDArray[np.float64], float], None] | None = None
        # Constants absorb any shift of the signature; a small one keeps rounding small.
        signature = inputs.signature
        self._shift = signature.mean(axis=0) if bias else np.zeros(inputs.n_types)
        self._centred = (signature - self._shift).astype(np.float32)
        self._lower = np.tril_indices(inputs.n_types)
        self._products = np.ascontiguousarray(
            self._centred[:, self._lower[0]] * self._centred[:, self._lower[1]]
        )

    def asked(self) -> None:
        """Stop when the caller wishes so.

        Raises
        ------
        Cancelled
            If ``cancelled`` returned True.
        """
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("the fit was cancelled")

    def tell(self, state: State, residual: float) -> None:
        """Report a state on the way."""
        if self.report is not None:
            self.report(state[0], residual)

    @property
    def n_values(self) -> int:
        """Genes x spots."""
        return self.inputs.n_genes * self.inputs.n_spots

    @property
    def noise(self) -> float:
        """Relative rounding of the value, by which it may rise in a step."""
        return 1e-14

    @abstractmethod
    def expand(self, state: State, curvature: bool = True) -> Expansion:
        """Return value, gradients and, unless not wanted, the quadratic model at a state."""

    # What `descend` needs, on the scale of the published objective.

    def state(self, fitted: Fitted) -> State:  # noqa: D102
        parts = [fitted.abundance]
        if self.bias:
            parts.append(fitted.intercepts)
        if self.tube is not None:
            parts.append(np.array([fitted.extra or 0.0]))
        return parts

    def bounds(self, nonneg: bool) -> list[bool]:  # noqa: D102
        return [nonneg] + [False] * self.bias + [True] * (self.tube is not None)

    def evaluate(self, state: State) -> tuple[float, State]:  # noqa: D102
        found = self.expand(state, curvature=False)
        scale = 2 / self.n_values
        return scale * found.value, [scale * gradient for gradient in found.gradients]

    def fitted(self, state: State, report: FitReport) -> Fitted:  # noqa: D102
        return Fitted(
            abundance=state[0],
            intercepts=state[1] if self.bias else np.zeros(self.inputs.n_spots),
            report=report,
            extra=state[-1].item() if self.tube is not None else None,
        )
