"""Find the files of a Space Ranger output folder, by their names only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

POSITIONS = (
    "tissue_positions.csv",
    "tissue_positions.parquet",
    "tissue_positions_list.csv",
    "tissue_positions.csv.gz",
    "tissue_positions_list.csv.gz",
)
MATRICES = ("filtered_feature_bc_matrix", "raw_feature_bc_matrix")
MTX = ("matrix.mtx.gz", "matrix.mtx")
AGGREGATED_POSITIONS = ("aggr_tissue_positions.csv", "aggr_tissue_positions_list.csv")
AGGREGATION = "aggregation.csv"
SCALE_FACTORS = ("scalefactors_json.json", "scalefactors_json.json.gz")
BINNED = "binned_outputs"
SEGMENTED = "segmented_outputs"
CELLS = "cell_segmentations.geojson"
CELL_MATRICES = ("filtered_feature_cell_matrix", "raw_feature_cell_matrix")
PACKED = (".h5.gz", ".tar.gz", ".tgz", ".tar", ".zip", ".parquet.gz")
"""Endings of files that have to be unpacked before they can be read."""
USUAL_BIN = "square_008um"
"""The bins that 10x Genomics recommends to begin with."""


@dataclass(frozen=True, slots=True)
class SpaceRangerFolder:
    """Where the parts of one section are.

    Parameters
    ----------
    root
        The folder that holds the matrix.
    spatial
        The folder that holds positions, scale factors and pictures; ``root`` where there is no
        folder of its own.
    name
        What to call the section: the sample's folder, and the bin for Visium HD.
    positions, matrix, scale_factors
        None when missing. ``matrix`` is an ``.h5`` or a ``matrix.mtx``.
    is_aggregated
        Whether ``spaceranger aggr`` put several sections together here.
    aggregation
        The table that names them; None when missing.
    """

    root: Path
    spatial: Path
    name: str
    positions: Path | None
    matrix: Path | None
    scale_factors: Path | None
    is_aggregated: bool = False
    aggregation: Path | None = None

    def of_library(self, library: str) -> SpaceRangerFolder:
        """Find pictures and scale factors of one of several sections, by its name."""
        name = f"{self.name} {library}"
        for spatial in self.spatial.iterdir():
            if spatial.name == library and spatial.is_dir():
                factors = one_of(spatial, SCALE_FACTORS)
                return replace(self, name=name, spatial=spatial, scale_factors=factors)
        return replace(self, name=name)

    def packed(self) -> list[str]:
        """Names of the files that may hold what is missing, once they are unpacked."""
        folders = dict.fromkeys((self.root, self.spatial))
        names = sorted(entry.name for folder in folders for entry in folder.iterdir())
        return [name for name in names if name.lower().endswith(PACKED)]

    @property
    def is_complete(self) -> bool:
        """Whether there is enough to open: counts and positions."""
        return self.positions is not None and self.matrix is not None


def find_space_ranger(folder: Path) -> SpaceRangerFolder:
    """Find the parts of a section below a folder.

    Parameters
    ----------
    folder
        ``outs``, the folder above it, ``spatial``, or a folder of bins of Visium HD. Of several
        bins, those of 8 µm are taken. Names may carry a sample's prefix
        (``SAMPLE_filtered_feature_bc_matrix.h5``) as long as only one fits.

    Returns
    -------
    SpaceRangerFolder
        Parts that are not there are None.

    Raises
    ------
    InputError
        If several files fit, several bins and none of 8 µm, or only cells that Space Ranger
        segmented.
    """
    root = _root(folder)
    _refuse_segmented(root)
    spatial = one_of(root, ("spatial",), folders=True) or root
    aggregated = one_of(root, AGGREGATED_POSITIONS)
    name = root.parent.name if root.name == "outs" else root.name
    if root.parent.name == BINNED:
        above = root.parent.parent
        sample = above.parent.name if above.name == "outs" else above.name
        name = f"{sample} {root.name}".strip()
    return SpaceRangerFolder(
        root=root,
        spatial=spatial,
        name=name or str(folder),
        positions=aggregated or _positions(spatial) or _positions(root),
        matrix=_matrix(root),
        scale_factors=one_of(spatial, SCALE_FACTORS) or one_of(root, SCALE_FACTORS),
        is_aggregated=aggregated is not None,
        aggregation=one_of(root, (AGGREGATION,)),
    )


def _refuse_segmented(root: Path) -> None:
    """Name the cells of Space Ranger 4 for what they are, where there is nothing else."""
    inside = root / SEGMENTED
    place = inside if inside.is_dir() else root
    cells = one_of(place, (*(f"{name}.h5" for name in CELL_MATRICES), CELLS)) is not None
    if (cells or place == inside or root.name == SEGMENTED) and _matrix(root) is None:
        raise InputError(
            "These are the cells that Space Ranger 4 segmented, which cannot be opened yet",
            where=str(place),
            remedy=f"Open {BINNED}/{USUAL_BIN} of the same outs folder instead: the same counts, "
            "in bins of 8 µm",
        )


def one_of(folder: Path, names: Iterable[str], *, folders: bool = False) -> Path | None:
    """Find the first name there is; of none, the only one with a prefix before a name.

    Parameters
    ----------
    folder
        Where to look, not below it.
    names
        Best first.
    folders
        Whether to look for folders instead of files.

    Raises
    ------
    InputError
        If several prefixed ones fit.
    """
    names = tuple(names)
    entries = sorted(e for e in folder.iterdir() if (e.is_dir() if folders else e.is_file()))
    by_name = {entry.name: entry for entry in entries}
    for name in names:
        if name in by_name:
            return by_name[name]
    for name in names:
        fitting = [e for e in entries if e.name.endswith((f"_{name}", f".{name}", f"-{name}"))]
        if len(fitting) > 1:
            raise InputError(
                f"Several samples are mixed in one folder: {', '.join(e.name for e in fitting)}",
                where=str(folder),
                remedy="Give each sample a folder of its own",
            )
        if fitting:
            return fitting[0]
    return None


def _root(folder: Path) -> Path:
    """Find the folder that holds the matrix."""
    if folder.name == "spatial" or folder.name.endswith("_spatial"):
        folder = folder.parent
    if (folder / "outs").is_dir():
        folder = folder / "outs"
    if folder.name == BINNED:
        folder = folder.parent
    if not (folder / BINNED).is_dir():
        return folder
    bins = sorted(e for e in (folder / BINNED).iterdir() if e.is_dir())
    usual = [b for b in bins if b.name == USUAL_BIN]
    if usual or len(bins) == 1:
        return (usual or bins)[0]
    raise InputError(
        f"Of the bins of Visium HD none is {USUAL_BIN}; there are: "
        f"{', '.join(b.name for b in bins) or 'none'}",
        where=str(folder / BINNED),
        remedy="Open the folder of one of the bins",
    )


def _positions(folder: Path) -> Path | None:
    return one_of(folder, POSITIONS)


def _matrix(root: Path) -> Path | None:
    """Prefer filtered to raw, ``.h5`` to a folder, a folder to loose files."""
    for name in MATRICES:
        h5 = one_of(root, (f"{name}.h5",))
        if h5 is not None:
            return h5
        folder = one_of(root, (name,), folders=True)
        if folder is not None:
            matrix = one_of(folder, MTX)
            if matrix is not None:
                return matrix
    return one_of(root, MTX)
