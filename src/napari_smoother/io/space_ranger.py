"""Open an output folder of Space Ranger, versions 1 to 3, Visium and Visium HD."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.io.aggregation import aggregated_libraries
from napari_smoother.io.counts import as_counts
from napari_smoother.io.h5ad import SeveralLibraries
from napari_smoother.io.physical_scale import physical_scale
from napari_smoother.io.scale_factors import read_scale_factors
from napari_smoother.io.section_images import (
    MARKED,
    MARKED_SCALE,
    TISSUE,
    space_ranger_images,
)
from napari_smoother.io.space_ranger_folder import AGGREGATION, find_space_ranger
from napari_smoother.io.spot_positions import match_barcodes, read_spot_positions
from napari_smoother.io.tenx_matrix import read_matrix
from napari_smoother.section import Section
from napari_smoother.weights.sections import overlapping_sections

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.io.space_ranger_folder import SpaceRangerFolder
    from napari_smoother.io.tenx_matrix import FeatureMatrix
    from napari_smoother.section import SectionImage


def read_space_ranger(
    folder: str | Path,
    *,
    library: str | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Section:
    """Read a section from an output folder of Space Ranger.

    Parameters
    ----------
    folder
        The ``outs`` folder, the folder above it, its ``spatial`` folder, or a folder of bins of
        Visium HD (of several, the bins of 8 µm).
    library
        Which section of several that ``spaceranger aggr`` put together: a name in
        ``aggregation.csv``, or the ending of its barcodes where that table is missing.
    cancelled
        Asked between the files.

    Returns
    -------
    Section
        The spots in tissue that have counts, in the order of the matrix. ``X`` holds the counts
        of genes (float32 CSR; antibodies and other features are left out), ``var_names`` are
        gene symbols made unique, ``var["gene_ids"]`` Ensembl identifiers, ``obs`` has
        ``in_tissue``, ``array_row`` and ``array_col``. Positions are (x, y) = (pixel column,
        pixel row) of the positions file. Pictures and scale factors also stand in
        ``uns["spatial"]`` as scanpy has them, except the full-resolution picture.
        Sizes come from `napari_smoother.io.physical_scale.physical_scale`.

    Raises
    ------
    SeveralLibraries
        If there are several sections and ``library`` is None.
    InputError
        If counts or positions are missing, cannot be read, do not belong together, or a position
        or count is not a number.
    Cancelled
        If ``cancelled`` returned True.

    Warns
    -----
    UserWarning
        When something can be left out and the rest is of use: a picture, the scale factors, or
        more than half of the spots.
    """
    folder = _existing(Path(folder))
    found = find_space_ranger(folder)
    matrix_path, positions_path = _parts(found, folder)
    ending = None
    _stop_if(cancelled)
    positions = read_spot_positions(positions_path)
    sections = _sections(found, positions, folder)
    if sections:
        found, ending = _chosen(found, sections, library, folder)
        positions = positions[_endings(positions.index) == ending]
    elif library not in (None, found.name):
        raise InputError(
            f'There is no section "{library}"; there is one: {found.name}',
            where=str(folder),
            remedy="Open it without the name of a library",
        )
    _stop_if(cancelled)
    matrix = read_matrix(matrix_path).genes_only()
    counted = matrix.barcodes
    if ending is not None:
        counted = counted[_endings(counted) == ending]
    barcodes, doubt = match_barcodes(
        counted, positions, matrix_path=matrix_path, positions_path=positions_path
    )
    if doubt:
        warnings.warn(doubt, stacklevel=2)
    placed = positions.loc[barcodes]
    _check_finite(placed, positions_path)
    _stop_if(cancelled)
    factors = read_scale_factors(found.scale_factors, folder=found.spatial)
    centres = placed[["x", "y"]].to_numpy()
    images = space_ranger_images(found, factors, centres)
    _stop_if(cancelled)
    scale = physical_scale(
        factors,
        array_positions=positions[["array_row", "array_col"]].to_numpy(),
        positions=positions[["x", "y"]].to_numpy(),
        is_visium=True,
    )
    adata = _annotated(matrix, barcodes, placed, str(matrix_path))
    adata.uns["spatial"] = {found.name: _in_scanpy_form(images, factors)}
    return Section(
        name=found.name,
        adata=adata,
        images=images,
        spot_diameter=scale.spot_diameter,
        micrometres_per_pixel=scale.micrometres_per_pixel,
        source=folder,
    )


def _sections(found: SpaceRangerFolder, positions: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Name the sections of a folder, with the ending of their barcodes; none where it is one."""
    if not found.is_aggregated:
        in_tissue = positions[positions["in_tissue"]]
        several = overlapping_sections(in_tissue.iloc[:, :0], in_tissue[["x", "y"]].to_numpy())
        if several is None or not all(name.isdigit() for name in several.names):
            return {}
        return {name: name for name in several.names}
    endings = sorted(set(_endings(positions.index)), key=lambda ending: (len(ending), ending))
    if found.aggregation is None:
        warnings.warn(
            f"There is no aggregation.csv in {found.root}: sections are called by the endings of "
            "their barcodes, and their pictures and scale are left out.",
            stacklevel=3,
        )
        return {ending: ending for ending in endings}
    names = aggregated_libraries(found.aggregation)
    known = {str(place): name for place, name in enumerate(names, start=1)}
    strange = [ending for ending in endings if ending not in known]
    if strange:
        raise InputError(
            f"Barcodes end in -{strange[0]}, but {found.aggregation.name} names {len(names)} "
            "sections",
            where=f"{found.positions} and {found.aggregation}",
            remedy="Copy both again from the same output of spaceranger aggr",
        )
    return {known[ending]: ending for ending in endings}


def _chosen(
    found: SpaceRangerFolder, sections: dict[str, str], library: str | None, folder: Path
) -> tuple[SpaceRangerFolder, str]:
    if library is None and len(sections) > 1:
        source = "the endings of barcodes" if found.aggregation is None else AGGREGATION
        raise SeveralLibraries(tuple(sections), where=str(folder), source=source)
    library = next(iter(sections)) if library is None else library
    if library not in sections:
        raise InputError(
            f'There is no section "{library}"; there are: {", ".join(sections)}',
            where=str(folder),
            remedy="Choose one of these",
        )
    return found.of_library(library), sections[library]


def _endings(barcodes: pd.Index[str]) -> NDArray[np.object_]:
    """Take what stands behind the last dash."""
    return np.array([name.rpartition("-")[2] for name in barcodes], dtype=object)


def _existing(folder: Path) -> Path:
    folder = Path(os.path.abspath(folder.expanduser()))
    if not folder.is_dir():
        raise InputError(
            "There is no such folder",
            where=str(folder),
            remedy="Choose the outs folder of Space Ranger",
        )
    return folder


def _parts(found: SpaceRangerFolder, folder: Path) -> tuple[Path, Path]:
    if found.matrix is None and found.positions is None:
        raise InputError(
            "This is not an output folder of Space Ranger: it has neither counts nor positions",
            where=str(folder),
            remedy=_unpack(found)
            or "Choose the outs folder; it holds filtered_feature_bc_matrix.h5 and a folder "
            "spatial with tissue_positions.csv",
        )
    if found.matrix is None:
        raise InputError(
            "The count matrix is missing",
            where=str(found.root),
            remedy=_unpack(found)
            or "Copy filtered_feature_bc_matrix.h5, or the folder of the same name, there",
        )
    if found.positions is None:
        raise InputError(
            "The positions of the spots are missing",
            where=str(found.spatial),
            remedy=_unpack(found)
            or "Copy tissue_positions.csv (tissue_positions_list.csv of older versions) there",
        )
    return found.matrix, found.positions


def _unpack(found: SpaceRangerFolder) -> str:
    """Advise to unpack what may hold the missing part; empty where nothing is packed."""
    packed = found.packed()
    return f"Unpack {', '.join(packed[:4])} there (gunzip, tar -x or unzip)" if packed else ""


def _check_finite(placed: pd.DataFrame, path: Path) -> None:
    lost = ~np.isfinite(placed[["x", "y"]].to_numpy()).all(axis=1)
    if lost.any():
        raise InputError(
            f"{int(lost.sum())} of {len(placed)} spots have no finite position, for example "
            f"{placed.index[lost][0]}",
            where=f"{path}, pxl_row_in_fullres and pxl_col_in_fullres",
            remedy="Mend these lines, or set in_tissue to 0 to leave the spots out",
        )


def _annotated(
    matrix: FeatureMatrix, barcodes: pd.Index[str], placed: pd.DataFrame, where: str
) -> Any:
    from anndata import AnnData
    from anndata.utils import make_index_unique

    rows = matrix.values
    if len(barcodes) < len(matrix.barcodes):
        rows = rows[matrix.barcodes.isin(barcodes)]
    return AnnData(
        X=as_counts(rows, where=where),
        obs=pd.DataFrame(
            {
                "in_tissue": placed["in_tissue"].astype(np.int64),
                "array_row": placed["array_row"],
                "array_col": placed["array_col"],
            },
            index=barcodes.rename(None),
        ),
        var=pd.DataFrame(
            {
                "gene_ids": matrix.gene_ids.to_numpy(),
                "feature_types": pd.Categorical(matrix.feature_types),
            },
            index=make_index_unique(matrix.symbols),
        ),
        obsm={"spatial": placed[["x", "y"]].to_numpy(dtype=np.float64)},
    )


def _in_scanpy_form(
    images: tuple[SectionImage, ...], factors: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """One library of ``uns["spatial"]``, sharing the pixels."""
    kept = {image.name: image.pixels for image in images if image.name in (*TISSUE, *MARKED)}
    marked = {f"tissue_{name}_scalef": factors[MARKED_SCALE] for name in MARKED if name in kept}
    return {"images": kept, "scalefactors": {**factors, **marked}}


def _stop_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled
