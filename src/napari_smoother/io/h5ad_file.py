"""Read and write ``.h5ad`` files, saying what is wrong when one cannot be read."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import h5py

from napari_smoother.errors import InputError
from napari_smoother.atomic import replacing

READ_FAULTS = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    RuntimeError,
)
"""What h5py and anndata raise on files that are truncated or were written by something else."""

COPY_AGAIN = "Copy or download the file again, and check that it is an AnnData file (.h5ad)"


def check_h5ad(path: Path) -> Path:
    """Refuse what is not an AnnData file before anything is read.

    Parameters
    ----------
    path
        A file, possibly relative or with ``~``.

    Returns
    -------
    pathlib.Path
        Its absolute path.

    Raises
    ------
    InputError
        If it is missing, truncated, not HDF5, or has no obs and var.
    """
    path = Path(os.path.abspath(path.expanduser()))
    if not path.is_file():
        raise InputError("There is no such file", where=str(path), remedy="Choose another file")
    try:
        with h5py.File(path, "r") as file:
            names = set(file)
    except OSError as fault:
        raise InputError(
            f"The file is truncated or not an AnnData file: {fault}",
            where=str(path),
            remedy=COPY_AGAIN,
        ) from fault
    if "obs" not in names or "var" not in names:
        remedy = COPY_AGAIN
        if "matrix" in names:
            remedy = (
                "This is a count matrix of Space Ranger or Cell Ranger: for a section, open its "
                "folder instead"
            )
        raise InputError(
            f"The file is not an AnnData file: it holds {', '.join(sorted(names)) or 'nothing'}, "
            "but not obs and var",
            where=str(path),
            remedy=remedy,
        )
    return path


def read_anndata(path: Path, *, on_disk: bool = False) -> Any:
    """Read a whole ``.h5ad`` file, saying what is wrong when it cannot be.

    Parameters
    ----------
    path
        The file.
    on_disk
        Leave ``X`` in the file and read it piece by piece when it is needed.

    Returns
    -------
    anndata.AnnData

    Raises
    ------
    InputError
        If the file is missing, truncated, or not an AnnData file.
    """
    import anndata

    path = check_h5ad(path)
    try:
        with warnings.catch_warnings():
            # Names are made unique by whoever reads; the advice to do so would alarm.
            warnings.filterwarnings("ignore", message=".*names are not unique")
            return anndata.read_h5ad(path, backed="r" if on_disk else None)
    except READ_FAULTS as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise InputError(
            f"The file cannot be read: {reason}", where=str(path), remedy=COPY_AGAIN
        ) from fault


def write_h5ad(adata: Any, path: str | Path) -> None:
    """Write an AnnData whole or not at all.

    Parameters
    ----------
    adata
        Spots or cells x genes.
    path
        Where to; an existing file is replaced once the new one is complete.

    Raises
    ------
    InputError
        If the folder does not exist.
    """
    with replacing(path) as temporary:
        adata.write_h5ad(temporary)
