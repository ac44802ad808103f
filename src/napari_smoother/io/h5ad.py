"""Sections in ``.h5ad`` files, in scanpy's convention, and writing them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_counts import with_counts_in_x
from napari_smoother.io.h5ad_file import (
    COPY_AGAIN,
    READ_FAULTS,
    check_h5ad,
    read_anndata,
    write_h5ad,
)
from napari_smoother.io.h5ad_positions import find_positions, set_positions
from napari_smoother.io.images import is_blank
from napari_smoother.io.physical_scale import physical_scale
from napari_smoother.io.scale_factors import positive_factors
from napari_smoother.io.section_images import MARKED, warn_of_misplaced
from napari_smoother.keys import check_session_format
from napari_smoother.section import Section, SectionImage
from napari_smoother.weights.sections import (
    Sections,
    declared_columns,
    may_name_sections,
    overlapping_sections,
    sections_in_depth,
    sections_of_column,
    unexplained_overlap,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SeveralLibraries", "libraries_in", "read_h5ad_section", "write_h5ad"]

PARTS = ("images", "scalefactors")
"""What a library of ``uns["spatial"]`` holds."""

MOST_SHOWN = 12
"""Names of sections in a message."""


class SeveralLibraries(InputError):
    """A file with several sections, of which one has to be chosen.

    Parameters
    ----------
    libraries
        Their names, in the order of the file.
    where
        The file.
    source
        What names them: a column of obs, or the endings of the barcodes.
    """

    def __init__(self, libraries: tuple[str, ...], *, where: str, source: str = "") -> None:
        self.libraries = libraries
        shown = ", ".join(libraries[:MOST_SHOWN]) + (", ..." * (len(libraries) > MOST_SHOWN))
        super().__init__(
            f"The file holds {len(libraries)} sections"
            + (f", as {source} names them" if source else "")
            + f": {shown}",
            where=where,
            remedy="Choose which one to open",
        )


def libraries_in(path: str | Path) -> tuple[str, ...]:
    """Names of the sections in a file, without reading counts, columns or pictures.

    Parameters
    ----------
    path
        An ``.h5ad`` file.

    Returns
    -------
    tuple of str
        The keys of ``uns["spatial"]``; empty when there is none, or when it holds images and
        scale factors without a key between. Sections that only a column of obs tells apart are
        found by reading.

    Raises
    ------
    InputError
        If the file is not an AnnData file.
    """
    path = check_h5ad(Path(path))
    try:
        with h5py.File(path, "r") as file:
            spatial = file.get("uns/spatial")
            if not isinstance(spatial, h5py.Group) or _is_one_library(spatial):
                return ()
            return tuple(name for name in spatial if isinstance(spatial.get(name), h5py.Group))
    except READ_FAULTS as fault:
        raise InputError(
            f"The sections of the file cannot be read: {fault}",
            where=f'{path}, uns["spatial"]',
            remedy=COPY_AGAIN,
        ) from fault


def read_h5ad_section(
    path: str | Path, *, library: str | None = None, counts: str | None = None
) -> Section:
    """Read a section from an ``.h5ad`` file. The file is not changed.

    Counts are looked for as `napari_smoother.counts.finding.find_counts` does. They become ``X``
    of the section, float32 CSR. What was in ``X`` before is kept as ``layers["X"]`` when it has
    the same genes, so that nothing is lost on saving.

    Positions are ``obsm["spatial"]``, ``obsm["X_spatial"]``, or two columns of obs (see
    `napari_smoother.io.h5ad_positions`). Pictures are
    ``uns["spatial"][library]["images"]``, each with its ``tissue_<name>_scalef``.

    Spots of several sections are told apart by the keys of ``uns["spatial"]``; by columns of obs
    and endings of barcodes that may name sections, where spots of different names lie over each
    other (see `napari_smoother.weights.sections`); and by a third coordinate of few values.

    Parameters
    ----------
    path
        The file.
    library
        Which section, when there are several; only its spots are kept. Also any value of a column
        that may name sections.
    counts
        Where the counts are: ``"X"``, ``"raw"`` or the name of a layer; None to look for them.

    Returns
    -------
    Section
        Only spots with ``obs["in_tissue"]`` where that column says so. Categories stay as they
        are.

    Raises
    ------
    SeveralLibraries
        If there are several sections and ``library`` is None.
    InputError
        If the file cannot be read, has no such library, no usable counts or no usable positions,
        or holds sections over each other that nothing tells apart.

    Warns
    -----
    UserWarning
        When there are no counts but normalised values, or a picture cannot be placed.
    """
    path = check_h5ad(Path(path))
    libraries = libraries_in(path)
    if library is None and len(libraries) > 1:
        raise SeveralLibraries(libraries, where=str(path))
    whole = read_anndata(path)
    check_session_format(whole.uns, str(path))
    adata = _in_tissue(whole, path)
    adata, chosen, names = _of_one_section(adata, library, libraries, path)
    adata, origin = with_counts_in_x(adata, where=str(path), layer=counts)
    adata.obs_names_make_unique()
    adata.var_names_make_unique()
    positions = set_positions(adata, where=str(path))
    pictured, where = _pictured(adata, chosen, names, libraries, path)
    factors, images = _pictures(pictured, positions, where)
    scale = physical_scale(
        factors,
        array_positions=_array_positions(adata.obs),
        positions=positions,
        is_visium=_is_visium(pictured),
    )
    return Section(
        name=path.stem if chosen is None else f"{path.stem} {chosen}",
        adata=adata,
        images=images,
        spot_diameter=scale.spot_diameter,
        micrometres_per_pixel=scale.micrometres_per_pixel,
        source=path,
        origin=origin,
        library=library,
    )


def _of_one_section(
    adata: Any, library: str | None, libraries: tuple[str, ...], path: Path
) -> tuple[Any, str | None, tuple[str, ...]]:
    """Keep the spots of one section; its name and those of all, None and () where there is one."""
    sections = _sections_in(adata, libraries, path)
    if sections is None and library is not None and library not in libraries:
        sections = _sections_called(adata, library)
        if sections is None:
            raise _no_such(library, libraries, path, 'uns["spatial"]')
    if sections is None or len(sections.names) < 2:
        return adata, None, ()
    if library is None:
        raise SeveralLibraries(sections.names, where=str(path), source=sections.source)
    if library not in sections.names:
        raise _no_such(library, sections.names, path, f'uns["spatial"] and {sections.source}')
    kept = adata[sections.labels == sections.names.index(library)].copy()
    further = _overlapping(kept, path)
    if further is not None:
        raise InputError(
            f"The section {library} holds {len(further.names)} sections that lie over each other, "
            f"as {further.source} names them",
            where=f"{path}, {sections.source}",
            remedy="Add a column library_id to obs that has one name for each section",
        )
    _refuse_unexplained(kept, path)
    return kept, library, sections.names


def _sections_in(adata: Any, libraries: tuple[str, ...], path: Path) -> Sections | None:
    """Find what tells the sections of a file apart; None where there is one."""
    column = _library_column(adata.obs, libraries) if libraries else None
    if column is not None:
        return sections_of_column(adata.obs, column)
    sections = _overlapping(adata, path)
    if len(libraries) > 1 and (sections is None or not set(libraries) <= set(sections.names)):
        raise InputError(
            f"No column of obs says which spots are of the sections {', '.join(libraries)}",
            where=f"{path}, obs",
            remedy="Add a column library_id that holds these names",
        )
    if sections is None:
        _refuse_unexplained(adata, path)
    return sections


def _overlapping(adata: Any, path: Path) -> Sections | None:
    """Find the sections that lie over each other, or at few depths."""
    positions, name = find_positions(adata, where=str(path))
    sections = overlapping_sections(
        adata.obs, positions[:, :2], further=declared_columns(adata.uns)
    )
    if sections is None and positions.shape[1] == 3:
        return sections_in_depth(positions[:, 2], f"the third coordinate of {name}")
    return sections


def _refuse_unexplained(adata: Any, path: Path) -> None:
    positions, name = find_positions(adata, where=str(path))
    reason = unexplained_overlap(adata.obs, positions) if positions.shape[1] == 2 else None
    if reason is not None:
        raise InputError(
            f"{reason}: they are of several sections that lie over each other, and nothing says "
            "which spot is of which",
            where=f"{path}, {name}",
            remedy="Add a column library_id to obs that names the section of each spot",
        )


def _sections_called(adata: Any, library: str) -> Sections | None:
    """Find a column that may name sections, and has this value."""
    for column in map(str, adata.obs.columns):
        if may_name_sections(column) or column in declared_columns(adata.uns):
            sections = sections_of_column(adata.obs, column)
            if library in sections.names:
                return sections
    return None


def _no_such(library: str, names: tuple[str, ...], path: Path, source: str) -> InputError:
    return InputError(
        f'There is no section "{library}"; there are: {", ".join(names) or "none named"}',
        where=f"{path}, {source}",
        remedy="Choose one of these",
    )


def _library_column(obs: pd.DataFrame, libraries: tuple[str, ...]) -> str | None:
    """Find the column that holds the names in ``uns["spatial"]``, the likeliest first.

    With one section only columns that may name sections are asked: elsewhere its name may be a
    coincidence.
    """
    columns = sorted(map(str, obs.columns), key=lambda column: not may_name_sections(column))
    best: tuple[int, str] | None = None
    for column in columns:
        if len(libraries) == 1 and not may_name_sections(column):
            break
        if column in obs and not np.issubdtype(_plain_dtype(obs[column]), np.floating):
            known = len(set(libraries).intersection(obs[column].astype(str).unique()))
            # A section may have lost all its spots, where a usual column says so.
            enough = known == len(libraries) or (known and may_name_sections(column))
            if enough and (best is None or known > best[0]):
                best = known, column
    return best[1] if best else None


def _is_one_library(spatial: Any) -> bool:
    """Whether images or scale factors stand where the names of libraries should."""
    parts = [spatial[name] for name in PARTS if name in spatial]
    return bool(parts) and not any(
        isinstance(part, Mapping) and any(name in part for name in PARTS) for part in parts
    )


def _in_tissue(adata: Any, path: Path) -> Any:
    if "in_tissue" not in adata.obs:
        return adata
    text = adata.obs["in_tissue"].astype(str).str.lower()
    outside = text.isin(("0", "0.0", "false")).to_numpy()
    if not outside.any():
        return adata
    if outside.all():
        raise InputError(
            "No spot is marked as in tissue",
            where=f'{path}, obs["in_tissue"]',
            remedy="Mend or remove this column",
        )
    return adata[~outside].copy()


def _pictured(
    adata: Any, chosen: str | None, names: tuple[str, ...], libraries: tuple[str, ...], path: Path
) -> tuple[Mapping[str, Any], str]:
    """Entry of uns with the section's pictures and scale, and where it is; others are dropped."""
    where = f'{path}, uns["spatial"]'
    spatial = adata.uns.get("spatial", {})
    if not isinstance(spatial, Mapping):
        if spatial is not None:
            warnings.warn(
                f"{where} holds {type(spatial).__name__} instead of libraries with images and "
                "scalefactors: the section opens without picture and scale.",
                stacklevel=3,
            )
        return {}, where
    if _is_one_library(spatial):
        of, key = "the file", None
    elif chosen is None or chosen in libraries:
        of, key = "", next(iter(libraries), None) if chosen is None else chosen
    elif len(libraries) == 1 and libraries[0] not in names:
        of, key = libraries[0], libraries[0]
    else:
        of, key = "", None
    if of and chosen is not None:
        warnings.warn(
            f"{where} does not say of which section the picture of {of} is: it is shown under "
            f"{chosen}. Check that it lies under the spots.",
            stacklevel=3,
        )
    if of == "the file":
        return spatial, where
    others = {library for library in libraries if library != key}
    if others:
        adata.uns["spatial"] = {k: v for k, v in spatial.items() if k not in others}
    if key is None:
        return {}, where
    return spatial.get(key, {}), f'{where}["{key}"]'


def _pictures(
    library: Mapping[str, Any], positions: Any, where: str
) -> tuple[dict[str, float], tuple[SectionImage, ...]]:
    """Scale factors, and the pictures they place, best resolution first."""
    factors = positive_factors(_mapping(library, "scalefactors", where), where=where)
    images = []
    for name, pixels in _mapping(library, "images", where).items():
        pixels = np.asarray(pixels)
        scale = factors.get(f"tissue_{name}_scalef")
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
            reason = f"its shape {pixels.shape} is not rows x columns x 3 or 4 channels"
        elif pixels.dtype.kind not in "buif":
            reason = f"its values are {pixels.dtype}, not numbers"
        elif scale is None:
            reason = f"there is no scale factor tissue_{name}_scalef"
        elif is_blank(pixels):
            reason = "it is a blank placeholder"
        else:
            images.append(SectionImage(str(name), pixels, scale))
            continue
        warnings.warn(f"The picture {name} of {where} is left out: {reason}.", stacklevel=3)
    images.sort(key=lambda image: (image.name in MARKED, -image.scale))
    warn_of_misplaced(images, positions, where=where)
    return factors, tuple(images)


def _mapping(library: Mapping[str, Any], name: str, where: str = "") -> Mapping[str, Any]:
    found = library.get(name)
    if isinstance(found, Mapping):
        return found
    if found is not None and where:
        warnings.warn(
            f"{name} of {where} holds {type(found).__name__} instead of named entries and is left "
            "out.",
            stacklevel=4,
        )
    return {}


def _plain_dtype(column: pd.Series[Any]) -> np.dtype[Any]:
    return column.dtype if isinstance(column.dtype, np.dtype) else np.dtype(object)


def _is_visium(library: Mapping[str, Any]) -> bool:
    """Whether scanpy noted that Space Ranger wrote this."""
    return "visium" in str(_mapping(library, "metadata").get("chemistry_description", "")).lower()


def _array_positions(obs: pd.DataFrame) -> Any:
    if "array_row" not in obs or "array_col" not in obs:
        return None
    pair = obs[["array_row", "array_col"]]
    if not all(np.issubdtype(_plain_dtype(pair[name]), np.number) for name in pair):
        return None
    values = pair.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all() or (values % 1 != 0).any():
        return None
    return values.astype(np.int64)
