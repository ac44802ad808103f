"""Values between spots: the work that depends on positions alone is done once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_smoother.models.impute.observed import out_of_reach
from napari_smoother.solvers.positive_systems import factored
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Interpolation:
    """Harmonic interpolation from spots to new positions, for any values of the spots.

    What `napari_smoother.predict_at` finds where observations are fixed, the
    process is intrinsic conditional autoregression and rho is 1: every new position has the mean
    of its neighbours among spots and new positions, so that none lies above the highest spot or
    below the lowest one, and none fades to zero.

    Parameters
    ----------
    spots
        n x 2 positions of spots with a value.
    new
        m x 2 positions to predict at, in the same unit.
    n_neighbors
        How many nearest neighbours to join.
    cancelled
        Asked while the grid is factored.

    Attributes
    ----------
    unreached : numpy.ndarray
        m booleans: new positions with no way to any spot.
    """

    def __init__(
        self,
        spots: NDArray[np.float64],
        new: NDArray[np.float64],
        *,
        n_neighbors: int = 6,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        n = len(spots)
        joined = nearest_neighbours(np.vstack([spots, new]), n_neighbors, mutual=False).weights
        laplacian = precision(joined, "icar", 1.0)
        is_spot = np.arange(len(spots) + len(new)) < n
        self.unreached = out_of_reach(laplacian, is_spot)[n:]
        rows = laplacian[n:][~self.unreached]
        self._from_spots = sparse.csr_array(-rows[:, :n])
        self._factor = factored(sparse.csr_array(rows[:, n:][:, ~self.unreached]), cancelled)

    def at(
        self, values: NDArray[np.float64], *, cancelled: Callable[[], bool] | None = None
    ) -> NDArray[np.float64]:
        """Return the values at the new positions, m; NaN where unreached.

        Parameters
        ----------
        values
            n, one for each spot.
        cancelled
            Asked within the solve.
        """
        found = np.full(len(self.unreached), np.nan)
        right = (self._from_spots @ values)[:, None]
        within, _ = self._factor.solve(right, cancelled=cancelled)
        found[~self.unreached] = within[:, 0]
        return found
