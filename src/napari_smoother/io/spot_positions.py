"""The positions file of Space Ranger in its three forms."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = (
    "barcode",
    "in_tissue",
    "array_row",
    "array_col",
    "pxl_row_in_fullres",
    "pxl_col_in_fullres",
)
"""The columns in the order of Space Ranger 1, which wrote no header."""

MOST_COLUMNS = 1_000
LONGEST_LINE = 100_000

COPY_AGAIN = "Copy or download the file again from the output of Space Ranger"


def read_spot_positions(path: Path) -> pd.DataFrame:
    """Read where the spots are.

    Parameters
    ----------
    path
        ``tissue_positions_list.csv`` (Space Ranger 1, no header), ``tissue_positions.csv``
        (2 and later, header) or ``tissue_positions.parquet`` (Visium HD). Whether there is a
        header is seen from the first line, not from the name.

    Returns
    -------
    pandas.DataFrame
        One row a barcode (the index, unique), with ``in_tissue`` (bool), ``array_row`` and
        ``array_col`` (int64), and the centre ``x`` and ``y`` (float64) in full-resolution pixels.
        The file has (row, column); x is its column and y its row. Centres may be NaN:
        only those of spots that are used matter.

    Raises
    ------
    InputError
        If the file cannot be read, a column is missing or holds text, or a barcode comes twice.
    """
    table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(
            f"The positions have no column {', '.join(missing)}; there are: "
            f"{', '.join(map(str, table.columns[:8]))}",
            where=str(path),
            remedy=COPY_AGAIN,
        )
    repeated = [name for name in COLUMNS if list(table.columns).count(name) > 1]
    if repeated:
        raise InputError(
            f"The positions have several columns {repeated[0]}",
            where=str(path),
            remedy=COPY_AGAIN,
        )
    barcodes = pd.Index(table["barcode"].astype(str))
    twice = barcodes[barcodes.duplicated()]
    if len(twice):
        raise InputError(
            f"{len(twice)} barcodes come twice, for example {twice[0]}",
            where=str(path),
            remedy=COPY_AGAIN,
        )
    numbers = {name: _numbers(table[name], barcodes, path) for name in COLUMNS[1:]}
    for name in ("in_tissue", "array_row", "array_col"):
        if numbers[name].isna().any():
            lost = barcodes[numbers[name].isna().to_numpy()]
            raise InputError(
                f"{len(lost)} barcodes have no {name}, for example {lost[0]}",
                where=str(path),
                remedy=COPY_AGAIN,
            )
    return pd.DataFrame(
        {
            "in_tissue": numbers["in_tissue"].to_numpy() != 0,
            "array_row": numbers["array_row"].to_numpy().astype(np.int64),
            "array_col": numbers["array_col"].to_numpy().astype(np.int64),
            "x": numbers["pxl_col_in_fullres"].to_numpy(dtype=np.float64),
            "y": numbers["pxl_row_in_fullres"].to_numpy(dtype=np.float64),
        },
        index=barcodes,
    )


def match_barcodes(
    barcodes: pd.Index[str], positions: pd.DataFrame, *, matrix_path: Path, positions_path: Path
) -> tuple[pd.Index[str], str | None]:
    """Barcodes that have counts, a position, and lie on tissue, in the order of the matrix.

    Parameters
    ----------
    barcodes
        Of the count matrix.
    positions
        As `read_spot_positions` gives them.
    matrix_path, positions_path
        For the messages.

    Returns
    -------
    shared
        At least one.
    doubt
        A sentence when less than half of the shorter list is in the other one; else None.

    Raises
    ------
    InputError
        If no barcode has both, or none of them is on tissue.
    """
    placed = barcodes.isin(positions.index)
    if not placed.any():
        counted = barcodes[0] if len(barcodes) else "none at all"
        listed = positions.index[0] if len(positions) else "none at all"
        raise InputError(
            f"No barcode of the counts has a position: counts name them like {counted}, "
            f"positions like {listed}",
            where=f"{matrix_path} and {positions_path}",
            remedy="Use the counts and positions of the same slide, with barcodes spelled alike",
        )
    on_tissue = positions.index[positions["in_tissue"].to_numpy()]
    shared = barcodes[barcodes.isin(on_tissue)]
    if not len(shared):
        raise InputError(
            f"None of the {int(placed.sum())} spots with counts is marked as in tissue",
            where=f"{positions_path}, in_tissue",
            remedy="Use the positions file written together with these counts",
        )
    shorter = min(len(barcodes), len(on_tissue))
    if 2 * len(shared) >= shorter:
        return shared, None
    return shared, (
        f"Only {len(shared)} spots have both counts and a position in tissue: {matrix_path} "
        f"lists {len(barcodes)} barcodes, {positions_path} lists {len(on_tissue)} in tissue. "
        "Check that both are from the same slide."
    )


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except Exception as fault:  # of pandas, pyarrow or what they read metadata with
        raise InputError(
            f"The positions cannot be read: {fault}", where=str(path), remedy=COPY_AGAIN
        ) from fault


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            width = file.readline(LONGEST_LINE).count(b",") + 1
        if width > MOST_COLUMNS:  # pandas would take hours to find out
            raise ValueError(f"its first line has {width} columns or more")
        table = pd.read_csv(path, header=None, dtype=str, skipinitialspace=True)
    except (OSError, EOFError, ValueError, zlib.error) as fault:
        raise InputError(
            f"The positions cannot be read: {fault}", where=str(path), remedy=COPY_AGAIN
        ) from fault
    if str(table.iat[0, 0]).strip().lower() == COLUMNS[0]:
        names = [str(name).strip() for name in table.iloc[0]]
        return table.iloc[1:].set_axis(names, axis=1)
    if table.shape[1] != len(COLUMNS):
        raise InputError(
            f"The positions have {table.shape[1]} columns, not the {len(COLUMNS)} of Space Ranger "
            f"({', '.join(COLUMNS)})",
            where=str(path),
            remedy=COPY_AGAIN,
        )
    return table.set_axis(list(COLUMNS), axis=1)


def _numbers(column: pd.Series[Any], barcodes: pd.Index[str], path: Path) -> pd.Series[float]:
    """Turn a column into numbers; empty cells become NaN, text is refused."""
    if column.dtype.kind in "biuf":
        return column
    text = column.fillna("nan").astype(str).str.strip().replace("", "nan")
    unreadable = pd.to_numeric(text, errors="coerce").isna() & (text.str.lower() != "nan")
    if unreadable.any():
        row = int(np.flatnonzero(unreadable.to_numpy())[0])
        raise InputError(
            f'"{column.iloc[row]}" of barcode {barcodes[row]} is not a number',
            where=f"{path}, {column.name}",
            remedy=COPY_AGAIN,
        )
    # numpy reads decimals to the last bit, to_numeric does not.
    return pd.Series(text.to_numpy(dtype=str).astype(np.float64), index=column.index)
