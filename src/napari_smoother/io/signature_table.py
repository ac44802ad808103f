"""Signature tables: genes x cell types as CSV or TSV, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import os
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError

SEPARATORS = ("\t", ",", ";")

LONGEST_LINE = 10_000_000
"""Letters of a header with names of cell types; more is no table."""

LARGEST = 1e15
"""No count or mean is larger; sums of such numbers would overflow."""

ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{6,}")

EXPORT_AGAIN = (
    "Export the table as CSV or TSV: gene names in the first column, one column of numbers for "
    "each cell type, names of the types in the first line"
)


def read_signature_table(path: str | Path) -> pd.DataFrame:
    """Read a signature: the expression of every gene in every cell type.

    The separator (tab, comma, semicolon) is seen from the first line. With semicolons, a comma in
    a number is a decimal comma, as spreadsheets in many countries write it. A header one name
    short, as R writes it, is understood.

    A gene that comes twice is taken once where its lines are equal. Otherwise the lines are
    summed: two loci under one symbol add up in a count matrix by symbols too.

    Parameters
    ----------
    path
        A text file, or one compressed with gzip.

    Returns
    -------
    pandas.DataFrame
        Genes x types, float64, finite and not negative, names of genes and types unique.

    Raises
    ------
    InputError
        If the file is not such a table, names a type twice, has a cell that is empty, text or
        negative (row and column are named), or has types for rows and genes for columns.

    Warns
    -----
    UserWarning
        When different lines of one gene were summed.
    """
    path = Path(os.path.abspath(Path(path).expanduser()))
    lines = _first_lines(path)
    separator = _separator(lines[0], path)
    types = _types(lines, separator, path)
    text = _read_text(path, separator, len(types) + 1)
    genes = pd.Index(text.iloc[:, 0].astype(str).str.strip())
    cells = text.iloc[:, 1:].set_axis(types, axis=1).set_axis(genes, axis=0)
    _check_orientation(cells, path)
    table = _numbers(cells, decimal_comma=separator == ";", path=path)
    return _once_each(table, path)


def _first_lines(path: Path) -> list[str]:
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a file")
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig") as file:
            lines = [file.readline(LONGEST_LINE) for _ in range(2)]
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as fault:
        raise InputError(
            f"The table cannot be read: {fault}", where=str(path), remedy=EXPORT_AGAIN
        ) from fault
    if not all(line.strip() for line in lines):
        raise InputError("The table is empty", where=str(path), remedy=EXPORT_AGAIN)
    return lines


def _separator(header: str, path: Path) -> str:
    best = max(SEPARATORS, key=header.count)
    if header.count(best) == 0:
        raise InputError(
            "The first line has no tab, comma or semicolon, so there are no columns",
            where=str(path),
            remedy=EXPORT_AGAIN,
        )
    return best


def _types(lines: list[str], separator: str, path: Path) -> list[str]:
    """Names of the types: the header without the name of the first column, where it has one."""
    try:
        header, row = (next(csv.reader([line], delimiter=separator)) for line in lines)
    except csv.Error as fault:
        raise InputError(
            f"The table cannot be read: {fault}", where=str(path), remedy=EXPORT_AGAIN
        ) from fault
    if lines[0].count('"') % 2:
        raise InputError(
            "A quotation mark in the first line has no partner",
            where=str(path),
            remedy=EXPORT_AGAIN,
        )
    names = [name.strip() for name in header]
    if len(names) == len(row):
        names = names[1:]
    elif len(names) != len(row) - 1:
        raise InputError(
            f"The first line has {len(names)} columns, the second {len(row)}",
            where=str(path),
            remedy=EXPORT_AGAIN,
        )
    twice = sorted({name for name in names if names.count(name) > 1 or not name})
    if twice:
        raise InputError(
            f'Columns without a name of their own: "{_short(twice[0])}"',
            where=f"{path}, first line",
            remedy="Give each cell type a name of its own",
        )
    return names


def _read_text(path: Path, separator: str, n_columns: int) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            header=None,
            skiprows=1,
            names=range(n_columns),
            dtype=str,
            na_filter=False,
            encoding="utf-8-sig",
        )
    except (OSError, EOFError, ValueError, zlib.error) as fault:
        raise InputError(
            f"The table cannot be read: {_short(str(fault).strip(), 200)}",
            where=str(path),
            remedy=EXPORT_AGAIN,
        ) from fault
    return table.fillna("")  # the end of a line that is too short


def _check_orientation(cells: pd.DataFrame, path: Path) -> None:
    n_rows, n_columns = cells.shape
    ensembl = sum(bool(ENSEMBL.match(str(name))) for name in cells.columns)
    if n_columns > n_rows or 2 * ensembl > n_columns:
        raise InputError(
            f"The table has {n_rows} rows and {n_columns} columns "
            f"({', '.join(map(_short, cells.columns[:3]))}, ...): it looks transposed, with cell "
            "types for rows and genes for columns",
            where=str(path),
            remedy="Transpose the table: one row a gene, one column a cell type",
        )


def _numbers(cells: pd.DataFrame, *, decimal_comma: bool, path: Path) -> pd.DataFrame:
    text = cells.to_numpy(dtype=object)
    columns = []
    for position in range(text.shape[1]):
        column = pd.Series(text[:, position], dtype=str).str.strip()
        if decimal_comma:
            column = column.str.replace(",", ".", regex=False)
        columns.append(pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64))
    values = np.column_stack(columns)
    bad = ~((values >= 0) & (values <= LARGEST))  # NaN is neither
    if bad.any():
        row, column_number = (int(k) for k in np.argwhere(bad)[0])
        found = _short(str(text[row, column_number]).strip())
        value = values[row, column_number]
        is_negative = value < 0
        what = "is negative" if is_negative else "is not a number"
        if np.isfinite(value) and not is_negative:
            what = "is beyond any count"
        raise InputError(
            f'Expression {what}: "{found}"' if found else "A cell is empty",
            where=f"{path}, row {_short(cells.index[row])}, "
            f"column {_short(cells.columns[column_number])}",
            remedy="Give expression on the linear scale, without scaling or centring"
            if is_negative
            else "Keep gene names in the first column only, and a number in every other cell",
        )
    return pd.DataFrame(values, index=cells.index, columns=cells.columns)


def _once_each(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Keep one line a gene, in the order of first appearance."""
    if table.index.is_unique:
        return table
    distinct = table[~table.reset_index().duplicated().to_numpy()]
    summed = distinct.index[distinct.index.duplicated()].unique()
    if len(summed):
        warnings.warn(
            f"{path}: {len(summed)} genes have several different lines, which were summed: "
            f"{', '.join(map(_short, summed[:3]))}{', ...' if len(summed) > 3 else ''}.",
            stacklevel=3,
        )
    return distinct.groupby(level=0, sort=False).sum()


def _short(text: object, most: int = 60) -> str:
    """Text for a message, which a cell of a broken file may be too long for."""
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[:most]}…"
