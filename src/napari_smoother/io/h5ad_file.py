"""Read and write ``.h5ad`` files, saying what is wrong when one cannot be read."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import h5py

from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_elements import Elements, Unreadable, first_line
from napari_smoother.io.h5ad_names import with_exact_names
from napari_smoother.io.h5ad_results import write_results_beside
from napari_smoother.io.h5ad_writing import write_elements
from napari_smoother.io.hdf5_heaps import has_endless_heap

READ_FAULTS = (Exception,)
"""What h5py and anndata raise on files that are damaged or were written by something else.

Anything, by experience: a key error, an overflow, too little memory, an unknown encoding.
"""

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
        if has_endless_heap(path):
            raise ValueError("texts in it were overwritten")
        with h5py.File(path, "r") as file:
            names = set(file)
            for name in names.intersection(("obs", "var")):
                Elements(file).check(file, name)
    except READ_FAULTS as fault:
        raise InputError(
            f"The file is truncated or not an AnnData file: {first_line(fault)}",
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
        Names are as they were before `write_h5ad` had to write them otherwise.

    Raises
    ------
    InputError
        If the file is missing, truncated, or not an AnnData file; or obs, var, X or
        ``layers["counts"]`` cannot be read.

    Warns
    -----
    UserWarning
        Naming any other entry that cannot be read, and why: it is left out.
    """
    path = check_h5ad(path)
    try:
        with warnings.catch_warnings():
            # Names are made unique by whoever reads; the advice to do so would alarm.
            warnings.filterwarnings("ignore", message=".*names are not unique")
            adata, left_out = _read(path, on_disk)
        with_exact_names(adata)
    except InputError:
        raise
    except READ_FAULTS as fault:
        raise InputError(
            f"The file cannot be read: {first_line(fault)}", where=str(path), remedy=COPY_AGAIN
        ) from fault
    if left_out:
        warn_of_left_out(f"Of {path} is left out, because it cannot be read", left_out)
    return adata


def _read(path: Path, on_disk: bool) -> tuple[Any, dict[str, str]]:
    import anndata

    with h5py.File(path, "r") as file:
        elements = Elements(file)
        if isinstance(file["obs"], h5py.Dataset) or any(name.startswith("raw.") for name in file):
            # The layout of anndata before 0.7: whole, by its own reader, or not at all.
            for name in file:
                elements.check(file, name)
            return anndata.read_h5ad(path, backed="r" if on_disk else None), {}

        def needed(name: str, *shape: int, read: Any = elements.read) -> Any:
            try:
                return read(file, name, shape=shape)
            except Unreadable as fault:
                raise InputError(
                    f"{name} cannot be read: {fault}", where=f"{path}, {name}", remedy=COPY_AGAIN
                ) from fault

        obs, var = needed("obs"), needed("var")
        n_obs, n_vars = len(obs), len(var)
        content = {"obs": obs, "var": var, "uns": elements.read_all(file, "uns")}
        if on_disk:
            needed("X", n_obs, n_vars, read=elements.check)
            raw = _raw_on_disk(elements, file, n_obs)
            adata = anndata.AnnData(filename=path, filemode="r", raw=raw, **content)
            if not raw:
                del adata.raw
        else:
            counts = needed("X", n_obs, n_vars) if "X" in file else None
            adata = anndata.AnnData(X=counts, **content)
            _add_raw(adata, elements.read_all(file, "raw"), elements.left_out)
        for place, shape in (
            ("layers", (n_obs, n_vars)),
            ("obsm", (n_obs,)),
            ("varm", (n_vars,)),
            ("obsp", (n_obs, n_obs)),
            ("varp", (n_vars, n_vars)),
        ):
            for name, value in elements.read_all(file, place, shape=shape).items():
                try:
                    getattr(adata, place)[name] = value
                except Exception as fault:
                    elements.left_out[f'{place}["{name}"]'] = first_line(fault)
        lost = elements.left_out.get('layers["counts"]')
        if lost:
            raise InputError(
                f"The counts cannot be read: {lost}",
                where=f'{path}, layers["counts"]',
                remedy=COPY_AGAIN,
            )
        return adata, elements.left_out


def _add_raw(adata: Any, raw: dict[str, Any], left_out: dict[str, str]) -> None:
    import anndata

    if not raw:
        return
    try:
        adata.raw = anndata.AnnData(
            X=raw["X"], var=raw["var"], varm=raw.get("varm"), obs=adata.obs[[]]
        )
    except Exception as fault:
        left_out.setdefault("raw", f"it is not whole: {first_line(fault)}")


def _raw_on_disk(elements: Elements, file: h5py.File, n_obs: int) -> dict[str, Any]:
    """Return what is to be known of raw beside its matrix, which stays in the file."""
    if "raw" not in file:
        return {}
    try:
        elements.check(file, "raw")
        elements.check(file["raw"], "X", shape=(n_obs,))
        return {"var": elements.read(file["raw"], "var")}
    except Unreadable as fault:
        elements.left_out["raw"] = str(fault)
        return {}


def write_h5ad(adata: Any, path: str | Path) -> None:
    """Write an AnnData whole or not at all.

    A section with results that is written over the file it was read from leaves everything
    there as it was, and adds the results: see `napari_smoother.io.h5ad_results`. Names that
    cannot be keys are written otherwise, and are as they were when `read_anndata` reads them.

    Parameters
    ----------
    adata
        Spots or cells x genes.
    path
        Where to; an existing file is replaced once the new one is complete.

    Raises
    ------
    InputError
        If it cannot be written there.

    Warns
    -----
    UserWarning
        Naming entries that the format cannot hold: they are left out.
    """
    source: Path | None = getattr(adata, "source", None)
    left_out: dict[str, str] = {}
    with replacing(path) as temporary:
        try:
            with h5py.File(temporary, "w", locking=False) as file:
                if source is not None and _is_same(source, path):
                    write_results_beside(adata, source, file, left_out)
                else:
                    write_elements(adata, file, left_out)
        except (InputError, OSError):
            raise
        except Exception as fault:
            number = re.search(r"errno = (\d+)", str(fault))
            if number:  # HDF5 tells of a full disk in many ways
                raise OSError(int(number[1]), str(fault)) from fault
            raise InputError(
                f"The file could not be written: {first_line(fault)}",
                where=str(path),
                remedy="Choose a folder you may write to, with space left",
            ) from fault
    if left_out:
        warn_of_left_out(f"In {path} is left out, because it cannot be written", left_out)


def _is_same(source: Path, path: str | Path) -> bool:
    try:
        return source.is_file() and os.path.samefile(source, path)
    except OSError:  # no such file yet
        return False


def warn_of_left_out(what: str, left_out: dict[str, str], shown: int = 8) -> None:
    """Warn of entries that are missing from what was read or written.

    Parameters
    ----------
    what
        Beginning of the sentence.
    left_out
        Place and reason of each.
    shown
        How many are named.
    """
    named = [f"{place} ({reason})" for place, reason in list(left_out.items())[:shown]]
    more = len(left_out) - len(named)
    rest = f" and {more} more" if more else ""
    warnings.warn(f"{what}: {', '.join(named)}{rest}.", stacklevel=3)
