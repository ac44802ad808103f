"""What every cell type expresses: from a single-cell ``.h5ad``, or from a signature table."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_file import READ_FAULTS, check_h5ad, read_anndata
from napari_smoother.io.signature_table import read_signature_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_smoother.models.deconv.reference import Reference

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".tab"})

LARGEST_IN_MEMORY = 1_000_000_000
"""Bytes of a file above which its matrix stays on disk and is averaged piece by piece."""

MOST_TYPES = 200
"""A column with more levels than this holds names of cells, barcodes or samples, not types."""

MOST_CATEGORIES = 10_000_000
"""More are not read."""

NAMES = (
    r"cell_?types?",
    r"cell_?type.*|.*cell_?types?",
    r"annotations?|.*annotation.*|cell_?(labels?|class|subclass|identity)|ann(_.*)?",
    r"subclass|class|cluster_?names?|cell_?ontology.*|labels?",
    r"clusters?|leiden.*|louvain.*|seurat_?clusters?|.*snn_res.*|(active_?)?ident",
)
"""Names of columns that hold cell types, as regular expressions, surest first."""


def read_reference(
    path: str | Path, cell_type: str | None = None, *, counts: str | None = None
) -> Reference:
    """Read a reference for deconvolution.

    Parameters
    ----------
    path
        Single cells (``.h5ad``), or a signature table (``.csv``, ``.tsv``, ``.txt``, gzipped or
        not).
    cell_type
        For single cells: the column of obs with the type of every cell. None takes the best of
        `cell_type_candidates` where no other is as good.
    counts
        For single cells: where the counts are, ``"X"``, ``"raw"`` or the name of a layer; None to
        look for them as `napari_smoother.counts.finding.find_counts` does.

    Returns
    -------
    Reference
        Named after the file.

    Raises
    ------
    InputError
        If the file cannot be read, or the column is missing or has to be chosen.
    """
    from napari_smoother.models.deconv.reference import Reference

    path = Path(os.path.abspath(Path(path).expanduser()))
    kind = _suffix(path)
    if kind in TABLE_SUFFIXES:
        return Reference.from_table(read_signature_table(path), name=path.name.removesuffix(".gz"))
    if kind != ".h5ad":
        raise InputError(
            f"Files ending in {kind or 'nothing'} are not references",
            where=str(path),
            remedy="Choose single cells as .h5ad, or a signature table as .csv or .tsv",
        )
    if cell_type is None:
        cell_type = _best_candidate(path)
    else:
        check_cell_type_column(path, cell_type)
    on_disk = check_h5ad(path).stat().st_size > LARGEST_IN_MEMORY
    adata = read_anndata(path, on_disk=on_disk)
    adata.var_names_make_unique()
    try:
        cells = Reference.from_cells(adata, cell_type=cell_type, name=path.stem, layer=counts)
        return replace(cells, source=path)
    except InputError as refused:  # from where files are not known
        raise InputError(
            refused.problem, where=f"{path}, {refused.where}", remedy=refused.remedy
        ) from refused
    finally:
        if on_disk:
            adata.file.close()


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name, compressed or not."""
    return _suffix(path) in TABLE_SUFFIXES


def _suffix(path: Path) -> str:
    """Return the end of a file's name, the one before it of a compressed file."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = suffixes[-1:] == [".gz"] and len(suffixes) > 1
    return suffixes[-2] if compressed else "".join(suffixes[-1:])


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """A column of obs, as labels of the cells.

    Parameters
    ----------
    name
        Of the column.
    levels
        How many different labels there are; missing ones are none.
    rank
        How surely its name says cell types, 0 is surest; None when it is no candidate for them.
    fault
        Why no types can be taken from it, as the rest of a sentence; empty when they can.
    """

    name: str
    levels: int
    rank: int | None
    fault: str


def cell_type_candidates(path: str | Path) -> list[tuple[str, int]]:
    """Columns of obs that may hold the cell types, read without the counts.

    Candidates are columns of text or categories with at least 2 and at most 200 levels, fewer
    than half the number of cells, and such columns of whole numbers that are called like types or
    clusters: some tools write factors as numbers.

    Parameters
    ----------
    path
        Single cells as ``.h5ad``.

    Returns
    -------
    list of (str, int)
        Name and number of levels, best guess first: by name (``cell_type`` and its likes before
        annotations, classes and clusters, those before any other), then in the order of the file.

    Raises
    ------
    InputError
        If the file is not an AnnData file.
    """
    return [(each.name, each.levels) for each in label_columns(path) if each.rank is not None]


def label_columns(path: str | Path) -> list[LabelColumn]:
    """Every column of obs, read without the counts: candidates for cell types, then the others.

    Parameters
    ----------
    path
        Single cells as ``.h5ad``.

    Raises
    ------
    InputError
        If the file is not an AnnData file.
    """
    path = check_h5ad(Path(path))
    try:
        with h5py.File(path, "r") as file:
            obs = file["obs"]
            if isinstance(obs, h5py.Dataset) and obs.dtype.names is None:
                raise ValueError("obs is not a table")
            columns = [
                _label_column(name, values)
                for name, values in (
                    _records(obs) if isinstance(obs, h5py.Dataset) else _columns(obs)
                )
            ]
    except READ_FAULTS as fault:
        raise InputError(
            f"The columns of the cells cannot be read: {fault}",
            where=f"{path}, obs",
            remedy="Copy or download the file again",
        ) from fault
    return sorted(columns, key=lambda each: len(NAMES) + 1 if each.rank is None else each.rank)


def check_cell_type_column(path: str | Path, name: str) -> None:
    """Refuse a column of obs that tells no types apart; one that is not there is left to others.

    Raises
    ------
    InputError
        If all its labels are equal, or all different.
    """
    for each in label_columns(path):
        if each.name == name and each.fault:
            raise InputError(
                f'The column "{name}" {each.fault}',
                where=f'{path}, obs["{name}"]',
                remedy="Choose the column that holds the cell types",
            )


def _best_candidate(path: Path) -> str:
    ranked = [each for each in label_columns(path) if each.rank is not None]
    columns = ", ".join(f"{each.name} ({each.levels} levels)" for each in ranked)
    if not ranked:
        raise InputError(
            "No column of the cells looks like cell types: text or categories, 2 to "
            f"{MOST_TYPES} levels",
            where=f"{path}, obs",
            remedy="Add a column cell_type with the type of every cell",
        )
    best = [each.name for each in ranked if each.rank == ranked[0].rank]
    if len(best) > 1:
        raise InputError(
            f"Several columns may hold the cell types: {columns}",
            where=f"{path}, obs",
            remedy="Choose one of them",
        )
    return best[0]


def _rank(name: str) -> int:
    plain = re.sub(r"[\s.\-]+", "_", name.strip()).lower()
    for rank, pattern in enumerate(NAMES):
        if re.fullmatch(pattern, plain):
            return rank
    return len(NAMES)


def _label_column(name: str, values: pd.Series[Any]) -> LabelColumn:
    from napari_smoother.models.deconv.reference import MISSING_LABELS

    counts = values.value_counts()
    kind = values.dtype.kind
    if kind == "O":
        counts = counts[[str(label) not in MISSING_LABELS for label in counts.index]]
    levels = len(counts)
    truths = kind == "b" or all(isinstance(label, bool | np.bool_) for label in counts.index)
    rank: int | None = _rank(name)
    if truths or not 2 <= levels <= MOST_TYPES or 2 * levels >= len(values):
        rank = None
    elif kind != "O" and (rank == len(NAMES) or (counts.index % 1 != 0).any()):
        # Measurements are numbers too, and only the name tells them from types.
        rank = None
    fault = ""
    if levels < 2:
        fault = "has one label only" if levels else "has no label"
    elif counts.iloc[0] == 1:
        fault = f"has another label for each of its {levels} cells"
    return LabelColumn(name, levels, rank, fault)


def _columns(obs: h5py.Group) -> Iterator[tuple[str, pd.Series[Any]]]:
    """Names and values of the columns, in the order of the file; labels are objects."""
    index = _as_text(obs.attrs.get("_index", "_index"))
    order = [_as_text(name) for name in obs.attrs.get("column-order", ())]
    old_categories = obs.get("__categories", {})
    n_cells = _length(obs[index])
    for name in dict.fromkeys([*order, *obs]):
        if name in (index, "__categories") or name not in obs:
            continue
        item = obs[name]
        if isinstance(item, h5py.Group) and "categories" in item:
            values = _labels(_values(item["codes"], n_cells), item["categories"])
        elif name in old_categories:
            values = _labels(_values(item, n_cells), old_categories[name])
        else:
            values = _values(item, n_cells)
        if values is not None:
            yield name, values


def _labels(codes: pd.Series[Any] | None, categories: Any) -> pd.Series[Any] | None:
    """Labels of a column of categories, of which a file may list more than it has cells."""
    n_categories = _length(categories)
    names = _values(categories, n_categories) if n_categories <= MOST_CATEGORIES else None
    if codes is None or names is None:
        return None
    return names.astype(object).reindex(codes.where(codes < n_categories, -1))


def _values(item: Any, length: int) -> pd.Series[Any] | None:
    """Values of a column; those that may be missing are a group, with a mask beside them.

    None for anything else that may lie in a table: another table, or an array of another shape.
    """
    if isinstance(item, h5py.Group):
        if "values" not in item or "mask" not in item:
            return None
        values = _values(item["values"], length)
        mask = _values(item["mask"], length)
        return None if values is None or mask is None else values.where(~mask.astype(bool))
    is_text = h5py.check_string_dtype(item.dtype) is not None
    if item.shape != (length,) or not (is_text or item.dtype.kind in "biuf"):
        return None
    return pd.Series(item.asstr()[:] if is_text else item[:])


def _records(obs: h5py.Dataset) -> Iterator[tuple[str, pd.Series[Any]]]:
    """Do the same for files of anndata 0.6 and before, which keep obs as one table of records."""
    table = pd.DataFrame.from_records(obs[:])
    for name in table:
        if name != "index":
            yield str(name), table[name]


def _length(item: Any) -> int:
    dataset = item["values"] if isinstance(item, h5py.Group) else item
    return int(dataset.shape[0])


def _as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
