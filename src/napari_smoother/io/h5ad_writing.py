"""Write an AnnData element by element, leaving out what the format cannot hold."""

from __future__ import annotations

import json
from typing import Any

import h5py
import pandas as pd

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_elements import first_line
from napari_smoother.io.h5ad_names import NAMES, Record, with_safe_names
from napari_smoother.keys import with_report

MAPPINGS = ("obsm", "varm", "obsp", "varp", "layers", "uns")


def write_elements(adata: Any, file: h5py.File, left_out: dict[str, str]) -> None:
    """Write an AnnData into an empty file.

    Parameters
    ----------
    adata
        In memory.
    file
        Open for writing.
    left_out
        Place and reason of what could not be written are added to it.

    Raises
    ------
    InputError
        If X, obs or var cannot be written.
    OSError
        If the disk is full or broken.
    """
    record: Record = []
    file.attrs["encoding-type"], file.attrs["encoding-version"] = "anndata", "0.1.0"
    if adata.X is not None:
        write_element(file, "X", adata.X, left_out)
    for name in ("obs", "var"):
        frame = with_safe_names(getattr(adata, name), (name,), record)
        write_element(file, name, frame, left_out)
    for name in ("X", "obs", "var"):
        if name in left_out:
            raise InputError(
                f"{name} cannot be written: {left_out[name]}",
                where=name,
                remedy="Mend it, or leave it out",
            )
    if adata.raw is not None:
        write_group(file, "raw", "raw")
        write_element(file["raw"], "X", adata.raw.X, left_out)
        var = with_safe_names(adata.raw.var, ("raw",), record)
        write_element(file["raw"], "var", var, left_out)
        write_element(file["raw"], "varm", dict(adata.raw.varm), left_out)
    for name in MAPPINGS:
        content = with_safe_names(dict(getattr(adata, name)), (name,), record)
        if name == "uns" and record:
            content = with_report(content, {NAMES: json.dumps(record)})
        write_element(file, name, content, left_out)


def write_group(parent: h5py.Group, key: str, encoding: str = "dict") -> h5py.Group:
    """Write an empty group as anndata does."""
    group = parent.create_group(key)
    group.attrs["encoding-type"], group.attrs["encoding-version"] = encoding, "0.1.0"
    return group


def write_element(
    parent: h5py.Group, key: str, value: Any, left_out: dict[str, str], place: str = ""
) -> None:
    """Write a value, or those of its parts that can be.

    Parameters
    ----------
    parent, key
        Where to.
    value
        With names that can be keys.
    left_out
        Place and reason of what could not be written are added to it.
    place
        What a user calls the value.

    Raises
    ------
    OSError
        If the disk is full or broken.
    """
    place = place or _place(parent, key)
    if isinstance(value, dict):
        group = write_group(parent, key)
        for name, item in value.items():
            write_element(group, name, item, left_out, f'{place}["{name}"]')
        return
    reason = _failure(parent, key, value)
    if not reason:
        return
    if isinstance(value, pd.DataFrame):
        reason = _failure(parent, key, _storable_columns(value, left_out, place))
    if reason:
        left_out[place] = reason


def _failure(parent: h5py.Group, key: str, value: Any) -> str:
    """Write a value, and say why not if it could not be: then nothing of it is left."""
    try:
        _write_elem(parent, key, value)
    except Exception as fault:
        if isinstance(fault, MemoryError) or _is_of_disk(fault):
            raise
        if key in parent:
            del parent[key]
        return first_line(fault)
    return ""


def _storable_columns(frame: pd.DataFrame, left_out: dict[str, str], place: str) -> pd.DataFrame:
    """Return the columns that can be written each by itself; as categories where need be."""
    kept = {}
    with h5py.File("trial", "w", driver="core", backing_store=False) as trial:
        for number, (name, column) in enumerate(frame.items()):
            reason = _failure(trial, f"{number}", column.to_frame("column"))
            if reason and column.dtype.kind not in "OUT":
                left_out[f'{place}["{name}"]'] = reason
                continue
            if reason:
                column = column.astype("category")
                if _failure(trial, f"{number}", column.to_frame("column")):
                    left_out[f'{place}["{name}"]'] = reason
                    continue
            kept[name] = column
    return pd.DataFrame(kept, index=frame.index)


def _is_of_disk(fault: Exception) -> bool:
    return getattr(fault, "errno", None) is not None or "errno =" in str(fault)


def _place(parent: h5py.Group, key: str) -> str:
    first, *rest = [*(part for part in str(parent.name).split("/") if part), key]
    return first + "".join(f'["{part}"]' for part in rest)


def _write_elem(parent: h5py.Group, key: str, value: Any) -> None:
    try:
        from anndata.io import write_elem
    except ImportError:  # before anndata 0.11
        from anndata.experimental import write_elem
    write_elem(parent, key, value)
