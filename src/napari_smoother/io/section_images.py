"""Which pictures of a section to show, and where they lie."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from napari_smoother.errors import InputError
from napari_smoother.io.images import (
    IMAGE_SUFFIXES,
    Picture,
    is_blank,
    read_picture,
    share_inside,
)
from napari_smoother.io.space_ranger_folder import one_of
from napari_smoother.section import SectionImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_smoother.io.space_ranger_folder import SpaceRangerFolder

TISSUE = ("hires", "lowres")

ENDINGS = (".png", ".jpg", ".jpeg", ".png.gz", ".jpg.gz", ".jpeg.gz")

MARKED = {
    "detected_tissue": "detected_tissue_image.jpg",
    "aligned_fiducials": "aligned_fiducials.jpg",
}
"""Pictures for checking the alignment, with spots or fiducials painted over the tissue."""

MARKED_SCALE = "regist_target_img_scalef"

DERIVED = frozenset(
    {
        "tissue_hires_image",
        "tissue_lowres_image",
        "aligned_tissue_image",
        "cytassist_image",
        "detected_tissue_image",
        "aligned_fiducials",
    }
)
"""What Space Ranger makes itself; any other ``*image.tif`` is the picture it was given."""

SIZE_TOLERANCE = 0.01
"""How far the sides of a full-resolution picture may be from what a smaller one implies."""


def space_ranger_images(
    folder: SpaceRangerFolder, factors: Mapping[str, float], positions: NDArray[np.float64]
) -> tuple[SectionImage, ...]:
    """Read the pictures of a Space Ranger folder.

    The full-resolution picture has the scale 1, hires and lowres their own factors. Where there
    is no hires, the marked pictures of CytAssist (``regist_target_img_scalef``) follow behind the
    plain ones: finer, but with spots or fiducials painted over the tissue.

    Parameters
    ----------
    folder
        Where the files are.
    factors
        Scale factors; a picture without one is left out.
    positions
        n x 2, (x, y) in full-resolution pixels.

    Returns
    -------
    tuple of SectionImage
        Best resolution first.

    Raises
    ------
    InputError
        If hires or lowres is there but cannot be read.

    Warns
    -----
    UserWarning
        For each picture that is left out (blank, no scale factor, too large, not of this
        section) and each that most spots lie outside of.
    """
    images = []
    for name in TISSUE:
        path = one_of(folder.spatial, [f"tissue_{name}_image{ending}" for ending in ENDINGS])
        scale = factors.get(f"tissue_{name}_scalef")
        if path is None:
            continue
        if scale is None:
            if factors:  # with none at all, one warning was enough
                _warn_left_out(path, f"scalefactors_json.json has no tissue_{name}_scalef")
            continue
        images += _shown(name, path, read_picture(path), scale)
    fullres = _full_resolution(folder, images, positions)
    marked = []
    if MARKED_SCALE in factors and not any(image.name == "hires" for image in images):
        for name, file_name in MARKED.items():
            path = one_of(folder.spatial, (file_name, f"{file_name}.gz"))
            if path is not None:
                marked += _shown(name, path, read_picture(path), factors[MARKED_SCALE])
    every = (*fullres, *images, *marked)
    warn_of_misplaced(every, positions, where=str(folder.spatial))
    return every


def warn_of_misplaced(
    images: Iterable[SectionImage], positions: NDArray[np.float64], *, where: str
) -> None:
    """Warn of pictures that do not lie under the spots.

    Parameters
    ----------
    images
        With their scales.
    positions
        n x 2, (x, y) in full-resolution pixels.
    where
        File or folder, for the message.

    Warns
    -----
    UserWarning
        When less than half of the spots lie on a picture.
    """
    for image in images:
        share = share_inside(positions, image.pixels.shape, image.scale)
        if share < 0.5:
            warnings.warn(
                f"Only {share:.0%} of the spots lie on the picture {image.name} of {where}: "
                "its scale factor, or the positions, are those of another picture. "
                "Check scalefactors_json.json.",
                stacklevel=2,
            )


def _shown(name: str, path: Path, picture: Picture, scale: float) -> list[SectionImage]:
    """Give the picture as a list of one, or warn and give none when it shows nothing."""
    if is_blank(picture.pixels):
        _warn_left_out(path, "it is a blank placeholder")
        return []
    return [SectionImage(name, picture.pixels, scale * picture.reduction)]


def _full_resolution(
    folder: SpaceRangerFolder, smaller: list[SectionImage], positions: NDArray[np.float64]
) -> list[SectionImage]:
    """Find the picture Space Ranger was given, when it was put beside its output."""
    places = dict.fromkeys((folder.root, folder.spatial))
    paths = [
        path
        for place in places
        for path in sorted(place.iterdir())
        if path.is_file()
        and _plain(path).suffix.lower() in IMAGE_SUFFIXES
        and _is_given(_plain(path).stem)
    ]
    found: list[SectionImage] = []
    for path in paths:
        try:
            picture = read_picture(path)
        except InputError as fault:  # the section is of use without it
            _warn_left_out(path, f"{fault.problem}. {fault.remedy}")
            continue
        if not _fits(picture, smaller, positions):
            _warn_left_out(path, "its size is not that of this section at full resolution")
        elif found:
            _warn_left_out(path, "there is another picture at full resolution")
        else:
            found = _shown("fullres", path, picture, 1.0)
    return found


def _plain(path: Path) -> Path:
    """Name the file that a gzipped one holds."""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def _is_given(stem: str) -> bool:
    stem = stem.lower()
    if any(stem.endswith(derived) for derived in DERIVED):
        return False
    return stem.endswith(("image", "fullres", "full_resolution"))


def _fits(picture: Picture, smaller: list[SectionImage], positions: NDArray[np.float64]) -> bool:
    """Whether a picture has the size of the full resolution."""
    size = [side / picture.reduction for side in picture.pixels.shape[:2]]
    if smaller:
        implied = [side / smaller[0].scale for side in smaller[0].pixels.shape[:2]]
        return all(
            abs(have - want) <= SIZE_TOLERANCE * want
            for have, want in zip(size, implied, strict=True)
        )
    return share_inside(positions, picture.pixels.shape, picture.reduction) == 1


def _warn_left_out(path: Path, reason: str) -> None:
    warnings.warn(f"The picture {path} is left out: {reason}.", stacklevel=3)
