"""The quadratic model of a data loss around a state, in the abundances alone.

Constants of spots, and the one width that all spots of nu-SVR share, are eliminated (Schur
complements), so the solver sees abundances only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.solvers.local_quadratic import (
    LANES,
    LocalTerm,
    block_product,
    group_count,
    packed_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State


class Curvature:
    """Second derivatives of the data's part, summed over genes.

    Attributes
    ----------
    blocks
        Gram matrices, packed; constants already eliminated.
    cross, own
        Between abundances and the constant of each spot (n x K), and of the constant (n).
    width_cross, width_constant, width_own
        Between the width of the tube and abundances, constants and itself.
    """

    def __init__(self, n_spots: int, n_types: int) -> None:
        shape = (group_count(n_spots), packed_size(n_types), LANES)
        self.blocks: NDArray[np.float32] = np.zeros(shape, np.float32)
        self.cross: NDArray[Any] = np.zeros((n_spots, n_types))
        self.own: NDArray[Any] = np.zeros(n_spots)
        self.width_cross: NDArray[Any] = np.zeros((n_spots, n_types))
        self.width_constant: NDArray[Any] = np.zeros(n_spots)
        self.width_own = 0.0


@dataclass(frozen=True)
class QuadraticModel:
    """A quadratic model of the abundances, the rest at its best for each of them.

    Attributes
    ----------
    term
        Gram matrices and linear part.
    fill
        Turns a change of the abundances into the change of the whole state.
    """

    term: LocalTerm
    fill: Callable[[NDArray[np.float64]], State]


def reduced_model(
    state: State, gradients: State, known: Curvature, *, bias: bool, tube: bool
) -> QuadraticModel:
    """Eliminate constants and width from the quadratic model.

    Parameters
    ----------
    state, gradients
        Abundances, constants where there is a bias, and the width where there is a tube; and the
        derivatives of the data's part by them.
    known
        Its second derivatives.
    bias, tube
        What the state has.

    Returns
    -------
    QuadraticModel
    """
    gradient = gradients[0]
    inverse = np.divide(1, known.own, out=np.zeros_like(known.own), where=known.own > 0)
    if bias:
        gradient = gradient - known.cross * (gradients[1] * inverse)[:, None]
    coupling, pull, stiffness = None, 0.0, 0.0
    if tube:
        across, along = known.width_cross, known.width_constant
        stiffness, pull = known.width_own, gradients[-1].item()
        if bias:
            across = across - known.cross * (along * inverse)[:, None]
            stiffness -= float((along**2 * inverse).sum())
            pull -= float((along * inverse * gradients[1]).sum())
        at_rest = state[-1].item() <= 0 and pull > 0
        if stiffness > 1e-9 * known.width_own and not at_rest:
            coupling = across / np.sqrt(stiffness)
            gradient = gradient - across * (pull / stiffness)
        else:
            stiffness = 0.0
    linear = block_product(known.blocks, state[0]) - gradient
    if coupling is not None:
        linear -= coupling * float(np.vdot(coupling, state[0]))

    def fill(change: NDArray[np.float64]) -> State:
        parts = [change]
        width = 0.0
        if stiffness > 0:
            assert coupling is not None
            width = -(pull / stiffness) - float(np.vdot(coupling, change)) / np.sqrt(stiffness)
            width = max(width, -state[-1].item())
        if bias:
            moved = np.einsum("nk,nk->n", known.cross, change) + known.width_constant * width
            parts.append(-inverse * (gradients[1] + moved))
        if tube:
            parts.append(np.array([width]))
        return parts

    return QuadraticModel(LocalTerm(known.blocks, linear, coupling), fill)
