"""How large a full-resolution pixel and a spot are, from what Space Ranger writes.

Numbers, and where each is from:

* 100 µm between the centres of neighbouring spots, and 55 µm across a spot: the geometry of the
  Visium slide as 10x Genomics specifies it.
* 65 µm: Space Ranger's documentation of ``spot_diameter_fullres`` ("the diameter of a theoretical
  65 µm spot"). scanpy and squidpy draw spots at this size.
* 105 µm for ``fiducial_diameter_fullres``: measured. Divided by the pitch of the array it is
  104.6 to 104.8 µm on three sections of versions 1 and 3, while ``spot_diameter_fullres`` is
  65 µm on some and 70 µm on others. It is therefore asked before the spot diameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

PITCH = 100.0
"""Micrometres between the centres of neighbouring Visium spots."""

SPOT_DIAMETER = 55.0
"""Micrometres across a Visium spot."""

FIDUCIAL_DIAMETER = 105.0
"""Micrometres that ``fiducial_diameter_fullres`` stands for."""

SPACE_RANGER_SPOT_DIAMETER = 65.0
"""Micrometres that ``spot_diameter_fullres`` stands for."""

NEIGHBOUR_STEPS = ((0, 2), (1, 1), (1, -1))
"""Steps in (array_row, array_col) to half of the six neighbours of a spot."""


@dataclass(frozen=True, slots=True)
class PhysicalScale:
    """Sizes that belong together.

    Parameters
    ----------
    micrometres_per_pixel
        Size of a full-resolution pixel; None when unknown.
    spot_diameter
        In full-resolution pixels; None when unknown.
    """

    micrometres_per_pixel: float | None
    spot_diameter: float | None


def physical_scale(
    factors: Mapping[str, float],
    *,
    array_positions: NDArray[np.int64] | None,
    positions: NDArray[np.float64],
    is_visium: bool,
) -> PhysicalScale:
    """Find the size of a pixel and of a spot.

    The size of a pixel is taken from the first of these there is: ``microns_per_pixel`` (Visium
    HD), ``bin_size_um`` over the bin's diameter (Visium HD), the pitch of the hexagonal array,
    ``fiducial_diameter_fullres``, ``spot_diameter_fullres`` (only when ``is_visium``).

    A Visium spot is 55 µm across once the size of a pixel is known. Otherwise, and for the bins
    of Visium HD and spots of other techniques, the diameter is ``spot_diameter_fullres``.

    Parameters
    ----------
    factors
        The numbers of ``scalefactors_json.json``; any may be missing.
    array_positions
        n x 2, (array_row, array_col); None when unknown.
    positions
        n x 2, (x, y) in full-resolution pixels, of the same spots.
    is_visium
        Whether the factors are known to be Space Ranger's. Other programs put other things
        under ``spot_diameter_fullres``, and a wrong scale bar is worse than none.

    Returns
    -------
    PhysicalScale
    """
    stated = factors.get("spot_diameter_fullres")
    bin_size = factors.get("bin_size_um")
    if "microns_per_pixel" in factors:
        micrometres = factors["microns_per_pixel"]
        if bin_size is not None:
            return PhysicalScale(micrometres, bin_size / micrometres)
        return PhysicalScale(micrometres, stated)
    if bin_size is not None and stated is not None:
        return PhysicalScale(bin_size / stated, stated)

    pitch = None if array_positions is None else array_pitch(array_positions, positions)
    if pitch is not None:
        micrometres = PITCH / pitch
    elif "fiducial_diameter_fullres" in factors:
        micrometres = FIDUCIAL_DIAMETER / factors["fiducial_diameter_fullres"]
    elif is_visium and stated is not None:
        micrometres = SPACE_RANGER_SPOT_DIAMETER / stated
    else:
        return PhysicalScale(None, stated)
    return PhysicalScale(micrometres, SPOT_DIAMETER / micrometres)


def array_pitch(
    array_positions: NDArray[np.int64], positions: NDArray[np.float64]
) -> float | None:
    """Distance between neighbouring spots of a hexagonal array, in full-resolution pixels.

    The median over all pairs of neighbours that are present, so neither rotation of the slide,
    holes, nor a few misplaced spots matter.

    Parameters
    ----------
    array_positions
        n x 2, (array_row, array_col). On Visium's hexagonal array row + column is always even;
        anything else is taken for another array.
    positions
        n x 2, (x, y).

    Returns
    -------
    float or None
        None when the array is not hexagonal, no two neighbours are present, or they coincide.
    """
    rows, columns = array_positions[:, 0], array_positions[:, 1]
    if rows.size == 0 or ((rows + columns) % 2 != 0).any():
        return None
    rows, columns = rows - rows.min(), columns - columns.min()
    width = int(columns.max()) + 4  # a step over either edge meets no spot
    keys = rows * width + columns
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    lengths = []
    for row_step, column_step in NEIGHBOUR_STEPS:
        wanted = (rows + row_step) * width + columns + column_step
        found = np.searchsorted(sorted_keys, wanted).clip(max=keys.size - 1)
        here = np.flatnonzero(sorted_keys[found] == wanted)
        steps = positions[order[found[here]]] - positions[here]
        lengths.append(np.hypot(steps[:, 0], steps[:, 1]))
    every = np.concatenate(lengths)
    every = every[np.isfinite(every) & (every > 0)]
    return float(np.median(every)) if every.size else None
