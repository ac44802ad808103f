"""Sections in ``.h5ad`` files, in scanpy's convention, and writing them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_counts import with_counts_in_x
from napari_smoother.io.h5ad_file import check_h5ad, read_anndata, write_h5ad
from napari_smoother.io.h5ad_positions import set_positions
from napari_smoother.io.images import is_blank
from napari_smoother.io.physical_scale import physical_scale
from napari_smoother.io.scale_factors import positive_factors
from napari_smoother.io.section_images import MARKED, warn_of_misplaced
from napari_smoother.section import Section, SectionImage

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["SeveralLibraries", "libraries_in", "read_h5ad_section", "write_h5ad"]

LIBRARY_COLUMNS = (
    "library_id",
    "library",
    "sample",
    "sample_id",
    "sample_name",
    "batch",
    "slide",
    "section",
)
"""Columns of obs that usually say which section a spot is from; others are searched after."""


class SeveralLibraries(InputError):
    """A file with several sections, of which one has to be chosen.

    Parameters
    ----------
    libraries
        Their names, in the order of the file.
    where
        The file.
    """

    def __init__(self, libraries: tuple[str, ...], *, where: str) -> None:
        self.libraries = libraries
        super().__init__(
            f"The file holds {len(libraries)} sections: {', '.join(libraries)}",
            where=where,
            remedy="Choose which one to open",
        )


def libraries_in(path: str | Path) -> tuple[str, ...]:
    """Names of the sections in a file, without reading counts or pictures.

    Parameters
    ----------
    path
        An ``.h5ad`` file.

    Returns
    -------
    tuple of str
        The keys of ``uns["spatial"]``; empty when there is none, and then the file is one
        section without picture and scale.

    Raises
    ------
    InputError
        If the file is not an AnnData file.
    """
    path = check_h5ad(Path(path))
    with h5py.File(path, "r") as file:
        spatial = file.get("uns/spatial")
        if not isinstance(spatial, h5py.Group):
            return ()
        return tuple(name for name, item in spatial.items() if isinstance(item, h5py.Group))


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

    Parameters
    ----------
    path
        The file.
    library
        Which section, when there are several; its spots are those whose column of obs (the first
        that names it) holds this name.
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
        If the file cannot be read, has no such library, no usable counts or no usable positions.

    Warns
    -----
    UserWarning
        When there are no counts but normalised values, spots of other sections are left out, or
        a picture cannot be placed.
    """
    path = check_h5ad(Path(path))
    libraries = libraries_in(path)
    if library is None and len(libraries) > 1:
        raise SeveralLibraries(libraries, where=str(path))
    if library is not None and library not in libraries:
        raise InputError(
            f'There is no section "{library}"; there are: {", ".join(libraries) or "none named"}',
            where=f'{path}, uns["spatial"]',
            remedy="Choose one of these",
        )
    chosen = library if library is not None else next(iter(libraries), None)
    adata = read_anndata(path)
    adata = _spots_of(adata, chosen, libraries, path)
    adata = _in_tissue(adata, path)
    adata, origin = with_counts_in_x(adata, where=str(path), layer=counts)
    adata.obs_names_make_unique()
    adata.var_names_make_unique()
    positions = set_positions(adata, where=str(path))
    factors, images = _pictures(adata, chosen, positions, path)
    is_visium = chosen is not None and _is_visium(adata.uns["spatial"][chosen])
    scale = physical_scale(
        factors,
        array_positions=_array_positions(adata.obs),
        positions=positions,
        is_visium=is_visium,
    )
    return Section(
        name=path.stem if chosen is None or len(libraries) == 1 else f"{path.stem} {chosen}",
        adata=adata,
        images=images,
        spot_diameter=scale.spot_diameter,
        micrometres_per_pixel=scale.micrometres_per_pixel,
        source=path,
        origin=origin,
        library=library,
    )


def _spots_of(adata: Any, chosen: str | None, libraries: tuple[str, ...], path: Path) -> Any:
    """Keep the spots of one section and its entry in uns."""
    if chosen is None:
        return adata
    column = _library_column(adata.obs, chosen, libraries)
    if column is None:
        if len(libraries) > 1:
            raise InputError(
                f"No column of obs says which spots are of the section {chosen}",
                where=f"{path}, obs",
                remedy=f"Add a column library_id that holds the names {', '.join(libraries)}",
            )
        return adata
    here = (adata.obs[column].astype(str) == chosen).to_numpy()
    if not here.all():
        if len(libraries) == 1:
            warnings.warn(
                f'Of {path}, {int((~here).sum())} spots are left out: obs["{column}"] gives them '
                f'to other sections than {chosen}, the only one in uns["spatial"].',
                stacklevel=3,
            )
        adata = adata[here].copy()
    adata.uns["spatial"] = {chosen: adata.uns["spatial"][chosen]}
    return adata


def _library_column(obs: pd.DataFrame, chosen: str, libraries: tuple[str, ...]) -> str | None:
    """Find the column that names the section, the usual ones first.

    With one section only the usual columns are asked: elsewhere its name may be a coincidence.
    """
    others = [] if len(libraries) == 1 else [name for name in obs if name not in LIBRARY_COLUMNS]
    for name in (*LIBRARY_COLUMNS, *others):
        if name in obs and not np.issubdtype(_plain_dtype(obs[name]), np.floating):
            values = set(obs[name].astype(str).unique())
            if chosen in values and len(values.intersection(libraries)) == len(libraries):
                return str(name)
    for name in LIBRARY_COLUMNS:  # a section of which no spot is left in the file
        if name in obs and chosen in set(obs[name].astype(str).unique()):
            return name
    return None


def _plain_dtype(column: pd.Series[Any]) -> np.dtype[Any]:
    return column.dtype if isinstance(column.dtype, np.dtype) else np.dtype(object)


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


def _pictures(
    adata: Any, chosen: str | None, positions: Any, path: Path
) -> tuple[dict[str, float], tuple[SectionImage, ...]]:
    """Scale factors, and the pictures they place, best resolution first."""
    if chosen is None:
        return {}, ()
    where = f'{path}, uns["spatial"]["{chosen}"]'
    library = adata.uns["spatial"][chosen]
    factors = positive_factors(_mapping(library, "scalefactors"), where=where)
    images = []
    for name, pixels in _mapping(library, "images").items():
        pixels = np.asarray(pixels)
        scale = factors.get(f"tissue_{name}_scalef")
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
            reason = f"its shape {pixels.shape} is not rows x columns x 3 or 4 channels"
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


def _mapping(library: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = library.get(name, {})
    return found if hasattr(found, "items") else {}


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
