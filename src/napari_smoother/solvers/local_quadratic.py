"""The bounded quadratic problem when every spot weighs the data in its own way.

    min over B >= 0 of  sum_i (1/2 b_i H_i b_i' - <c_i, b_i>) - 1/2 <U, B>^2 + weight/2 tr(B' Q B)

with a Gram matrix H_i for every spot. U, usually absent, is what remains of one number that all
spots share and that has been minimised over. The steps are those of `bounded_quadratic`; where
one fails, scaled projected gradient steps take over, which never raise the objective.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother import _core
from napari_smoother.errors import InputError
from napari_smoother.solvers.bounded_quadratic import Solution, checked_start
from napari_smoother.solvers.watching import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.solvers.quadratic_terms import PriorTerm

LANES = 16
"""Spots whose Gram matrices lie side by side."""


def group_count(rows: int) -> int:
    """Return how many groups of lanes hold this many spots."""
    return -(-rows // LANES)


def packed_size(types: int) -> int:
    """Return the number of entries in the lower triangle of a Gram matrix."""
    return types * (types + 1) // 2


@dataclass(frozen=True)
class LocalTerm:
    """What the data ask of every spot.

    Attributes
    ----------
    blocks
        Packed Gram matrices, shape (groups, types (types + 1) / 2, 16), float32: the lower
        triangles of 16 spots side by side; lanes beyond the last spot are zero.
    linear
        C, shape (spots, types), float64.
    coupling
        U, shape (spots, types), float64; None for none. H - U U' must not be indefinite.
    """

    blocks: NDArray[np.float32]
    linear: NDArray[np.float64]
    coupling: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        rows, types = self.linear.shape
        expected = (group_count(rows), packed_size(types), LANES)
        if self.blocks.shape != expected:
            raise InputError(
                f"The packed Gram matrices have shape {self.blocks.shape}",
                where="local quadratic term",
                remedy=f"Pass {expected[0]} groups of {expected[1]} entries of {LANES} spots",
            )


def solve_local_quadratic(
    term: LocalTerm,
    prior: PriorTerm,
    weight: float,
    *,
    start: NDArray[np.floating] | None = None,
    tolerance: float = 1e-5,
    scale: float | None = None,
    maximum_steps: int = 5000,
    bounded: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> Solution:
    """Minimise the quadratic of the module's first lines over B, or over B >= 0.

    Parameters
    ----------
    term, prior
        The two terms.
    weight
        Factor of the prior, not negative.
    start
        A guess, shape (spots, types); never modified.
    tolerance
        Projected-gradient norm over `scale` at which the answer counts as converged.
    scale
        What residuals are measured against; None for the norm of C.
    maximum_steps
        Stop after this many conjugate gradient steps, with what was reached by then.
    bounded
        Whether B must not be negative.
    cancelled
        Asked every few milliseconds.

    Returns
    -------
    Solution
        Its residual is that of the problem as stored: Gram matrices rounded to float32.

    Raises
    ------
    InputError
        If shapes disagree.
    Cancelled
        If ``cancelled`` returned True.
    """
    began = time.perf_counter()
    rows, types = term.linear.shape
    if prior.spots != rows or prior.types not in (1, types):
        raise InputError(
            f"The data have {rows} spots and {types} types, the prior {prior.spots} and "
            f"{prior.types}",
            where="solve_local_quadratic",
            remedy="Build both from the same section",
        )
    if scale is None:
        scale = float(np.linalg.norm(term.linear)) or 1.0
    values = np.zeros((rows, types)) if start is None else checked_start(start, term.linear)
    found = _core.solve_local(
        prior.core_in_order,
        np.ascontiguousarray(term.blocks),
        np.ascontiguousarray(term.linear),
        None if term.coupling is None else np.ascontiguousarray(term.coupling),
        values,
        weight=float(weight),
        bounded=bounded,
        scale=scale,
        tolerance=float(tolerance),
        maximum_steps=int(maximum_steps),
        watch=watch(cancelled),
    )
    return Solution.from_core(values, found, began)


def block_product(blocks: NDArray[np.float32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``b_i H_i`` for every spot, shape (spots, types), float64."""
    out = np.empty_like(values)
    _core.multiply_blocks(np.ascontiguousarray(blocks), np.ascontiguousarray(values), out)
    return out
