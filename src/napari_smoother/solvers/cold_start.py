"""Where a solve without a guess begins: the same problem on a coarser graph, then local optima.

With B one row an aggregate the objective is ``1/2 tr(B A B' M) - <P'C, B> + weight/2 tr(B'P'QPB)``
for piecewise constant P and M the number of spots in each aggregate. Times the roots of M it has
the form of the problem itself, so the same steps solve it, down to few aggregates. What comes back
is nearly smooth enough; sweeps that bring every spot to its optimum given its neighbours find the
zeros. With a weak prior these sweeps alone are nearly all there is to do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.solvers.projected_newton import Point, Solve, projected_newton
from napari_smoother.solvers.row_blocks import rows_taken, total_of_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALONE = 0.5
"""Below this ratio of prior to weakest data direction, spots hardly hear their neighbours."""

WEAK = 8.0
"""Below this ratio most of what is left to do lies within spots."""

COHERENT = 30.0
"""Condition of a spot's own block from which its optimum is worth a factorisation."""

SOFTENED = 0.4
"""Of the weight on the coarser graph: constant pieces make smooth fields look too steep."""

LOOSE = 1e-2
"""Residual at which the coarser answer is good enough."""

COARSE_STEPS = 100
"""Most steps spent on the coarser graph."""


def find_zeros(work: Solve, values: NDArray[Any], finest: bool = True) -> None:
    """Fill `values`, zeros of shape (spots, types), with a start for projected Newton steps.

    Parameters
    ----------
    work
        The problem.
    values
        Changed in place.
    finest
        Whether this is the graph of the spots themselves.
    """
    coarse = work.kappa >= ALONE and _from_coarser(work, values)
    if not coarse:
        work.sweep(values, 3)
    own = work.weight * float(work.prior.diagonal.mean())
    lowest, highest = float(work.eigenvalues[0]) + own, float(work.eigenvalues[-1]) + own
    # Types that look alike trade places too slowly one at a time.
    coherent = highest > COHERENT * lowest
    if coarse and finest and work.kappa >= WEAK:
        work.sweep(values, 2)
    elif coherent:
        work.sweep(values, 0)
        if finest:
            work.sweep(values, 0)
    else:
        work.sweep(values, 3)


def _from_coarser(work: Solve, values: NDArray[Any]) -> bool:
    """Solve on the coarser graph and carry the answer over; False where there is none."""
    coarser = work.prior.coarser
    if coarser is None:
        return False
    linear = coarser.gather @ work.data.linear
    norm = float(np.sqrt(total_of_squares(linear)))
    if norm == 0:
        return False
    data = replace(work.data, linear=linear, linear_norm=norm)
    inner = Solve(data, coarser.prior, SOFTENED * work.weight, True, work.deadline, work.cancelled)
    shape = linear.shape
    start, gradient, free = (np.zeros(shape, np.float32) for _ in range(3))
    point = Point(start, gradient, free)
    find_zeros(inner, point.values, finest=False)
    inner.measure(point, point)
    point, _ = projected_newton(inner, point, LOOSE, COARSE_STEPS, None)
    inside = coarser.aggregate >= 0
    scaled = (point.values / coarser.root[:, None]).astype(values.dtype)
    if inside.all():
        rows_taken(scaled, coarser.aggregate, out=values)
    else:
        values[inside] = scaled[coarser.aggregate[inside]]
    return True
