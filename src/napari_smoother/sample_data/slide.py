"""The slide: a Visium lattice of spots and the grid on which tissue is laid out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

PITCH = 100.0
"""Distance between neighbouring spot centres, in micrometres."""

SPOT_DIAMETER = 55.0
"""In micrometres."""

MICROMETRES_PER_PIXEL = 0.5
"""Size of a full-resolution pixel of the simulated microscope."""

MARGINS = (0.05, 0.09, 0.06, 0.13)
"""What the picture shows left, right, above and below the spots, of the lattice's width.

They differ so that the picture has no symmetry behind which swapped axes could hide.
"""

GRID_STEP = 4
"""Image pixels between the nodes of the grid on which the tissue is laid out."""


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Spot centres of a capture area.

    Parameters
    ----------
    array_row, array_col
        Space Ranger's numbering, n each: columns count in half pitches.
    positions
        n x 2, (x, y) in micrometres from the centre of the capture area.
    width
        Of the capture area, in micrometres.
    """

    array_row: NDArray[np.int64]
    array_col: NDArray[np.int64]
    positions: NDArray[np.float64]
    width: float


def visium_lattice(rows: int, columns: int) -> Lattice:
    """Every spot of a hexagonal lattice of 100 µm pitch.

    Parameters
    ----------
    rows, columns
        Rows of spots, and spots in each; a true capture area has 78 x 64.

    Returns
    -------
    Lattice
        Of ``rows * columns`` spots, row after row.
    """
    row, place = np.divmod(np.arange(rows * columns), columns)
    column = 2 * place + row % 2
    x = column * PITCH / 2
    y = row * PITCH * np.sqrt(3) / 2
    positions = np.column_stack([x - x.max() / 2, y - y.max() / 2])
    return Lattice(row, column, positions, width=columns * PITCH)


@dataclass(frozen=True, slots=True, eq=False)
class Slide:
    """The picture's frame around a lattice, and the grid that lies over it.

    Parameters
    ----------
    shape
        Rows and columns of the picture.
    scale
        Picture pixels per full-resolution pixel.
    origin
        (x, y) of the capture area's centre in full-resolution pixels.
    """

    shape: tuple[int, int]
    scale: float
    origin: tuple[float, float]

    @classmethod
    def around(cls, lattice: Lattice, image_size: int) -> Slide:
        """Frame a lattice in a picture whose long side has ``image_size`` pixels.

        Parameters
        ----------
        lattice
            The spots.
        image_size
            Pixels; a smaller picture is made where it would surpass full resolution.
        """
        left, right, above, below = (margin * lattice.width for margin in MARGINS)
        low, high = lattice.positions.min(axis=0), lattice.positions.max(axis=0)
        size = (high - low + [left + right, above + below]) / MICROMETRES_PER_PIXEL
        scale = float(min(image_size / size.max(), 1.0))
        columns, rows = np.rint(size * scale).astype(int)
        x, y = (np.array([left, above]) - low) / MICROMETRES_PER_PIXEL
        return cls((int(rows), int(columns)), scale, (float(x), float(y)))

    @property
    def micrometres_per_image_pixel(self) -> float:
        """Size of a picture pixel."""
        return MICROMETRES_PER_PIXEL / self.scale

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Nodes of the grid: the first lies on image pixel (0, 0), the last beyond the edge."""
        return -(-self.shape[0] // GRID_STEP) + 1, -(-self.shape[1] // GRID_STEP) + 1

    @property
    def grid_micrometres(self) -> float:
        """Distance between nodes of the grid."""
        return GRID_STEP * self.micrometres_per_image_pixel

    def grid_positions(self) -> tuple[Field, Field]:
        """Place of every node: x and y in micrometres from the capture area's centre."""
        rows, columns = np.indices(self.grid_shape, dtype=np.float32)
        x = columns * self.grid_micrometres - self.origin[0] * MICROMETRES_PER_PIXEL
        y = rows * self.grid_micrometres - self.origin[1] * MICROMETRES_PER_PIXEL
        return x.astype(np.float32), y.astype(np.float32)

    def full_resolution(self, micrometres: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn micrometres from the capture area's centre into full-resolution pixels."""
        return np.asarray(
            micrometres / MICROMETRES_PER_PIXEL + np.array(self.origin), dtype=np.float64
        )

    def at(self, field: Field, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Read a field of the grid at (x, y) full-resolution pixels, n x 2."""
        from scipy.ndimage import map_coordinates

        nodes = pixels[:, ::-1].T * self.scale / GRID_STEP
        values = np.empty(len(pixels))
        map_coordinates(field, nodes, order=1, mode="nearest", output=values)
        return values

    def over_image(self, field: Field) -> Field:
        """Interpolate a field of the grid at every pixel of the picture."""
        fine = _between_nodes(field, self.shape[0])
        return np.ascontiguousarray(_between_nodes(fine.T, self.shape[1]).T)


def _between_nodes(field: Field, size: int) -> Field:
    """Interpolate linearly along the first axis, ``GRID_STEP`` points to a node."""
    weight = (np.arange(GRID_STEP, dtype=np.float32) / GRID_STEP)[None, :, None]
    fine = field[:-1, None] * (1 - weight) + field[1:, None] * weight
    return np.asarray(fine.reshape(-1, field.shape[1])[:size], np.float32)


def smooth_noise(shape: tuple[int, int], length: float, rng: np.random.Generator) -> Field:
    """Gaussian random field of unit variance, periodic over its own extent.

    Parameters
    ----------
    shape
        Nodes.
    length
        Nodes over which it stays alike: the standard deviation of the smoothing kernel.
    rng
        Where randomness comes from.
    """
    from scipy import fft

    white = rng.standard_normal(shape, dtype=np.float32)
    rows = np.fft.fftfreq(shape[0])[:, None]
    columns = np.fft.rfftfreq(shape[1])[None, :]
    kernel = np.exp(-2 * (np.pi * length) ** 2 * (rows**2 + columns**2))
    kernel[0, 0] = 0
    noise = fft.irfft2(fft.rfft2(white) * kernel.astype(np.float32), s=shape)
    return np.asarray(noise / max(float(noise.std()), 1e-12), np.float32)
