"""Which sections are to be analysed: files, folders, lists of them, and samplesheets."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_smoother.errors import InputError
from napari_smoother.io.opening import is_section

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COLUMNS = ("sample", "path", "reference", "regions", "library")


@dataclass(frozen=True, slots=True)
class Sample:
    """One section to be analysed.

    Parameters
    ----------
    name
        What results are called.
    path
        An ``.h5ad`` file or an output folder of Space Ranger.
    reference
        Cell types to look for in this section; None for those of the recipe.
    regions
        GeoJSON with the regions of this section; None for those of the recipe.
    library
        Which section of the file, where it holds several.
    """

    name: str
    path: Path
    reference: Path | None = None
    regions: Path | None = None
    library: str | None = None


def find_samples(paths: Sequence[Path]) -> list[Sample]:
    """Return the sections that paths stand for.

    Parameters
    ----------
    paths
        Sections, or folders of sections.

    Raises
    ------
    InputError
        If a path is missing or holds no section, or two sections have one name.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(
                "There is no such file or folder", where=str(path), remedy="Check its name"
            )
        if is_section(path):
            found.append(path)
        elif path.is_dir():
            inside = sorted(each for each in path.iterdir() if is_section(each))
            if not inside:
                raise InputError(
                    "The folder holds no section",
                    where=str(path),
                    remedy="Give .h5ad files, output folders of Space Ranger, or a folder of them",
                )
            found.extend(inside)
        else:
            raise InputError(
                "The file is no section",
                where=str(path),
                remedy="Give an .h5ad file or an output folder of Space Ranger",
            )
    return with_own_names(Sample(path.stem or path.name, path) for path in found)


def read_samplesheet(path: Path) -> list[Sample]:
    """Return the sections of a samplesheet.

    Parameters
    ----------
    path
        Comma-separated values with a header: ``sample``, ``path``, and any of ``reference``,
        ``regions`` and ``library``. Paths are relative to the folder of the samplesheet.

    Raises
    ------
    InputError
        If it cannot be read, a column or a value is missing, a file does not exist, or a name
        comes twice: with the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            names = [name.strip() for name in reader.fieldnames or ()]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InputError(
            f"The samplesheet cannot be read: {fault}",
            where=str(path),
            remedy="Give comma-separated values with the columns sample and path",
        ) from fault
    for name in names:
        if name not in COLUMNS:
            raise InputError(
                f'There is no column "{name}" in samplesheets',
                where=f"{path}, line 1",
                remedy=f"Use {', '.join(COLUMNS)}",
            )
    for name in COLUMNS[:2]:
        if name not in names:
            raise InputError(
                f'The column "{name}" is missing',
                where=f"{path}, line 1",
                remedy="Give a header: sample,path",
            )
    samples = []
    for line, row in rows:
        values = {(key or "").strip(): (value or "").strip() for key, value in row.items() if key}
        where = f"{path}, line {line}"
        if None in row:
            raise InputError(
                "There are more values than columns",
                where=where,
                remedy="Put names that hold a comma in quotation marks",
            )
        for name in COLUMNS[:2]:
            if not values.get(name):
                raise InputError(f'"{name}" is empty', where=where, remedy="Fill it in")
        files = {name: _file(values.get(name, ""), path.parent, where) for name in COLUMNS[1:4]}
        section = files["path"]
        assert section is not None
        samples.append(
            Sample(
                values["sample"],
                section,
                files["reference"],
                files["regions"],
                values.get("library") or None,
            )
        )
    if not samples:
        raise InputError(
            "There is no section in it", where=str(path), remedy="Add a line for each"
        )
    return with_own_names(samples)


def _file(name: str, folder: Path, where: str) -> Path | None:
    if not name:
        return None
    path = folder / Path(name).expanduser()
    if not path.exists():
        raise InputError(f"There is no {path}", where=where, remedy="Check the name of the file")
    return path


def with_own_names(samples: Iterable[Sample]) -> list[Sample]:
    """Return sections, each of which has a name of its own.

    Raises
    ------
    InputError
        If two have one name, or a name cannot be that of a file.
    """
    listed = list(samples)
    seen: dict[str, Sample] = {}
    for sample in listed:
        if sample.name in seen or "/" in sample.name or "\\" in sample.name:
            twice = sample.name in seen
            raise InputError(
                f'Two sections are called "{sample.name}"'
                if twice
                else f'"{sample.name}" cannot be the name of a file',
                where=f"{seen[sample.name].path}, {sample.path}" if twice else str(sample.path),
                remedy="Name them in a samplesheet (sample,path)",
            )
        seen[sample.name] = sample
    return listed
