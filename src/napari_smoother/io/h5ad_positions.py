"""Where people keep positions in an AnnData, and bringing them to ``obsm["spatial"]``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

ARRAYS = ("spatial", "X_spatial", "coordinates", "coords", "xy", "X_xy", "xy_loc", "X_xy_loc")
"""Entries of obsm, first come first served, compared without case and signs."""

AXES = {"x": "x", "y": "y", "z": "z", "col": "x", "column": "x", "row": "y"}
NUMBERED = {"1": "x", "2": "y", "3": "z"}

BESIDE = (
    "centroid|center|centre|location|loc|coordinate|coord|position|pos|global|local|slide|stage"
    "|infullres|fullres|pixels|pixel|pxl|px|image|img|microns|micron|um|mm|spatial|sdim|array|cell|spot"
)
"""Words beside an axis in the name of a column."""

AXIS = re.compile(rf"((?:{BESIDE})*)(column|col|row|[xyz123])((?:{BESIDE})*)")

PIXELS = re.compile("px|pixel|fullres|image|img")

SPELLINGS = (
    ("x", "y"),
    ("x_centroid", "y_centroid"),
    ("x_location", "y_location"),
    ("center_x", "center_y"),
    ("CenterX_global_px", "CenterY_global_px"),
    ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("imagecol", "imagerow"),
    ("array_x", "array_y"),
)
"""Examples of pairs that are understood, for the message."""


class NoPositions(InputError):
    """Spots without positions: cells of a reference, perhaps, and no section."""


def find_positions(adata: Any, *, where: str) -> tuple[NDArray[np.float64], str]:
    """Find the positions, whether or not they are those of one flat section.

    Parameters
    ----------
    adata
        In memory.
    where
        The file, for messages.

    Returns
    -------
    positions
        n x 2 or n x 3, (x, y) or (x, y, z), some perhaps not finite. A third coordinate that is
        the same for every spot is dropped.
    name
        Where they were found.

    Raises
    ------
    InputError
        If there are none, or they are not numbers of this shape.
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
    if positions.ndim != 2 or positions.shape[1] not in (2, 3):
        raise InputError(
            f"Positions have the shape {positions.shape}, not spots x 2",
            where=f"{where}, {name}",
            remedy="Store one (x, y) pair for each spot",
        )
    if positions.shape[1] == 3:
        third = positions[:, 2]
        if np.isnan(third).all() or (third == third[:1]).all():
            positions = positions[:, :2]
    return np.ascontiguousarray(positions), name


def set_positions(adata: Any, *, where: str) -> NDArray[np.float64]:
    """Find the positions and store them as ``obsm["spatial"]``, spots x 2, (x, y), float64.

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
    positions, name = find_positions(adata, where=where)
    if positions.shape[1] == 3:
        raise InputError(
            "Positions have three coordinates; a section is flat",
            where=f"{where}, {name}",
            remedy="Keep the spots of one section, with x and y",
        )
    lost = ~np.isfinite(positions).all(axis=1)
    if lost.any():
        raise InputError(
            f"{int(lost.sum())} of {len(positions)} spots have no finite position, for example "
            f"{adata.obs_names[lost][0]}",
            where=f"{where}, {name}",
            remedy="Remove these spots or mend their positions",
        )
    adata.obsm["spatial"] = positions
    return positions


def has_positions(obsm: Iterable[str], obs: Iterable[str]) -> bool:
    """Whether entries of obsm, or columns of obs, are called as positions are."""
    tables = {_squashed(key) for key in obsm}
    return any(_squashed(name) in tables for name in ARRAYS) or _pair(obs, of_obs=True) is not None


def _find(adata: Any, where: str) -> tuple[str, Any]:
    squashed = {_squashed(key): key for key in reversed(list(adata.obsm))}
    for name in ARRAYS:
        key = name if name in adata.obsm else squashed.get(_squashed(name))
        if key is None:
            continue
        found = adata.obsm[key]
        if isinstance(found, pd.DataFrame):
            return f'obsm["{key}"]', _by_names(found, f'{where}, obsm["{key}"]')
        return f'obsm["{key}"]', found.toarray() if sparse.issparse(found) else found
    pair = _pair([c for c in map(str, adata.obs.columns) if c in adata.obs], of_obs=True)
    if pair is not None:
        x, y = pair
        return f'obs["{x}"] and obs["{y}"]', adata.obs[[x, y]].to_numpy()
    arrays = ", ".join(f'obsm["{name}"]' for name in ARRAYS[:2])
    columns = ", ".join(f"{x}/{y}" for x, y in SPELLINGS)
    array = {"array_row", "array_col"} <= set(adata.obs.columns)
    raise NoPositions(
        f"The spots have no positions; looked for {arrays} and columns of obs such as {columns}"
        + ("; array_row and array_col number the spots and are no pixels" if array else ""),
        where=where,
        remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
    )


def _by_names(table: pd.DataFrame, where: str) -> NDArray[Any]:
    """Order the columns of a table as x, y and z, where their names say which is which."""
    names = [str(name) for name in table.columns]
    values = table.to_numpy()
    pair = _pair(names, of_obs=False)
    if pair is not None:
        depth = [name for name in names if (_axis(name) or ("",))[0] == "z"]
        return values[:, [names.index(name) for name in (*pair, *depth[:1])]]
    axes = {found[0] for name in names if (found := _axis(name)) is not None}
    if axes & {"x", "y"}:
        raise InputError(
            f"The names of the columns do not say which is x and which is y: {', '.join(names)}",
            where=where,
            remedy="Name them x and y",
        )
    return values


def _pair(names: Iterable[str], *, of_obs: bool) -> tuple[str, str] | None:
    """Find the columns that hold x and y, pixels before other units, positions in a tile last."""
    found: dict[tuple[str, bool], dict[str, str]] = {}
    for name in names:
        axis = _axis(name)
        if axis is None:
            continue
        which, beside, plain = axis
        # Rows and columns of an array number the spots, and so do those of obs that do not say.
        counted = not plain and ("array" in beside or (of_obs and not PIXELS.search(beside)))
        if not counted and not (of_obs and name[-1:] in NUMBERED):
            found.setdefault((beside, plain), {}).setdefault(which, name)
    pairs = [(kind, axes) for (kind, _), axes in found.items() if {"x", "y"} <= axes.keys()]
    pairs.sort(key=lambda pair: _order(pair[0]))
    return (pairs[0][1]["x"], pairs[0][1]["y"]) if pairs else None


def _order(beside: str) -> tuple[bool, bool, bool, int]:
    return "local" in beside, "array" in beside, not PIXELS.search(beside), len(beside)


def _axis(name: str) -> tuple[str, str, bool] | None:
    """Axis that a name stands for, the words beside it, and whether it is x or y by name."""
    found = AXIS.fullmatch(_squashed(name))
    if found is None:
        return None
    before, axis, behind = found.groups()
    if axis in NUMBERED:
        return (NUMBERED[axis], before, True) if before and not behind else None
    return AXES[axis], before + behind, axis in ("x", "y", "z")


def _squashed(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
