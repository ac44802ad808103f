"""From abundances to proportions, and to the type that leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shares = Literal["cells", "rna"]
"""What proportions are shares of: of the cells of a spot, or of its RNA. A type whose cells hold
twice the RNA has at one share of cells twice the share of RNA."""


def proportions(
    abundance: NDArray[np.floating], cell_totals: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Share of every cell type at every spot.

    Parameters
    ----------
    abundance
        n x K. Negative entries (of models without a bound) count as zero.
    cell_totals
        Mean total count of a cell of each type, K. Given, the shares are shares of cells;
        otherwise they are shares of RNA.

    Returns
    -------
    numpy.ndarray
        n x K, float64. Rows add up to one; a row of zeros stays zero, and means that the spot
        has no value (see `without_value`).
    """
    shares: NDArray[np.float64] = np.maximum(np.asarray(abundance, dtype=np.float64), 0)
    if cell_totals is not None:
        shares = shares / cell_totals
    sums = shares.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = np.divide(
        shares, sums, out=np.zeros_like(shares), where=sums > 0
    )
    return result


def without_value(props: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Say which spots have no value, because nothing was found in them.

    Parameters
    ----------
    props
        n x K.

    Returns
    -------
    numpy.ndarray
        n, bool.
    """
    found: NDArray[np.bool_] = np.any(np.asarray(props) > 0, axis=1)
    return ~found


def dominant_type(props: NDArray[np.floating]) -> NDArray[np.int64]:
    """Say which type has the largest share at every spot.

    Parameters
    ----------
    props
        n x K.

    Returns
    -------
    numpy.ndarray
        n, int64: column of the largest share, the first on a tie, -1 without a value.
    """
    codes: NDArray[np.int64] = np.asarray(props).argmax(axis=1).astype(np.int64)
    codes[without_value(props)] = -1
    return codes
