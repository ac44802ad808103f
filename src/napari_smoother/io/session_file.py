"""Entries of a session in a file of their own, without the counts they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py

from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_elements import Elements, first_line
from napari_smoother.io.h5ad_writing import write_element

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENTRIES = "session"


def write_session(entries: Mapping[str, Any], path: Path) -> None:
    """Write entries whole or not at all.

    Parameters
    ----------
    entries
        Texts, numbers, arrays and dictionaries of them.
    path
        Where to; its folder has to exist.

    Raises
    ------
    InputError
        If they cannot be written there.
    """
    left_out: dict[str, str] = {}
    with replacing(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        write_element(file, ENTRIES, dict(entries), left_out)
    if left_out:
        place, reason = next(iter(left_out.items()))
        raise InputError(
            f"{place} could not be written: {reason}",
            where=str(path),
            remedy="Save the section to a file",
        )


def read_session(path: Path) -> dict[str, Any]:
    """Read entries.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with h5py.File(path, "r") as file:
            entries: dict[str, Any] = Elements(file).read_all(file, ENTRIES)
            return entries
    except Exception as fault:  # damaged in any way
        raise InputError(
            f"What was kept of unsaved work cannot be read: {first_line(fault)}",
            where=str(path),
            remedy="Open the section as it was saved last",
        ) from fault
