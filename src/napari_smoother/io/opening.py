"""Open a section from whatever path was dropped, chosen or typed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.io.h5ad import SeveralLibraries, read_h5ad_section
from napari_smoother.io.space_ranger import read_space_ranger
from napari_smoother.io.space_ranger_folder import BINNED, find_space_ranger

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from napari_smoother.section import Section

__all__ = ["SeveralLibraries", "is_section", "open_section", "read"]

MATRIX = re.compile("feature_(bc|cell)_matrix")

PACKED = (".gz", ".zip", ".tar", ".tgz")

FORMATS = "an .h5ad file, or the outs folder of Space Ranger"


def is_section(path: str | Path) -> bool:
    """Whether a path looks like a section, judged by names alone.

    Parameters
    ----------
    path
        Any file or folder.

    Returns
    -------
    bool
        True for ``.h5ad`` files, feature-barcode matrices (``.h5``) with positions beside them,
        and folders with the counts and positions of Space Ranger. Nothing is read, so opening
        may still fail, with the reason.
    """
    path = _absolute(path)
    if path.is_file():
        if path.suffix.lower() == ".h5ad":
            return True
        path = _folder_of_matrix(path) or path
    if not path.is_dir():
        return False
    if (path / BINNED).is_dir() or (path / "outs" / BINNED).is_dir():
        return True
    try:
        return find_space_ranger(path).is_complete
    except InputError:
        # Several samples in one folder: ours to open, and to say what is wrong with it.
        return True


def open_section(
    path: str | Path,
    *,
    library: str | None = None,
    counts: str | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Section:
    """Open a section.

    Parameters
    ----------
    path
        An ``.h5ad`` file, an output folder of Space Ranger, or the feature-barcode matrix
        (``.h5``) in one.
    library
        Which section of an ``.h5ad`` or an aggregated folder that holds several.
    counts
        Where the counts of an ``.h5ad`` are: ``"X"``, ``"raw"`` or the name of a layer; None to
        look for them.
    cancelled
        Asked between the files; what was read so far is dropped.

    Returns
    -------
    Section

    Raises
    ------
    SeveralLibraries
        If the file holds several sections and ``library`` is None.
    InputError
        If it cannot be opened; the message names the file or field and the remedy.
    Cancelled
        If ``cancelled`` returned True.
    """
    path = _absolute(path)
    if not path.exists():
        raise InputError(
            "There is no such file or folder", where=str(path), remedy=f"Choose {FORMATS}"
        )
    if path.is_dir():
        return read_space_ranger(path, library=library, cancelled=cancelled)
    folder = _folder_of_matrix(path)
    if folder is not None:
        return read_space_ranger(folder, library=library, cancelled=cancelled)
    if path.suffix.lower() != ".h5ad":
        packed = path.name.lower().endswith(PACKED)
        raise InputError(
            f"Files ending in {path.suffix or 'nothing'} are not sections",
            where=str(path),
            remedy="Unpack it first (gunzip, tar -x or unzip), and open what it holds"
            if packed
            else f"Choose {FORMATS}",
        )
    section = read_h5ad_section(path, library=library, counts=counts)
    if cancelled is not None and cancelled():
        raise Cancelled
    return section


def read(path: str | Path, *, library: str | None = None, counts: str | None = None) -> AnnData:
    """Read a section as an AnnData, with the same rules as the window.

    Parameters
    ----------
    path
        An ``.h5ad`` file, an output folder of Space Ranger, or the feature-barcode matrix
        (``.h5``) in one.
    library
        Which section, where there are several.
    counts
        Where the counts of an ``.h5ad`` are: ``"X"``, ``"raw"`` or the name of a layer; None to
        look for them.

    Returns
    -------
    anndata.AnnData
        Spots x genes with the counts in ``X``, positions as (x, y) in ``obsm["spatial"]``, and
        pictures and scale factors in ``uns["spatial"]`` as scanpy has them.

    Raises
    ------
    SeveralLibraries
        If there are several sections and ``library`` is None; its ``libraries`` are their names.
    InputError
        If it cannot be read; the message names the file or field and the remedy.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> section = ns.read("sample/outs")  # doctest: +SKIP
    >>> ns.deconvolve(section, reference)  # doctest: +SKIP
    """
    return open_section(path, library=library, counts=counts).adata


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))


def _folder_of_matrix(path: Path) -> Path | None:
    """Name the folder to open for a feature-barcode matrix; None for any other file."""
    if path.suffix.lower() == ".h5" and MATRIX.search(path.name):
        return path.parent
    return None
