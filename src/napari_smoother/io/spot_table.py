"""What is known of each spot as a table of text, to be read by anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from napari_smoother.atomic import replacing
from napari_smoother.keys import safe_texts

if TYPE_CHECKING:
    from pathlib import Path

BARCODE = "barcode"
"""What the first column is called."""


def write_spot_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a row for each spot as comma-separated values, whole or not at all.

    Numbers are written to the last digit and what is missing as nothing. Text is UTF-8, in
    quotes where it holds commas, quotes or ends of lines.

    Parameters
    ----------
    table
        Spots x columns; the index holds the barcodes.
    path
        Where to; an existing file is replaced.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    written = table.set_axis(_storable(pd.Series(table.columns)), axis=1)
    written.index = pd.Index(_storable(pd.Series(table.index)), name=BARCODE)
    for place, (_, column) in enumerate(table.items()):
        if not pd.api.types.is_numeric_dtype(column):  # truth values are
            written.isetitem(place, _storable(column))
    with replacing(path) as temporary:
        written.to_csv(temporary, lineterminator="\n", encoding="utf-8")


def _storable(column: pd.Series[Any]) -> list[str | None]:
    """Return values as text that a file can hold, None where there is none."""
    known = column.notna()
    forms = safe_texts(map(str, column[known]))
    return [
        forms[str(value)] if there else None for value, there in zip(column, known, strict=True)
    ]
