"""Non-negative least squares when every cell type has a spatial prior of its own.

The shared solver takes one precision. With one for each type, the types are improved in turn,
each to its optimum given the others (block coordinate descent, which converges for a convex
objective with separable bounds: Tseng 2001, J. Optim. Theory Appl. 109).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import Cancelled
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_smoother.solvers.bounded_quadratic import Solution


def solve_type_by_type(
    gram: NDArray[np.float64],
    linear: NDArray[np.float64],
    precisions: Sequence[Any],
    weight: float,
    *,
    start: NDArray[np.floating] | None = None,
    tolerance: float = 1e-5,
    most_rounds: int = 1000,
    bounded: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> Solution:
    """Minimise ``1/2 tr(B A B') - <C, B> + weight/2 sum_k b_k' Q_k b_k`` over B >= 0, or over B.

    Parameters
    ----------
    gram, linear
        A, K x K, and C, n x K.
    precisions
        K sparse matrices, n x n.
    weight
        Factor of the prior, not negative.
    start
        Abundances to start from, n x K.
    tolerance
        Norm of the projected gradient over the norm of C to stop at.
    most_rounds
        Rounds over all types after which to give up, and say so.
    bounded
        Whether B must not be negative.
    cancelled
        Asked at every type.

    Returns
    -------
    Solution
        With values in float64.

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    from napari_smoother.solvers.bounded_quadratic import Solution

    began = time.perf_counter()
    n_types = len(precisions)
    priors = [PriorTerm.prepare(precision) for precision in precisions]
    values = np.zeros(linear.shape)
    if start is not None:
        values = np.array(start, dtype=np.float64)
        if bounded:
            np.maximum(values, 0, out=values)
    norm = float(np.linalg.norm(linear)) or 1.0
    steps = products = rounds = 0
    while True:
        residual, objective = _measure(gram, linear, precisions, weight, values, bounded)
        if residual / norm <= tolerance or rounds == most_rounds:
            break
        rounds += 1
        for k in range(n_types):
            if cancelled is not None and cancelled():
                raise Cancelled
            left = linear[:, k] - values @ gram[:, k] + values[:, k] * gram[k, k]
            scale = float(np.linalg.norm(left)) or 1.0
            part = solve_bounded_quadratic(
                DataTerm.prepare(gram[k : k + 1, k : k + 1], left[:, None]),
                priors[k],
                weight,
                start=values[:, k : k + 1],
                tolerance=min(0.2 * max(tolerance, 0.1 * residual / norm) * norm / scale, 1e-2),
                bounded=bounded,
                cancelled=cancelled,
            )
            values[:, k] = part.values[:, 0]
            steps += part.steps
            products += part.products
    return Solution(
        values=values,
        residual=residual / norm,
        objective=objective,
        steps=steps,
        products=products,
        seconds=time.perf_counter() - began,
        converged=bool(residual / norm <= tolerance),
        method=f"type by type, {rounds} rounds",
    )


def _measure(
    gram: NDArray[np.float64],
    linear: NDArray[np.float64],
    precisions: Sequence[Any],
    weight: float,
    values: NDArray[np.float64],
    bounded: bool,
) -> tuple[float, float]:
    """Norm of the projected gradient, and the objective."""
    smooth = np.column_stack([q @ values[:, k] for k, q in enumerate(precisions)])
    gradient = values @ gram - linear + weight * smooth
    objective = float((values * (gradient - linear)).sum() / 2)
    held = (values <= 0) & (gradient > 0) & bounded
    projected = np.where(held, 0, gradient)
    return float(np.linalg.norm(projected)), objective
