"""Outlines that came from a file: the spots they hold, and the picture they were drawn on.

Outlines belong in full-resolution pixels. Many are drawn on the hires or lowres picture instead,
and then lie beside the spots, or over the wrong ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from psygnal import Signal

from napari_smoother.analyses.region_edits import reshaped
from napari_smoother.analyses.regions import Regions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_smoother.analyses.regions import RegionShape
    from napari_smoother.section import Section
    from napari_smoother.study.study import Study

TIMES_MORE = 10
"""Outlines look drawn on a picture where they hold this many times more spots, or three quarters
of the times that the section is larger than its corner of the size of the picture."""

SLACK = 1.02
"""How far beyond the edge of the picture an outline may have been drawn."""


@dataclass(frozen=True, slots=True)
class DrawnOn:
    """A picture that outlines look drawn on.

    Parameters
    ----------
    picture
        Which: ``"hires"``, ``"lowres"``.
    scale
        Its pixels per full-resolution pixel.
    n_spots
        How many spots they hold if they were drawn on it.
    """

    picture: str
    scale: float
    n_spots: int


def spots_within(
    shapes: Sequence[RegionShape], positions: NDArray[np.float64]
) -> tuple[NDArray[np.int64], int]:
    """Count spots within outlines or on them.

    Parameters
    ----------
    shapes
        The outlines.
    positions
        n x 2, (x, y) in the pixels of the outlines.

    Returns
    -------
    numpy.ndarray
        Spots in each outline.
    int
        Spots in any of them.
    """
    tree = shapely.STRtree([shape.area() for shape in shapes])
    spots, outlines = tree.query(shapely.points(positions), predicate="intersects")
    return np.bincount(outlines, minlength=len(shapes)), len(np.unique(spots))


def pictures_drawn_on(shapes: Sequence[RegionShape], section: Section) -> tuple[DrawnOn, ...]:
    """Return the pictures of a section that outlines look drawn on, the finest first.

    They lie within such a picture, and hold many times more spots when they are placed as it is.

    Parameters
    ----------
    shapes
        Outlines as they came.
    section
        That they are for.
    """
    vertices = np.concatenate([shape.vertices for shape in shapes])
    _, n_spots = spots_within(shapes, section.positions)
    found = []
    for picture, (scale, size) in _smaller_pictures(section).items():
        if (vertices < (1 - SLACK) * size).any() or (vertices > SLACK * size).any():
            continue
        _, there = spots_within(shapes, scale * section.positions)
        if there > 0 and there >= min(TIMES_MORE, 0.75 / scale**2) * n_spots:
            found.append(DrawnOn(picture, scale, there))
    return tuple(sorted(found, key=lambda each: -each.scale))


def _smaller_pictures(section: Section) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """Scale and size (x, y) of pictures below full resolution, also of those not shown."""
    known = {
        name.removeprefix("tissue_").removesuffix("_scalef"): factor
        for name, factor in _scale_factors(section.adata.uns.get("spatial")).items()
        if name.endswith("_scalef")
    }
    # Without its pixels, a picture reaches as far as the spots.
    pictures = {
        name: (factor, factor * section.positions.max(axis=0)) for name, factor in known.items()
    }
    for image in section.images:
        size = np.array(image.pixels.shape[1::-1], dtype=np.float64)
        pictures[image.name] = (image.scale, size)
    return {name: found for name, found in pictures.items() if found[0] < 1 / SLACK}


def _scale_factors(libraries: Any) -> Mapping[str, float]:
    """Positive scale factors of the one library there is; nothing where there is no such thing."""
    library = next(iter(libraries.values()), None) if isinstance(libraries, dict) else None
    factors = library.get("scalefactors") if isinstance(library, dict) else None
    if not isinstance(factors, dict):
        return {}
    numbers = {str(name): np.asarray(factor) for name, factor in factors.items()}
    return {
        name: float(number.reshape(()))
        for name, number in numbers.items()
        if number.size == 1 and number.dtype.kind in "iuf" and number.reshape(()) > 0
    }


class ImportedOutlines:
    """Adds outlines from files to the regions of a study, and offers to scale them.

    Parameters
    ----------
    study
        Whose regions they join.

    Attributes
    ----------
    offered
        Emitted with the pictures that the last outlines look drawn on; with none when the
        question is settled.
    source
        The file of the last outlines.
    offer
        What was emitted last.
    """

    offered = Signal(object)

    def __init__(self, study: Study) -> None:
        self._study = study
        self.source = ""
        self.offer: tuple[DrawnOn, ...] = ()
        self._shapes: tuple[RegionShape, ...] = ()
        self._added: Regions | None = None
        self._before = Regions()
        study.regions_changed.connect(self._on_regions_changed)

    def add(self, source: str, regions: Regions, shapes: Iterable[RegionShape]) -> str:
        """Add outlines to the regions.

        Parameters
        ----------
        source
            The file they came from.
        regions
            The study's, with the classes of the outlines.
        shapes
            The outlines, in the pixels of the file; at least one.

        Returns
        -------
        str
            What is remarkable about them; empty when each holds spots.
        """
        shapes = tuple(shapes)
        self._study.regions = self._with(regions, shapes)
        section = self._study.section
        if section is None:
            return ""
        self.source, self._shapes, self._added = source, shapes, self._study.regions
        self._before = regions
        self._offer(pictures_drawn_on(shapes, section))
        return self._remark(*spots_within(shapes, section.positions))

    def scale(self, drawn_on: DrawnOn) -> None:
        """Place the outlines last added as they were drawn on a picture."""
        shapes = [shape.scaled(1 / drawn_on.scale) for shape in self._shapes]
        self._study.undo()  # so that one undo takes the import back
        self._study.regions = self._with(self._before, shapes)

    def leave(self) -> None:
        """Leave the outlines last added as they are."""
        self._offer(())

    def _on_regions_changed(self, regions: Regions) -> None:
        if self.offer and regions is not self._added:
            self._offer(())

    def _with(self, regions: Regions, shapes: Sequence[RegionShape]) -> Regions:
        """Return regions with outlines that have the spots within."""
        return reshaped(regions, [*regions.shapes, *shapes], self._study.spots)

    def _offer(self, drawn_on: tuple[DrawnOn, ...]) -> None:
        self.offer = drawn_on
        self.offered.emit(drawn_on)

    def _remark(self, sizes: NDArray[np.int64], n_spots: int) -> str:
        if self.offer:
            first = self.offer[0]
            return (
                f"The outlines of {self.source} hold {n_spots or 'no'} spots, but "
                f"{first.n_spots:,} if they were drawn on the {first.picture} picture. "
                "The Regions page can scale them."
            )
        if n_spots == 0:
            return (
                f"No spot lies in the outlines of {self.source}. They were drawn on another "
                "picture or section: undo, and export them in full-resolution pixels."
            )
        empty = np.flatnonzero(sizes == 0)
        if empty.size == 0:
            return ""
        names = list(dict.fromkeys(self._shapes[at].region for at in empty))
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        return (
            f"{empty.size} of {len(sizes)} outlines of {self.source} hold no spot "
            f"(of the region{'s' if len(names) > 1 else ''} {shown})."
        )
