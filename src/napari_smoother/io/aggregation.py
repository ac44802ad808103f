"""The sections that ``spaceranger aggr`` put together, in the order of the barcodes' endings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("library_id", "sample_id")

REMEDY = "Copy aggregation.csv again from the output of spaceranger aggr"


def aggregated_libraries(path: Path) -> tuple[str, ...]:
    """Read the names of aggregated sections.

    Parameters
    ----------
    path
        ``aggregation.csv``. Its first line of names is the section whose barcodes end in ``-1``.

    Returns
    -------
    tuple of str

    Raises
    ------
    InputError
        If it cannot be read, names no section, or one twice.
    """
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True)
    except (OSError, ValueError) as fault:
        raise InputError(
            f"The list of sections cannot be read: {fault}", where=str(path), remedy=REMEDY
        ) from fault
    columns = {str(name).strip().lower(): name for name in table.columns}
    column = next((columns[name] for name in NAMES if name in columns), None)
    names = [] if column is None else [str(name).strip() for name in table[column]]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"The list of sections has no column {NAMES[0]} with a name for each",
            where=str(path),
            remedy=REMEDY,
        )
    return tuple(names)
