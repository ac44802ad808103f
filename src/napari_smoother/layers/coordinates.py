"""The one place where (x, y) of a section becomes (row, column) of napari, and back.

Every layer of a section holds full-resolution pixels as data (images: their own pixels) and the
size of a pixel as its scale, so that the world is in micrometres where the scale is known and
in full-resolution pixels where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.section import Section


def to_rows_and_columns(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (row, column) of points given as (x, y) in the last axis."""
    return np.ascontiguousarray(xy[..., ::-1])


def to_xy(rows_and_columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (x, y) of points given as (row, column) in the last axis."""
    return np.ascontiguousarray(rows_and_columns[..., ::-1])


@dataclass(frozen=True, slots=True)
class World:
    """The size and unit of a full-resolution pixel.

    Parameters
    ----------
    pixel
        Its side in `unit`.
    unit
        ``"um"``, or ``"pixel"`` where the scale is unknown.
    """

    pixel: float
    unit: str

    @classmethod
    def of(cls, section: Section) -> World:
        """Return the world a section is shown in."""
        if section.micrometres_per_pixel is None:
            return cls(1.0, "pixel")
        return cls(section.micrometres_per_pixel, "um")

    @property
    def scale(self) -> tuple[float, float]:
        """Scale of a layer whose data are full-resolution pixels."""
        return (self.pixel, self.pixel)

    @property
    def units(self) -> tuple[str, str]:
        """Units of both axes of a layer."""
        return (self.unit, self.unit)


class _Transformed(Protocol):
    """A layer, as far as its transform goes."""

    def data_to_world(self, position: ArrayLike) -> Sequence[float]: ...


def data_to_world(layer: _Transformed, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return where points of a layer are in the world.

    The layer may have been moved, rotated or scaled by hand. Its transform is affine, so that
    the origin and a point on each axis tell all of it.

    Parameters
    ----------
    layer
        Of as many dimensions as the points.
    points
        m x d data coordinates.
    """
    size = points.shape[1]
    origin = np.asarray(layer.data_to_world((0.0,) * size))
    axes = [np.asarray(layer.data_to_world(axis)) - origin for axis in np.eye(size)]
    placed: NDArray[np.float64] = origin + points @ np.stack(axes)
    return placed


def data_to_full_resolution(
    layer: _Transformed, world: World, points: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return (row, column) in full-resolution pixels of a layer's data coordinates.

    Parameters
    ----------
    layer
        A two-dimensional layer.
    world
        Of the section.
    points
        m x 2 data coordinates.
    """
    return data_to_world(layer, points) / world.pixel
