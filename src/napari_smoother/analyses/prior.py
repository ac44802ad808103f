"""From the graph of a section to the precision of its spatial prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from napari_smoother.analyses.deconvolution_settings import INTRINSIC
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.weights.moving_average import MovingAverage
from napari_smoother.weights.precision import precision, rho_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.weights.precision import Process


class PriorSteps:
    """The memoised stages from a graph to a precision."""

    def __init__(self) -> None:
        self.linked = Stage(without_edges_of)
        self.rho_range = Stage(rho_range)
        self.precision = Stage(precision_within)

    def prior(
        self, weights: csr_array, empty: NDArray[np.bool_], process: Process, rho: float
    ) -> csr_array | MovingAverage:
        """Return the precision over all spots; those without a count have no edge.

        Parameters
        ----------
        weights
            n x n.
        empty
            n: spots without a count.
        process, rho
            Spatial process and its autocorrelation.

        Raises
        ------
        InputError
            If there is no such process on this graph.
        """
        if process not in INTRINSIC:
            check_rho(process, rho, self.rho_range(weights, process))
        linked = self.linked(weights, empty if empty.any() else None)
        return self.precision(linked, process, rho)


def without_edges_of(weights: csr_array, empty: NDArray[np.bool_] | None) -> csr_array:
    """Cut the edges of spots without a count: nothing is known there, least of all zeros."""
    if empty is None:
        return weights
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    kept = ~(empty[rows] | empty[weights.indices])
    return csr_array((weights.data * kept, weights.indices, weights.indptr), shape=weights.shape)


def check_rho(process: Process, rho: float, limits: tuple[float, float]) -> None:
    """Refuse a rho at which the process is not there.

    Raises
    ------
    InputError
        With the valid range.
    """
    lowest, highest = limits
    if not lowest < rho < highest:
        raise InputError(
            f"ρ {rho:.4g} is out of range: {process.upper()} on this graph is valid below "
            f"{highest:.4g}",
            where="deconvolution rho",
            remedy=f"Set ρ between 0 and {highest:.4g}, or choose ICAR or ISAR, valid up to 1",
        )


def precision_within(
    weights: csr_array, process: Process, rho: float
) -> csr_array | MovingAverage:
    """Return the precision of a process whose rho is known to be valid."""
    if process == "sma":
        return MovingAverage(weights, rho)
    return precision(weights, process, rho, check=False)
