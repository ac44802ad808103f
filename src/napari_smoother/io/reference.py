"""What every cell type expresses: from a single-cell ``.h5ad``, or from a signature table."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import pandas as pd

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_file import READ_FAULTS, check_h5ad, read_anndata
from napari_smoother.io.signature_table import read_signature_table

if TYPE_CHECKING:
    from napari_smoother.models.deconv.reference import Reference

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".tab"})

LARGEST_IN_MEMORY = 1_000_000_000
"""Bytes of a file above which its matrix stays on disk and is averaged piece by piece."""

MOST_TYPES = 200
"""A column with more levels than this holds names of cells, barcodes or samples, not types."""

NAMES = (
    r"cell_?types?",
    r"cell_?type.*|.*cell_?types?",
    r"annotations?|.*annotation.*|cell_?(labels?|class|subclass|identity)|ann(_.*)?",
    r"subclass|class|cluster_?names?|cell_?ontology.*|labels?",
    r"clusters?|leiden.*|louvain.*|seurat_?clusters?",
)
"""Names of columns that hold cell types, as regular expressions, surest first."""


def read_reference(path: str | Path, cell_type: str | None = None) -> Reference:
    """Read a reference for deconvolution.

    Parameters
    ----------
    path
        Single cells (``.h5ad``), or a signature table (``.csv``, ``.tsv``, ``.txt``, gzipped or
        not).
    cell_type
        For single cells: the column of obs with the type of every cell. None takes the best of
        `cell_type_candidates` where no other is as good.

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
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = (
        suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    )
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
    on_disk = check_h5ad(path).stat().st_size > LARGEST_IN_MEMORY
    adata = read_anndata(path, on_disk=on_disk)
    adata.var_names_make_unique()
    try:
        return Reference.from_cells(adata, cell_type=cell_type, name=path.stem)
    except InputError as refused:  # from where files are not known
        raise InputError(
            refused.problem, where=f"{path}, {refused.where}", remedy=refused.remedy
        ) from refused
    finally:
        if on_disk:
            adata.file.close()


def cell_type_candidates(path: str | Path) -> list[tuple[str, int]]:
    """Columns of obs that may hold the cell types, read without the counts.

    Candidates are columns of text or categories with at least 2 and at most 200 levels, fewer
    than half the number of cells.

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
    return [(name, levels) for _, name, levels in _ranked(Path(path))]


def _best_candidate(path: Path) -> str:
    ranked = _ranked(path)
    columns = ", ".join(f"{name} ({levels} levels)" for _, name, levels in ranked)
    if not ranked:
        raise InputError(
            "No column of the cells looks like cell types: text or categories, 2 to "
            f"{MOST_TYPES} levels",
            where=f"{path}, obs",
            remedy="Add a column cell_type with the type of every cell",
        )
    best = [name for rank, name, _ in ranked if rank == ranked[0][0]]
    if len(best) > 1:
        raise InputError(
            f"Several columns may hold the cell types: {columns}",
            where=f"{path}, obs",
            remedy="Choose one of them",
        )
    return best[0]


def _ranked(path: Path) -> list[tuple[int, str, int]]:
    """Rank (0 is best), name and number of levels of every candidate, best first."""
    path = check_h5ad(path)
    try:
        with h5py.File(path, "r") as file:
            obs = file["obs"]
            levels = _levels_of_records(obs) if isinstance(obs, h5py.Dataset) else _levels(obs)
    except READ_FAULTS as fault:
        raise InputError(
            f"The columns of the cells cannot be read: {fault}",
            where=f"{path}, obs",
            remedy="Copy or download the file again",
        ) from fault
    return sorted(((_rank(name), name, count) for name, count in levels), key=lambda c: c[0])


def _rank(name: str) -> int:
    plain = re.sub(r"[\s.\-]+", "_", name.strip()).lower()
    for rank, pattern in enumerate(NAMES):
        if re.fullmatch(pattern, plain):
            return rank
    return len(NAMES)


def _levels(obs: h5py.Group) -> list[tuple[str, int]]:
    """Name and number of levels of the columns that may hold types, in the order of the file."""
    index = _as_text(obs.attrs.get("_index", "_index"))
    order = [_as_text(name) for name in obs.attrs.get("column-order", ())]
    n_cells = _length(obs[index])
    old_categories = obs.get("__categories")
    found = []
    for name in [*order, *(n for n in obs if n not in order)]:
        if name in (index, "__categories") or name not in obs:
            continue
        item = obs[name]
        if isinstance(item, h5py.Group):
            if "categories" not in item:
                continue
            count = _used_levels(item["codes"][:], _length(item["categories"]))
            is_text = _is_text(item["categories"])
        elif old_categories is not None and name in old_categories:
            count = _used_levels(item[:], _length(old_categories[name]))
            is_text = _is_text(old_categories[name])
        else:
            is_text = _is_text(item)
            count = int(pd.Series(item.asstr()[:]).nunique()) if is_text else 0
        if is_text and _may_be_types(count, n_cells):
            found.append((name, count))
    return found


def _levels_of_records(obs: h5py.Dataset) -> list[tuple[str, int]]:
    """Do the same for files of anndata 0.6 and before, which keep obs as one table of records."""
    table = pd.DataFrame.from_records(obs[:])
    counts = [
        (str(name), int(table[name].nunique()))
        for name in table
        if table[name].dtype == object and name != "index"
    ]
    return [(name, count) for name, count in counts if _may_be_types(count, len(table))]


def _used_levels(codes: Any, n_categories: int) -> int:
    """Count the categories that a cell has; a file may list others."""
    return int(pd.Series(codes[(codes >= 0) & (codes < n_categories)]).nunique())


def _may_be_types(count: int, n_cells: int) -> bool:
    return 2 <= count <= MOST_TYPES and 2 * count < n_cells


def _is_text(item: Any) -> bool:
    """Whether an array holds text; nullable strings are a group with their values inside."""
    dataset = item["values"] if isinstance(item, h5py.Group) else item
    return h5py.check_string_dtype(dataset.dtype) is not None


def _length(item: Any) -> int:
    dataset = item["values"] if isinstance(item, h5py.Group) else item
    return int(dataset.shape[0])


def _as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
