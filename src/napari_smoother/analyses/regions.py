"""Regions: named classes of spots, drawn as polygons or taken from a column."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


Colour = tuple[float, float, float]

UNASSIGNED = -1

MISSING = ("", "NA", "nan", "NaN", "None")
"""Texts in a column that name no class."""


@dataclass(frozen=True, slots=True)
class RegionClass(ComparedByValue):
    """A kind of tissue.

    Parameters
    ----------
    name
        Unique within a study, and taken letter by letter, blanks at its ends included: files
        have to come back as they went.
    colour
        Red, green, blue from 0 to 1.
    """

    name: str
    colour: Colour


@dataclass(frozen=True, slots=True, eq=False)
class RegionShape(ComparedByValue):
    """One closed outline of a region.

    Parameters
    ----------
    region
        Name of its class.
    vertices
        m x 2, (x, y) in full-resolution pixels.
    """

    region: str
    vertices: NDArray[np.float64]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RegionShape)
            and self.region == other.region
            and np.array_equal(self.vertices, other.vertices)
        )

    def __hash__(self) -> int:
        return hash((self.region, self.vertices.shape))

    def area(self) -> shapely.MultiPolygon:
        """Return the area inside, made valid where the outline crosses itself."""
        if len(np.unique(self.vertices, axis=0)) < 3:
            return shapely.MultiPolygon()
        mended = shapely.make_valid(shapely.Polygon(self.vertices))
        # Parts of no area, such as the bridge to a hole, are not parts of a region.
        parts = shapely.get_parts(shapely.get_parts(mended))
        return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])

    def contains(self, positions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which spots lie within the outline or on it.

        Parameters
        ----------
        positions
            n x 2, (x, y) in full-resolution pixels.
        """
        area = self.area()
        shapely.prepare(area)
        inside: NDArray[np.bool_] = shapely.intersects_xy(area, positions[:, 0], positions[:, 1])
        return inside


@dataclass(frozen=True, slots=True, eq=False)
class Regions(ComparedByValue):
    """All regions of a section at one moment; every edit makes a new one.

    Parameters
    ----------
    classes
        Their order gives each class its code.
    shapes
        In the order they were drawn: where two overlap, the later one has the spot.
    imported
        Code of each spot from a column (-1: none), under the shapes; None when nothing was
        imported.
    """

    classes: tuple[RegionClass, ...] = ()
    shapes: tuple[RegionShape, ...] = ()
    imported: NDArray[np.int32] | None = field(default=None)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Regions)
            and self.classes == other.classes
            and self.shapes == other.shapes
            and _same_codes(self.imported, other.imported)
        )

    def __hash__(self) -> int:
        return hash((self.classes, self.shapes))

    def code(self, name: str) -> int:
        """Return the code of a class."""
        for code, region in enumerate(self.classes):
            if region.name == name:
                return code
        raise InputError(
            f"There is no region {name!r}",
            where="regions",
            remedy=f"Choose one of {', '.join(r.name for r in self.classes) or 'none yet'}",
        )

    def labels(self, positions: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the region of each spot.

        Parameters
        ----------
        positions
            n x 2, (x, y) in full-resolution pixels.

        Returns
        -------
        ndarray
            n int32 codes into `classes`, -1 for spots in no region. A spot on an outline
            belongs to it.
        """
        labels = np.full(len(positions), UNASSIGNED, dtype=np.int32)
        if self.imported is not None:
            labels[:] = self.imported
        for shape in self.shapes:
            labels[shape.contains(positions)] = self.code(shape.region)
        return labels

    def with_class(self, region: RegionClass) -> Regions:
        """Return the regions with one more class."""
        if not region.name.strip():
            raise InputError(
                "A region needs a name", where="region name", remedy="Type at least one letter"
            )
        if any(region.name == known.name for known in self.classes):
            raise InputError(
                f"There is a region {region.name!r} already",
                where="region name",
                remedy="Choose another name, or draw into the region that is there",
            )
        return replace(self, classes=(*self.classes, region))

    def with_renamed(self, before: str, after: str) -> Regions:
        """Return the regions with one class called otherwise."""
        code = self.code(before)
        if after == before:
            return self
        others = replace(self, classes=self.classes[:code] + self.classes[code + 1 :])
        others.with_class(RegionClass(after, self.classes[code].colour))  # checks the name
        return replace(
            self,
            classes=_replaced(self.classes, code, replace(self.classes[code], name=after)),
            shapes=tuple(
                replace(shape, region=after) if shape.region == before else shape
                for shape in self.shapes
            ),
        )

    def with_recoloured(self, name: str, colour: Colour) -> Regions:
        """Return the regions with another colour for one class."""
        code = self.code(name)
        return replace(
            self,
            classes=_replaced(self.classes, code, replace(self.classes[code], colour=colour)),
        )

    def without_class(self, name: str) -> Regions:
        """Return the regions without one class, its shapes and its imported spots."""
        code = self.code(name)
        imported = self.imported
        if imported is not None:
            imported = np.where(imported == code, UNASSIGNED, imported - (imported > code))
            imported = imported.astype(np.int32)
        return Regions(
            classes=self.classes[:code] + self.classes[code + 1 :],
            shapes=tuple(shape for shape in self.shapes if shape.region != name),
            imported=imported,
        )

    def with_shapes(self, shapes: Iterable[RegionShape]) -> Regions:
        """Return the regions with these outlines in place of the present ones."""
        shapes = tuple(shapes)
        for shape in shapes:
            self.code(shape.region)
        return replace(self, shapes=shapes)


def outline_of(polygon: shapely.Polygon) -> NDArray[np.float64]:
    """Return a polygon as a single outline, its holes joined to the rim by bridges of no width.

    Parameters
    ----------
    polygon
        Valid, in full-resolution pixels.

    Returns
    -------
    ndarray
        m x 2, (x, y).
    """
    rim = shapely.get_coordinates(polygon.exterior)
    if not polygon.interiors:
        return rim[:-1]
    holes = [shapely.get_coordinates(ring) for ring in polygon.interiors]
    there_and_back = [part for hole in holes for part in (hole, rim[:1])]
    return np.concatenate([rim, *there_and_back])


def regions_from_column(column: pd.Series[str], colours: Sequence[Colour]) -> Regions:
    """Return the classes of an obs column as regions.

    Parameters
    ----------
    column
        One value a spot. Missing values, and the texts "NA", "nan" and "", are no region.
        Categories keep their order; other values are sorted.
    colours
        One for each class, taken in turn.

    Raises
    ------
    InputError
        If the column holds a single class, none, or more than 200.
    """
    values = column.astype("object").where(column.notna(), "").astype(str)
    missing = values.str.strip().isin(MISSING)
    present = set(values[~missing])
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = [name for name in map(str, column.cat.categories) if name in present]
    else:
        names = sorted(present)
    if not 1 <= len(names) <= 200:
        raise InputError(
            f"The column has {len(names)} classes",
            where=f'obs["{column.name}"]',
            remedy="Choose a column that sorts the spots into 1 to 200 classes",
        )
    codes = {name: code for code, name in enumerate(names)}
    imported = np.asarray(values.map(codes).fillna(UNASSIGNED), dtype=np.int32)
    classes = tuple(
        RegionClass(name, colours[code % len(colours)]) for name, code in codes.items()
    )
    return Regions(classes=classes, imported=imported)


def _replaced(
    classes: tuple[RegionClass, ...], code: int, region: RegionClass
) -> tuple[RegionClass, ...]:
    return (*classes[:code], region, *classes[code + 1 :])


def _same_codes(one: NDArray[np.int32] | None, other: NDArray[np.int32] | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or np.array_equal(one, other)
