"""Classes of barcodes as Loupe Browser exports and imports them: a table of two columns."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError
from napari_smoother.keys import safe_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BARCODE = "Barcode"
"""What Loupe calls the first column; the second has the name of the category."""

EXPORT_AGAIN = "Export the category from Loupe again (… > Export): it has a row for each barcode"


@dataclass(frozen=True, slots=True, eq=False)
class BarcodeClasses:
    """The class of each barcode in a file.

    Parameters
    ----------
    category
        What the classes are called together.
    names
        Of the classes, in the order of the file.
    codes
        Of each spot of the section, n int32 into `names`, -1 where the file gives none.
    unknown
        Barcodes of the file that the section does not have.
    """

    category: str
    names: tuple[str, ...]
    codes: NDArray[np.int32]
    unknown: tuple[str, ...]


def read_loupe_classes(path: str | Path, barcodes: Sequence[str]) -> BarcodeClasses:
    """Read the classes of a section's spots.

    Parameters
    ----------
    path
        Comma-separated, in UTF-8, with a row of names: barcode, then one category. Barcodes
        without a class may be left out, or have nothing in its place.
    barcodes
        Of the section.

    Raises
    ------
    InputError
        If it is no such table, a barcode comes twice with different classes, or the section has
        none of its barcodes.
    """
    path = Path(os.path.abspath(Path(path).expanduser()))
    header, *rows = _rows(path)
    if len(header) != 2:
        raise InputError(
            f"The table has {len(header)} columns, not barcode and category",
            where=str(path),
            remedy=EXPORT_AGAIN,
        )
    classes: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if len(row) != 2:
            raise InputError(
                f"Line {number} has {len(row)} columns, not 2",
                where=str(path),
                remedy=EXPORT_AGAIN,
            )
        barcode, name = row
        if classes.setdefault(barcode, name) != name:
            raise InputError(
                f"The barcode {barcode} has two classes: {classes[barcode]} and {name}",
                where=f"{path}, line {number}",
                remedy="Leave one of the lines out",
            )
    known = set(barcodes)
    unknown = tuple(barcode for barcode in classes if barcode not in known)
    if len(unknown) == len(classes):
        there = next(iter(classes), "none at all")
        raise InputError(
            f"The section has none of the barcodes: the file has {there}, the section "
            f"{barcodes[0]}",
            where=str(path),
            remedy="Open the section that the classes are of",
        )
    names = tuple(dict.fromkeys(name for name in classes.values() if name.strip()))
    code = {name: number for number, name in enumerate(names)}
    codes = [code.get(classes.get(barcode, ""), -1) for barcode in barcodes]
    return BarcodeClasses(header[1], names, np.array(codes, dtype=np.int32), unknown)


def write_loupe_classes(
    path: str | Path,
    category: str,
    names: Sequence[str],
    codes: NDArray[np.integer],
    barcodes: Sequence[str],
) -> None:
    """Write the classes of spots as Loupe imports them, whole or not at all.

    Parameters
    ----------
    path
        Where to; an existing file is replaced.
    category
        What the classes are called together.
    names
        Of the classes.
    codes
        n ints into `names`; spots of -1 are left out, which have no class then.
    barcodes
        Of the spots.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    texts = safe_texts([category, *names])
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([BARCODE, texts[category]])
        for barcode, code in zip(barcodes, codes, strict=True):
            if code >= 0:
                rows.writerow([barcode, texts[names[code]]])


def _rows(path: Path) -> list[list[str]]:
    if not path.is_file():
        raise InputError("There is no such file", where=str(path), remedy="Choose another file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InputError(
            f"The file is no table of text: {fault}", where=str(path), remedy=EXPORT_AGAIN
        ) from fault
    if not rows:
        raise InputError("The file is empty", where=str(path), remedy=EXPORT_AGAIN)
    return rows
