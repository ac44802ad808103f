"""What a file is for, judged by its name and by the names in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import h5py

from napari_smoother.io.h5ad_file import READ_FAULTS
from napari_smoother.io.h5ad_positions import has_positions
from napari_smoother.io.opening import is_section
from napari_smoother.io.reference import is_table

if TYPE_CHECKING:
    from pathlib import Path

FileKind = Literal["section", "reference", "regions", "recipe"]

REGIONS = (".geojson", ".json")
BARCODES = "barcode"
"""First word of a table of classes of spots, as Loupe exports them."""


def kind_of(path: Path) -> FileKind | None:
    """Return what a file or folder is for; None for what is none of ours.

    An ``.h5ad`` file with positions is a section, one without has the cells of a reference.
    Nothing but names is read, so opening may still fail, with the reason.
    """
    suffix = path.suffix.lower()
    if suffix == ".h5ad" and path.is_file():
        return "section" if _may_have_positions(path) else "reference"
    if is_section(path):
        return "section"
    if not path.is_file():
        return None
    if suffix in REGIONS:
        return "regions"
    if suffix == ".toml":
        return "recipe"
    if is_table(path):
        return "regions" if _lists_barcodes(path) else "reference"
    return None


def _may_have_positions(path: Path) -> bool:
    """Whether an .h5ad file names positions; one that cannot be read says so as it is opened."""
    try:
        with h5py.File(path, "r") as file:
            obs, obsm = file["obs"], file.get("obsm", ())
            columns = obs.dtype.names if isinstance(obs, h5py.Dataset) else list(obs)
            tables = obsm.dtype.names if isinstance(obsm, h5py.Dataset) else list(obsm)
    except READ_FAULTS:
        return True
    return has_positions(tables or (), columns or ())


def _lists_barcodes(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(1000)
    return first.decode("utf-8-sig", "replace").strip('" ').lower().startswith(BARCODES)
