"""Where people keep positions in an AnnData, and bringing them to ``obsm["spatial"]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARRAYS = ("spatial", "X_spatial")
"""Entries of obsm, first come first served."""

COLUMNS = (
    ("x", "y"),
    ("array_x", "array_y"),
    ("x_centroid", "y_centroid"),
    ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("imagecol", "imagerow"),
)
"""Pairs of columns of obs, each (x, y)."""


def set_positions(adata: Any, *, where: str) -> NDArray[np.float64]:
    """Find the positions and store them as ``obsm["spatial"]``, spots x 2, (x, y), float64.

    A third coordinate that is the same for every spot is dropped.

    Parameters
    ----------
    adata
        In memory; its ``obsm["spatial"]`` is replaced when it has another form.
    where
        The file, for messages.

    Returns
    -------
    numpy.ndarray
        n x 2.

    Raises
    ------
    InputError
        If there are none, they are not numbers, or not finite; or three coordinates vary.
    """
    name, found = _find(adata, where)
    try:
        positions = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as fault:
        raise InputError(
            f"Positions are not numbers: {fault}",
            where=f"{where}, {name}",
            remedy="Store (x, y) in full-resolution pixels as numbers",
        ) from fault
    if positions.ndim == 2 and positions.shape[1] == 3:
        third = positions[:, 2]
        if np.ptp(third) == 0 or np.isnan(third).all():
            positions = positions[:, :2]
        else:
            raise InputError(
                "Positions have three coordinates; a section is flat",
                where=f"{where}, {name}",
                remedy="Keep the spots of one section, with x and y",
            )
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise InputError(
            f"Positions have the shape {positions.shape}, not spots x 2",
            where=f"{where}, {name}",
            remedy="Store one (x, y) pair for each spot",
        )
    lost = ~np.isfinite(positions).all(axis=1)
    if lost.any():
        raise InputError(
            f"{int(lost.sum())} of {len(positions)} spots have no finite position, for example "
            f"{adata.obs_names[lost][0]}",
            where=f"{where}, {name}",
            remedy="Remove these spots or mend their positions",
        )
    positions = np.ascontiguousarray(positions)
    adata.obsm["spatial"] = positions
    return positions


def _find(adata: Any, where: str) -> tuple[str, Any]:
    for name in ARRAYS:
        if name in adata.obsm:
            return f'obsm["{name}"]', adata.obsm[name]
    for x, y in COLUMNS:
        if x in adata.obs and y in adata.obs:
            return f'obs["{x}"] and obs["{y}"]', adata.obs[[x, y]].to_numpy()
    arrays = ", ".join(f'obsm["{name}"]' for name in ARRAYS)
    columns = ", ".join(f"{x}/{y}" for x, y in COLUMNS)
    raise InputError(
        f"The spots have no positions; looked for {arrays} and the columns of obs {columns}",
        where=where,
        remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
    )
