"""One tissue section: its spots, counts, images and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.counts.origin import AS_STORED, CountsOrigin
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class SectionImage:
    """A picture of the tissue.

    Parameters
    ----------
    name
        Which one it is: ``"hires"``, ``"lowres"``, ``"fullres"``.
    pixels
        Rows x columns, or rows x columns x channels (3 or 4).
    scale
        Image pixels per full-resolution pixel.
    """

    name: str
    pixels: NDArray[np.generic]
    scale: float


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Section:
    """The spots of one tissue slice, with counts, images and scale.

    Parameters
    ----------
    name
        What the user calls it.
    adata
        Spots x genes. ``obsm["spatial"]`` holds (x, y) = (column, row) in
        full-resolution pixels. Treated as read-only: results are written to a copy.
    images
        Best resolution first; empty when there is none.
    spot_diameter
        In full-resolution pixels; None when unknown.
    micrometres_per_pixel
        Size of a full-resolution pixel; None when unknown.
    source
        The file or folder it came from; None for simulated sections.
    origin
        Where in the file the counts were, and how they were read.
    library
        Which section of its file it is, where there are several.

    Raises
    ------
    InputError
        If the section has no spots, or positions are missing, of the wrong shape or not finite.
    """

    name: str
    adata: AnnData
    images: tuple[SectionImage, ...] = ()
    spot_diameter: float | None = None
    micrometres_per_pixel: float | None = None
    source: Path | None = None
    origin: CountsOrigin = AS_STORED
    library: str | None = None

    def __post_init__(self) -> None:
        if self.adata.n_obs == 0:
            raise InputError(
                "The section has no spots",
                where=self.name,
                remedy="Check that the barcodes of counts and positions are from the same slide",
            )
        if "spatial" not in self.adata.obsm:
            raise InputError(
                "The section has no positions",
                where=f'{self.name}, obsm["spatial"]',
                remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
            )
        positions = np.asarray(self.adata.obsm["spatial"])
        if positions.ndim != 2 or positions.shape[1] != 2:
            raise InputError(
                f"Positions have the shape {positions.shape}, not spots x 2",
                where=f'{self.name}, obsm["spatial"]',
                remedy="Store one (x, y) pair for each spot",
            )
        lost = np.flatnonzero(~np.isfinite(positions.astype(np.float64)).all(axis=1))
        if lost.size:
            raise InputError(
                f"{lost.size} of {len(positions)} spots have no finite position, "
                f"for example {self.adata.obs_names[lost[0]]}",
                where=f'{self.name}, obsm["spatial"]',
                remedy="Remove these spots or mend their positions",
            )

    @property
    def positions(self) -> NDArray[np.float64]:
        """Spot centres, n x 2, as (x, y) in full-resolution pixels."""
        return np.asarray(self.adata.obsm["spatial"], dtype=np.float64)

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        return int(self.adata.n_obs)
